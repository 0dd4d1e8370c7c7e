"""Checkout sessions: opening, filling in, confirming and settling them.

This is what both the API and the hosted pages call, in one process::

    opened = services.checkouts.open_link(secret, query, ip_address="127.0.0.1")
    checkout = services.checkouts.get_by_secret(client_secret)
    checkout = services.checkouts.update(client_secret, {"discount_code": "LAUNCH20"})
    checkout = services.checkouts.confirm(client_secret, {"customer_email": ..., ...})
    checkout = services.checkouts.wait_until_settled(client_secret, timeout=15)

Each gives a `records.Checkout`, a live object for reading only, and raises the exceptions of
`storefront.emulator.errors`. `pricing.totals_of(checkout)` gives its sums, `shapes.success_url(
checkout, base_url)` the address to go on to, `checkout.decline_reason` and
`checkout.customer_session_token` what the API's answers do not repeat.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from werkzeug.datastructures import MultiDict

from storefront.emulator.benefits import Benefits
from storefront.emulator.confirming import (
    DECLINING_TOKEN,
    apply_changes,
    check_complete,
    check_shapes,
)
from storefront.emulator.customers import Customers
from storefront.emulator.embedding import embedding_origin
from storefront.emulator.errors import (
    CheckoutExpiredError,
    CheckoutNotOpenError,
    InvalidRequestError,
    NotFoundError,
    Problem,
)
from storefront.emulator.events import announce_checkout, announce_purchase
from storefront.emulator.fields import prefilled_fields
from storefront.emulator.opening import CONSUMED, chosen_locale, read_prefill
from storefront.emulator.orders import Orders
from storefront.emulator.pricing import (
    amount_of,
    choose_price,
    discount_applies,
    find_discount,
    is_payment_form_required,
    is_payment_required,
    later,
    minimum_seats,
    minimum_units,
    trial_of,
)
from storefront.emulator.records import Body, Checkout
from storefront.emulator.store import Store, new_id, new_processor_id, new_secret

#: How long a session can be paid. Source: recorded from the service, 2026-11-22.
LIFETIME = timedelta(hours=24)

_DECLINED = "Your card was declined. Nothing was charged; try again or use another card."


@dataclass(frozen=True)
class Opened:
    """A link that was opened: the new session, and the parameters that stay in the address."""

    checkout: Checkout
    parameters: Mapping[str, str]


class Checkouts:
    """The checkout sessions of a store."""

    def __init__(
        self,
        store: Store,
        orders: Orders,
        customers: Customers,
        benefits: Benefits,
        *,
        settle_seconds: float = 1.0,
    ) -> None:
        """`settle_seconds` is how long a confirmed checkout takes to succeed."""
        self._store = store
        self._orders = orders
        self._customers = customers
        self._benefits = benefits
        self._settle_after = timedelta(seconds=settle_seconds)

    def open_link(
        self, secret: str, query: MultiDict[str, str], *, ip_address: str | None = None
    ) -> Opened:
        """Make a session from a checkout link. Each call makes one.

        :raises NotFoundError: no such link, or nothing left on it.
        :raises InvalidRequestError: `product_id` is no UUID.
        :raises EmbedHostError: the embedding origin is not on the organization's list.
        :raises CrashError: input the service itself breaks on.
        """
        prefill = read_prefill(query)
        store = self._store
        with store.lock:
            link = store.link_by_secret(secret)
            origin = embedding_origin(prefill.arguments.get("embed_origin"), store.organization)
            products = store.link_products(link)
            wanted = [product for product in products if product["id"] == prefill.product_id]
            checkout = self._start(
                [product["id"] for product in products],
                (wanted or products)[0],
                amount=prefill.amount,
                seats=link["seats"],
                units=link.get("units"),
            )
            values, used = prefilled_fields(checkout.product, prefill.arguments)
            checkout.success_url = link["success_url"]
            checkout.return_url = link["return_url"]
            checkout.allow_discount_codes = link["allow_discount_codes"]
            checkout.require_billing_address = link["require_billing_address"]
            checkout.trial_interval = link["trial_interval"]
            checkout.trial_interval_count = link["trial_interval_count"]
            checkout.metadata = {**prefill.metadata, **link["metadata"]}
            checkout.embed_origin = origin
            checkout.locale = chosen_locale(prefill.locale, store.organization)
            checkout.customer_email = prefill.customer_email
            checkout.customer_name = prefill.customer_name
            checkout.customer_ip_address = ip_address
            checkout.custom_field_data = values
            preset = store.discounts.get(link["discount_id"] or "")
            named = find_discount(store.discounts.values(), prefill.discount_code or "")
            checkout.discount = self._usable(named, checkout) or self._usable(preset, checkout)
            self._keep(checkout)
        stays = {
            name: value
            for name, value in prefill.arguments.items()
            if name not in CONSUMED and name not in used
        }
        return Opened(checkout, stays)

    def create(self, body: Mapping[str, Any]) -> Checkout:
        """Make a session for a list of products, as a shop's server does with its token.

        :raises InvalidRequestError: a product that is not there, or a malformed field.
        """
        check_shapes(body)
        store = self._store
        with store.lock:
            product_ids = body.get("products")
            if not isinstance(product_ids, list) or not product_ids:
                loc = ("body", "CheckoutProductsCreate", "products")
                raise InvalidRequestError([Problem("missing", loc, "Field required", dict(body))])
            for index, product_id in enumerate(product_ids):
                product = store.products.get(str(product_id))
                if product is None or product["is_archived"]:
                    message = (
                        "Product does not exist." if product is None else "Product is archived."
                    )
                    raise InvalidRequestError(
                        [Problem("value_error", ("body", "products", index), message, product_id)],
                        error="PolarRequestValidationError",
                    )
            checkout = self._start(product_ids, store.products[product_ids[0]])
            external_id = body.get("external_customer_id", body.get("customer_external_id"))
            checkout.success_url = body.get("success_url")
            checkout.return_url = body.get("return_url")
            checkout.allow_discount_codes = body.get("allow_discount_codes") is not False
            checkout.require_billing_address = body.get("require_billing_address") is True
            checkout.customer_external_id = external_id
            checkout.customer_metadata = body.get("customer_metadata") or {}
            checkout.metadata = body.get("metadata") or {}
            checkout.embed_origin = body.get("embed_origin")
            checkout.customer_ip_address = body.get("customer_ip_address")
            checkout.discount = store.discounts.get(body.get("discount_id") or "")
            apply_changes(store, checkout, {**body, "product_id": product_ids[0]})
            self._keep(checkout)
            return checkout

    def all(self) -> list[Checkout]:
        """Every session, oldest first."""
        with self._store.lock:
            self.settle_due()
            return list(self._store.checkouts.values())

    def get(self, checkout_id: str) -> Checkout:
        """A session by id, as its organization may read it: expired ones too.

        :raises NotFoundError: no such session.
        """
        with self._store.lock:
            self.settle_due()
            try:
                return self._store.checkouts[checkout_id]
            except KeyError:
                raise NotFoundError from None

    def get_by_secret(self, secret: str) -> Checkout:
        """A session by its client secret, as its page reads it.

        :raises NotFoundError: no such session.
        :raises CheckoutExpiredError: it is open, and past its 24 hours.
        """
        with self._store.lock:
            checkout = self.get(self._store.checkout_ids.get(secret, ""))
            if checkout.status == "open" and self._store.now() >= checkout.expires_at:
                raise CheckoutExpiredError
            return checkout

    def update(self, secret: str, changes: Mapping[str, Any]) -> Checkout:
        """Fill in or change an open session: `customer_email`, `customer_name`,
        `customer_billing_address`, `custom_field_data`, `discount_code`, `product_id`, `amount`,
        `seats` and the like. What is absent stays; unknown keys are ignored.

        :raises NotFoundError: no such session.
        :raises CheckoutExpiredError: it is past its 24 hours.
        :raises CheckoutNotOpenError: it was confirmed already, or has ended.
        :raises InvalidRequestError: a value cannot be taken; nothing was changed.
        """
        with self._store.lock:
            checkout = self._open(secret)
            if apply_changes(self._store, checkout, changes):
                checkout.modified_at = self._store.now()
                announce_checkout(self._store, "checkout.updated", checkout)
            return checkout

    def confirm(self, secret: str, changes: Mapping[str, Any]) -> Checkout:
        """Pay: take the last changes, and start what settles after `settle_seconds`.

        A session that costs something also needs a `confirmation_token_id`, any string;
        `confirming.DECLINING_TOKEN` makes the payment come back declined. Custom fields have to be
        sent along, also those filled in before. Whoever is new gets a `customer_session_token` on
        the session.

        :raises NotFoundError: no such session.
        :raises CheckoutExpiredError: it is past its 24 hours.
        :raises CheckoutNotOpenError: it was confirmed already, or has ended.
        :raises InvalidRequestError: something is missing or malformed.
        """
        with self._store.lock:
            checkout = self._open(secret)
            token = changes.get("confirmation_token_id")
            check_complete(checkout, changes, has_token=bool(token))
            # What is not sent along with the click on Pay is gone, as recorded.
            fields = changes.get("custom_field_data") or {}
            apply_changes(self._store, checkout, {**changes, "custom_field_data": fields})
            customer, is_new = self._customers.for_checkout(checkout)
            checkout.customer_id = customer["id"]
            checkout.customer_session_token = None
            if is_new:
                session = self._customers.open_session(customer["id"])
                checkout.customer_session_token = session.token
            self._charge(checkout, customer)
            now = self._store.now()
            checkout.status = "confirmed"
            checkout.modified_at = now
            checkout.decline_reason = None
            checkout.will_be_declined = token == DECLINING_TOKEN
            checkout.settles_at = now + self._settle_after
            self._store.pending.add(checkout.id)
            announce_checkout(self._store, "checkout.updated", checkout)
            return checkout

    def wait_until_settled(self, secret: str, *, timeout: float) -> Checkout:
        """Wait for a confirmed session to succeed or to be declined, at most `timeout` seconds.

        Look at its `status`: one still `confirmed` has run out of time.

        :raises NotFoundError: no such session.
        :raises CheckoutExpiredError: it is open, and past its 24 hours.
        """
        give_up = time.monotonic() + timeout
        while True:
            checkout = self.get_by_secret(secret)
            if checkout.status != "confirmed" or time.monotonic() >= give_up:
                return checkout
            time.sleep(0.02)

    def settle_due(self) -> None:
        """Bring every confirmed session to its end whose time has come, and grant the benefits
        that are due. Each read does this, so there is no thread of its own."""
        with self._store.lock:
            pending = [self._store.checkouts[checkout_id] for checkout_id in self._store.pending]
            if pending:
                now = self._store.now()
                due = [item for item in pending if item.settles_at and item.settles_at <= now]
                for checkout in sorted(due, key=lambda item: item.settles_at or now):
                    self._settle(checkout)
            self._benefits.grant_due()

    def _settle(self, checkout: Checkout) -> None:
        self._store.pending.discard(checkout.id)
        checkout.settles_at = None
        if checkout.will_be_declined:
            checkout.status = "open"
            checkout.decline_reason = _DECLINED
            for key in ("intent_client_secret", "intent_status"):
                checkout.payment_processor_metadata.pop(key, None)
            checkout.modified_at = self._store.now()
            announce_checkout(self._store, "checkout.updated", checkout)
            return
        if checkout.discount is not None:
            checkout.discount["redemptions_count"] += 1
        order = self._orders.place(checkout)
        checkout.status = "succeeded"
        checkout.payment_processor_metadata["intent_status"] = "succeeded"
        checkout.modified_at = self._store.now()
        announce_purchase(self._store, checkout, order)
        self._benefits.grant_for(order)

    def _charge(self, checkout: Checkout, customer: Body) -> None:
        known = customer.setdefault("processor_id", new_processor_id("cus_"))
        checkout.payment_processor_metadata = {"customer_id": known}
        if is_payment_form_required(checkout):
            kind = "pi_" if is_payment_required(checkout) else "seti_"
            checkout.payment_processor_metadata |= {
                "intent_client_secret": f"{new_processor_id(kind)}_secret_x",
                "intent_status": "succeeded",
            }

    def _open(self, secret: str) -> Checkout:
        checkout = self.get_by_secret(secret)
        if checkout.status != "open":
            raise CheckoutNotOpenError(checkout.id, checkout.status)
        return checkout

    def _start(
        self,
        product_ids: list[str],
        product: Body,
        *,
        amount: int | None = None,
        seats: int | None = None,
        units: int | None = None,
    ) -> Checkout:
        now = self._store.now()
        price = choose_price(product, self._store.currency)
        fewest = minimum_seats(price)
        count = None if fewest is None else seats or fewest
        fewest_units = minimum_units(price)
        unit_count = None if fewest_units is None else units or fewest_units
        return Checkout(
            id=new_id(),
            client_secret=new_secret("polar_c_"),
            created_at=now,
            expires_at=now + LIFETIME,
            product_ids=tuple(product_ids),
            product=product,
            price=price,
            currency=price["price_currency"],
            amount=amount_of(price, seats=count, units=unit_count, named=amount),
            seats=count,
            min_seats=seats if fewest is not None else None,
            max_seats=seats if fewest is not None else None,
            units=unit_count,
            min_units=units if fewest_units is not None else None,
            max_units=units if fewest_units is not None else None,
        )

    def _usable(self, discount: Body | None, checkout: Checkout) -> Body | None:
        if discount is None:
            return None
        now = self._store.now()
        fits = discount_applies(discount, checkout.product, checkout.currency, now)
        return discount if fits else None

    def _keep(self, checkout: Checkout) -> None:
        trial = trial_of(checkout)
        if trial is not None:
            checkout.trial_end = later(checkout.created_at, *trial)
        self._store.checkouts[checkout.id] = checkout
        self._store.checkout_ids[checkout.client_secret] = checkout.id
        announce_checkout(self._store, "checkout.created", checkout)
