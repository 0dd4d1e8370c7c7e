"""Helpers for a site's own tests: a local Polar, a buyer, and an API that misbehaves.

::

    with local_polar() as polar:
        app = create_app(POLAR_SERVER=polar.url, POLAR_ACCESS_TOKEN=polar.token)
        bought = polar.purchase("Field Notes", email="jane@example.com")
        polar.faults.set("status", 503)

Nothing in the package imports this module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from storefront.catalog.slugs import slugify
from storefront.emulator import Fault, Faults, LocalPolar, SeedError, Store, Webhook
from storefront.emulator.confirming import DECLINING_TOKEN
from storefront.emulator.demo import demo_store

__all__ = [
    "Fault",
    "Faults",
    "Purchase",
    "PurchaseError",
    "SeedError",
    "ShopPolar",
    "Webhook",
    "local_polar",
]

_TIMEOUT: Final = 10.0
#: What a buyer enters into a custom field that must be filled in, by its type.
_ANSWERS: Final[Mapping[str, Any]] = {
    "text": "Answer",
    "number": 1,
    "date": "2026-12-24",
    "checkbox": True,
}


_ADDRESS: Final = {
    "line1": "1 Main Street",
    "city": "Springfield",
    "postal_code": "12345",
    "state": "CA",
}


class PurchaseError(Exception):
    """A purchase that did not come about. The message has what the API answered."""


@dataclass(frozen=True)
class Purchase:
    """What a buyer has after a click on Pay."""

    checkout_id: str
    #: None where the payment was declined.
    order_id: str | None
    customer_id: str
    #: Where the buyer is sent; None where the payment was declined.
    success_url: str | None
    #: Proves who bought; None where the email already belonged to a customer.
    customer_session_token: str | None


class ShopPolar(LocalPolar):
    """A local Polar with somebody who buys.

    Besides what is here it has `url`, `store`, `faults`, `webhooks` and `rate_limit`.
    """

    @property
    def token(self) -> str:
        """The access token that may do everything."""
        return next(iter(self.tokens))

    def purchase(
        self,
        link: str,
        *,
        email: str,
        product: str | None = None,
        discount_code: str | None = None,
        name: str | None = None,
        country: str = "FR",
        query: Mapping[str, str] | None = None,
        changes: Mapping[str, Any] | None = None,
        declined: bool = False,
    ) -> Purchase:
        """Open a checkout link and pay, as a buyer does, through the API.

        `link` is a link's id, label or URL, or the id, name or slug of a product that a link
        offers; a URL may bring parameters. `product` names the one to choose in the same ways.
        `query` are more parameters to open the link with; `changes` more of what a buyer fills in,
        such as `amount`, `seats`, `customer_billing_address` or `custom_field_data`. Custom fields
        that must be filled in, are. With `declined` the payment is.

        :raises PurchaseError: there is no such link or product, or something was turned down.
        """
        secret = self._open(self._address(link), query or {})
        where = f"{self.url}/v1/checkouts/client/{secret}"
        chosen: dict[str, Any] = dict(changes or {})
        if product is not None:
            chosen["product_id"] = self._product(product)
        if discount_code is not None:
            chosen["discount_code"] = discount_code
        checkout = self._ask("PATCH", where, chosen)
        answers = {**_required(checkout), **checkout["custom_field_data"]}
        answers |= chosen.get("custom_field_data", {})
        confirmed = self._ask(
            "POST",
            f"{where}/confirm",
            {
                "customer_billing_address": {**_ADDRESS, "country": country},
                **chosen,
                "customer_name": name or email.partition("@")[0],
                "customer_email": email,
                "custom_field_data": answers,
                "confirmation_token_id": DECLINING_TOKEN if declined else "ctoken_paid",
            },
        )
        settled = self._settled(where)
        is_paid = settled["status"] == "succeeded"
        return Purchase(
            checkout_id=settled["id"],
            order_id=self._order(settled["id"]) if is_paid else None,
            customer_id=confirmed["customer_id"],
            success_url=settled["success_url"] if is_paid else None,
            customer_session_token=confirmed["customer_session_token"],
        )

    def _address(self, link: str) -> str:
        if link.startswith(("http://", "https://")):
            return link
        with self.store.lock:
            live = self.store.live_links()
            found = [item for item in live if link in (item["id"], item["label"])] or [
                item
                for item in live
                if any(link in _names(product) for product in self.store.link_products(item))
            ]
        if not found:
            raise PurchaseError(f"no checkout link has the id or label {link!r}, or offers it")
        return f"{self.url}/v1/checkout-links/{found[0]['client_secret']}/redirect"

    def _product(self, product: str) -> str:
        for item in list(self.store.products.values()):
            if product in _names(item):
                return str(item["id"])
        raise PurchaseError(f"no product has the id, name or slug {product!r}")

    def _open(self, address: str, query: Mapping[str, str]) -> str:
        answer = requests.get(address, params=query, allow_redirects=False, timeout=_TIMEOUT)
        path = urlsplit(answer.headers.get("Location", "")).path
        if not path.startswith("/checkout/"):
            raise PurchaseError(f"{address} opened no checkout: {answer.status_code} {answer.text}")
        return path.rpartition("/")[2]

    def _settled(self, where: str) -> dict[str, Any]:
        give_up = time.monotonic() + _TIMEOUT
        while True:
            checkout = self._ask("GET", where)
            if checkout["status"] != "confirmed":
                return checkout
            if time.monotonic() > give_up:
                raise PurchaseError(f"the payment did not settle within {_TIMEOUT:g} seconds")
            time.sleep(0.01)

    def _order(self, checkout_id: str) -> str:
        orders = self._ask("GET", f"{self.url}/v1/orders/?checkout_id={checkout_id}")
        return str(orders["items"][0]["id"])

    def _ask(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        answer = requests.request(method, url, json=body, headers=self.headers, timeout=_TIMEOUT)
        if not answer.ok:
            raise PurchaseError(f"{answer.status_code} {answer.text}")
        answered: dict[str, Any] = answer.json()
        return answered


def _names(product: Mapping[str, Any]) -> set[Any]:
    """What a product may be called here; of several with one name, the slug is the first's."""
    slug = product["metadata"].get("slug") or slugify(product["name"])
    return {product["id"], product["name"], slug}


def _required(checkout: Mapping[str, Any]) -> dict[str, Any]:
    """Something for each custom field that must be filled in; of options the first."""
    answers = {}
    for attached in checkout["attached_custom_fields"]:
        field = attached["custom_field"]
        if attached["required"]:
            options = field["properties"].get("options") or [{"value": None}]
            answers[field["slug"]] = _ANSWERS.get(field["type"], options[0]["value"])
    return answers


@contextmanager
def local_polar(
    seed: Mapping[str, Any] | str | Path | None = None,
    *,
    site: str = "http://localhost/shop",
    settle_seconds: float = 0,
    **options: Any,
) -> Iterator[ShopPolar]:
    """A local Polar on a free port for as long as the `with` lasts.

    `seed` is what it sells, in the API's shapes, or a JSON file of it; without one it sells the
    demo store, whose links lead back to `site`. Payments settle after `settle_seconds`. Further
    options are those of `LocalPolar`: `webhook`, `rate_limit`, `tokens`, `host` and `port`.

    :raises SeedError: the seed is no store.
    :raises OSError: the file cannot be read, or the port cannot be had.
    """
    if isinstance(seed, str | Path):
        seed = json.loads(Path(seed).read_text(encoding="utf-8"))
    store = Store(demo_store(site) if seed is None else seed)  # type: ignore[arg-type]
    polar = ShopPolar(store, settle_seconds=settle_seconds, **options)
    with polar:
        yield polar
