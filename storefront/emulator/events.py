"""The events that webhooks tell of: their names, and what a purchase sets off.

Source: names, bodies and their order as recorded from the service, 2026-11-22. The names are in
the order in which it lists them.
"""

from __future__ import annotations

from typing import Final

from storefront.emulator import shapes
from storefront.emulator.records import Body, Checkout
from storefront.emulator.store import Store

EVENTS: Final = (
    "checkout.created",
    "checkout.updated",
    "checkout.expired",
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "customer.state_changed",
    "customer_seat.assigned",
    "customer_seat.claimed",
    "customer_seat.revoked",
    "member.created",
    "member.updated",
    "member.deleted",
    "order.created",
    "order.updated",
    "order.paid",
    "order.refunded",
    "subscription.created",
    "subscription.updated",
    "subscription.active",
    "subscription.canceled",
    "subscription.uncanceled",
    "subscription.cycled",
    "subscription.revoked",
    "subscription.past_due",
    "subscription.paused",
    "subscription.resumed",
    "refund.created",
    "refund.updated",
    "product.created",
    "product.updated",
    "discount.created",
    "discount.updated",
    "discount.deleted",
    "benefit.created",
    "benefit.updated",
    "benefit_grant.created",
    "benefit_grant.cycled",
    "benefit_grant.updated",
    "benefit_grant.revoked",
    "organization.updated",
)


def announce_checkout(store: Store, event: str, checkout: Checkout) -> None:
    """Tell of a checkout as it is now."""
    store.announce(
        event, lambda base: shapes.with_origin(shapes.checkout(store, checkout, base), base)
    )


def announce_customer(store: Store, event: str, customer: Body) -> None:
    """Tell of a customer as they are now."""
    store.announce(event, lambda _: shapes.public_customer(customer))


def announce_order(store: Store, event: str, order: Body) -> None:
    """Tell of an order as it is now."""
    store.announce(event, lambda base: shapes.with_origin(shapes.order(store, order), base))


def announce_grant(store: Store, event: str, grant: Body) -> None:
    """Tell of a benefit that was granted or taken back."""
    store.announce(event, lambda _: {**shapes.grant(store, grant), "previous_properties": {}})


def announce_customer_state(store: Store, customer: Body) -> None:
    """Tell of all that a customer has now."""
    store.announce("customer.state_changed", lambda _: shapes.customer_state(store, customer))


def announce_subscription(store: Store, event: str, subscription: Body) -> None:
    """Tell of a subscription as it is now."""
    store.announce(
        event, lambda base: shapes.with_origin(shapes.subscription(store, subscription), base)
    )


def announce_purchase(store: Store, checkout: Checkout, order: Body) -> None:
    """Tell all that a payment which went through has brought about."""
    for event in ("order.created", "order.updated", "order.paid"):
        announce_order(store, event, order)
    announce_checkout(store, "checkout.updated", checkout)
    subscription = store.subscriptions.get(order["subscription_id"] or "")
    if subscription is not None:
        announce_subscription(store, "subscription.created", subscription)
    customer = store.customers[order["customer_id"]]
    announce_customer_state(store, customer)
    announce_customer(store, "customer.updated", customer)
    if subscription is not None:
        announce_subscription(store, "subscription.active", subscription)
        announce_subscription(store, "subscription.updated", subscription)
