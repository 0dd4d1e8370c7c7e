"""A checkout and its order, read from Polar and told as one of a few outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from storefront.errors import PolarInvalidRequest, PolarNotFound
from storefront.polar import BillingAddress, Checkout, Client, Order, OrderCustomer

#: What became of a checkout: ``paid`` has a receipt; ``waiting`` is confirmed and not yet an
#: order; ``open`` was not paid; the rest is what it says.
OutcomeState = Literal["paid", "waiting", "open", "expired", "failed"]

#: States of an order whose money has come in, whatever happened to it later.
_PAID = ("paid", "refunded", "partially_refunded")
#: Why there are orders besides the purchase itself.
_LATER = ("subscription_cycle", "subscription_update")


@dataclass(frozen=True, slots=True)
class Customer:
    """Who bought. Given to the site's own callbacks, and to the page of who proved to be it."""

    id: str
    email: str | None = field(repr=False, default=None)
    name: str | None = field(repr=False, default=None)
    #: The site's own id of the customer, where the checkout was made with one.
    external_id: str | None = None
    #: As it was typed at the checkout; None in what ``@shop.on_order`` gets.
    address: BillingAddress | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One line of a receipt; ``amount`` in minor units, before discount and tax."""

    label: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A paid order. Amounts are integers in the minor unit of ``currency`` (ISO code, lower case).

    Trials, free products and full discounts give a receipt with a total of 0.
    """

    #: None for an order that no checkout began, as a subscription's renewal may be.
    checkout_id: str | None
    order_id: str
    #: The invoice number, or None where Polar gives none.
    number: str | None
    #: ``paid``, ``refunded`` or ``partially_refunded``.
    status: str
    #: When the order was made, in UTC.
    ordered_at: datetime
    currency: str
    lines: tuple[ReceiptLine, ...]
    subtotal: int
    discount: int
    tax: int
    total: int
    refunded: int
    product_id: str | None
    product_name: str
    #: What the buyer is granted, in the merchant's words.
    benefits: tuple[str, ...]
    seats: int | None
    units: int | None
    is_subscription: bool
    subscription_id: str | None
    #: ``purchase``, ``subscription_create``, ``subscription_cycle`` (a renewal), …
    billing_reason: str
    #: When a trial ends and the first payment is taken, or None.
    trial_ends_at: datetime | None
    #: UTM parameters, ``reference_id`` and the link's own metadata.
    metadata: Mapping[str, Any]
    #: The buyer. What a page's template gets has what was typed at this checkout, and no more.
    customer: Customer | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of a checkout at this moment."""

    state: OutcomeState
    receipt: Receipt | None = None
    #: The order behind the receipt, as Polar gave it.
    order: Order | None = field(default=None, repr=False)


def read_checkout(client: Client, checkout_id: str, *, timeout: float) -> Checkout | None:
    """Read a checkout, in ``timeout`` seconds; None for an id that there is not.

    :raises PolarError: when Polar does not say.
    """
    try:
        return client.checkouts.get(checkout_id, timeout=timeout)
    except (PolarNotFound, PolarInvalidRequest):
        # Polar's ids are of one version of UUID; it refuses the others with a 422.
        return None


def read_outcome(client: Client, checkout: Checkout, *, timeout: float) -> Outcome:
    """Tell what has become of a checkout, and read its order where there may be one.

    :raises PolarError: when Polar does not give the order in ``timeout`` seconds.
    """
    match checkout.status:
        case "expired" | "failed":
            return Outcome("expired" if checkout.status == "expired" else "failed")
        case "open":
            # A session past its time may still read ``open``.
            past = checkout.expires_at is not None and checkout.expires_at <= datetime.now(UTC)
            return Outcome("expired" if past else "open")
    # A renewal's order has the checkout that began it all: the first order is the purchase.
    orders = client.orders.list(
        checkout_id=checkout.id, sorting=("created_at",), limit=5, timeout=timeout
    )
    for order in orders:
        if is_paid(order) and order.billing_reason not in _LATER:
            return Outcome("paid", make_receipt(order, checkout), order)
    return Outcome("waiting")


def is_paid(order: Order) -> bool:
    """Whether the money has come in, whatever happened to it later; 0 counts as money."""
    return order.status in _PAID


def make_receipt(order: Order, checkout: Checkout | None = None) -> Receipt:
    """A receipt from an order alone; with its checkout it tells of the benefits as well."""
    checkout = checkout or Checkout(id="")
    customer = order.customer or OrderCustomer()
    began = order.subscription
    trial = began.trial_end if began and began.status == "trialing" else None
    product = order.product or checkout.product
    return Receipt(
        checkout_id=checkout.id or order.checkout_id,
        order_id=order.id,
        number=order.invoice_number,
        status=order.status,
        ordered_at=order.created_at or datetime.now(UTC),
        currency=order.currency,
        lines=tuple(ReceiptLine(item.label, item.amount) for item in order.items),
        subtotal=order.subtotal_amount,
        discount=order.discount_amount,
        tax=order.tax_amount,
        total=order.total_amount,
        refunded=order.refunded_amount,
        product_id=order.product_id,
        product_name=product.name if product else order.description,
        benefits=tuple(
            # An order's product comes without its benefits; the checkout's has them.
            benefit.description
            for benefit in (checkout.product.benefits if checkout.product else ())
            if benefit.description
        ),
        seats=order.seats,
        units=order.units,
        is_subscription=order.subscription_id is not None,
        subscription_id=order.subscription_id,
        billing_reason=order.billing_reason,
        trial_ends_at=checkout.trial_end or trial,
        metadata=MappingProxyType(dict(order.metadata)),
        customer=Customer(
            id=order.customer_id or checkout.customer_id or "",
            email=checkout.customer_email or customer.email,
            name=checkout.customer_name or customer.name,
            external_id=checkout.external_customer_id or customer.external_id,
            address=checkout.customer_billing_address,
        ),
    )
