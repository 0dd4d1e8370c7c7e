"""Where the catalogue is kept beside memory: the cache that workers share, and the database.

Both may be away, hang, be empty or hold what others put there, at any moment. Whatever they do, it
is heard of here once, and the shop goes on with what it has.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec

from storefront.catalog.index import ForeignBytes
from storefront.catalog.snapshot import SCHEMA, Snapshot, decode_manifest, name_of
from storefront.errors import DatabaseUnavailable
from storefront.forking import GATE

if TYPE_CHECKING:
    from storefront.database import Database

logger = logging.getLogger("storefront")

_T = TypeVar("_T")

#: Seconds to wait for a look, and for a whole catalogue on its way in or out.
_LOOK_SECONDS = 2.0
#: The cache is looked at first, and while a process is cold a page waits for it: were the cache to
#: hang for as long as the page waits, what the database has would come too late.
_CACHE_LOOK_SECONDS = 1.0
_CARRY_SECONDS = 60.0
#: Seconds until a part that hangs is asked again: at first, and at the most. Each time leaves a
#: thread behind that waits for the last answer.
_FIRST_PAUSE = 10.0
_LONGEST_PAUSE = 3600.0
#: How many chunks go in one call.
_AT_ONCE = 32


class Silent(Exception):
    """The tier does not answer. It has been logged."""


class Overtaken(Exception):
    """Somebody else has published a newer snapshot meanwhile."""


class Seen(NamedTuple):
    """What a tier has: the serial of its snapshot, and the manifest where that was asked for."""

    serial: int
    manifest: bytes | None


class CacheBackend(Protocol):
    """What is needed of Flask-Caching; values are text."""

    def get(self, key: str) -> Any: ...
    def get_many(self, *keys: str) -> Any: ...
    def has(self, key: str) -> Any: ...
    def set(self, key: str, value: Any, timeout: int | None = None) -> Any: ...
    def add(self, key: str, value: Any, timeout: int | None = None) -> Any: ...
    def delete(self, key: str) -> Any: ...


class Tier:
    """A part that may not answer. Each change in that is logged once."""

    def __init__(self, what: str) -> None:
        #: ``cache`` or ``database``.
        self.what = what
        #: Why it does not answer; empty while it does.
        self.problem = ""
        self._foreign = False
        self._stuck: threading.Thread | None = None
        self._again_at = 0.0
        self._pause = _FIRST_PAUSE

    def ask(self, function: Callable[[], _T], seconds: float = _LOOK_SECONDS) -> _T:
        """Call a function that talks to it, in a thread of its own, and wait only so long.

        :raises Silent: when it fails or takes longer.
        """
        try:
            answer = self._in_time(function, seconds)
        except Overtaken:
            self._answers()
            raise
        except DatabaseUnavailable as error:
            self._is_silent(str(error))
            raise Silent from None
        except Exception as error:
            # Each backend has its own errors, and what they say may have a password in it.
            self._is_silent(f"{type(error).__name__}.")
            raise Silent from None
        self._answers()
        return answer

    def found_foreign(self, reason: str) -> None:
        """It holds what this shop did not put there."""
        if not self._foreign:
            self._foreign = True
            logger.warning(
                "The %s holds something else in the catalogue's place (%s). It is left aside.",
                self.what,
                reason,
            )

    def found_good(self) -> None:
        """What it holds is the shop's own."""
        self._foreign = False

    def _in_time(self, function: Callable[[], _T], seconds: float) -> _T:
        now = time.monotonic()
        if self._stuck is not None and self._stuck.is_alive() and now < self._again_at:
            raise TimeoutError
        answers: list[_T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                answers.append(function())
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=run, name=f"storefront-{self.what}", daemon=True)
        thread.start()
        thread.join(seconds)
        if errors:
            raise errors[0]
        if not answers:
            self._stuck, self._again_at = thread, now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            raise TimeoutError
        self._stuck, self._pause = None, _FIRST_PAUSE
        return answers[0]

    def _is_silent(self, reason: str) -> None:
        if not self.problem:
            logger.warning("The %s does not answer; going on without. %s", self.what, reason)
        self.problem = reason

    def _answers(self) -> None:
        if self.problem:
            logger.info("The %s answers again.", self.what)
        self.problem = ""


class Stamp(msgspec.Struct, frozen=True):
    """What the cache has of a shop: small, for it is looked at each second."""

    serial: int
    manifest: str
    #: What the snapshot before had, and this one has not: deleted with the next one.
    former: tuple[str, ...] = ()


_stamps = msgspec.json.Decoder(Stamp)


class CacheTier(Tier):
    """The cache that workers share: a stamp, and what it names."""

    def __init__(self, backend: CacheBackend, shop: str, *, is_shared: bool) -> None:
        super().__init__("cache")
        self.backend = backend
        #: What all its keys start with.
        self.key = f"storefront:catalog:{SCHEMA + 1}:{shop}"
        #: Whether other machines have the same one, and it can say which of two came first.
        self.is_shared = is_shared
        self._was_there = False

    def __str__(self) -> str:
        return type(self.backend).__name__

    def see(self, above: int) -> Seen | None:
        """What it has; the manifest only of what is newer than ``above``.

        :raises Silent: when it does not answer.
        """

        def look() -> Seen | None:
            stamp = self._stamp()
            if stamp is None:
                return None
            if stamp.serial <= above:
                return Seen(stamp.serial, None)
            manifest = self._read_texts([stamp.manifest]).get(stamp.manifest)
            return None if manifest is None else Seen(stamp.serial, manifest)

        return self.ask(look, _CACHE_LOOK_SECONDS)

    def chunks(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Those of the chunks that it has. Empty when it does not answer."""
        try:
            return self.ask(lambda: self._read_texts(names), _CARRY_SECONDS)
        except Silent:
            return {}

    def write(self, snapshot: Snapshot, *, despite_newer: bool = False) -> None:
        """Keep the snapshot there: its pieces first, the stamp last, whatever was there.

        :raises Silent: when it does not answer.
        """
        manifest = snapshot.manifest()
        pieces = {chunk.name.hash: chunk.content for chunk in snapshot.chunks()}
        pieces[name_of(manifest)] = manifest

        def carry() -> None:
            stamp = self._stamp()
            old = self._read_texts([stamp.manifest]).get(stamp.manifest) if stamp else None
            before = {stamp.manifest, *_chunk_names(old)} if stamp and old else set()
            for name, content in pieces.items():
                # One that can't be written says so itself, and once is enough.
                if name not in before and not self._keeps(name, content):
                    return
            former = tuple(sorted(before - pieces.keys()))
            now = Stamp(snapshot.serial, name_of(manifest), former)
            self.backend.set(self._place(), msgspec.json.encode(now).decode(), timeout=0)
            for name in set(stamp.former if stamp else ()) - pieces.keys() - set(former):
                self.backend.delete(self._place(name))

        self.ask(carry, _CARRY_SECONDS)

    def mend(self, pieces: Mapping[str, bytes]) -> None:
        """Put back pieces that it has lost."""

        def carry() -> None:
            for name, content in pieces.items():
                if not self._keeps(name, content):
                    return

        try:
            self.ask(carry, _CARRY_SECONDS)
        except Silent:
            return

    def _keeps(self, name: str, content: bytes) -> bool:
        """Whether a piece was taken, as far as the backend tells: some give nothing back."""
        return self.backend.set(self._place(name), content.decode(), timeout=0) is not False

    def _place(self, name: str = "stamp") -> str:
        return f"{self.key}:{name}"

    def _stamp(self) -> Stamp | None:
        # On a Redis with JSON, Flask-Caching logs an error for each entry that is not there.
        if not self._was_there and not self.backend.has(self._place()):
            return None
        text = self._get(self._place())
        self._was_there = text is not None
        if text is None:
            return None
        try:
            if not isinstance(text, str):
                raise ValueError("no text")
            return _stamps.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            self.found_foreign("no stamp")
            return None

    def _read_texts(self, names: Sequence[str]) -> dict[str, bytes]:
        """The pieces of those names, without what is not what its name says."""
        found: dict[str, bytes] = {}
        for first in range(0, len(names), _AT_ONCE):
            part = names[first : first + _AT_ONCE]
            try:
                values = list(self.backend.get_many(*map(self._place, part)))
            except RecursionError:  # JSON that nests without end: one of them is foreign
                values = [self._get(self._place(name)) for name in part]
            for name, value in zip(part, values, strict=True):
                if value is None:
                    continue
                content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""
                if name_of(content) == name:
                    found[name] = content
                else:
                    self.found_foreign("a piece is not what its name says")
        return found

    def _get(self, key: str) -> Any:
        try:
            return self.backend.get(key)
        except RecursionError:
            self.found_foreign("nested without end")
            return None


class DatabaseTier(Tier):
    """The database: the last good catalogue, whatever became of cache and processes."""

    def __init__(self, database: Database, shop: str) -> None:
        super().__init__("database")
        self.database = database
        self.shop = shop

    def __str__(self) -> str:
        return str(self.database)

    @property
    def is_shared(self) -> bool:
        """Whether other machines have the same one."""
        return self.database.is_shared

    def ask(self, function: Callable[[], _T], seconds: float = _LOOK_SECONDS) -> _T:
        """The same; what has to be imported for it is, before time runs and while nobody forks.

        :raises Silent: when it fails or takes longer.
        """
        # What is wrong with it, the call itself meets as well.
        with GATE.passed(), suppress(Exception):
            self.database.load()
        return super().ask(function, seconds)

    def see(self, above: int) -> Seen | None:
        """What it has; the manifest only of what is newer than ``above``.

        :raises Silent: when it does not answer.
        """

        def look() -> Seen | None:
            import sqlalchemy as sa

            from storefront.database.tables import catalogs

            mine = catalogs.c.shop == self.shop
            with self.database.reading() as connection:
                serial = connection.scalar(sa.select(catalogs.c.serial).where(mine))
                if serial is None or serial <= above:
                    return None if serial is None else Seen(serial, None)
                row = connection.execute(
                    sa.select(catalogs.c.serial, catalogs.c.manifest).where(mine)
                ).one_or_none()
            return None if row is None else Seen(row.serial, bytes(row.manifest))

        return self.ask(look)

    def chunks(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Those of the chunks that it has. Empty when it does not answer."""

        def fetch() -> dict[str, bytes]:
            import sqlalchemy as sa

            from storefront.database.tables import chunks

            found: dict[str, bytes] = {}
            with self.database.reading() as connection:
                for first in range(0, len(names), _AT_ONCE):
                    part = names[first : first + _AT_ONCE]
                    rows = connection.execute(
                        sa.select(chunks.c.hash, chunks.c.content).where(
                            chunks.c.shop == self.shop, chunks.c.hash.in_(part)
                        )
                    )
                    found.update((row.hash, bytes(row.content)) for row in rows)
            good = {name: content for name, content in found.items() if name_of(content) == name}
            if len(good) < len(found):
                self.found_foreign("a piece is not what its name says")
            return good

        try:
            return self.ask(fetch, _CARRY_SECONDS)
        except Silent:
            return {}

    def write(self, snapshot: Snapshot, *, despite_newer: bool = False) -> None:
        """Keep the snapshot there: the last of its transactions makes it the one that counts.

        :raises Overtaken: when it has one that is as new, unless that is known to be no good.
        :raises Silent: when it does not answer.
        """
        manifest = snapshot.manifest()
        pieces = {chunk.name.hash: chunk.content for chunk in snapshot.chunks()}

        def carry() -> None:
            import sqlalchemy as sa

            from storefront.database.statements import insert_new
            from storefront.database.tables import catalogs, chunks

            self._bring(pieces)
            mine = catalogs.c.shop == self.shop
            values = {
                "serial": snapshot.serial,
                "version": snapshot.version,
                "read_at": snapshot.read_at,
                "manifest": manifest,
            }
            with self.database.writing() as connection:
                if not insert_new(connection, catalogs, {"shop": self.shop, **values}):
                    row = connection.execute(
                        sa.select(catalogs.c.serial, catalogs.c.manifest)
                        .where(mine)
                        .with_for_update()
                    ).one()
                    is_newer = row.serial >= snapshot.serial and _is_manifest(row.manifest)
                    if is_newer and not despite_newer:
                        raise Overtaken
                    before = _chunk_names(bytes(row.manifest))
                    connection.execute(catalogs.update().where(mine).values(values))
                else:
                    before = set()
                there = set(
                    connection.scalars(sa.select(chunks.c.hash).where(chunks.c.shop == self.shop))
                )
                new = [self._row(name, pieces[name]) for name in pieces.keys() - there]
                # Who has just read the last manifest still comes for its chunks.
                gone = [{"old": name} for name in there - pieces.keys() - before]
                if new:
                    connection.execute(chunks.insert(), new)
                if gone:
                    doomed = (chunks.c.shop == self.shop) & (chunks.c.hash == sa.bindparam("old"))
                    connection.execute(chunks.delete().where(doomed), gone)

        self.ask(carry, _CARRY_SECONDS)

    def _bring(self, pieces: Mapping[str, bytes]) -> None:
        """Add the pieces that are not there, a few at a time: SQLite has one writer, and others
        wait for it."""
        import sqlalchemy as sa

        from storefront.database.tables import chunks

        mine = sa.select(chunks.c.hash).where(chunks.c.shop == self.shop)
        with self.database.reading() as connection:
            new = sorted(pieces.keys() - set(connection.scalars(mine)))
        for first in range(0, len(new) - _AT_ONCE, _AT_ONCE):
            rows = [self._row(name, pieces[name]) for name in new[first : first + _AT_ONCE]]
            with self.database.writing() as connection:
                connection.execute(chunks.insert(), rows)

    def _row(self, name: str, content: bytes) -> dict[str, object]:
        return {"shop": self.shop, "hash": name, "content": content}

    def mend(self, pieces: Mapping[str, bytes]) -> None:
        """Nothing is lost from a database but with everything else."""


def _chunk_names(manifest: bytes | None) -> set[str]:
    try:
        found = decode_manifest(manifest or b"")
    except ForeignBytes:
        return set()
    return {name.hash for name in (*found.products, *found.links)}


def _is_manifest(manifest: bytes) -> bool:
    try:
        decode_manifest(bytes(manifest))
    except ForeignBytes:
        return False
    return True
