"""Subscriptions: what becomes of them after they began.

Time does not renew them here: whoever runs the local Polar says when a period is over.

Source: the states and the events are those of the service's API, 2026-10; how they follow one
another is from its open source.
"""

from __future__ import annotations

from datetime import datetime

from storefront.emulator.benefits import Benefits
from storefront.emulator.errors import NotFoundError, RefusedError
from storefront.emulator.events import (
    announce_customer_state,
    announce_order,
    announce_subscription,
)
from storefront.emulator.orders import Orders
from storefront.emulator.pricing import later
from storefront.emulator.records import Body, iso
from storefront.emulator.store import Store

_CANCELED = "This subscription is already canceled or will be at the end of the period."


class Subscriptions:
    """The subscriptions of a store."""

    def __init__(self, store: Store, orders: Orders, benefits: Benefits) -> None:
        self._store = store
        self._orders = orders
        self._benefits = benefits

    def get(self, subscription_id: str) -> Body:
        """:raises NotFoundError: no such subscription."""
        try:
            return self._store.subscriptions[subscription_id]
        except KeyError:
            raise NotFoundError from None

    def renew(self, subscription_id: str, *, declined: bool = False) -> Body | None:
        """Let the period be over: the next one is paid for, which makes an order.

        With `declined` it is not paid: the order is `pending`, the subscription `past_due`. One
        that is to end with its period ends, and there is no order.

        :raises NotFoundError: no such subscription.
        :raises RefusedError: it has ended.
        """
        store = self._store
        with store.lock:
            subscription = self.get(subscription_id)
            self._check_not_ended(subscription)
            if subscription["cancel_at_period_end"]:
                self._end(subscription)
                return None
            was_on_trial = subscription["status"] == "trialing"
            start = datetime.fromisoformat(subscription["current_period_end"])
            interval = subscription["recurring_interval"]
            end = later(start, interval, subscription["recurring_interval_count"])
            subscription.update(
                current_period_start=iso(start),
                current_period_end=iso(end),
                status="past_due" if declined else "active",
                past_due_at=iso(store.now()) if declined else None,
                modified_at=iso(store.now()),
            )
            order = self._orders.renew(subscription, after_trial=was_on_trial, is_paid=not declined)
            self._tell(subscription, "updated", "cycled")
            announce_order(store, "order.created", order)
            if declined:
                self._tell(subscription, "past_due")
                return order
            announce_order(store, "order.updated", order)
            announce_order(store, "order.paid", order)
            if was_on_trial:
                self._tell(subscription, "active")
            return order

    def cancel(
        self, subscription_id: str, *, reason: str | None = None, comment: str | None = None
    ) -> Body:
        """Let a subscription end with its period.

        :raises NotFoundError: no such subscription.
        :raises RefusedError: it has ended, or will.
        """
        with self._store.lock:
            subscription = self.get(subscription_id)
            self._check_not_ended(subscription)
            if subscription["cancel_at_period_end"]:
                raise _refuse()
            subscription.update(
                cancel_at_period_end=True,
                ends_at=subscription["current_period_end"],
                canceled_at=iso(self._store.now()),
                customer_cancellation_reason=reason,
                customer_cancellation_comment=comment,
                modified_at=iso(self._store.now()),
            )
            self._tell(subscription, "updated", "canceled")
            announce_customer_state(self._store, self._customer(subscription))
            return subscription

    def uncancel(self, subscription_id: str) -> Body:
        """Let a subscription that was to end go on.

        :raises NotFoundError: no such subscription.
        :raises RefusedError: it has ended, or was not to.
        """
        with self._store.lock:
            subscription = self.get(subscription_id)
            self._check_not_ended(subscription)
            if not subscription["cancel_at_period_end"]:
                detail = "This subscription is not scheduled to be canceled."
                raise RefusedError(409, "SubscriptionNotScheduledToCancel", detail)
            subscription.update(
                cancel_at_period_end=False,
                ends_at=None,
                canceled_at=None,
                customer_cancellation_reason=None,
                customer_cancellation_comment=None,
                modified_at=iso(self._store.now()),
            )
            self._tell(subscription, "updated", "uncanceled")
            announce_customer_state(self._store, self._customer(subscription))
            return subscription

    def revoke(
        self, subscription_id: str, *, reason: str | None = None, comment: str | None = None
    ) -> Body:
        """End a subscription now, and take back what it granted.

        :raises NotFoundError: no such subscription.
        :raises RefusedError: it has ended.
        """
        with self._store.lock:
            subscription = self.get(subscription_id)
            self._check_not_ended(subscription)
            if reason is not None or comment is not None:
                subscription.update(
                    customer_cancellation_reason=reason, customer_cancellation_comment=comment
                )
            self._end(subscription)
            return subscription

    def _end(self, subscription: Body) -> None:
        store = self._store
        was_canceled = subscription["canceled_at"] is not None
        ended_at = iso(store.now())
        subscription.update(
            status="canceled",
            canceled_at=subscription["canceled_at"] or ended_at,
            ends_at=subscription["ends_at"] if was_canceled else ended_at,
            ended_at=ended_at,
            modified_at=iso(store.now()),
        )
        self._tell(subscription, "updated")
        if not was_canceled:
            self._tell(subscription, "canceled")
        self._tell(subscription, "revoked")
        self._benefits.revoke(subscription_id=subscription["id"])
        announce_customer_state(store, self._customer(subscription))

    def _check_not_ended(self, subscription: Body) -> None:
        if subscription["ended_at"] is not None:
            raise _refuse()

    def _customer(self, subscription: Body) -> Body:
        return self._store.customers[subscription["customer_id"]]

    def _tell(self, subscription: Body, *happenings: str) -> None:
        for what in happenings:
            announce_subscription(self._store, f"subscription.{what}", subscription)


def _refuse() -> RefusedError:
    return RefusedError(403, "AlreadyCanceledSubscription", _CANCELED)
