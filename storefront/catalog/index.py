"""Where a product or a link stands in a snapshot's chunks, in some fifty bytes each.

A name is looked up by its hash in a sorted array, and the record that is found there says whether
it is the one that was meant. So no name is held a second time as an object of Python's.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from storefront.catalog.addresses import is_web_address, origin_of
from storefront.catalog.records import LinkRecord
from storefront.catalog.search import ChunkText, Finder, Row
from storefront.catalog.traits import traits_of
from storefront.errors import StorefrontError
from storefront.polar.models import Product

_T = TypeVar("_T")
_SELLABLE = 1
_LISTED = 2

_product_lines = msgspec.json.Decoder(tuple[str, Product])
_link_lines = msgspec.json.Decoder(LinkRecord)


class ForeignBytes(StorefrontError):
    """What was kept as a catalogue is none, or not whole."""


class Places:
    """The places of names; of names that are alike, all their places."""

    def __init__(self, hashes: Sequence[int], places: Sequence[int]) -> None:
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        self._hashes = array("q", (hashes[number] for number in order))
        self._places = array("I", (places[number] for number in order))

    def find(self, name: str) -> Iterator[int]:
        """Every place where the name may stand; who looks there sees whether it does."""
        return self.find_hash(hash(name))

    def find_hash(self, wanted: int) -> Iterator[int]:
        """The same for a name's hash."""
        hashes = self._hashes
        at = bisect_left(hashes, wanted)
        while at < len(hashes) and hashes[at] == wanted:
            yield self._places[at]
            at += 1


class ProductFacts:
    """Of each product in a chunk, what an index is made of."""

    __slots__ = (
        *("currencies", "flags", "ids", "kinds", "least", "origins", "slugs", "starts", "texts"),
    )

    def __init__(self, content: bytes, count: int) -> None:
        """Read all lines.

        :raises ForeignBytes: when they are none of products.
        """
        lines = _decode(_product_lines, content, count)
        self.starts = _starts(content)
        self.ids = array("q", (hash(product.id) for _, product in lines))
        self.slugs = array("q", (hash(slug) for slug, _ in lines))
        self.flags = bytes(_flags(product) for _, product in lines)
        traits = [traits_of(product) for _, product in lines]
        self.kinds = bytes(each.kinds for each in traits)
        self.least = array("q", (each.least for each in traits))
        self.currencies = array("I", (each.currency for each in traits))
        #: What is searched, once anybody does.
        self.texts: list[ChunkText] = []
        self.origins = frozenset(
            origin_of(media.public_url)
            for _, product in lines
            if is_sellable(product)
            for media in product.medias
            if is_web_address(media.public_url)
        )


class LinkFacts:
    """Of each link in a chunk, what an index is made of."""

    __slots__ = ("boundaries", "ends", "ids", "labels", "products", "starts", "usable")

    def __init__(self, content: bytes, count: int) -> None:
        """Read all lines.

        :raises ForeignBytes: when they are none of links.
        """
        records = _decode(_link_lines, content, count)
        self.starts = _starts(content)
        self.ids = array("q", (hash(record.link.id) for record in records))
        self.labels = array("q", (hash(record.link.label or "") for record in records))
        #: Whether its address may stand in a page.
        self.usable = bytes(is_web_address(record.link.url) for record in records)
        #: The products of all of them, and where each one's end.
        self.products = array("q", (hash(id_) for r in records for id_ in r.product_ids))
        self.ends = array("I")
        end = 0
        for record in records:
            end += len(record.product_ids)
            self.ends.append(end)
        #: When a discount begins or ends.
        self.boundaries = frozenset(
            moment
            for record in records
            if record.link.discount
            for moment in (record.link.discount.starts_at, record.link.discount.ends_at)
            if moment is not None
        )


class Chunks:
    """Lines in chunks, by their number from the first on."""

    def __init__(self, contents: Sequence[bytes], starts: Sequence[array[int]]) -> None:
        self._contents = contents
        self._starts = starts
        self._firsts = array("I", [0])
        for each in starts:
            self._firsts.append(self._firsts[-1] + len(each))

    def __len__(self) -> int:
        return self._firsts[-1]

    def __getitem__(self, number: int) -> bytes:
        which = bisect_right(self._firsts, number) - 1
        starts, content = self._starts[which], self._contents[which]
        at = number - self._firsts[which]
        end = starts[at + 1] - 1 if at + 1 < len(starts) else len(content)
        return content[starts[at] : end]


class Index:
    """Where everything in a snapshot stands. Products and links go by their numbers."""

    def __init__(
        self,
        products: Sequence[tuple[bytes, ProductFacts]],
        links: Sequence[tuple[bytes, LinkFacts]],
    ) -> None:
        #: The products' lines, and the links'.
        self.products = Chunks([c for c, _ in products], [f.starts for _, f in products])
        self.links = Chunks([c for c, _ in links], [f.starts for _, f in links])
        ids = _joined(f.ids for _, f in products)
        everything = range(len(ids))
        self.product_ids = Places(ids, everything)
        self.slugs = Places(_joined(f.slugs for _, f in products), everything)
        self._flags = b"".join(f.flags for _, f in products)
        #: The numbers of the products that have a page, the newest first, as Polar lists them.
        self.listed = array("I", (n for n in reversed(everything) if self._flags[n] & _LISTED))
        self.finder = Finder(
            [
                Row(
                    content,
                    facts.texts,
                    bytes(flag & _LISTED for flag in facts.flags),
                    facts.kinds,
                    facts.least,
                    facts.currencies,
                )
                for content, facts in products
            ],
            self.listed,
        )
        #: Origins of all pictures.
        self.origins = tuple(sorted(frozenset().union(*(f.origins for _, f in products))))
        self.link_ids = Places(_joined(f.ids for _, f in links), range(len(self.links)))
        labels = _joined(f.labels for _, f in links)
        none = hash("")
        labelled = [number for number, label in enumerate(labels) if label != none]
        self.labels = Places([labels[number] for number in labelled], labelled)
        #: The numbers of the links that can be opened and sell something.
        self.complete = array("I")
        self._sold = self._find_what_links_sell([f for _, f in links])
        #: The moments at which a discount begins or ends, in their order.
        self.boundaries: tuple[datetime, ...] = tuple(
            sorted(frozenset().union(*(f.boundaries for _, f in links)))
        )

    def is_sellable(self, product: int) -> bool:
        """Whether a link may sell it: neither archived nor a draft."""
        return bool(self._flags[product] & _SELLABLE)

    def is_complete(self, link: int) -> bool:
        """Whether it can be opened, and sells something."""
        at = bisect_left(self.complete, link)
        return at < len(self.complete) and self.complete[at] == link

    def links_of(self, product: int) -> Iterator[int]:
        """The complete links that sell a product, in their order."""
        at = bisect_left(self._sold, product << 32)
        while at < len(self._sold) and self._sold[at] >> 32 == product:
            yield self._sold[at] & 0xFFFFFFFF
            at += 1

    def _find_what_links_sell(self, chunks: Sequence[LinkFacts]) -> array[int]:
        """Product and link in one number, sorted; sees to ``complete`` on the way."""
        sold = []
        number = -1
        for facts in chunks:
            begin = 0
            for usable, end in zip(facts.usable, facts.ends, strict=True):
                number += 1
                mine = [
                    product
                    for hashed in facts.products[begin:end]
                    for product in self.product_ids.find_hash(hashed)
                    if usable and self._flags[product] & _SELLABLE
                ]
                begin = end
                if mine:
                    self.complete.append(number)
                    sold += [product << 32 | number for product in mine]
        return array("Q", sorted(sold))


def is_sellable(product: Product) -> bool:
    """Whether a link may sell it: neither archived nor a draft."""
    return not product.is_archived and product.visibility != "draft"


def is_listed(product: Product) -> bool:
    """Whether it has a page."""
    return not product.is_archived and product.visibility == "public"


def _flags(product: Product) -> int:
    return _SELLABLE * is_sellable(product) | _LISTED * is_listed(product)


def _joined(parts: Iterable[array[int]]) -> array[int]:
    whole = array("q")
    for part in parts:
        whole.extend(part)
    return whole


def _starts(content: bytes) -> array[int]:
    starts = array("I", [0])
    at = content.find(b"\n")
    while at >= 0:
        starts.append(at + 1)
        at = content.find(b"\n", at + 1)
    return starts


def _decode(decoder: msgspec.json.Decoder[_T], content: bytes, count: int) -> list[_T]:
    try:
        found = decoder.decode_lines(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ForeignBytes("a chunk has other things in it") from None
    if len(found) != count:
        raise ForeignBytes("a chunk has another number of records")
    return found
