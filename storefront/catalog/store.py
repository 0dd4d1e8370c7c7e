"""The catalogue as a process has it: in memory, found in the cache or the database, or read anew.

A request takes what is in memory. All else is done by a watcher, a thread that is there while
requests come: once a second it looks whether another worker has published something newer, and
when what there is has become old, it has it read again, unless somebody else does so already.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from storefront.catalog.catalog import Catalog
from storefront.catalog.index import ForeignBytes
from storefront.catalog.leases import (
    LONGEST_PAUSE,
    CacheLease,
    DatabaseLease,
    Lease,
    Taken,
    Turn,
    Turns,
)
from storefront.catalog.snapshot import Snapshot
from storefront.catalog.tiers import CacheTier, DatabaseTier, Overtaken, Silent
from storefront.errors import CatalogUnavailable, PolarError
from storefront.forking import GATE, is_forked_unnoticed
from storefront.polar import Client
from storefront.settings import Settings
from storefront.texts import Texts

if TYPE_CHECKING:
    from storefront.catalog.sync import Progress, SyncReport

logger = logging.getLogger("storefront")

_T = TypeVar("_T")

#: Seconds between two looks: with a catalogue, and without one.
_LOOK_SECONDS = 1.0
_COLD_LOOK_SECONDS = 0.2
#: Seconds for which nobody waits for the first catalogue after somebody did so in vain.
_IN_VAIN_SECONDS = 1.0
#: Seconds without a request after which the watcher ends; later, when others wait for what it has.
_IDLE_SECONDS = 10.0
_OWING_SECONDS = 120.0
#: How far in the future a catalogue may have been read: clocks are never quite the same.
_SKEW_SECONDS = 60.0
#: Seconds to wait for whoever is publishing.
_PUBLISHING_SECONDS = 60.0
#: Seconds until a tier that lacks the catalogue is given it again: at first, and at the most.
_REFILL_SECONDS = 1.0
_LONGEST_REFILL_SECONDS = 60.0
_TRIES = 3

_stores: weakref.WeakSet[CatalogStore] = weakref.WeakSet()


class _Held(NamedTuple):
    """What is in memory, and how long it has been good."""

    snapshot: Snapshot
    #: ``Polar``, ``cache`` or ``database``.
    source: str
    #: From when on it counts as so old, by the wall's clock and by the one that nobody sets.
    since: float
    since_steady: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStatus:
    """A cache or a database: what it is, and why it does not answer (empty when it does)."""

    name: str
    problem: str
    #: Whether several machines share it.
    is_shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogStatus:
    """How things stand with the catalogue. Without one, what is about it is None."""

    #: The shop's name in the cache and the database.
    shop: str
    #: Where this process found it: ``Polar``, ``cache`` or ``database``.
    source: str | None
    version: str | None
    products: int | None
    listed: int | None
    links: int | None
    read_at: datetime | None
    changed_at: datetime | None
    age_seconds: float | None
    ttl_seconds: float
    #: Whether it is being read anew at this moment, on this machine, by whom and since when.
    refreshing: bool
    refresher: str | None
    refreshing_since: datetime | None
    #: Why it could not be read the last time, and in how many seconds it is tried again.
    problem: str | None
    failures: int
    retry_seconds: float | None
    cache: TierStatus
    database: TierStatus


class CatalogStore:
    """Hands out the catalogue, and keeps it up to date."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        texts: Texts,
        cache: CacheTier,
        database: DatabaseTier,
        folder: Path,
    ) -> None:
        """``folder`` is where the locks stand that the workers of this machine share."""
        self._settings = settings
        self._client = client
        self._texts = texts
        self._cache = cache
        self._database = database
        self._held: _Held | None = None
        self._catalog: Catalog | None = None
        self._read_at = 0.0
        self._failure = ""
        self._failures = 0
        self._has_failed = False
        self._retry_at = float("-inf")
        # When somebody waited in vain for the first catalogue.
        self._in_vain_at = float("-inf")
        # What a tier lacks: when it is to be given it, and the pause after that.
        self._owed: dict[str, tuple[float, float]] = {}
        name = f"storefront-{database.shop}"
        self._walking = Turns(folder / f"{name}.sync", self._leases("sync"))
        self._publishing = Turns(folder / f"{name}.publish", self._leases("publish"))
        self._asked = False
        self._watcher: threading.Thread | None = None
        self._refresher: threading.Thread | None = None
        self._start_process()
        _stores.add(self)

    # What pages ask

    def current(self) -> Catalog:
        """The catalogue, whatever its age; an old one is refreshed in the background.

        Waits only when there never was one, and then ``STOREFRONT_PAGE_TIMEOUT_SECONDS`` at the
        most.

        :raises CatalogUnavailable: when none is found in that time.
        """
        self._asked = True
        if self._watcher is None:
            self._start_watcher()
        catalog = self._catalog  # which is false when it is empty
        return catalog if catalog is not None else self._wait_for_first()

    def loaded(self) -> Catalog | None:
        """The catalogue in memory, or None; never waits, never reads."""
        return self._catalog

    def snapshot(self) -> Snapshot | None:
        """What the catalogue in memory was made of, or None; never waits, never reads."""
        held = self._held
        return held.snapshot if held else None

    @property
    def cache_name(self) -> str:
        """What kind of cache the workers share."""
        return str(self._cache)

    def age_seconds(self) -> float:
        """Seconds since the catalogue in memory was read from Polar; infinite without one."""
        if self._catalog is None:
            return float("inf")
        return max(0.0, time.time() - self._read_at)

    def warm_up(self) -> None:
        """Start looking for the catalogue in the background; the first visitor finds it done.

        Where the server forks unnoticed, the first visitor of each worker has it begin.
        """
        if is_forked_unnoticed():
            return
        self._asked = True
        if self._watcher is None:
            self._start_watcher()

    # What commands and jobs ask

    def load(self) -> Catalog | None:
        """The newest catalogue that cache or database have, or None. Never asks Polar."""
        with self._looking:
            self._look()
        return self._catalog

    def sync(self, progress: Progress | None = None) -> SyncReport:
        """Read everything from Polar now, and publish it to all workers.

        A reading that is under way on this machine, or in the fleet, is waited for first.

        :raises PolarError: when Polar can't be read; what was there stays.
        :raises CatalogUnavailable: when somebody else has been reading for too long.
        """
        try:
            wait = self._settings.sync_deadline_seconds + _PUBLISHING_SECONDS
            with self._walking.turn(wait=wait, despite_pause=True) as turn:
                try:
                    return self._walk(turn, progress)
                except PolarError as error:
                    self._fail(str(error), turn)
                    raise
        except Taken as taken:
            raise _busy(taken) from None
        finally:
            _give_memory_back()

    def refresh(
        self,
        product_ids: Collection[str] = (),
        link_ids: Collection[str] = (),
        discount_ids: Collection[str] = (),
        benefit_ids: Collection[str] = (),
    ) -> SyncReport:
        """Read just these from Polar again, with what depends on them, and publish that.

        All workers have it about a second later. Without a catalogue everything is read.

        :raises PolarError: when Polar can't be read; what was there stays.
        :raises CatalogUnavailable: when somebody else has been publishing for too long.
        """
        if self.load() is None:
            return self.sync()
        with GATE.passed():
            from storefront.catalog.sync import read_again

        settings = self._settings

        def read(newest: Snapshot | None) -> tuple[Snapshot, SyncReport]:
            assert newest is not None, "it was loaded above, and nothing takes it away"
            return read_again(
                self._client,
                newest,
                product_ids=product_ids,
                link_ids=link_ids,
                discount_ids=discount_ids,
                benefit_ids=benefit_ids,
                organization_id=settings.organization_id,
                concurrency=settings.sync_concurrency,
                timeout_seconds=settings.sync_timeout_seconds,
                deadline_seconds=settings.sync_deadline_seconds,
            )

        return self._publish(read)

    def status(self) -> CatalogStatus:
        """How things stand. Looks into cache and database; never asks Polar."""
        catalog = self.load()
        for tier in (self._cache, self._database):
            try:
                tier.see(2**62)
            except Silent:
                continue
        held = self._held
        note = self._walking.note()
        refreshing = self._walking.is_taken()
        problem, failures, retry = self._failure, self._failures, 0.0
        if note is not None and note.failures and not refreshing:
            problem, failures, retry = note.problem, note.failures, note.pause
        return CatalogStatus(
            shop=self._database.shop,
            source=held.source if held else None,
            version=catalog.version if catalog else None,
            products=held.snapshot.products if held else None,
            listed=len(catalog) if catalog else None,
            links=len(catalog.links) if catalog else None,
            read_at=held.snapshot.read_at if held else None,
            changed_at=catalog.changed_at if catalog else None,
            age_seconds=round(self.age_seconds(), 1) if catalog else None,
            ttl_seconds=self._settings.catalog_ttl_seconds,
            refreshing=refreshing,
            refresher=note.holder.rpartition(":")[0] if refreshing and note else None,
            refreshing_since=(
                datetime.fromtimestamp(note.since, UTC) if refreshing and note else None
            ),
            problem=problem or None,
            failures=failures,
            retry_seconds=round(retry, 1) if problem else None,
            cache=TierStatus(
                name=str(self._cache),
                problem=self._cache.problem,
                is_shared=self._cache.is_shared,
            ),
            database=TierStatus(
                name=str(self._database),
                problem=self._database.problem,
                is_shared=self._database.is_shared,
            ),
        )

    # Watching

    def _start_watcher(self) -> None:
        with self._starting:
            if self._watcher is None:
                self._wake = wake = threading.Event()
                reference = weakref.ref(self, lambda _: wake.set())
                watcher = threading.Thread(
                    target=_watch, args=[reference, wake], name="storefront-watch", daemon=True
                )
                try:
                    watcher.start()
                except RuntimeError as error:
                    # The machine gives no more threads: the next request tries again.
                    self._say_failed(f"No thread could be started ({error}).")
                    return
                self._watcher = watcher

    def _wait_for_first(self) -> Catalog:
        with self._arrived:
            # A page asks once for each button, and must not wait as often.
            was_in_vain = time.monotonic() - self._in_vain_at < _IN_VAIN_SECONDS
            self._waiting += 1
            try:
                arrived = self._arrived.wait_for(
                    lambda: self._catalog is not None or self._has_failed,
                    0.0 if was_in_vain else self._settings.page_timeout_seconds,
                )
            finally:
                self._waiting -= 1
            if not arrived and not was_in_vain:
                self._in_vain_at = time.monotonic()
        if self._catalog is not None:
            return self._catalog
        raise CatalogUnavailable(
            self._failure or "The catalogue is being read for the first time.",
            retry_after=max(2.0, self._retry_at - time.monotonic()),
        )

    def _step(self) -> float | None:
        """One look of the watcher's; gives the seconds until the next, None when it may end."""
        now = time.monotonic()
        if self._asked:
            self._asked = False
            self._asked_at = now
        elif not self._waiting and now - self._asked_at > (
            _OWING_SECONDS if self._owed else _IDLE_SECONDS
        ):
            self._watcher = None
            if not self._asked:
                return None
            # Somebody has asked just now, and may have seen the watcher that is about to end.
            with self._starting:
                if self._watcher is not None:
                    return None
                self._watcher = threading.current_thread()
            return 0.0
        elif self._catalog is not None and not self._owed:
            return _LOOK_SECONDS
        with self._looking:
            self._look()
            self._renew_words()
        if self._is_due() and time.monotonic() >= self._retry_at:
            self._start_refresh()
        return _LOOK_SECONDS if self._catalog is not None else _COLD_LOOK_SECONDS

    def _is_due(self) -> bool:
        """Whether what there is has become old. Clocks that were set make it so at most once."""
        held = self._held
        if held is None:
            return True
        ttl = self._settings.catalog_ttl_seconds
        age = time.time() - held.since
        return not -_SKEW_SECONDS <= age <= ttl or time.monotonic() - held.since_steady > ttl

    def _renew_words(self) -> None:
        """Make the catalogue anew when a discount has begun or ended."""
        catalog = self._catalog
        if catalog is None or catalog.valid_until is None or self._held is None:
            return
        if datetime.now(UTC) >= catalog.valid_until:
            with self._taking:
                self._catalog = self._make(self._held.snapshot, self._catalog)

    # Looking

    def _look(self) -> None:
        """Take over what is newer in the cache, or the database, and give them what they lack."""
        in_cache = self._look_into(self._cache)
        if in_cache is None or (self._database.is_shared and not self._cache.is_shared):
            self._look_into(self._database)
        for tier in (self._cache, self._database):
            if tier.what in self._owed:
                self._refill(tier)

    def _look_into(self, tier: CacheTier | DatabaseTier) -> int | None:
        """Take what is newer there; gives the serial of what it has, None when that is nothing."""
        held = self._held
        above = held.snapshot.serial if held else 0
        try:
            seen = tier.see(above)
        except Silent:
            return None
        if held is not None and (seen is None or seen.serial < above):
            self._owe(tier)
        if seen is None or seen.manifest is None:
            return seen.serial if seen else None
        lost: dict[str, bytes] = {}

        def fetch(names: Sequence[str]) -> Mapping[str, bytes]:
            found = dict(tier.chunks(names))
            missing = [name for name in names if name not in found]
            if missing and tier is not self._database:
                lost.update(self._database.chunks(missing))
            return {**found, **lost}

        try:
            snapshot = Snapshot.assemble(
                seen.manifest, fetch, known=held.snapshot if held else None
            )
            self._take(snapshot, tier.what)
        except ForeignBytes as error:
            tier.found_foreign(str(error))
            return None
        tier.found_good()
        if lost:
            tier.mend(lost)
        if self._cache.is_shared and not self._database.is_shared:
            # Of all machines that share the cache, only one had it from Polar.
            self._owe(self._database)
        return snapshot.serial

    def _take(self, snapshot: Snapshot, source: str) -> None:
        """Have the snapshot from now on, if it is newer.

        :raises ForeignBytes: when it can't be one.
        """
        with self._taking:
            held, catalog = self._held, self._catalog
            if held is not None and snapshot.serial <= held.snapshot.serial:
                return
            made = self._make(snapshot, catalog)
            # What another worker has just published is new, whatever its clock says. What is
            # found at the start is as old as it says.
            since = time.time()
            if held is None and source != "Polar":
                since = snapshot.read_at.timestamp()
            self._held = _Held(snapshot, source, since, time.monotonic())
            self._read_at = snapshot.read_at.timestamp()
            self._catalog = made
        self._recover()

    def _make(self, snapshot: Snapshot, previous: Catalog | None) -> Catalog:
        made = Catalog(
            snapshot, self._texts, image_hosts=self._settings.image_hosts, previous=previous
        )
        if previous is not None and previous.version == made.version:
            # Pages are kept ready for this one, and hold for the other.
            previous.read_at = made.read_at
            return previous
        return made

    def _owe(self, tier: CacheTier | DatabaseTier) -> None:
        """The tier lacks what is in memory."""
        self._owed.setdefault(tier.what, (time.monotonic(), _REFILL_SECONDS))

    def _refill(self, tier: CacheTier | DatabaseTier) -> None:
        """Give the tier what it lacks, unless somebody else does. One that keeps nothing, or does
        not answer, is tried less and less often."""
        held, now = self._held, time.monotonic()
        at, pause = self._owed[tier.what]
        if held is None or now < at:
            return
        self._owed[tier.what] = (now + pause, min(2 * pause, _LONGEST_REFILL_SECONDS))
        try:
            with self._publishing.turn(despite_pause=True):
                for _ in range(2):  # the second look is at what the first one wrote
                    seen = tier.see(held.snapshot.serial - 1)
                    if seen is not None and seen.serial >= held.snapshot.serial:
                        del self._owed[tier.what]
                        return
                    tier.write(held.snapshot)
        except (Taken, Silent, Overtaken):
            return

    # Reading anew

    def _start_refresh(self) -> None:
        with self._starting:
            if self._refresher is None:
                self._has_failed = False
                refresher = threading.Thread(
                    target=self._refresh_in_background, name="storefront-sync", daemon=True
                )
                self._refresher = refresher
                try:
                    refresher.start()
                except RuntimeError:
                    self._refresher = None  # or nothing would be read in this process any more
                    raise

    def _refresh_in_background(self) -> None:
        try:
            with self._walking.turn() as turn:
                try:
                    with self._looking:
                        self._look()
                    if self._is_due():
                        logger.info("%s", self._walk(turn, None))
                except (PolarError, CatalogUnavailable) as error:
                    self._fail(str(error), turn)
                except Exception:
                    # A thread has nobody to raise to, and a catalogue that can't be made must be
                    # heard of.
                    logger.exception("The catalogue could not be read")
                    self._fail("The catalogue could not be read; the log says why.", turn)
        except Taken as taken:
            self._retry_at = time.monotonic() + min(taken.retry_after, LONGEST_PAUSE)
            if taken.note is not None and taken.note.pause:
                # Another process on this machine, or in the fleet, could not read it either.
                self._failures = taken.note.failures
                self._say_failed(taken.note.problem)
        finally:
            self._refresher = None
            # A failed walk may have had large answers, too: each of its threads kept what one took.
            _give_memory_back()

    def _walk(self, turn: Turn, progress: Progress | None) -> SyncReport:
        """Read everything, and publish it."""
        # Most workers never read, and all of them start. One that was forked amid the import would
        # wait for its end for ever.
        with GATE.passed():
            from storefront.catalog.sync import read_again, read_everything

        with self._looking:
            self._look()
        base = self.snapshot()
        settings = self._settings
        walked, report = read_everything(
            self._client,
            organization_id=settings.organization_id,
            concurrency=settings.sync_concurrency,
            timeout_seconds=settings.sync_timeout_seconds,
            deadline_seconds=settings.sync_deadline_seconds,
            previous=base,
            progress=progress,
        )

        def read(newest: Snapshot | None) -> tuple[Snapshot, SyncReport]:
            if newest is None or newest is base:
                return walked, report
            if turn.is_lost:
                # Another machine took this one for dead, and has read everything after it.
                return newest, report
            whole = walked
            if base is not None:
                # What was read again and published while the walk was under way may have been
                # walked past before it changed.
                products, links = newest.ids_unlike(base)
                if products or links:
                    whole, _ = read_again(
                        self._client,
                        walked,
                        product_ids=products,
                        link_ids=links,
                        organization_id=settings.organization_id,
                        concurrency=settings.sync_concurrency,
                        timeout_seconds=settings.sync_timeout_seconds,
                        deadline_seconds=settings.sync_deadline_seconds,
                    )
            return whole.after(newest), report

        return self._publish(read)

    def _publish(
        self, read: Callable[[Snapshot | None], tuple[Snapshot, SyncReport]]
    ) -> SyncReport:
        """Make a snapshot from the newest that there is, and publish it before anybody else does.

        :raises CatalogUnavailable: when somebody else has been publishing for too long.
        """
        try:
            with self._publishing.turn(wait=_PUBLISHING_SECONDS, despite_pause=True):
                for _ in range(_TRIES):
                    with self._looking:
                        self._look()
                    snapshot, report = read(self.snapshot())
                    try:
                        self._database.write(snapshot)
                    except Silent:
                        self._owe(self._database)
                    except Overtaken:
                        if self._look_past_cache():
                            continue
                        self._write(self._database, snapshot)
                    self._write(self._cache, snapshot)
                    self._take(snapshot, "Polar")
                    return report
        except Taken as taken:
            raise _busy(taken) from None
        raise CatalogUnavailable(
            "The catalogue is being published by several machines at once.", retry_after=2.0
        )

    def _write(self, tier: CacheTier | DatabaseTier, snapshot: Snapshot) -> None:
        try:
            tier.write(snapshot, despite_newer=True)
        except Silent:
            self._owe(tier)

    def _look_past_cache(self) -> bool:
        """Take what the database has, which is newer; gives False when that can't be used."""
        before = self.snapshot()
        with self._looking:
            self._look_into(self._database)
        return self.snapshot() is not before

    # Failing, and not

    def _fail(self, reason: str, turn: Turn) -> None:
        self._retry_at = time.monotonic() + turn.fail(reason)
        self._failures = turn.note.failures
        self._say_failed(reason)

    def _say_failed(self, reason: str) -> None:
        if reason != self._failure:
            self._failure = reason
            kept = "The last one stays in use. " if self._catalog else ""
            logger.warning("The catalogue was not read. %s%s", kept, reason)
        self._has_failed = True
        with self._arrived:
            self._arrived.notify_all()

    def _recover(self) -> None:
        if self._failure:
            logger.info("The catalogue is up to date again.")
        self._failure, self._failures, self._has_failed = "", 0, False
        self._retry_at = float("-inf")
        with self._arrived:
            self._arrived.notify_all()

    # Processes

    def _start_process(self) -> None:
        """Begin anew: threads do not survive a fork, and locks that they held do."""
        self._starting = threading.Lock()
        self._looking = threading.Lock()
        self._taking = threading.Lock()
        self._arrived = threading.Condition()
        self._waiting = 0
        self._asked_at = time.monotonic()
        self._watcher = self._refresher = None
        self._wake = threading.Event()
        self._walking.start_process()
        self._publishing.start_process()

    def _leases(self, what: str) -> list[Lease]:
        """What tells machines whose turn it is, the best first."""
        leases: list[Lease] = []
        if self._database.is_shared:
            leases.append(DatabaseLease(self._database, f"{what}:{self._database.shop}"))
        if self._cache.is_shared:
            leases.append(CacheLease(self._cache, what))
        return leases


def shop_key(settings: Settings) -> str:
    """The shop's name where several keep their catalogues. The token can't be read out of it."""
    identity = f"{settings.server.api_url} {settings.organization_id}"
    if settings.organization_id is None:
        identity += settings.access_token.reveal()
    if settings.local_seed is not None:
        # Another store at the same address: what was read of the last one is not for sale here.
        identity += f" {settings.local_seed.resolve()} {settings.local_seed.stat().st_mtime_ns}"
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def _watch(reference: weakref.ref[CatalogStore], wake: threading.Event) -> None:
    """The watcher's thread. It keeps no store alive."""
    pause: float | None = 0.0
    while True:
        if pause:
            wake.wait(pause)
        store = reference()
        if store is None or store._wake is not wake:
            return
        try:
            pause = store._step()
        except Exception:
            # Without the watcher nothing would ever become newer.
            logger.exception("Looking for a newer catalogue failed")
            pause = _LOOK_SECONDS + SystemRandom().random()
        del store
        if pause is None:
            return


def _give_memory_back() -> None:
    """Give back what a walk has freed: the C library keeps it, for each thread that had some.

    glibc only; others have no such call. Without it a worker that has read a large catalogue holds
    half as much again.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):  # the last is what Windows says
        ctypes.CDLL(None).malloc_trim(0)


def _busy(taken: Taken) -> CatalogUnavailable:
    holder = taken.note.holder.rpartition(":")[0] if taken.note else "another process"
    return CatalogUnavailable(
        f"The catalogue is being read or published by {holder}, and that has not ended yet. "
        "Try again later.",
        retry_after=taken.retry_after,
    )


def _after_fork() -> None:
    for store in list(_stores):
        store._start_process()


os.register_at_fork(after_in_child=_after_fork)
