"""Storefront: turns a Flask site into a shop on Polar."""

from storefront.catalog import Catalog, CatalogProduct
from storefront.errors import (
    CatalogUnavailable,
    ConfigurationError,
    LinkError,
    PolarError,
    StorefrontError,
    UnknownReference,
)
from storefront.extension import Storefront
from storefront.links import checkout_url
from storefront.orders import Customer, Fulfilment, Receipt, ReceiptLine, Refund
from storefront.state import Visitor, get_state
from storefront.web.policy import csp_directives

__all__ = [
    "Catalog",
    "CatalogProduct",
    "CatalogUnavailable",
    "ConfigurationError",
    "Customer",
    "Fulfilment",
    "LinkError",
    "PolarError",
    "Receipt",
    "ReceiptLine",
    "Refund",
    "Storefront",
    "StorefrontError",
    "UnknownReference",
    "Visitor",
    "checkout_url",
    "csp_directives",
    "get_state",
]
