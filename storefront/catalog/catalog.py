"""The catalogue as pages read it: immutable, made of a snapshot, and swapped whole."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from markupsafe import Markup

from storefront.catalog.description import render_description, summarize
from storefront.catalog.pricing import (
    Pricing,
    describe_discount,
    describe_pricing,
    describe_trial,
    running_discount,
)
from storefront.catalog.records import decode_link, decode_product
from storefront.catalog.snapshot import Snapshot
from storefront.errors import UnknownReference
from storefront.polar.models import CheckoutLink, Product
from storefront.texts import Texts

#: Metadata of a checkout link that keeps it off the product page: ``storefront`` = ``hidden``.
LINK_METADATA_KEY = "storefront"

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


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


class Found(NamedTuple):
    """What a reference leads to."""

    product: CatalogProduct
    #: None when no link sells the product.
    offer: Offer | None


class Catalog:
    """Everything that is for sale, at one moment. Never changes; reading it does no I/O."""

    def __init__(self, snapshot: Snapshot, texts: Texts, *, image_hosts: Collection[str]) -> None:
        self.read_at = snapshot.read_at
        self.version = snapshot.version
        products = map(decode_product, snapshot.product_records.values())
        sellable = {p.id: p for p in products if _is_sellable(p)}
        records = map(decode_link, snapshot.link_records.values())
        links = [link for record in records if (link := _complete(*record, sellable)) is not None]
        builder = _Builder(snapshot, sellable, texts, image_hosts)
        shown = [builder.product(p, links) for p in sellable.values()]
        self._by_id = {product.id: product for product in shown}
        self._by_slug = {product.slug: product for product in shown}
        self._old_slugs = dict(snapshot.old_slugs)
        self._offers = {
            link.id: builder.offer(link, self._by_id[link.products[0].id]) for link in links
        }
        self._links_by_label: dict[str, CheckoutLink] = {}
        for link in sorted(links, key=_age):
            if link.label:
                self._links_by_label.setdefault(link.label, link)
        self._links = {link.id: link for link in links}
        self._texts = texts
        #: The products that have a page, in the order of the catalogue page.
        self.listed: tuple[CatalogProduct, ...] = tuple(p for p in shown if p.listed)
        #: Origins of all product pictures: what a Content-Security-Policy has to allow.
        self.image_origins: tuple[str, ...] = tuple(
            sorted({_origin(picture.url) for p in shown for picture in p.pictures})
        )

    def __iter__(self) -> Iterator[CatalogProduct]:
        """The products that have a page."""
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)

    @property
    def links(self) -> Mapping[str, CheckoutLink]:
        """Every checkout link that can be opened, by id."""
        return MappingProxyType(self._links)

    def page(self, slug: str) -> CatalogProduct | None:
        """The product whose page has that address; None for those that have no page."""
        product = self._by_slug.get(slug)
        return product if product is not None and product.listed else None

    def moved(self, slug: str) -> CatalogProduct | None:
        """The product that a former slug, or an id, leads to now."""
        product = self._by_id.get(self._old_slugs.get(slug, slug.lower()))
        return product if product is not None and product.listed else None

    def find(self, reference: str, *, product: str | None = None) -> Found:
        """What is sold under a product's slug or id, or a link's id or label.

        ``product`` (a slug or an id) chooses among the products of a link.

        :raises UnknownReference: when there is none, or ``product`` is not on the link.
        """
        key = reference.strip()
        chosen = self._by_slug.get(key) or self._by_id.get(key.lower())
        if chosen is None:
            link = self._links.get(key.lower()) or self._links_by_label.get(key)
            if link is not None:
                return self._on_link(link, reference, product)
            chosen = self._by_id.get(self._old_slugs.get(key, ""))
        if chosen is None:
            raise UnknownReference(
                reference,
                f"No product has the slug or id {reference!r}, and no checkout link has that id "
                f"or label. {self._known()}",
            )
        if product is not None and product not in (chosen.slug, chosen.id):
            for offer in chosen.offers:
                for choice in offer.choices:
                    other = self._by_id[choice.product_id]
                    if product in (other.slug, other.id):
                        return self._on_link(offer.link, reference, other.id)
            raise UnknownReference(
                reference, f"No checkout link of {reference!r} sells the product {product!r}."
            )
        return Found(chosen, chosen.offers[0] if chosen.offers else None)

    def _on_link(self, link: CheckoutLink, reference: str, product: str | None) -> Found:
        offer = self._offers[link.id]
        if product is None:
            return Found(self._by_id[offer.product_id], offer)
        for candidate in link.products:
            sold = self._by_id[candidate.id]
            if product in (sold.slug, sold.id):
                for other in sold.offers:
                    if other.link.id == link.id:
                        return Found(sold, other)
                return Found(sold, replace(offer, product_id=sold.id))
        names = ", ".join(repr(self._by_id[p.id].slug) for p in link.products)
        raise UnknownReference(
            reference, f"The link {reference!r} does not sell {product!r}. It sells {names}."
        )

    def _known(self) -> str:
        names = sorted(self._by_slug)
        if not names:
            return "The catalogue is empty."
        shown = ", ".join(repr(name) for name in names[:20])
        return f"The slugs are {shown}{', …' if len(names) > 20 else ''}."


class _Builder:
    """Turns what Polar said into what pages show."""

    def __init__(
        self,
        snapshot: Snapshot,
        sellable: Mapping[str, Product],
        texts: Texts,
        image_hosts: Collection[str],
    ) -> None:
        self._slugs = snapshot.slugs()
        self._texts = texts
        self._image_hosts = image_hosts
        self._now = datetime.now(UTC)
        self._pricing = {id_: describe_pricing(p, texts) for id_, p in sellable.items()}
        self._sellable = sellable

    def product(self, product: Product, links: Iterable[CheckoutLink]) -> CatalogProduct:
        description = render_description(product.description, image_hosts=self._image_hosts)
        urls = [media.public_url for media in product.medias if _is_web_address(media.public_url)]
        shell = CatalogProduct(
            id=product.id,
            slug=self._slugs[product.id],
            name=product.name,
            summary=summarize(description),
            description=description,
            pricing=self._pricing[product.id],
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
            listed=product.visibility == "public",
            is_subscription=product.recurring_interval is not None,
        )
        mine = [link for link in links if any(p.id == product.id for p in link.products)]
        shown = [link for link in mine if link.metadata.get(LINK_METADATA_KEY) != "hidden"]
        # Links that promise a buyer the same differ only in the campaign they count for.
        distinct: dict[object, CheckoutLink] = {}
        for link in sorted(shown, key=self._plainest_first):
            distinct.setdefault(_terms(link), link)
        offers = tuple(self.offer(link, shell) for link in distinct.values())
        return replace(shell, offers=offers)

    def offer(self, link: CheckoutLink, product: CatalogProduct) -> Offer:
        texts = self._texts
        source = self._sellable[product.id]
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
                    headline=self._pricing[p.id].headline,
                    slug=self._slugs[p.id] if p.visibility == "public" else None,
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


def _is_sellable(product: Product) -> bool:
    return not product.is_archived and product.visibility != "draft"


def _complete(
    link: CheckoutLink, product_ids: Sequence[str], sellable: Mapping[str, Product]
) -> CheckoutLink | None:
    """The link with its products; None when it leads nowhere or sells nothing any more."""
    products = tuple(sellable[id_] for id_ in product_ids if id_ in sellable)
    if not products or not _is_web_address(link.url):
        return None
    return msgspec.structs.replace(link, products=products)


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


def _is_web_address(url: str) -> bool:
    """Whether the URL may stand in a page and its origin in a header: no user, no odd host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = url.isprintable() and not any(c in url for c in " \\\"'<>")
    return plain and parts.scheme in ("http", "https") and bool(_HOST.fullmatch(parts.netloc))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
