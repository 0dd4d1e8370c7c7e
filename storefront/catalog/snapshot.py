"""What one reading of Polar found: immutable, in pieces named by the hash of what they hold.

Records stand in chunks of some hundred, one a line. A chunk ends after a record whose id says
so, wherever that stands: a product that comes or goes changes one chunk, not all that follow. A
small manifest names the chunks. Whoever has the manifest can fetch the chunks from anywhere: what
does not hash to its name is not used, so nothing torn or mixed is ever put together.
"""

from __future__ import annotations

import hashlib
import operator
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from storefront.catalog.index import Chunks, ForeignBytes, Index, LinkFacts, Places, ProductFacts
from storefront.catalog.records import decode_link, decode_naming, join_line, split_line
from storefront.catalog.slugs import assign_slugs, remember_old_slugs, wanted_slug

#: The form of manifest, chunks and records. Another one is another shop's as far as this one knows.
SCHEMA = 1

#: A chunk ends after one record of this many, on the average.
_RECORDS_A_CHUNK = 256
_MAX_SERIAL = 1 << 62

#: Gives the chunks of those names, as far as it has them.
Fetch = Callable[[Sequence[str]], Mapping[str, bytes]]


class ChunkName(NamedTuple):
    """How the manifest names a chunk."""

    hash: str
    #: How many records it has.
    records: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is made of."""

    schema: int
    serial: int
    version: str
    read_at: datetime
    changed_at: datetime
    products: tuple[ChunkName, ...]
    links: tuple[ChunkName, ...]
    old_slugs: dict[str, str] = {}


_manifests = msgspec.json.Decoder(Manifest)


class Chunk:
    """Some records, one a line."""

    __slots__ = ("_facts", "content", "name")

    def __init__(self, name: ChunkName, content: bytes) -> None:
        self.name = name
        self.content = content
        self._facts: ProductFacts | LinkFacts | None = None

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Chunk:
        """A chunk of those lines."""
        content = b"\n".join(lines)
        return cls(ChunkName(name_of(content), len(lines)), content)

    def lines(self) -> list[bytes]:
        """Its records, each without the line's end."""
        return self.content.split(b"\n")

    def mentions(self, id_: str) -> bool:
        """Whether the id stands somewhere in it; if not, it has no such record."""
        return msgspec.json.encode(id_) in self.content

    def product_facts(self) -> ProductFacts:
        """What an index of it as products is made of; worked out once.

        :raises ForeignBytes: when it has others in it.
        """
        if not isinstance(self._facts, ProductFacts):
            self._facts = ProductFacts(self.content, self.name.records)
        return self._facts

    def link_facts(self) -> LinkFacts:
        """The same for links.

        :raises ForeignBytes: when it has others in it.
        """
        if not isinstance(self._facts, LinkFacts):
            self._facts = LinkFacts(self.content, self.name.records)
        return self._facts


class Records(Mapping[str, bytes]):
    """Records by id, in their order, looked up where they stand."""

    def __init__(self, lines: Chunks, places: Places, read: Callable[[bytes], tuple[str, bytes]]):
        self._lines = lines
        self._places = places
        self._read = read

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return (self._read(self._lines[number])[0] for number in range(len(self._lines)))

    def __getitem__(self, id_: str) -> bytes:
        for number in self._places.find(id_):
            found, record = self._read(self._lines[number])
            if found == id_:
                return record
        raise KeyError(id_)


class Difference(NamedTuple):
    """How many records one snapshot has that another has not, has otherwise, or no longer."""

    added: int
    changed: int
    removed: int


class Snapshot:
    """Everything that was read, at one moment. ``serial`` orders snapshots, whatever clocks say."""

    def __init__(
        self,
        *,
        serial: int,
        read_at: datetime,
        changed_at: datetime,
        products: Sequence[Chunk],
        links: Sequence[Chunk],
        old_slugs: Mapping[str, str],
    ) -> None:
        #: Higher is newer: the time of reading in milliseconds, and always above the last one's.
        self.serial = serial
        #: When it was read from Polar.
        self.read_at = read_at
        #: When what it holds was last found to be different.
        self.changed_at = changed_at
        self.product_chunks = tuple(products)
        self.link_chunks = tuple(links)
        #: Product id by former slug.
        self.old_slugs: Mapping[str, str] = MappingProxyType(dict(old_slugs))
        #: A short name of the contents, whenever they were read.
        self.version = _version(self.product_chunks, self.link_chunks, old_slugs)
        self._index: Index | None = None

    @classmethod
    def of(
        cls,
        products: Mapping[str, bytes],
        links: Mapping[str, bytes],
        *,
        read_at: datetime,
        previous: Snapshot | None = None,
    ) -> Snapshot:
        """A snapshot of those records, by id, in their order.

        Products keep the slugs of ``previous`` where they can.
        """
        if previous is not None and previous._holds(products, links):
            # Mostly nothing has changed; naming and cutting anew would end in the same chunks.
            return cls._following(
                previous,
                read_at,
                previous.product_chunks,
                previous.link_chunks,
                previous.old_slugs,
            )
        before = previous.slugs() if previous else {}
        slugs = assign_slugs([decode_naming(record) for record in products.values()], before)
        former = previous.old_slugs if previous else {}
        return cls._following(
            previous,
            read_at,
            _cut((id_, join_line(slugs[id_], record)) for id_, record in products.items()),
            _cut(links.items()),
            remember_old_slugs(slugs, before, former),
        )

    @classmethod
    def assemble(cls, manifest: bytes, fetch: Fetch, *, known: Snapshot | None = None) -> Snapshot:
        """The snapshot of a manifest; chunks that ``known`` has are not fetched.

        :raises ForeignBytes: when the manifest is none, or a chunk is missing or not what its
            name says.
        """
        found = decode_manifest(manifest)
        chunks = {chunk.name.hash: chunk for chunk in known.chunks()} if known else {}
        names = [*found.products, *found.links]
        missing = [name.hash for name in names if name.hash not in chunks]
        contents = fetch(list(dict.fromkeys(missing))) if missing else {}
        for name in names:
            if name.hash not in chunks:
                content = contents.get(name.hash)
                if content is None:
                    raise ForeignBytes("a chunk is missing")
                if name_of(content) != name.hash:
                    raise ForeignBytes("a chunk is not what its name says")
                chunks[name.hash] = Chunk(name, content)
        made = cls(
            serial=found.serial,
            read_at=found.read_at,
            changed_at=found.changed_at,
            products=[chunks[name.hash] for name in found.products],
            links=[chunks[name.hash] for name in found.links],
            old_slugs=found.old_slugs,
        )
        if made.version != found.version:
            raise ForeignBytes("the manifest does not hold together")
        if known is not None and known.version == made.version:
            made._index = known._index
        return made

    def with_changes(
        self,
        products: Mapping[str, bytes | None],
        links: Mapping[str, bytes | None],
        *,
        read_at: datetime,
    ) -> Snapshot:
        """The same with those records changed or added; None removes one."""
        lines: dict[str, bytes] = {}
        for id_, record in products.items():
            slug = self._kept_slug(id_, record)
            if record is None or slug is None:
                return Snapshot.of(
                    _changed(self.product_records, products),
                    _changed(self.link_records, links),
                    read_at=read_at,
                    previous=self,
                )
            lines[id_] = join_line(slug, record)
        return Snapshot._following(
            self,
            read_at,
            _rewritten(self.product_chunks, lines, _read_product),
            _rewritten(self.link_chunks, links, _read_link),
            self.old_slugs,
        )

    @classmethod
    def _following(
        cls,
        previous: Snapshot | None,
        read_at: datetime,
        products: Sequence[Chunk],
        links: Sequence[Chunk],
        old_slugs: Mapping[str, str],
    ) -> Snapshot:
        """The snapshot after ``previous``, of whose chunks it keeps those that are the same."""
        serial = max(int(read_at.timestamp() * 1000), 1)
        if previous is None:
            old: dict[str, Chunk] = {}
        else:
            old = {chunk.name.hash: chunk for chunk in previous.chunks()}
            serial = max(serial, previous.serial + 1)
        made = cls(
            serial=serial,
            read_at=read_at,
            changed_at=read_at,
            products=[old.get(chunk.name.hash, chunk) for chunk in products],
            links=[old.get(chunk.name.hash, chunk) for chunk in links],
            old_slugs=old_slugs,
        )
        if previous is not None and previous.version == made.version:
            made.changed_at, made._index = previous.changed_at, previous._index
        return made

    def after(self, newest: Snapshot) -> Snapshot:
        """The same, to be taken for newer than another."""
        made = Snapshot(
            serial=max(self.serial, newest.serial + 1),
            read_at=self.read_at,
            changed_at=self.changed_at,
            products=self.product_chunks,
            links=self.link_chunks,
            old_slugs=self.old_slugs,
        )
        if newest.version == self.version:
            made.changed_at = newest.changed_at
        made._index = self._index
        return made

    def manifest(self) -> bytes:
        """What ``assemble`` makes it of again, with its chunks."""
        return msgspec.json.encode(
            Manifest(
                schema=SCHEMA,
                serial=self.serial,
                version=self.version,
                read_at=self.read_at,
                changed_at=self.changed_at,
                products=tuple(chunk.name for chunk in self.product_chunks),
                links=tuple(chunk.name for chunk in self.link_chunks),
                old_slugs=dict(self.old_slugs),
            )
        )

    def chunks(self) -> Iterator[Chunk]:
        """All chunks, those of the products first."""
        return chain(self.product_chunks, self.link_chunks)

    @property
    def products(self) -> int:
        """How many products there are, archived ones and drafts included."""
        return sum(chunk.name.records for chunk in self.product_chunks)

    @property
    def links(self) -> int:
        """How many checkout links there are."""
        return sum(chunk.name.records for chunk in self.link_chunks)

    @property
    def product_records(self) -> Mapping[str, bytes]:
        """Each product's record by its id, in the catalogue's order."""
        return Records(self.index.products, self.index.product_ids, _read_product)

    @property
    def link_records(self) -> Mapping[str, bytes]:
        """Each link's record by its id, in Polar's order."""
        return Records(self.index.links, self.index.link_ids, _read_link)

    def slugs(self) -> Mapping[str, str]:
        """Slug by product id, of every product there is."""
        pairs = (split_line(line) for chunk in self.product_chunks for line in chunk.lines())
        return {decode_naming(record).id: slug for slug, record in pairs}

    @property
    def index(self) -> Index:
        """Where everything stands; made at the first call.

        :raises ForeignBytes: when the chunks hold something else.
        """
        if self._index is None:
            self._index = Index(
                [(chunk.content, chunk.product_facts()) for chunk in self.product_chunks],
                [(chunk.content, chunk.link_facts()) for chunk in self.link_chunks],
            )
        return self._index

    def since(self, previous: Snapshot | None) -> Difference:
        """What is different from an earlier snapshot; only chunks that differ are read."""
        if previous is None:
            return Difference(self.products + self.links, 0, 0)
        counts = [0, 0, 0]
        for now, old in self._unlike(previous):
            counts[0] += len(now.keys() - old.keys())
            counts[1] += sum(1 for id_ in now.keys() & old.keys() if now[id_] != old[id_])
            counts[2] += len(old.keys() - now.keys())
        return Difference(*counts)

    def ids_unlike(self, previous: Snapshot) -> tuple[frozenset[str], frozenset[str]]:
        """The ids of products, and of links, that are not the same in an earlier snapshot."""
        products, links = (
            frozenset(
                id_ for id_ in now.keys() | old.keys() if now.get(id_, b"") != old.get(id_, b"")
            )
            for now, old in self._unlike(previous)
        )
        return products, links

    def _holds(self, products: Mapping[str, bytes], links: Mapping[str, bytes]) -> bool:
        """Whether these are its records, all of them and in its order."""
        return (
            len(products) == self.products
            and len(links) == self.links
            # A product's line is its slug and its record: a JSON array of two.
            and all(
                line.endswith(b",%b]" % record)
                for line, record in zip(
                    _all_lines(self.product_chunks), products.values(), strict=True
                )
            )
            and all(map(operator.eq, _all_lines(self.link_chunks), links.values()))
        )

    def _unlike(self, previous: Snapshot) -> Iterator[tuple[dict[str, bytes], dict[str, bytes]]]:
        """Records by id, now and before, of the chunks that differ: of products, then of links."""
        for mine, others, read in (
            (self.product_chunks, previous.product_chunks, _read_product),
            (self.link_chunks, previous.link_chunks, _read_link),
        ):
            both = {c.name for c in mine} & {c.name for c in others}
            yield (
                dict(read(line) for c in mine if c.name not in both for line in c.lines()),
                dict(read(line) for c in others if c.name not in both for line in c.lines()),
            )

    def _kept_slug(self, product_id: str, record: bytes | None) -> str | None:
        """The product's slug, if the change leaves it, and with it all others', alone."""
        if record is None:
            return None
        for chunk in self.product_chunks:
            if chunk.mentions(product_id):
                for line in chunk.lines():
                    slug, old = split_line(line)
                    before = decode_naming(old)
                    if before.id == product_id:
                        after = decode_naming(record)
                        return slug if wanted_slug(before) == wanted_slug(after) else None
        return None


def decode_manifest(manifest: bytes) -> Manifest:
    """Read a manifest.

    :raises ForeignBytes: when it is none.
    """
    try:
        found = _manifests.decode(manifest)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ForeignBytes("the manifest can't be read") from None
    if found.schema != SCHEMA or not 0 < found.serial < _MAX_SERIAL:
        raise ForeignBytes("the manifest is of another release")
    if found.read_at.tzinfo is None or found.changed_at.tzinfo is None:
        raise ForeignBytes("the manifest has times without a zone")
    return found


def name_of(content: bytes) -> str:
    """What such a piece is called."""
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def _version(
    products: Iterable[Chunk], links: Iterable[Chunk], old_slugs: Mapping[str, str]
) -> str:
    names = ([c.name.hash for c in products], [c.name.hash for c in links], dict(old_slugs))
    return hashlib.sha256(msgspec.json.encode(names, order="sorted")).hexdigest()[:16]


def _all_lines(chunks: Iterable[Chunk]) -> Iterator[bytes]:
    return chain.from_iterable(chunk.lines() for chunk in chunks)


def _ends_chunk(id_: str) -> bool:
    return zlib.crc32(id_.encode()) % _RECORDS_A_CHUNK == 0


def _cut(lines: Iterable[tuple[str, bytes]]) -> list[Chunk]:
    chunks: list[Chunk] = []
    held: list[bytes] = []
    for id_, line in lines:
        held.append(line)
        if _ends_chunk(id_):
            chunks.append(Chunk.of(held))
            held = []
    return [*chunks, Chunk.of(held)] if held else chunks


def _read_product(line: bytes) -> tuple[str, bytes]:
    record = split_line(line)[1]
    return decode_naming(record).id, record


def _read_link(line: bytes) -> tuple[str, bytes]:
    return decode_link(line)[0].id, line


def _changed(
    records: Mapping[str, bytes], changes: Mapping[str, bytes | None]
) -> Mapping[str, bytes]:
    merged = {**records, **changes}
    return {id_: record for id_, record in merged.items() if record is not None}


def _rewritten(
    chunks: Sequence[Chunk],
    changes: Mapping[str, bytes | None],
    read: Callable[[bytes], tuple[str, bytes]],
) -> list[Chunk]:
    """The chunks with those lines changed, removed (None) or added; cut anew where they are."""
    left = dict(changes)
    touched: list[tuple[str, bytes]] = []
    made: list[Chunk] = []
    if not left:
        return list(chunks)
    for number, chunk in enumerate(chunks):
        mine = any(chunk.mentions(id_) for id_ in left)
        is_last = number == len(chunks) - 1
        # A chunk that lost its end runs on into the next one.
        if not mine and not touched and not (is_last and left):
            made.append(chunk)
            continue
        for line in chunk.lines():
            id_, _ = read(line)
            now = left.pop(id_) if id_ in left else line
            if now is not None:
                touched.append((id_, now))
        if touched and _ends_chunk(touched[-1][0]):
            made += _cut(touched)
            touched = []
    touched += [(id_, line) for id_, line in left.items() if line is not None]
    return made + _cut(touched)
