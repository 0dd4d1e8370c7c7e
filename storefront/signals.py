"""Signals (blinker): what a site may listen to. The sender is always the Flask app.

They are sent from a thread of the queue, within an app context and outside of any request, and at
least once: a process that ends in between has them sent again. A receiver that raises is logged,
and neither keeps the others from being called nor has anything done again: what must not be lost
belongs into ``@shop.on_order``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from blinker import NamedSignal, Namespace
from flask import current_app

from storefront.orders import Receipt
from storefront.work.job import trace

if TYPE_CHECKING:
    from flask import Flask

logger = logging.getLogger("storefront")

_signals = Namespace()

#: A webhook came whose signature is right, whatever its type. ``event``: ``id``, ``type``,
#: ``timestamp``, ``data``.
webhook_received: Final = _signals.signal("webhook-received")
#: The catalogue has taken over a change of a product. ``product_id``.
product_updated: Final = _signals.signal("product-updated")
#: A checkout was confirmed, has succeeded, failed or expired. ``event``.
checkout_updated: Final = _signals.signal("checkout-updated")
#: Something happened to a subscription. ``event``; ``type``, such as ``subscription.canceled``.
subscription_updated: Final = _signals.signal("subscription-updated")
#: An order was paid, renewals included, and what ``@shop.on_order`` does is done. ``order``.
order_paid: Final = _signals.signal("order-paid")
#: An order was refunded, wholly or in part. ``order``.
order_refunded: Final = _signals.signal("order-refunded")


def send(signal: NamedSignal, **values: Any) -> None:
    """Send a signal of the current app; a receiver that raises is logged."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    for receiver in signal.receivers_for(app):
        try:
            app.ensure_sync(receiver)(app, **values)
        except Exception as error:
            name = getattr(receiver, "__qualname__", repr(receiver))
            logger.error("The receiver %s of %s raised.\n%s", name, signal.name, trace(error))


class OrderListeners:
    """Who listens to what happens to orders; what ``orders/`` knows of signals."""

    def are_there(self, what: str) -> bool:
        """Whether any app listens: an order is read from Polar once more for them."""
        return bool(_OF_ORDERS[what].receivers)

    def tell(self, what: str, order: Receipt) -> None:
        """Send the signal; the app is the current one."""
        send(_OF_ORDERS[what], order=order)


_OF_ORDERS = {"paid": order_paid, "refunded": order_refunded}
