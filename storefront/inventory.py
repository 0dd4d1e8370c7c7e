"""What the organization has on Polar at this moment, by the names that people use for it.

The catalogue is what is for sale; this is everything, archived products and drafts included, for
the commands that look after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from storefront.catalog import LINK_METADATA_KEY, Catalog, CatalogStore, Snapshot
from storefront.catalog.pricing import describe_pricing
from storefront.catalog.records import decode_link, decode_product
from storefront.catalog.sync import Progress, read_everything
from storefront.errors import UnknownReference
from storefront.linkfile import NAME_KEY
from storefront.polar import CheckoutLink, Client, Discount, Product
from storefront.texts import Texts

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Inventory:
    """All products and checkout links, and the catalogue that comes of them."""

    #: The newest first, as Polar's dashboard has them.
    products: tuple[Product, ...]
    #: The oldest first, with whole products.
    links: tuple[CheckoutLink, ...]
    #: Slug by product id.
    slugs: Mapping[str, str]
    catalog: Catalog
    texts: Texts

    def product(self, reference: str) -> Product:
        """The product with that slug or id, archived or not.

        :raises UnknownReference: when there is none.
        """
        key = reference.strip()
        for product in self.products:
            if self.slugs[product.id] == key or product.id == key.lower():
                return product
        moved = self.catalog.moved(key)
        if moved is not None:
            return self.product(moved.id)
        raise UnknownReference(
            reference,
            f"No product has the slug or id {reference!r}. {_known(self.slugs.values())}",
        )

    def link(self, reference: str) -> CheckoutLink:
        """The link with that id, URL, name in a file of links, or label.

        :raises UnknownReference: when there is none, or several have the label.
        """
        key = reference.strip()
        for link in self.links:
            if link.id == key.lower() or link.url == key:
                return link
        for what, found in (
            ("name", [link for link in self.links if link.metadata.get(NAME_KEY) == key]),
            ("label", [link for link in self.links if link.label == key]),
        ):
            if len(found) == 1:
                return found[0]
            if found:
                ids = ", ".join(link.id for link in found)
                raise UnknownReference(
                    reference,
                    f"{len(found)} links have the {what} {reference!r}. Give an id: {ids}.",
                )
        labels = [link.label for link in self.links if link.label]
        raise UnknownReference(
            reference,
            f"No checkout link has the id, name or label {reference!r}. "
            + (f"The labels are {_listed(labels)}." if labels else "None has a label."),
        )

    def links_of(self, product: Product) -> tuple[CheckoutLink, ...]:
        """The links that sell the product."""
        return tuple(
            link for link in self.links if any(sold.id == product.id for sold in link.products)
        )

    def price(self, product: Product) -> str:
        """The price in one line, as the shop's pages have it."""
        return describe_pricing(product, self.texts).headline

    def without_link(self) -> tuple[Product, ...]:
        """Public products that nothing on the shop's pages sells: they have no buy button."""
        return tuple(
            product
            for product in self.products
            if is_public(product)
            and not any(not is_hidden(link) for link in self.links_of(product))
        )


def read_inventory(
    client: Client,
    store: CatalogStore,
    texts: Texts,
    *,
    organization_id: str | None,
    progress: Progress | None = None,
) -> Inventory:
    """Read all of it from Polar now. Products keep the slugs that they have in the shop.

    :raises PolarError: when any part of it can't be read.
    """
    snapshot, _ = read_everything(
        client, organization_id=organization_id, previous=_last(store), progress=progress
    )
    by_id = {id_: decode_product(record) for id_, record in snapshot.product_records.items()}
    links = map(decode_link, snapshot.link_records.values())
    return Inventory(
        products=tuple(reversed(by_id.values())),
        links=tuple(
            msgspec.structs.replace(link, products=tuple(by_id[id_] for id_ in ids if id_ in by_id))
            for link, ids in links
        ),
        slugs=snapshot.slugs(),
        catalog=Catalog(snapshot, texts, image_hosts=()),
        texts=texts,
    )


def find_discount(discounts: Sequence[Discount], reference: str) -> Discount:
    """The discount with that code, id or name.

    :raises UnknownReference: when there is none, or several have the name.
    """
    key = reference.strip()
    for discount in discounts:
        if discount.id == key.lower() or (discount.code or "").casefold() == key.casefold():
            return discount
    named = [discount for discount in discounts if discount.name == key]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(discount.id for discount in named)
        raise UnknownReference(
            reference, f"{len(named)} discounts are called {reference!r}. Give an id: {ids}."
        )
    known = [discount.code or discount.name for discount in discounts]
    raise UnknownReference(
        reference,
        f"No discount has the code, name or id {reference!r}. "
        + (f"There are {_listed(known)}." if known else "There are none."),
    )


def name_discount(discounts: Sequence[Discount], id: str) -> str:
    """What ``find_discount`` finds it by, in the form that is best to read."""
    for discount in discounts:
        if discount.id == id:
            names = [each.name for each in discounts] + [each.code or "" for each in discounts]
            if discount.code:
                return discount.code
            return discount.name if names.count(discount.name) == 1 and discount.name else id
    return id


def is_public(product: Product) -> bool:
    """Whether the product has a page in the shop."""
    return product.visibility == "public" and not product.is_archived


def is_hidden(link: CheckoutLink) -> bool:
    """Whether the shop's own pages leave the link alone."""
    return link.metadata.get(LINK_METADATA_KEY) == "hidden"


def why_not_sold(product: Product) -> str:
    """Why no link can sell the product; empty when one can."""
    if product.is_archived:
        return "is archived"
    return "is a draft" if product.visibility == "draft" else ""


def _last(store: CatalogStore) -> Snapshot | None:
    """What the shop has, where the slugs in use stand."""
    if store.load() is None:
        store.sync()
    return store.snapshot()


def _known(names: Iterable[str]) -> str:
    found = sorted(names)
    return f"The slugs are {_listed(found)}." if found else "There are no products."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{shown}, …" if len(names) > _SHOWN else shown
