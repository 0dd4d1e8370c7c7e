"""What was sold: receipts, the ledger, and what the site does for an order."""

from storefront.orders.desk import OrderDesk, Standing
from storefront.orders.fulfilment import Fulfilment, FulfilmentCallback, Refund, RefundCallback
from storefront.orders.granted import Download, Granted, read_granted
from storefront.orders.receipt import (
    Customer,
    Outcome,
    Receipt,
    ReceiptLine,
    read_checkout,
    read_outcome,
)
from storefront.orders.reconciliation import Reconciled, Reconciliation

__all__ = [
    "Customer",
    "Download",
    "Fulfilment",
    "FulfilmentCallback",
    "Granted",
    "OrderDesk",
    "Outcome",
    "Receipt",
    "ReceiptLine",
    "Reconciled",
    "Reconciliation",
    "Refund",
    "RefundCallback",
    "Standing",
    "read_checkout",
    "read_granted",
    "read_outcome",
]
