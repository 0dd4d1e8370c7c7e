"""The queue: what is added in a transaction is done after it, by this process or any other."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

import msgspec

from storefront.database import Database
from storefront.errors import DatabaseUnavailable
from storefront.work.job import Claimed, Job, Postpone, Waiting, reason, trace
from storefront.work.life import SignOfLife

if TYPE_CHECKING:
    import sqlalchemy as sa

logger = logging.getLogger("storefront")

Handler = Callable[[Job], None]
Merge = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]

#: How long a process that says nothing is taken to be alive.
LEASE_SECONDS: Final = 20.0
#: Attempts before a job is parked: with the pauses between them, some eight hours.
ATTEMPTS: Final = 20
#: Seconds between two looks for work that other processes have added or left.
_LOOK_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 7200.0
#: More make no longer pause: what is never parked may fail without end.
_DOUBLINGS = 20

_queues: weakref.WeakSet[WorkQueue] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class _Kind:
    handler: Handler
    at_once: int
    attempts: int


class _TakenOver(Exception):
    """This process was taken for dead, and another one does the job."""


class WorkQueue:
    """Jobs in a database, and the threads of this process that do them.

    ``shop`` tells the jobs of several shops in one database apart; ``context`` makes what
    surrounds each handler, such as an app context. A queue that ``stays`` keeps looking for what
    other processes have added or left; another one ends its threads once there is nothing to do.
    ``lease_seconds``, of 3 at the least: how long a process that is silent is taken to be alive.
    """

    def __init__(
        self,
        database: Database,
        *,
        shop: str,
        context: Callable[[], AbstractContextManager[object]] = nullcontext,
        stays: bool = True,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database = database
        self._shop = shop
        self._context = context
        self._stays = stays
        self._lease_seconds = lease_seconds
        self._kinds: dict[str, _Kind] = {}
        self._watcher: threading.Thread | None = None
        self._by_hand = False
        self._start_process()
        _queues.add(self)

    def register(
        self, kind: str, handler: Handler, *, at_once: int = 4, attempts: int = ATTEMPTS
    ) -> None:
        """Have jobs of a kind done by a function, at most so many at once in this process.

        The job is done when the function returns and its transaction, ``job.connection``, is
        committed, both or neither. When it raises, what it wrote there is undone, and it is asked
        again after a pause that grows; after so many attempts the job is parked.
        """
        self._kinds[kind] = _Kind(handler, at_once, attempts)

    def add(
        self,
        connection: sa.Connection,
        kind: str,
        key: str,
        payload: Mapping[str, Any],
        *,
        after_seconds: float = 0.0,
        again: bool = False,
        merge: Merge | None = None,
    ) -> bool:
        """Add a job in the caller's transaction; call ``wake`` once that is committed.

        There is one job a kind and key: where one waits, it takes the new payload and the earlier
        time; one that is being done stays as it is, or is done once more with ``again``; a parked
        one stays parked. With ``merge`` the payload becomes ``merge(old, new)`` instead. Gives
        whether the job is new.
        """
        from storefront.work import rows

        def replace(old: bytes) -> bytes:
            new = payload if merge is None else merge(msgspec.json.decode(old), payload)
            return msgspec.json.encode(new)

        encoded = msgspec.json.encode(payload)
        return rows.add(
            *(connection, self._shop, kind, key, encoded),
            after=after_seconds,
            again=again,
            replace=replace,
        )

    def wake(self) -> None:
        """Look for work now, in a thread that is started when it is not there.

        Where the machine gives no more threads, the next call tries again.
        """
        if self._by_hand:
            return
        with self._lock:
            if self._watcher is None:
                watcher = threading.Thread(
                    target=_watch,
                    args=[weakref.ref(self), self._awake],
                    name="storefront-work",
                    daemon=True,
                )
                try:
                    watcher.start()
                except RuntimeError as error:
                    logger.warning("Work waits for a thread. %s", error)
                    return
                self._watcher = watcher
            self._awake.set()

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """Start no threads while the block lasts: for a command, which calls ``run_due`` and ends.

        What its threads had in hand then would count as cut short.
        """
        self._by_hand = True
        try:
            yield
        finally:
            self._by_hand = False

    def run_due(self) -> int:
        """Do in this thread all that is due, for commands and tests; gives how many jobs.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        done = 0
        while True:
            self._release_left()
            claimed, _ = self._claim(dict.fromkeys(self._kinds, 1))
            if not claimed:
                return done
            for each in claimed:
                self._run(each)
            done += len(claimed)

    def waiting(self, *, kind: str | None = None, parked: bool = False) -> list[Waiting]:
        """The jobs that there are, the oldest first; with ``parked`` only those given up.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        from storefront.work import rows

        with self._database.reading() as connection:
            return rows.waiting(connection, self._shop, kind=kind, parked=parked)

    def retry(self, kind: str, key: str) -> bool:
        """Have a job done now, with all its attempts anew; False when there is none.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        from storefront.work import rows

        with self._database.writing() as connection:
            return rows.retry(connection, self._shop, kind, key)

    def _start_process(self) -> None:
        """Begin anew: threads do not survive a fork, and locks that they held do."""
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        self._turn = threading.Lock()
        self._awake = threading.Event()
        # The thread waits, and has to end with the queue.
        weakref.finalize(self, self._awake.set).atexit = False
        self._watcher = None
        self._look_after_others_at = 0.0
        self._life = SignOfLife(self._database.for_short_writes(), self._lease_seconds)
        #: What this process does: kind by job id.
        self._running: dict[int, str] = {}

    def _look(self) -> float | None:
        """Start what can be started; seconds until the next look, None when nothing is left."""
        if time.monotonic() >= self._look_after_others_at:
            self._look_after_others_at = time.monotonic() + _LOOK_SECONDS
            self._release_left()
        claimed, seconds = self._claim(self._free())
        for each in claimed:
            thread = threading.Thread(
                target=self._run_and_look,
                args=[each],
                name=f"storefront-{each.kind}",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError as error:  # the machine gives no more threads
                self._give_back(each, _LOOK_SECONDS, reason(error), counted=False)
                self._let_go(each)
        if not claimed and not self._stays and self._is_done():
            return None
        return min(seconds, _LOOK_SECONDS)

    def _is_done(self) -> bool:
        """Whether nothing is left; whoever wakes the queue from then on starts another watcher."""
        from storefront.work import rows

        with self._lock:
            if self._running:
                return False
            with self._database.reading() as connection:
                if not rows.is_empty(connection, self._shop):
                    return False
            self._watcher = None
            return True

    def _free(self) -> dict[str, int]:
        """How many more jobs of each kind this process can begin, kinds without room left out."""
        with self._lock:
            busy = list(self._running.values())
        free = {name: kind.at_once - busy.count(name) for name, kind in self._kinds.items()}
        return {name: count for name, count in free.items() if count > 0}

    def _release_left(self) -> None:
        """Free what dead processes had in hand, and what this one could not give back."""
        from storefront.work import rows

        with self._claiming:
            with self._lock:
                running = set(self._running)
            with self._database.reading() as connection:
                claims = rows.claims(connection, self._shop)
            ours = self._life.name
            gone = self._life.gone({name for name in claims.values() if name != ours})
            left = [
                id
                for id, name in claims.items()
                if id not in running and (name == ours or name in gone)
            ]
            if left:
                with self._database.writing() as connection:
                    rows.release(connection, left, held_by=gone | {ours})

    def _claim(self, free: Mapping[str, int]) -> tuple[list[Claimed], float]:
        """Take jobs that are due, at most so many of each kind; and how long till there are more.

        The seconds are infinite when none waits.
        """
        from storefront.work import rows

        with self._claiming:
            with self._database.reading() as connection:
                seconds = rows.seconds_to_next(connection, self._shop, free)
            if seconds is None or seconds > 0:
                return [], math.inf if seconds is None else seconds
            holder = self._life.begin()
            try:
                with self._database.writing() as connection:
                    claimed = [
                        each
                        for kind, limit in free.items()
                        for each in rows.claim(connection, self._shop, kind, limit, holder)
                    ]
                # Nothing may fail from here on: what is in hand and not begun would stay so.
                with self._lock:
                    for each in claimed:
                        self._life.begin_another()
                        self._running[each.id] = each.kind
            finally:
                self._life.end()
            return claimed, 0.0

    def _run_and_look(self, claimed: Claimed) -> None:
        """What a thread of its own does."""
        self._run(claimed)
        self._awake.set()

    def _run(self, claimed: Claimed) -> None:
        kind = self._kinds[claimed.kind]
        try:
            if claimed.attempt > kind.attempts:
                self._give_back(claimed, None, "The process ended during the last attempt.")
            else:
                self._do(kind, claimed)
        except _TakenOver:
            logger.warning("%s %s was taken over, and undone here.", claimed.kind, claimed.key)
        except Postpone as postponed:
            why = reason(postponed) if str(postponed) else None
            self._give_back(claimed, postponed.seconds, why, counted=False)
        except BaseException as error:
            self._fail(kind, claimed, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._let_go(claimed)

    def _let_go(self, claimed: Claimed) -> None:
        """Have a job in hand no more, whatever became of it."""
        with self._lock:
            del self._running[claimed.id]
        self._life.end()

    def _do(self, kind: _Kind, claimed: Claimed) -> None:
        from storefront.work import rows

        with self._context(), ExitStack() as stack:
            job = Job(claimed, lambda: stack.enter_context(self._transaction()))
            kind.handler(job)
            if not rows.finish(job.connection, claimed, repeat_after=job.repeat_after):
                raise _TakenOver

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with ExitStack() as stack:
            if not self._database.is_shared:
                # One writes at a time anyway. Here they wait without the limit that SQLite has.
                stack.enter_context(self._turn)
            yield stack.enter_context(self._database.writing())

    def _fail(self, kind: _Kind, claimed: Claimed, error: BaseException) -> None:
        if claimed.attempt >= kind.attempts:
            logger.error(
                "%s %s failed %d times, and is given up.\n%s",
                *(claimed.kind, claimed.key, claimed.attempt, trace(error)),
            )
            self._give_back(claimed, None, reason(error))
            return
        # Full jitter: what failed together does not come back together.
        doubled = min(claimed.attempt - 1, _DOUBLINGS)
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**doubled)
        pause = SystemRandom().uniform(0, longest)
        logger.warning(
            "%s %s failed (attempt %d of %d); again in %.0f seconds.\n%s",
            *(claimed.kind, claimed.key, claimed.attempt, kind.attempts, pause, trace(error)),
        )
        self._give_back(claimed, pause, reason(error))

    def _give_back(
        self, claimed: Claimed, after: float | None, why: str | None, *, counted: bool = True
    ) -> None:
        from storefront.work import rows

        try:
            with self._database.writing() as connection:
                rows.put_off(connection, claimed, after, why, counted=counted)
        except DatabaseUnavailable as error:
            # It stays claimed, and is freed at the next look that the database answers.
            logger.warning("%s %s could not be put off. %s", claimed.kind, claimed.key, error)


def _watch(reference: weakref.ref[WorkQueue], awake: threading.Event) -> None:
    """Look for work each second, and when woken, until the queue is gone or done."""
    failure, pause = "", 0.0
    while True:
        awake.wait(pause)
        awake.clear()
        queue = reference()
        if queue is None:
            return
        try:
            seconds = queue._look()
            if seconds is None:
                return
            failure, pause = "", seconds
        except DatabaseUnavailable as error:
            pause = _LOOK_SECONDS
            if failure != str(error):
                failure = str(error)
                logger.warning("Work waits for the database. %s", error)
        except Exception as error:
            # A thread has nobody to raise to, and without it nothing is done any more.
            pause = _LOOK_SECONDS
            logger.error("Work could not be looked for.\n%s", trace(error))
        del queue


def _after_fork() -> None:
    for queue in list(_queues):
        queue._start_process()


os.register_at_fork(after_in_child=_after_fork)
