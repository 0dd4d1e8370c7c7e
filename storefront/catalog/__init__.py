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
from storefront.catalog.store import CatalogStatus, CatalogStore, TierStatus, shop_key
from storefront.catalog.tiers import CacheTier, DatabaseTier

__all__ = [
    "LINK_METADATA_KEY",
    "CacheTier",
    "Catalog",
    "CatalogProduct",
    "CatalogStatus",
    "CatalogStore",
    "Choice",
    "DatabaseTier",
    "Found",
    "Offer",
    "PriceText",
    "Pricing",
    "Snapshot",
    "TierStatus",
    "shop_key",
]
