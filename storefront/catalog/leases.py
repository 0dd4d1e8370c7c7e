"""One at a time: on this machine by a lock on a file, among machines by a lease.

The file's lock is free the moment that its holder ends, however it ends. A lease is renewed while
its holder lives, and runs out soon after. After a failure the turn is kept for a pause that nobody
uses, so that a Polar that is down is not asked by each process of each machine.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from random import SystemRandom
from typing import Protocol
from uuid import uuid4

import msgspec

from storefront.catalog.tiers import CacheTier, DatabaseTier, Silent
from storefront.forking import GATE

try:
    import fcntl
except ImportError:  # Windows: the workers of one machine don't know of each other
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("storefront")

#: Seconds that a lease lasts, and between two renewals.
_LEASE_SECONDS = 15
_RENEW_SECONDS = 5.0
#: Seconds between two tries of somebody who waits: for the file's lock, and for a lease.
_TRY_SECONDS = 0.05
_TRY_LEASE_SECONDS = 0.5
#: Seconds that nobody tries again after a failure, at the most.
LONGEST_PAUSE = 60.0


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever has the turn, or had it last, says of itself. Times are of its own clock."""

    holder: str
    since: float
    #: How often it failed in a row, why, and until when nobody should try again.
    failures: int = 0
    problem: str = ""
    until: float = 0.0
    #: Counts renewals: a note that stands still is a dead one's.
    beat: int = 0

    @property
    def pause(self) -> float:
        """Seconds until somebody should try again; none that a clock that was set could cause."""
        left = self.until - time.time()
        return left if 0 < left <= LONGEST_PAUSE else 0.0


_notes = msgspec.json.Decoder(Note)


class Taken(Exception):
    """It is somebody else's turn, or nobody's for a while."""

    def __init__(self, note: Note | None, *, retry_after: float) -> None:
        super().__init__(note)
        self.note = note
        #: Seconds until it is worth trying again.
        self.retry_after = retry_after


class Lease(Protocol):
    """A turn among machines."""

    def take(self, note: Note, *, despite_pause: bool) -> None:
        """Take it.

        :raises Taken: when it is somebody else's.
        :raises Silent: when it can't be told.
        """

    def renew(self, note: Note) -> bool:
        """Keep it for longer; gives False when it is not ours any more."""

    def release(self, note: Note) -> None:
        """Give it back, or keep it for the pause that the note tells of."""


class DatabaseLease:
    """A row in a database that several machines share; its clock counts."""

    def __init__(self, tier: DatabaseTier, name: str) -> None:
        self._tier = tier
        self._name = name

    def take(self, note: Note, *, despite_pause: bool) -> None:
        """Take it, or raise."""

        def call() -> Taken | None:
            import sqlalchemy as sa

            from storefront.database.statements import insert_new, now
            from storefront.database.tables import leases

            ours = leases.c.name == self._name
            with self._tier.database.writing() as connection:
                moment = now(connection)
                values = {
                    "holder": note.holder,
                    "until": moment + timedelta(seconds=_LEASE_SECONDS),
                    "note": msgspec.json.encode(note).decode(),
                }
                if insert_new(connection, leases, {"name": self._name, **values}):
                    return None
                row = connection.execute(sa.select(leases).where(ours).with_for_update()).one()
                left = (row.until - now(connection)).total_seconds()
                is_pause = row.holder == ""
                # No lease is longer than this, so a database whose clock was set back is no end.
                longest = LONGEST_PAUSE if is_pause else _LEASE_SECONDS
                if 0 < left <= longest + 1 and not (is_pause and despite_pause):
                    return Taken(_read(row.note), retry_after=left if is_pause else 1.0)
                connection.execute(leases.update().where(ours).values(values))
            return None

        taken = self._tier.ask(call)
        if taken is not None:
            raise taken

    def renew(self, note: Note) -> bool:
        """Keep it, or say that it is lost; a database that is away loses nothing."""

        def call() -> bool:
            from storefront.database.statements import now
            from storefront.database.tables import leases

            with self._tier.database.writing() as connection:
                until = now(connection) + timedelta(seconds=_LEASE_SECONDS)
                ours = (leases.c.name == self._name) & (leases.c.holder == note.holder)
                return bool(
                    connection.execute(leases.update().where(ours).values(until=until)).rowcount
                )

        try:
            return self._tier.ask(call)
        except Silent:
            return True

    def release(self, note: Note) -> None:
        """Delete the row, or leave it to nobody until the pause is over."""

        def call() -> None:
            from storefront.database.statements import now
            from storefront.database.tables import leases

            ours = (leases.c.name == self._name) & (leases.c.holder == note.holder)
            with self._tier.database.writing() as connection:
                if note.pause:
                    until = now(connection) + timedelta(seconds=note.pause)
                    text = msgspec.json.encode(note).decode()
                    change = leases.update().where(ours).values(holder="", until=until, note=text)
                    connection.execute(change)
                else:
                    connection.execute(leases.delete().where(ours))

        try:
            self._tier.ask(call)
        except Silent:
            return


class CacheLease:
    """An entry in a cache that several machines share, which only one of them can add."""

    def __init__(self, tier: CacheTier, name: str) -> None:
        self._tier = tier
        self._key = f"{tier.key}:{name}"
        self._seen: tuple[str, float] = ("", 0.0)

    def take(self, note: Note, *, despite_pause: bool) -> None:
        """Add the entry, or raise."""
        text = msgspec.json.encode(note).decode()

        def call() -> str | None:
            backend = self._tier.backend
            if backend.add(self._key, text, timeout=_LEASE_SECONDS):
                return None
            there = backend.get(self._key)
            found = there if isinstance(there, str) else ""
            theirs = _read(found)
            ended = theirs is None or (despite_pause and _is_pause(theirs))
            if ended or self._stands_still(found):
                # Adding and setting its timeout are two steps: one that was killed in between
                # left an entry that would stay for ever. So would what is no lease at all.
                backend.delete(self._key)
                if backend.add(self._key, text, timeout=_LEASE_SECONDS):
                    return None
            return found

        found = self._tier.ask(call)
        if found is not None:
            theirs = _read(found)
            pause = theirs.pause if theirs is not None else 0.0
            raise Taken(theirs, retry_after=pause or 1.0)

    def renew(self, note: Note) -> bool:
        """Set it anew, if it is ours still."""

        def call() -> bool:
            there = self._tier.backend.get(self._key)
            found = _read(there) if isinstance(there, str) else None
            if found is not None and found.holder != note.holder:
                return False
            text = msgspec.json.encode(note).decode()
            self._tier.backend.set(self._key, text, timeout=_LEASE_SECONDS)
            return True

        try:
            return self._tier.ask(call)
        except Silent:
            return True

    def release(self, note: Note) -> None:
        """Delete it, or leave it there until the pause is over."""

        def call() -> None:
            there = self._tier.backend.get(self._key)
            found = _read(there) if isinstance(there, str) else None
            if found is None or found.holder != note.holder:
                return
            if note.pause >= 1:
                text = msgspec.json.encode(note).decode()
                self._tier.backend.set(self._key, text, timeout=int(note.pause))
            else:
                self._tier.backend.delete(self._key)

        try:
            self._tier.ask(call)
        except Silent:
            return

    def _stands_still(self, text: str) -> bool:
        now = time.monotonic()
        if text != self._seen[0]:
            self._seen = (text, now)
        return now - self._seen[1] > LONGEST_PAUSE + _LEASE_SECONDS


class Turn:
    """Somebody's turn, while it lasts."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self._has_failed = False
        #: Whether the lease ran out meanwhile, and somebody else may have it.
        self.is_lost = False

    def fail(self, problem: str) -> float:
        """Have nobody try again for a while, longer with each failure; gives the seconds."""
        failures = self.note.failures + 1
        longest = min(2.0 ** min(failures, 10), LONGEST_PAUSE)
        pause = SystemRandom().uniform(longest / 4, longest)  # so that not all come at once
        self._has_failed = True
        self.note = msgspec.structs.replace(
            self.note, failures=failures, problem=problem, until=time.time() + pause
        )
        return pause

    def end(self) -> Note:
        """The last word of whoever had it."""
        if not self._has_failed:
            self.note = msgspec.structs.replace(self.note, failures=0, problem="")
        return self.note


class Turns:
    """Hands out one turn at a time."""

    def __init__(self, file: Path, leases: list[Lease]) -> None:
        """``leases`` are tried in their order: the first that answers counts."""
        self._file = file
        self._leases = leases
        self.start_process()

    def start_process(self) -> None:
        """Begin anew in a process that was forked: what the other holds is the other's."""
        self._in_process = threading.Lock()
        fd = getattr(self, "_fd", None)
        if fd is not None:
            os.close(fd)
        self._fd: int | None = None

    @contextmanager
    def turn(self, *, wait: float = 0.0, despite_pause: bool = False) -> Iterator[Turn]:
        """Have the turn within the block.

        :raises Taken: when it was somebody else's for ``wait`` seconds.
        """
        deadline = time.monotonic() + wait
        note = Note(holder=_whoami(), since=time.time())
        with ExitStack() as stack:
            if not self._in_process.acquire(timeout=max(wait, 0.0)):
                raise Taken(self.note(), retry_after=1.0)
            stack.callback(self._in_process.release)
            last = self._lock_file(deadline)
            stack.callback(self._unlock_file)
            if last is not None and last.pause and not despite_pause:
                raise Taken(last, retry_after=last.pause)
            if last is not None:
                note = msgspec.structs.replace(note, failures=last.failures, problem=last.problem)
            turn = Turn(note)
            lease = self._take_lease(note, deadline, despite_pause)
            self._write(note)
            stack.callback(lambda: self._write(turn.end()))
            if lease is not None:
                ended = threading.Event()
                renewing = threading.Thread(
                    target=_renew, args=[lease, turn, ended], name="storefront-lease", daemon=True
                )
                renewing.start()
                stack.callback(lambda: lease.release(turn.end()))
                stack.callback(ended.set)
            yield turn

    def note(self) -> Note | None:
        """What who has the turn on this machine, or had it last, says of itself."""
        try:
            return _read(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def is_taken(self) -> bool:
        """Whether somebody on this machine has the turn at this moment."""
        if self._in_process.locked():
            return True
        if fcntl is None:
            return False
        try:
            fd = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def _lock_file(self, deadline: float) -> Note | None:
        if fcntl is None:
            return None
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            with GATE.passed():  # a forked process has to know of its copy, to close it
                self._fd = os.open(self._file, flags, 0o600)
        except OSError:
            return None  # nowhere to lock: this process alone knows of its turns
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= deadline:
                    self._unlock_file()
                    raise Taken(self.note(), retry_after=1.0) from None
                time.sleep(_TRY_SECONDS)
            else:
                return self.note()

    def _unlock_file(self) -> None:
        with GATE.passed():
            fd, self._fd = self._fd, None
            if fd is None:
                return
            if fcntl is not None:
                # Closing alone would leave it locked as long as a forked process has a copy.
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _write(self, note: Note) -> None:
        if self._fd is None:
            return
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, msgspec.json.encode(note), 0)
        except OSError:
            return  # a full disk keeps nobody from having a turn

    def _take_lease(self, note: Note, deadline: float, despite_pause: bool) -> Lease | None:
        for lease in self._leases:
            while True:
                try:
                    lease.take(note, despite_pause=despite_pause)
                except Silent:
                    break
                except Taken:
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(_TRY_LEASE_SECONDS)
                else:
                    return lease
        return None


def _renew(lease: Lease, turn: Turn, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(_RENEW_SECONDS):
        beat += 1
        if not lease.renew(msgspec.structs.replace(turn.note, beat=beat)):
            turn.is_lost = True
            return


def _is_pause(note: Note | None) -> bool:
    return note is not None and note.pause > 0


def _read(text: str | None) -> Note | None:
    try:
        return _notes.decode(text or "")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _whoami() -> str:
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:12]}"
