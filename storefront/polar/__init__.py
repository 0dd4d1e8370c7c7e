"""Polar as seen over the wire: the client, its models, and the servers. No Flask here."""

from msgspec import UNSET, UnsetType

from storefront.polar.checks import LINK_KEY, check_link_fields
from storefront.polar.client import Client
from storefront.polar.models import (
    Benefit,
    BenefitGrant,
    BillingAddress,
    Checkout,
    CheckoutLink,
    CustomerSession,
    Discount,
    Downloadable,
    LicenseKey,
    Media,
    Order,
    OrderCustomer,
    OrderItem,
    OrderSubscription,
    Organization,
    Price,
    Product,
    WebhookEndpoint,
)
from storefront.polar.resource import Page
from storefront.polar.servers import POLAR_VERSION, Server

__all__ = [
    "LINK_KEY",
    "POLAR_VERSION",
    "UNSET",
    "Benefit",
    "BenefitGrant",
    "BillingAddress",
    "Checkout",
    "CheckoutLink",
    "Client",
    "CustomerSession",
    "Discount",
    "Downloadable",
    "LicenseKey",
    "Media",
    "Order",
    "OrderCustomer",
    "OrderItem",
    "OrderSubscription",
    "Organization",
    "Page",
    "Price",
    "Product",
    "Server",
    "UnsetType",
    "WebhookEndpoint",
    "check_link_fields",
]
