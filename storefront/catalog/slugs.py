"""Addresses of product pages: readable, unique, and kept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

_MAX_LENGTH = 80


class Named(Protocol):
    """Of a product, what its address is made of."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def created_at(self) -> datetime | None: ...


def slugify(text: str) -> str:
    """The text as one readable path segment; empty when it has no letter and no digit.

    Accents go, letters of every script stay: ``Café für Ärzte`` is ``cafe-fur-arzte``.
    """
    plain = text.casefold()
    if not plain.isascii():  # most names are, and a catalogue may have very many
        decomposed = unicodedata.normalize("NFKD", plain)
        kept = "".join(c for c in decomposed if not unicodedata.combining(c))
        plain = unicodedata.normalize("NFC", kept)
    words = re.sub(r"[\W_]+", "-", plain)
    return words[:_MAX_LENGTH].strip("-")


def wanted_slug(product: Named) -> str:
    """The slug that a product asks for: ``metadata.slug``, else its name."""
    chosen = product.metadata.get("slug")
    slug = slugify(chosen) if isinstance(chosen, str) else ""
    return slug or slugify(product.name) or f"product-{product.id[:8]}"


def assign_slugs(products: Sequence[Named], previous: Mapping[str, str]) -> dict[str, str]:
    """Give each product the slug that it wants, or one like it.

    ``previous`` is what was assigned last time, by product id. Of two products that want the
    same slug, the one that has it keeps it, else the older gets it; the other's ends in the
    start of its id. Archived products count too, so that archiving one moves no other.
    """
    wanted = {product.id: wanted_slug(product) for product in products}

    def order(product: Named) -> tuple[bool, str, str]:
        newcomer = previous.get(product.id) != wanted[product.id]
        created = product.created_at.isoformat() if product.created_at else ""
        return (newcomer, created, product.id)

    taken: set[str] = set()
    slugs: dict[str, str] = {}
    for product in sorted(products, key=order):
        slug = wanted[product.id]
        length = 6
        while slug in taken:
            slug = f"{wanted[product.id]}-{product.id[:length]}"
            if length > len(product.id):  # others have named themselves after its id
                slug += f"-{length}"
            length += 6
        taken.add(slug)
        slugs[product.id] = slug
    return slugs


def remember_old_slugs(
    slugs: Mapping[str, str], previous: Mapping[str, str], old: Mapping[str, str]
) -> dict[str, str]:
    """Former slugs and the product id that each leads to; a slug in use is never among them."""
    remembered = {**old, **{slug: product_id for product_id, slug in previous.items()}}
    in_use = set(slugs.values())
    return {slug: product_id for slug, product_id in remembered.items() if slug not in in_use}
