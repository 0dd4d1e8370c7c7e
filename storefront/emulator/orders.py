"""Orders and subscriptions: what a checkout turns into once it is paid."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from storefront.emulator.errors import InvoiceMissingError, NotFoundError
from storefront.emulator.pricing import discount_amount, later, totals_of, trial_of
from storefront.emulator.records import Body, Checkout, iso
from storefront.emulator.store import Store, new_id


class Orders:
    """What was sold."""

    def __init__(self, store: Store, *, settle_seconds: float = 1.0) -> None:
        """`settle_seconds` is how long an invoice takes to be drawn up."""
        self._store = store
        self._invoice_takes = timedelta(seconds=settle_seconds)

    def get(self, order_id: str) -> Body:
        """:raises NotFoundError: no such order."""
        try:
            return self._store.orders[order_id]
        except KeyError:
            raise NotFoundError from None

    def of_customer(self, customer_id: str) -> list[Body]:
        """A customer's orders, oldest first."""
        with self._store.lock:
            return self._store.orders_by("customer_id", [customer_id])

    def request_invoice(self, order_id: str) -> None:
        """Ask for an order's invoice, which can be read after a moment.

        :raises NotFoundError: no such order.
        """
        with self._store.lock:
            order = self.get(order_id)
            self._store.invoices.setdefault(order["id"], self._store.now() + self._invoice_takes)

    def check_invoice(self, order_id: str) -> None:
        """Make sure there is an invoice to read.

        :raises NotFoundError: no such order.
        :raises InvoiceMissingError: it was not asked for, or not yet drawn up.
        """
        with self._store.lock:
            if not self._store.has_invoice(self.get(order_id)["id"]):
                raise InvoiceMissingError(order_id)

    def place(self, checkout: Checkout) -> Body:
        """Turn a paid checkout into an order, and into a subscription if its product recurs."""
        store = self._store
        with store.lock:
            customer = store.customers[checkout.customer_id or ""]
            self._settle_customer(customer, checkout)
            subscription = None
            if checkout.product["is_recurring"]:
                subscription = self._subscribe(checkout, customer)
            order = self._order(checkout, customer, subscription)
            store.add_order(order)
            return order

    def renew(self, subscription: Body, *, after_trial: bool, is_paid: bool) -> Body:
        """Make the order of a subscription's new period.

        It costs what was bought at first; a discount that is for a time, or for once, is over
        when that is.
        """
        store = self._store
        with store.lock:
            checkout = store.checkouts[subscription["checkout_id"]]
            customer = store.customers[subscription["customer_id"]]
            discount = checkout.discount
            if discount is not None and not _still_applies(discount, subscription, after_trial):
                discount = None
            off = discount_amount(discount, checkout.amount, checkout.currency)
            total = checkout.amount - off
            customer["orders_count"] += 1
            order = {
                **self._order(checkout, customer, subscription),
                "status": "paid" if is_paid else "pending",
                "paid": is_paid,
                "subtotal_amount": checkout.amount,
                "discount_amount": off,
                "net_amount": total,
                "total_amount": total,
                "due_amount": total,
                "amount": total,
                "refundable_amount": total,
                "billing_reason": "subscription_cycle",
                "discount_id": discount and discount["id"],
                "product_price_id": checkout.price["id"],
                "items": [
                    {
                        **self._item(checkout, subscription, checkout.amount),
                        "label": checkout.product["name"],
                        "product_price_id": checkout.price["id"],
                    }
                ],
            }
            subscription.update(amount=total, discount_id=order["discount_id"])
            store.add_order(order)
            return order

    def _settle_customer(self, customer: Body, checkout: Checkout) -> None:
        customer["modified_at"] = iso(self._store.now())
        customer["billing_name"] = customer["billing_name"] or customer["name"]
        customer["billing_address"] = checkout.customer_billing_address
        customer["orders_count"] += 1
        if checkout.seats is not None:
            customer["type"] = "team"

    def _order(self, checkout: Checkout, customer: Body, subscription: Body | None) -> Body:
        trial = trial_of(checkout)
        totals = totals_of(checkout)
        subtotal, discount, total = totals.amount, totals.discount, totals.total
        if trial is not None:
            subtotal, discount, total = 0, 0, 0
        created_at = self._store.now()
        slug = str(self._store.organization["slug"]).upper()
        return {
            "id": new_id(),
            "created_at": iso(created_at),
            "modified_at": iso(self._store.now()) if total else None,
            "status": "paid",
            "paid": True,
            "subtotal_amount": subtotal,
            "discount_amount": discount,
            "net_amount": total,
            "tax_amount": 0,
            "total_amount": total,
            "applied_balance_amount": 0,
            "due_amount": total,
            "refunded_amount": 0,
            "refunded_tax_amount": 0,
            "currency": checkout.currency,
            "billing_reason": "subscription_create" if subscription else "purchase",
            "billing_name": customer["billing_name"],
            "billing_address": customer["billing_address"],
            "invoice_number": f"{slug}-{customer['short_id']}-{customer['orders_count']:04d}",
            "is_invoice_generated": False,
            "receipt_number": None,
            "seats": checkout.seats,
            "units": checkout.units,
            "customer_id": customer["id"],
            "product_id": checkout.product["id"],
            "product_price_id": None if trial else checkout.price["id"],
            "discount_id": checkout.discount and checkout.discount["id"],
            "subscription_id": subscription and subscription["id"],
            "checkout_id": checkout.id,
            "next_payment_attempt_at": None,
            "metadata": checkout.metadata,
            "custom_field_data": checkout.custom_field_data,
            "platform_fee_amount": 0,
            "platform_fee_currency": None,
            "items": [self._item(checkout, subscription, subtotal)],
            "description": checkout.product["name"],
            "amount": total,
            "from_balance_amount": 0,
            "refundable_amount": total,
            "refundable_tax_amount": 0,
        }

    def _item(self, checkout: Checkout, subscription: Body | None, amount: int) -> Body:
        on_trial = subscription is not None and subscription["trial_end"] is not None
        label = checkout.product["name"]
        if on_trial and subscription is not None:
            start, end = _day(subscription["trial_start"]), _day(subscription["trial_end"])
            label = f"Trial period for {label} ({start} - {end})"
        elif checkout.seats is not None:
            label = f"{label} ({checkout.seats} seats)"
        return {
            "created_at": iso(self._store.now()),
            "modified_at": None,
            "id": new_id(),
            "label": label,
            "amount": amount,
            "tax_amount": 0,
            "proration": False,
            "product_price_id": None if on_trial else checkout.price["id"],
            "start_timestamp": subscription and subscription["current_period_start"],
            "end_timestamp": subscription and subscription["current_period_end"],
        }

    def _subscribe(self, checkout: Checkout, customer: Body) -> Body:
        product = checkout.product
        started = self._store.now()
        interval, count = product["recurring_interval"], product["recurring_interval_count"] or 1
        end = checkout.trial_end or later(started, interval, count)
        no_values: dict[str, Any] = dict.fromkeys(
            (
                "current_meter_period_start",
                "current_meter_period_end",
                "canceled_at",
                "ends_at",
                "ended_at",
                "past_due_at",
                "paused_at",
                "resumes_at",
                "customer_cancellation_reason",
                "customer_cancellation_comment",
            )
        )
        subscription: Body = {
            "metadata": checkout.metadata,
            "created_at": iso(self._store.now()),
            "modified_at": None,
            "id": new_id(),
            "amount": totals_of(checkout).net,
            "currency": checkout.currency,
            "recurring_interval": interval,
            "recurring_interval_count": count,
            "status": "trialing" if checkout.trial_end else "active",
            "current_period_start": iso(started),
            "current_period_end": iso(end),
            "trial_start": iso(started) if checkout.trial_end else None,
            "trial_end": iso(checkout.trial_end),
            "cancel_at_period_end": False,
            "started_at": iso(started),
            "pause_at_period_end": False,
            "customer_id": customer["id"],
            "product_id": product["id"],
            "discount_id": checkout.discount and checkout.discount["id"],
            "checkout_id": checkout.id,
            "seats": checkout.seats,
            "units": checkout.units,
            "price_id": checkout.price["id"],
            "user_id": customer["id"],
            "custom_field_data": checkout.custom_field_data,
            **no_values,
        }
        self._store.add_subscription(subscription)
        return subscription


def _still_applies(discount: Body, subscription: Body, after_trial: bool) -> bool:
    """Whether a discount counts for the period that has just begun."""
    if discount["duration"] == "repeating":
        first = subscription["trial_end"] or subscription["started_at"]
        months = int(discount["duration_in_months"])
        ends = later(datetime.fromisoformat(first), "month", months)
        return datetime.fromisoformat(subscription["current_period_start"]) < ends
    return discount["duration"] == "forever" or after_trial


def _day(moment: str) -> str:
    day = datetime.fromisoformat(moment)
    return f"{day:%b} {day.day:02d}, {day.year}"
