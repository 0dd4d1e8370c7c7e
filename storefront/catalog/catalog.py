"""The catalogue as pages read it: immutable, made of a snapshot, and swapped whole."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, overload

import msgspec
from markupsafe import Markup

from storefront.catalog.addresses import is_web_address
from storefront.catalog.description import render_description, summarize
from storefront.catalog.index import Index, is_listed
from storefront.catalog.pricing import (
    Pricing,
    describe_discount,
    describe_pricing,
    describe_trial,
    running_discount,
)
from storefront.catalog.records import decode_link, decode_product, split_line
from storefront.catalog.search import Facets, Search
from storefront.catalog.snapshot import Snapshot
from storefront.errors import UnknownReference
from storefront.forking import GATE
from storefront.memo import Memo
from storefront.polar.models import CheckoutLink, Product
from storefront.texts import Texts

#: Metadata of a checkout link that keeps it off the product page: ``storefront`` = ``hidden``.
LINK_METADATA_KEY = "storefront"

#: How many slugs a message names.
_SHOWN = 20
#: How many products are kept in words, and how many references are known by heart.
_KEPT = 2000
#: Of all search results that are kept, in products.
_KEPT_RESULTS = 1_000_000


class Picture(NamedTuple):
    """A product's picture."""

    url: str
    alt: str


class BenefitText(NamedTuple):
    """What a buyer gets; ``type`` is Polar's, ``text`` the merchant's words."""

    type: str
    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several products that a checkout link holds."""

    product_id: str
    name: str
    headline: str
    #: Slug of its page, or None where it has none.
    slug: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A checkout link as seen from one of its products: how it can be bought."""

    link: CheckoutLink
    product_id: str
    #: ``20% off``, or empty.
    discount: str = ""
    #: The link's own trial, where it differs from the product's, or empty.
    trial: str = ""
    #: The quantity that the link fixes: ``Seats: 5``, or empty.
    quantity: str = ""
    #: All products that can be chosen on the checkout page; empty when there is only this one.
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogProduct:
    """A product that can be shown or sold."""

    id: str
    slug: str
    name: str
    summary: str
    description: Markup
    pricing: Pricing
    pictures: tuple[Picture, ...]
    benefits: tuple[BenefitText, ...]
    #: The ways to buy it that differ to the buyer; the first is what a plain button uses.
    offers: tuple[Offer, ...]
    #: Whether it has a page: public and not archived.
    listed: bool
    is_subscription: bool
    #: The product as Polar has it: its prices in numbers, its metadata, when it was changed.
    source: Product


class Found(NamedTuple):
    """What a reference leads to."""

    product: CatalogProduct
    #: None when no link sells the product.
    offer: Offer | None


class _Kept(NamedTuple):
    """A product in words, and what tells whether the next catalogue's would be the same."""

    product: CatalogProduct
    #: Of the records that it was made of; None where it depends on more than these.
    basis: int | None


class Listed(Sequence[CatalogProduct]):
    """The products that have a page; each is put into words when it is asked for."""

    def __init__(self, product: Callable[[int], CatalogProduct], numbers: Sequence[int]) -> None:
        self._product = product
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, which: int) -> CatalogProduct: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[CatalogProduct]: ...
    def __getitem__(self, which: int | slice) -> CatalogProduct | Sequence[CatalogProduct]:
        """One product, or a part of the list."""
        if isinstance(which, slice):
            return Listed(self._product, self._numbers[which])
        return self._product(self._numbers[which])


class Links(Mapping[str, CheckoutLink]):
    """The links that can be opened, by id; each is read when it is asked for."""

    def __init__(self, link: Callable[[str], CheckoutLink | None], index: Index) -> None:
        self._link = link
        self._index = index

    def __len__(self) -> int:
        return len(self._index.complete)

    def __iter__(self) -> Iterator[str]:
        lines = self._index.links
        return (decode_link(lines[number])[0].id for number in self._index.complete)

    def __getitem__(self, id_: str) -> CheckoutLink:
        link = self._link(id_)
        if link is None:
            raise KeyError(id_)
        return link


class Catalog:
    """Everything that is for sale, at one moment. Never changes; reading it does no I/O.

    It holds the records as they came. A product is put into words when it is first asked for, and
    kept as long as it is asked for.

    :raises ForeignBytes: when the snapshot holds something else.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        texts: Texts,
        *,
        image_hosts: Collection[str],
        previous: Catalog | None = None,
    ) -> None:
        now = datetime.now(UTC)
        self._index = index = snapshot.index
        passed = bisect_right(index.boundaries, now)
        #: When it was read from Polar.
        self.read_at = snapshot.read_at
        #: When it last became different: something was changed, or a discount began or ended.
        self.changed_at = max([snapshot.changed_at, *index.boundaries[:passed][-1:]])
        #: A short name of the contents: the same wherever they are the same.
        self.version = snapshot.version
        if passed:
            named = f"{snapshot.version} {passed}".encode()
            self.version = hashlib.sha256(named).hexdigest()[:16]
        #: When the next discount begins or ends, and another catalogue has to be made.
        self.valid_until: datetime | None = (*index.boundaries, None)[passed]
        self._old_slugs = snapshot.old_slugs
        self._texts = texts
        self._builder = _Builder(index, texts, image_hosts, now)
        #: The products that have a page, in the order of the catalogue page.
        self.listed: Sequence[CatalogProduct] = Listed(self._numbered, index.listed)
        #: Origins of all product pictures: what a Content-Security-Policy has to allow.
        self.image_origins: tuple[str, ...] = index.origins
        self._found: Memo[tuple[str, str | None], Found] = Memo(_KEPT)
        self._results: Memo[Search, Sequence[int]] = Memo(_KEPT_RESULTS)
        self._kept: Memo[int, _Kept] = Memo(_KEPT)
        if previous is not None:
            self._take_over(previous)

    def __iter__(self) -> Iterator[CatalogProduct]:
        """The products that have a page."""
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)

    @property
    def facets(self) -> Facets:
        """What its products can be told apart by, for whoever looks for one."""
        return self._index.finder.facets

    def search(self, search: Search) -> Sequence[CatalogProduct]:
        """The products that have a page and are looked for, the best first.

        Those on the pages that are shown are put into words, and no others.
        """
        numbers = self._results.get(search)
        if numbers is None:
            numbers = self._index.finder.find(search)
            self._results.put(search, numbers, 100 + len(numbers))
        return Listed(self._numbered, numbers)

    def records(self, first: int, last: int) -> Iterator[tuple[str, Product]]:
        """Slug and record of a part of ``listed``, for lists of all: nothing is put into words."""
        return (self._builder.read(number) for number in self._index.listed[first:last])

    @property
    def links(self) -> Mapping[str, CheckoutLink]:
        """Every checkout link that can be opened, by id."""
        return Links(self._link, self._index)

    def page(self, slug: str) -> CatalogProduct | None:
        """The product whose page has that address; None for those that have no page."""
        product = self._with_slug(slug)
        return product if product is not None and product.listed else None

    def moved(self, slug: str) -> CatalogProduct | None:
        """The product that a former slug, or an id, leads to now."""
        product = self._with_id(self._old_slugs.get(slug, slug.lower()))
        return product if product is not None and product.listed else None

    def find(self, reference: str, *, product: str | None = None) -> Found:
        """What is sold under a product's slug or id, or a link's id or label.

        ``product`` (a slug or an id) chooses among the products of a link.

        :raises UnknownReference: when there is none, or ``product`` is not on the link.
        """
        asked = (reference, product)
        found = self._found.get(asked)
        if found is None:
            found = self._look_up(reference, product)
            self._found.put(asked, found, 1)
        return found

    def _look_up(self, reference: str, product: str | None) -> Found:
        key = reference.strip()
        chosen = self._with_slug(key) or self._with_id(key.lower())
        if chosen is None:
            link = self._link(key.lower()) or self._with_label(key)
            if link is not None:
                return self._on_link(link, reference, product)
            chosen = self._with_id(self._old_slugs.get(key, ""))
        if chosen is None:
            raise UnknownReference(
                reference,
                f"No product has the slug or id {reference!r}, and no checkout link has that id "
                f"or label. {self._known()}",
            )
        if product is not None and product not in (chosen.slug, chosen.id):
            for offer in chosen.offers:
                for sold in offer.link.products if offer.choices else ():
                    other = self._sold(sold)
                    if product in (other.slug, other.id):
                        return self._on_link(offer.link, reference, other.id)
            raise UnknownReference(
                reference, f"No checkout link of {reference!r} sells the product {product!r}."
            )
        return Found(chosen, chosen.offers[0] if chosen.offers else None)

    def _on_link(self, link: CheckoutLink, reference: str, product: str | None) -> Found:
        first = self._sold(link.products[0])
        offer = self._builder.offer(link, first)
        if product is None:
            return Found(first, offer)
        for candidate in link.products:
            sold = self._sold(candidate)
            if product in (sold.slug, sold.id):
                for other in sold.offers:
                    if other.link.id == link.id:
                        return Found(sold, other)
                return Found(sold, replace(offer, product_id=sold.id))
        names = ", ".join(repr(self._sold(p).slug) for p in link.products)
        raise UnknownReference(
            reference, f"The link {reference!r} does not sell {product!r}. It sells {names}."
        )

    def _link(self, id_: str) -> CheckoutLink | None:
        """The link with that id, with its products; None where there is none to be opened."""
        for number in self._index.link_ids.find(id_):
            if self._index.is_complete(number):
                link = self._builder.link(number)
                if link.id == id_:
                    return link
        return None

    def _numbered(self, number: int) -> CatalogProduct:
        """The product of that number in the index."""
        kept = self._kept.get(number)
        if kept is None:
            kept = self._builder.product(number)
            self._kept.put(number, kept, 1)
        return kept.product

    def _sold(self, product: Product) -> CatalogProduct:
        found = self._with_id(product.id)
        assert found is not None, "a complete link has the catalogue's own products"
        return found

    def _with_slug(self, slug: str) -> CatalogProduct | None:
        for number in self._index.slugs.find(slug):
            if self._index.is_sellable(number):
                product = self._numbered(number)
                if product.slug == slug:
                    return product
        return None

    def _with_id(self, id_: str) -> CatalogProduct | None:
        for number in self._index.product_ids.find(id_):
            if self._index.is_sellable(number):
                product = self._numbered(number)
                if product.id == id_:
                    return product
        return None

    def _with_label(self, label: str) -> CheckoutLink | None:
        """The oldest link of that label."""
        numbers = filter(self._index.is_complete, self._index.labels.find(label))
        links = [link for link in map(self._builder.link, numbers) if link.label == label]
        return min(links, key=_age, default=None)

    def _known(self) -> str:
        slugs = self._builder.some_slugs(_SHOWN + 1)
        if not slugs:
            return "The catalogue is empty."
        shown = ", ".join(repr(slug) for slug in sorted(slugs[:_SHOWN]))
        return f"The slugs are {shown}{', …' if len(slugs) > _SHOWN else ''}."

    def _take_over(self, previous: Catalog) -> None:
        """Keep the words of those products that are made of the same records as before."""
        if previous.version == self.version and previous._index is self._index:
            self._kept, self._found = previous._kept, previous._found
            return
        if previous._index is not self._index:
            self._index.finder.prepare_like(previous._index.finder)
        for _, kept in previous._kept.items():
            if kept.basis is None:
                continue
            for now in self._index.product_ids.find(kept.product.id):
                if self._builder.basis(now) == kept.basis:
                    self._kept.put(now, kept, 1)


class _Builder:
    """Turns what Polar said into what pages show."""

    def __init__(
        self, index: Index, texts: Texts, image_hosts: Collection[str], now: datetime
    ) -> None:
        self._index = index
        self._texts = texts
        self._image_hosts = image_hosts
        self._now = now
        self._pricings: Memo[str, Pricing] = Memo(_KEPT)

    def some_slugs(self, count: int) -> list[str]:
        """The slugs of the first products that can be sold."""
        numbers = filter(self._index.is_sellable, range(len(self._index.products)))
        return [self.read(number)[0] for number in islice(numbers, count)]

    def link(self, number: int) -> CheckoutLink:
        """The complete link of that number, with those of its products that can be sold."""
        link, product_ids = decode_link(self._index.links[number])
        products = tuple(filter(None, map(self._product, product_ids)))
        return msgspec.structs.replace(link, products=products)

    def basis(self, number: int) -> int | None:
        """Stands for all that the product is made of; None where that is more than its records."""
        lines = [self._index.products[number]]
        for link in self._index.links_of(number):
            lines.append(self._index.links[link])
            record, product_ids = decode_link(lines[-1])
            if product_ids[1:] or record.discount is not None:
                return None
        return hash(tuple(lines))

    def product(self, number: int) -> _Kept:
        """The product of that number, in words."""
        with GATE.passed():
            slug, product = self.read(number)
            return _Kept(self._in_words(slug, product, number), self.basis(number))

    def _in_words(self, slug: str, product: Product, number: int) -> CatalogProduct:
        description = render_description(product.description, image_hosts=self._image_hosts)
        urls = [media.public_url for media in product.medias if is_web_address(media.public_url)]
        shell = CatalogProduct(
            id=product.id,
            slug=slug,
            name=product.name,
            summary=summarize(description),
            description=description,
            pricing=self._pricing(product),
            pictures=tuple(
                Picture(url, f"{product.name} ({number}/{len(urls)})" if urls[1:] else product.name)
                for number, url in enumerate(urls, 1)
            ),
            benefits=tuple(
                BenefitText(benefit.type, benefit.description)
                for benefit in product.benefits
                if benefit.description
            ),
            offers=(),
            listed=is_listed(product),
            is_subscription=product.recurring_interval is not None,
            source=product,
        )
        mine = (self.link(link) for link in self._index.links_of(number))
        shown = [
            link
            for link in mine
            if link.metadata.get(LINK_METADATA_KEY) != "hidden"
            and any(sold.id == product.id for sold in link.products)
        ]
        # Links that promise a buyer the same differ only in the campaign they count for.
        distinct: dict[object, CheckoutLink] = {}
        for link in sorted(shown, key=self._plainest_first):
            distinct.setdefault(_terms(link), link)
        offers = tuple(self.offer(link, shell) for link in distinct.values())
        return replace(shell, offers=offers)

    def read(self, number: int) -> tuple[str, Product]:
        """Slug and record of the product of that number."""
        slug, record = split_line(self._index.products[number])
        return slug, decode_product(record)

    def _numbers(self, product_id: str) -> Iterator[int]:
        return filter(self._index.is_sellable, self._index.product_ids.find(product_id))

    def _product(self, product_id: str) -> Product | None:
        """The product of that id, if it can be sold."""
        found = (self.read(number)[1] for number in self._numbers(product_id))
        return next((product for product in found if product.id == product_id), None)

    def _slug(self, product_id: str) -> str:
        found = map(self.read, self._numbers(product_id))
        return next(slug for slug, product in found if product.id == product_id)

    def _pricing(self, product: Product) -> Pricing:
        pricing = self._pricings.get(product.id)
        if pricing is None:
            pricing = describe_pricing(product, self._texts)
            self._pricings.put(product.id, pricing, 1)
        return pricing

    def offer(self, link: CheckoutLink, product: CatalogProduct) -> Offer:
        texts = self._texts
        source = next(sold for sold in link.products if sold.id == product.id)
        discount = running_discount(link, self._now)
        quantity = ""
        if link.seats is not None:
            quantity = texts("Seats: {count}", count=link.seats)
        elif link.units is not None:
            quantity = texts("Units: {count}", count=link.units)
        choices: tuple[Choice, ...] = ()
        if len(link.products) > 1:
            choices = tuple(
                Choice(
                    product_id=p.id,
                    name=p.name,
                    headline=self._pricing(p).headline,
                    slug=self._slug(p.id) if p.visibility == "public" else None,
                )
                for p in link.products
            )
        return Offer(
            link=link,
            product_id=product.id,
            discount=describe_discount(discount, source, texts) if discount else "",
            trial=describe_trial(
                link.trial_interval,
                link.trial_interval_count,
                product.pricing.headline,
                source,
                texts,
            ),
            quantity=quantity,
            choices=choices,
        )

    def _plainest_first(self, link: CheckoutLink) -> tuple[bool, bool, bool, bool, str, str]:
        return (
            len(link.products) > 1,
            link.seats is not None or link.units is not None,
            running_discount(link, self._now) is not None,
            link.trial_interval is not None,
            *_age(link),
        )


def _terms(link: CheckoutLink) -> object:
    return (
        frozenset(product.id for product in link.products),
        link.discount_id,
        link.trial_interval,
        link.trial_interval_count,
        link.seats,
        link.units,
    )


def _age(link: CheckoutLink) -> tuple[str, str]:
    return (link.created_at.isoformat() if link.created_at else "", link.id)
