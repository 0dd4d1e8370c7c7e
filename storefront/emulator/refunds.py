"""Refunds: money that goes back, all of it or a part.

Source: the shape is that of the service's API, 2026-10; what is refused, and the order of the
events, are from its open source.
"""

from __future__ import annotations

from typing import Any

from storefront.emulator.benefits import Benefits
from storefront.emulator.errors import RefusedError
from storefront.emulator.events import announce_order
from storefront.emulator.orders import Orders
from storefront.emulator.records import Body, iso
from storefront.emulator.store import Store, new_id


class Refunds:
    """The refunds of a store."""

    def __init__(self, store: Store, orders: Orders, benefits: Benefits) -> None:
        self._store = store
        self._orders = orders
        self._benefits = benefits

    def create(
        self,
        order_id: str,
        amount: int | None = None,
        *,
        reason: str = "customer_request",
        revoke_benefits: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> Body:
        """Give back an amount, in minor units of the order's currency; None: all that is left.

        :raises NotFoundError: no such order.
        :raises RefusedError: there is not so much left, or the benefits belong to a subscription.
        """
        store = self._store
        with store.lock:
            order = self._orders.get(order_id)
            if order["status"] == "refunded":
                detail = f"Order is already fully refunded: {order_id}"
                raise RefusedError(403, "RefundedAlready", detail)
            if revoke_benefits and order["subscription_id"] is not None:
                detail = "Subscription benefits can only be revoked upon cancellation"
                raise RefusedError(400, "RevokeSubscriptionBenefitsProhibited", detail)
            left = order["refundable_amount"] if order["paid"] else 0
            amount = left if amount is None else amount
            if not 0 < amount <= left:
                detail = f"Refund amount exceeds remaining order balance: {left}"
                raise RefusedError(400, "RefundAmountTooHigh", detail)
            refund: Body = {
                "created_at": iso(store.now()),
                "modified_at": None,
                "id": new_id(),
                "metadata": metadata or {},
                "status": "succeeded",
                "reason": reason,
                "amount": amount,
                "tax_amount": 0,
                "currency": order["currency"],
                "organization_id": store.organization["id"],
                "order_id": order["id"],
                "subscription_id": order["subscription_id"],
                "customer_id": order["customer_id"],
                "revoke_benefits": revoke_benefits,
                "dispute": None,
            }
            store.refunds[refund["id"]] = refund
            order.update(
                refunded_amount=order["refunded_amount"] + amount,
                refundable_amount=left - amount,
                status="refunded" if amount == left else "partially_refunded",
                modified_at=iso(store.now()),
            )
            announce_order(store, "order.updated", order)
            store.announce("refund.created", lambda _: refund)
            announce_order(store, "order.refunded", order)
            if revoke_benefits:
                self._benefits.revoke(order_id=order["id"])
            return refund
