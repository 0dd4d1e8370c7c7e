"""Polar as seen over the wire: the client, its models, and the servers. No Flask here."""

from storefront.polar.client import Client, Page
from storefront.polar.models import (
    Benefit,
    Checkout,
    CheckoutLink,
    CustomerSession,
    Discount,
    Media,
    Order,
    OrderItem,
    Organization,
    Price,
    Product,
)
from storefront.polar.servers import POLAR_VERSION, Server

__all__ = [
    "POLAR_VERSION",
    "Benefit",
    "Checkout",
    "CheckoutLink",
    "Client",
    "CustomerSession",
    "Discount",
    "Media",
    "Order",
    "OrderItem",
    "Organization",
    "Page",
    "Price",
    "Product",
    "Server",
]
