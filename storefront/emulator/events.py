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

#: What a customer's state tells of each of their subscriptions.
_SUBSCRIPTION_STATE = (
    "id",
    "created_at",
    "modified_at",
    "custom_field_data",
    "metadata",
    "status",
    "amount",
    "currency",
    "recurring_interval",
    "current_period_start",
    "current_period_end",
    "trial_start",
    "trial_end",
    "cancel_at_period_end",
    "canceled_at",
    "started_at",
    "ends_at",
    "product_id",
    "discount_id",
    "seats",
    "units",
)


def announce_checkout(store: Store, event: str, checkout: Checkout) -> None:
    """Tell of a checkout as it is now."""
    store.announce(
        event, lambda base: shapes.with_origin(shapes.checkout(store, checkout, base), base)
    )


def announce_customer(store: Store, event: str, customer: Body) -> None:
    """Tell of a customer as they are now."""
    store.announce(event, lambda _: shapes.public_customer(customer))


def announce_purchase(store: Store, checkout: Checkout, order: Body) -> None:
    """Tell all that a payment which went through has brought about."""
    for event in ("order.created", "order.updated", "order.paid"):
        store.announce(event, lambda base: shapes.with_origin(shapes.order(store, order), base))
    announce_checkout(store, "checkout.updated", checkout)
    subscription = store.subscriptions.get(order["subscription_id"] or "")
    if subscription is not None:
        _announce_subscription(store, "subscription.created", subscription)
    customer = store.customers[order["customer_id"]]
    store.announce("customer.state_changed", lambda _: _customer_state(store, customer))
    announce_customer(store, "customer.updated", customer)
    if subscription is not None:
        _announce_subscription(store, "subscription.active", subscription)
        _announce_subscription(store, "subscription.updated", subscription)


def _customer_state(store: Store, customer: Body) -> Body:
    """A customer with all they have. Benefits are not granted here, and meters count nothing."""
    subscriptions = [
        {**{key: item[key] for key in _SUBSCRIPTION_STATE}, "meters": []}
        for item in store.subscriptions.values()
        if item["customer_id"] == customer["id"]
    ]
    return {
        **shapes.public_customer(customer),
        "active_subscriptions": subscriptions,
        "granted_benefits": [],
        "active_meters": [],
    }


def _announce_subscription(store: Store, event: str, subscription: Body) -> None:
    store.announce(
        event, lambda base: shapes.with_origin(shapes.subscription(store, subscription), base)
    )
