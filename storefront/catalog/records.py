"""Products and links as bytes: the form in which the catalogue is kept, sent and compared.

A record is one product or one checkout link as compact JSON, what equals its default left out.
The same thing read twice gives the same bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from storefront.polar.models import CheckoutLink, Model, Product


class LinkRecord(Model, frozen=True, kw_only=True):
    """A checkout link with its products by id, so that none is carried twice."""

    link: CheckoutLink
    product_ids: tuple[str, ...] = ()


class Naming(msgspec.Struct, frozen=True):
    """Of a product, what its address is made of."""

    id: str
    name: str = ""
    metadata: dict[str, Any] = {}
    created_at: datetime | None = None


_encoder = msgspec.json.Encoder()
_products = msgspec.json.Decoder(Product)
_links = msgspec.json.Decoder(LinkRecord)
_namings = msgspec.json.Decoder(Naming)
_lines = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_slugs = msgspec.json.Decoder(str)


def encode_product(product: Product) -> bytes:
    """The product's record."""
    return _encoder.encode(product)


def encode_link(link: CheckoutLink) -> bytes:
    """The link's record: of its products the ids."""
    return _encoder.encode(
        LinkRecord(
            link=msgspec.structs.replace(link, products=(), product=None, product_price=None),
            product_ids=tuple(product.id for product in link.products),
        )
    )


def decode_product(record: bytes) -> Product:
    """The product of a record.

    :raises msgspec.DecodeError: when it is none.
    """
    return _products.decode(record)


def decode_link(record: bytes) -> tuple[CheckoutLink, tuple[str, ...]]:
    """The link of a record, without products, and their ids.

    :raises msgspec.DecodeError: when it is none.
    """
    found = _links.decode(record)
    return found.link, found.product_ids


def decode_naming(record: bytes) -> Naming:
    """Of a product's record, what its address is made of."""
    return _namings.decode(record)


def join_line(slug: str, record: bytes) -> bytes:
    """A product's record with its slug, as a line of a chunk: a JSON array of two."""
    return b"[%b,%b]" % (_encoder.encode(slug), record)


def split_line(line: bytes) -> tuple[str, bytes]:
    """The slug and the record of such a line."""
    slug, record = _lines.decode(line)
    return slug, bytes(record)
