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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from storefront.catalog.slugs import slugify
from storefront.emulator import Fault, Faults, LocalPolar, PolarError, SeedError, Store, Webhook
from storefront.emulator.buying import billing_address, buy, required_answers
from storefront.emulator.confirming import DECLINING_TOKEN
from storefront.emulator.demo import demo_store
from storefront.emulator.shapes import success_url

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


class PurchaseError(Exception):
    """What did not come about: a purchase, a refund, a renewal. The message has what the API
    answered."""


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
    customer_session_token: str | None = field(repr=False)
    #: What renews, where the product does.
    subscription_id: str | None = None


class ShopPolar(LocalPolar):
    """A local Polar with somebody who buys.

    Besides what is here it has `url`, `store`, `faults`, `requests`, `webhooks` and `rate_limit`.
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
        required = required_answers(checkout["attached_custom_fields"])
        answers = {**required, **checkout["custom_field_data"]}
        answers |= chosen.get("custom_field_data", {})
        confirmed = self._ask(
            "POST",
            f"{where}/confirm",
            {
                "customer_billing_address": billing_address(country),
                **chosen,
                "customer_name": name or email.partition("@")[0],
                "customer_email": email,
                "custom_field_data": answers,
                "confirmation_token_id": DECLINING_TOKEN if declined else "ctoken_paid",
            },
        )
        settled = self._settled(where)
        is_paid = settled["status"] == "succeeded"
        order: Mapping[str, Any] = self._order(settled["id"]) if is_paid else {}
        return Purchase(
            checkout_id=settled["id"],
            order_id=order.get("id"),
            customer_id=confirmed["customer_id"],
            success_url=settled["success_url"] if is_paid else None,
            customer_session_token=confirmed["customer_session_token"],
            subscription_id=order.get("subscription_id"),
        )

    def purchase_many(
        self,
        link: str,
        emails: Iterable[str],
        *,
        country: str = "FR",
        query: Mapping[str, str] | None = None,
    ) -> list[Purchase]:
        """Buy the same once for each email address, without HTTP: ten thousand in seconds.

        `link` and `query` are those of `purchase`; a URL is not taken.

        :raises PurchaseError: there is no such link, or something was turned down.
        """
        secret = self._link(link)["client_secret"]
        with self._turned_down():
            return [self._buy(secret, email, country, query) for email in emails]

    def refund(
        self, order_id: str, amount: int | None = None, *, revoke_benefits: bool = False
    ) -> dict[str, Any]:
        """Give back an amount in minor units, or all that is left; the refund as the API has it.

        `revoke_benefits` takes back what the order was granted; a subscription has to be revoked.

        :raises PurchaseError: there is no such order, or not so much to give back.
        """
        with self._turned_down():
            return self.services.refunds.create(order_id, amount, revoke_benefits=revoke_benefits)

    def renew(self, subscription_id: str, *, declined: bool = False) -> str | None:
        """Let a subscription's period be over, and the next be paid: the id of the new order.

        With `declined` the order is not paid, and the subscription past due. None where the
        subscription was to end with the period, and has.

        :raises PurchaseError: there is no such subscription, or it has ended.
        """
        with self._turned_down():
            order = self.services.subscriptions.renew(subscription_id, declined=declined)
            return None if order is None else str(order["id"])

    def cancel(self, subscription_id: str) -> None:
        """Let a subscription end with its period, which `renew` lets be over.

        :raises PurchaseError: there is no such subscription, or it has ended or will.
        """
        with self._turned_down():
            self.services.subscriptions.cancel(subscription_id)

    def revoke(self, subscription_id: str) -> None:
        """End a subscription now, and take back what it granted.

        :raises PurchaseError: there is no such subscription, or it has ended.
        """
        with self._turned_down():
            self.services.subscriptions.revoke(subscription_id)

    def customer_session(self, customer_id: str) -> str:
        """A session token of a customer, such as one who bought before, good for an hour.

        :raises PurchaseError: there is no such customer.
        """
        with self._turned_down():
            return self.services.customers.open_session(customer_id).token

    def _buy(
        self, secret: str, email: str, country: str, query: Mapping[str, str] | None
    ) -> Purchase:
        checkout = buy(self.services, secret, email=email, country=country, query=query)
        (order,) = self.store.orders_by("checkout_id", [checkout.id])
        return Purchase(
            checkout_id=checkout.id,
            order_id=order["id"],
            customer_id=order["customer_id"],
            success_url=success_url(checkout, self.url),
            customer_session_token=checkout.customer_session_token,
            subscription_id=order["subscription_id"],
        )

    @contextmanager
    def _turned_down(self) -> Iterator[None]:
        try:
            yield
        except PolarError as error:
            raise PurchaseError(f"{error.status} {error}") from error

    def _address(self, link: str) -> str:
        if link.startswith(("http://", "https://")):
            return link
        secret = self._link(link)["client_secret"]
        return f"{self.url}/v1/checkout-links/{secret}/redirect"

    def _link(self, link: str) -> dict[str, Any]:
        with self.store.lock:
            live = self.store.live_links()
            found = [item for item in live if link in (item["id"], item["label"])] or [
                item
                for item in live
                if any(link in _names(product) for product in self.store.link_products(item))
            ]
        if not found:
            raise PurchaseError(f"no checkout link has the id or label {link!r}, or offers it")
        return found[0]

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

    def _order(self, checkout_id: str) -> dict[str, Any]:
        orders = self._ask("GET", f"{self.url}/v1/orders/?checkout_id={checkout_id}")
        order: dict[str, Any] = orders["items"][0]
        return order

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
    options are those of `LocalPolar`: `grant_seconds`, `webhook`, `rate_limit`, `tokens`, `host`
    and `port`.

    :raises SeedError: the seed is no store.
    :raises OSError: the file cannot be read, or the port cannot be had.
    """
    if isinstance(seed, str | Path):
        seed = json.loads(Path(seed).read_text(encoding="utf-8"))
    store = Store(demo_store(site) if seed is None else seed)  # type: ignore[arg-type]
    polar = ShopPolar(store, settle_seconds=settle_seconds, **options)
    with polar:
        yield polar
