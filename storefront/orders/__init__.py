"""What was sold: receipts."""

from storefront.orders.receipt import Customer, Outcome, Receipt, ReceiptLine, read_outcome

__all__ = ["Customer", "Outcome", "Receipt", "ReceiptLine", "read_outcome"]
