"""The database: what must outlive processes, machines and caches."""

from storefront.database.engine import Database

__all__ = ["Database"]
