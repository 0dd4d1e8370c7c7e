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
from storefront.catalog.search import MAX_QUERY_CHARACTERS, Facets, Search, folded_words
from storefront.catalog.snapshot import Snapshot
from storefront.catalog.store import CatalogStatus, CatalogStore, TierStatus, shop_key
from storefront.catalog.tiers import CacheTier, DatabaseTier
from storefront.catalog.traits import KINDS

__all__ = [
    "KINDS",
    "LINK_METADATA_KEY",
    "MAX_QUERY_CHARACTERS",
    "CacheTier",
    "Catalog",
    "CatalogProduct",
    "CatalogStatus",
    "CatalogStore",
    "Choice",
    "DatabaseTier",
    "Facets",
    "Found",
    "Offer",
    "PriceText",
    "Pricing",
    "Search",
    "Snapshot",
    "TierStatus",
    "folded_words",
    "shop_key",
]
