"""Where the catalogue is kept: in memory, and through Flask-Caching for the other workers."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from storefront.catalog.catalog import Catalog
from storefront.catalog.index import ForeignBytes
from storefront.catalog.snapshot import Snapshot
from storefront.catalog.sync import Progress, SyncReport, read_snapshot
from storefront.errors import CatalogUnavailable, PolarError
from storefront.polar import Client
from storefront.settings import Settings
from storefront.texts import Texts

logger = logging.getLogger("storefront")

#: Seconds between two looks whether another worker has read something newer.
_LOOK_SECONDS = 1.0
#: Seconds to leave Polar alone after a sync that failed.
_PAUSE_AFTER_FAILURE = 10.0
#: Held while a catalogue is built, and by whoever forks. Building takes locks of other libraries
#: (Babel's over its locales); a child forked meanwhile would find them locked for good.
_building = threading.RLock()
os.register_at_fork(
    before=_building.acquire,
    after_in_parent=_building.release,
    after_in_child=_building.release,
)


class CacheBackend(Protocol):
    """What is needed of Flask-Caching; values are JSON text."""

    def get(self, key: str) -> Any: ...
    def set(self, key: str, value: Any, timeout: int | None = None) -> Any: ...


class CatalogStore:
    """Hands out the catalogue, reads it when it is missing, and refreshes it when it is old."""

    def __init__(
        self, settings: Settings, client: Client, texts: Texts, cache: CacheBackend
    ) -> None:
        self._settings = settings
        self._client = client
        self._texts = texts
        #: What carries the catalogue to other workers.
        self.cache = cache
        self._key = _cache_key(settings)
        self._snapshot: Snapshot | None = None
        self._catalog: Catalog | None = None
        self._looked_at = float("-inf")
        self._failed_at = float("-inf")
        self._failure = ""
        self._cache_failed = False
        self._start_process()

    def current(self) -> Catalog:
        """The catalogue, whatever its age; an old one is refreshed in the background.

        Waits only when nothing was ever read, and then ``STOREFRONT_PAGE_TIMEOUT_SECONDS`` at
        the most.

        :raises CatalogUnavailable: when there is none, and Polar does not give it in that time.
        """
        self._look_for_newer()
        if self._catalog is None:
            self._refresh_in_background()
            self._idle.wait(self._settings.page_timeout_seconds)
            if self._catalog is None:
                raise CatalogUnavailable(
                    self._failure or "The catalogue is being read for the first time.",
                    retry_after=self._seconds_to_wait(),
                )
        elif self.age_seconds() > self._settings.catalog_ttl_seconds:
            self._refresh_in_background()
        return self._catalog

    def loaded(self) -> Catalog | None:
        """The catalogue in memory, or None; never waits, never reads."""
        return self._catalog

    def snapshot(self) -> Snapshot | None:
        """What the catalogue in memory was made of, or None; never waits, never reads."""
        return self._snapshot

    def age_seconds(self) -> float:
        """Seconds since the catalogue in memory was read from Polar; infinite without one."""
        if self._catalog is None:
            return float("inf")
        return time.time() - self._catalog.read_at.timestamp()

    def sync(self, progress: Progress | None = None) -> SyncReport:
        """Read everything from Polar now, and keep it for every worker.

        :raises PolarError: when Polar can't be read; what was there stays.
        """
        self._notice_fork()
        with self._reading:
            self._look_for_newer(at_once=True)
            snapshot, report = read_snapshot(
                self._client,
                organization_id=self._settings.organization_id,
                previous=self._snapshot,
                progress=progress,
            )
            self._take(snapshot)
            self._write_cache(snapshot)
            return report

    def warm_up(self) -> None:
        """Start reading in the background, so that the first visitor finds it done."""
        self._look_for_newer()
        if self._catalog is None:
            self._refresh_in_background()

    def _refresh_in_background(self) -> None:
        self._notice_fork()
        if time.monotonic() - self._failed_at < _PAUSE_AFTER_FAILURE:
            return
        with self._starting:
            if self._idle.is_set():
                self._idle.clear()
                threading.Thread(target=self._refresh, name="storefront-sync", daemon=True).start()

    def _refresh(self) -> None:
        try:
            report = self.sync()
        except PolarError as error:
            self._fail(str(error))
        except Exception:
            # A thread has nobody to raise to; a catalogue that fails to build must be heard of.
            logger.exception("The catalogue could not be read")
            self._fail("The catalogue could not be read; the log says why.")
        else:
            logger.info("%s", report)
        finally:
            self._idle.set()

    def _fail(self, reason: str) -> None:
        self._failed_at = time.monotonic()
        if reason != self._failure:
            self._failure = reason
            kept = "The last one stays in use. " if self._catalog else ""
            logger.warning("The catalogue was not read. %s%s", kept, reason)

    def _seconds_to_wait(self) -> float:
        waited = time.monotonic() - self._failed_at
        return max(2.0, _PAUSE_AFTER_FAILURE - waited)

    def _look_for_newer(self, *, at_once: bool = False) -> None:
        """Take over what another worker has read, looking once a second at the most."""
        now = time.monotonic()
        if not at_once and now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        stamp = self._guarded(lambda: self.cache.get(f"{self._key}:read_at"))
        if not isinstance(stamp, str) or (
            self._snapshot is not None and stamp == self._snapshot.read_at.isoformat()
        ):
            return
        payload = self._guarded(lambda: self.cache.get(self._key))
        if not isinstance(payload, str):
            return
        try:
            manifest, chunks = msgspec.json.decode(payload, type=tuple[str, dict[str, str]])
            snapshot = Snapshot.assemble(
                manifest.encode(), lambda names: {n: chunks[n].encode() for n in names}
            )
        except (msgspec.DecodeError, RecursionError, ValueError, KeyError, ForeignBytes):
            logger.warning("What the cache holds as the catalogue is none; it is left aside.")
            return
        if self._snapshot is None or snapshot.serial > self._snapshot.serial:
            self._take(snapshot)

    def _take(self, snapshot: Snapshot) -> None:
        with _building:
            catalog = Catalog(snapshot, self._texts, image_hosts=self._settings.image_hosts)
        self._snapshot, self._catalog = snapshot, catalog
        self._failure = ""

    def _write_cache(self, snapshot: Snapshot) -> None:
        chunks = {chunk.name.hash: chunk.content.decode() for chunk in snapshot.chunks()}
        payload = msgspec.json.encode((snapshot.manifest().decode(), chunks)).decode()
        self._guarded(lambda: self.cache.set(self._key, payload, timeout=0))
        stamp = snapshot.read_at.isoformat()
        self._guarded(lambda: self.cache.set(f"{self._key}:read_at", stamp, timeout=0))

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """The cache may be stopped at any moment, and each backend says so in its own way."""
        try:
            result = call()
        except Exception as error:
            if not self._cache_failed:
                logger.warning("The cache does not answer (%s); going on without.", type(error))
            self._cache_failed = True
            return None
        self._cache_failed = False
        return result

    def _notice_fork(self) -> None:
        """Threads do not survive a fork, and locks that they held do; gunicorn --preload forks."""
        if os.getpid() != self._process:
            self._start_process()

    def _start_process(self) -> None:
        self._process = os.getpid()
        self._starting = threading.Lock()
        self._reading = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()


def _cache_key(settings: Settings) -> str:
    """One shop's key: two organizations may share a Redis. The token can't be read out of it."""
    identity = f"{settings.server.api_url} {settings.organization_id}"
    if settings.organization_id is None:
        identity += settings.access_token.reveal()
    if settings.local_seed is not None:
        # Another store at the same address: what was read of the last one is not for sale here.
        identity += f" {settings.local_seed.resolve()} {settings.local_seed.stat().st_mtime_ns}"
    return f"storefront:catalog:1:{hashlib.sha256(identity.encode()).hexdigest()[:24]}"
