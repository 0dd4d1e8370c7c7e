"""What is for sale: read from Polar, kept as one immutable snapshot."""

from storefront.catalog.catalog import (
    LINK_METADATA_KEY,
    Catalog,
    CatalogProduct,
    Choice,
    Found,
    Offer,
)
from storefront.catalog.pricing import PriceText, Pricing
from storefront.catalog.snapshot import Snapshot
from storefront.catalog.store import CatalogStore
from storefront.catalog.sync import SyncReport

__all__ = [
    "LINK_METADATA_KEY",
    "Catalog",
    "CatalogProduct",
    "CatalogStore",
    "Choice",
    "Found",
    "Offer",
    "PriceText",
    "Pricing",
    "Snapshot",
    "SyncReport",
]
