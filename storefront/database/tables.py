"""Every table, in one place. All names start with ``storefront_``.

A change here is a step in ``upgrades.py`` as well: ``metadata`` is how a new database looks, the
steps lead an older one there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware time, in UTC on both sides. SQLite keeps none by itself."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuse what is not aware: nobody could tell later what was meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone can't be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """SQLite gives it without its zone, PostgreSQL in the session's."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


#: One row: which of the upgrade steps have been taken.
schema = sa.Table(
    "storefront_schema",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

#: The last good catalogue of each shop that shares the database: what it is made of.
catalogs = sa.Table(
    "storefront_catalogs",
    metadata,
    # Which shop: see catalog/store.py.
    sa.Column("shop", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("read_at", Moment, nullable=False),
    # The snapshot's manifest, as JSON.
    sa.Column("manifest", sa.LargeBinary, nullable=False),
)

#: The pieces of the catalogues, under the hash of what they hold.
chunks = sa.Table(
    "storefront_chunks",
    metadata,
    sa.Column("shop", sa.String(64), primary_key=True),
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

#: Who may do what only one may do at a time, and until when by the database's clock.
leases = sa.Table(
    "storefront_leases",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("until", Moment, nullable=False),
)
