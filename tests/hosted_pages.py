"""What the tests of the hosted pages share: the demo's links, opened as a buyer does."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import urlsplit

from storefront.emulator import LocalPolar
from storefront.emulator.records import Checkout
from tests.browser_form import Page, browse

SITE = "http://127.0.0.1:5000/shop"
_numbers = itertools.count()


def new_email() -> str:
    """An address that has never bought."""
    return f"buyer{next(_numbers)}@example.com"


def _link(polar: LocalPolar, product: str, **wanted: Any) -> dict[str, Any]:
    """A link of the demo that begins with that product."""
    for link in polar.store.links.values():
        first = polar.store.products[link["product_ids"][0]]
        if first["name"] == product and all(link[key] == value for key, value in wanted.items()):
            return link
    raise LookupError(product)


def link_url(polar: LocalPolar, product: str, **wanted: Any) -> str:
    """The address of a link of the demo that begins with that product."""
    secret = _link(polar, product, **wanted)["client_secret"]
    return f"{polar.url}/v1/checkout-links/{secret}/redirect"


def open_link(polar: LocalPolar, product: str, query: str = "", **wanted: Any) -> Page:
    """Open a link of the demo that begins with that product."""
    return browse(link_url(polar, product, **wanted) + query)


def checkout_of(polar: LocalPolar, page: Page) -> Checkout:
    """The session behind a page."""
    secret = urlsplit(page.response.url).path.split("/")[2]
    return polar.store.checkouts[polar.store.checkout_ids[secret]]


def order_of(polar: LocalPolar, checkout: Checkout) -> dict[str, Any]:
    """The order that a session has become."""
    return next(o for o in polar.store.orders.values() if o["checkout_id"] == checkout.id)
