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
    # Higher is newer, whatever the clocks say.
    sa.Column("serial", sa.BigInteger, nullable=False),
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
    # What the holder says of itself, as JSON.
    sa.Column("note", sa.Text),
)

#: What is to be done, a row a job: see work/. On PostgreSQL and, of SQLite, in either file.
jobs = sa.Table(
    "storefront_jobs",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    # Which shop: ``Settings.shop``.
    sa.Column("shop", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    # What it is about, such as an order's id: one job a kind and key.
    sa.Column("key", sa.String(255), nullable=False),
    # JSON.
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    # Null: parked, after as many attempts as its kind has.
    sa.Column("due_at", Moment),
    # How often it was begun.
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    # Who does it now: a name in ``storefront_leases``. Null: nobody.
    sa.Column("claimed_by", sa.String(128)),
    # Asked for once more while it was being done.
    sa.Column("again", sa.Boolean, nullable=False, default=False),
    # Why the last attempt failed; no addresses of people, no secrets.
    sa.Column("last_error", sa.Text),
    sa.UniqueConstraint("shop", "kind", "key"),
    sa.Index("storefront_jobs_due", "shop", "kind", "claimed_by", "due_at"),
    sa.Index("storefront_jobs_next", "shop", "claimed_by", "due_at"),
)

#: Webhooks that came, by the id that Polar gives each: one that comes again is known by it.
webhooks = sa.Table(
    "storefront_webhooks",
    metadata,
    sa.Column("shop", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(255), primary_key=True),
    sa.Column("type", sa.String(128), nullable=False),
    sa.Column("received_at", Moment, nullable=False),
    sa.Index("storefront_webhooks_received", "shop", "received_at"),
)

#: One row an order, of each shop that shares the database. Nothing in it says who bought.
orders = sa.Table(
    "storefront_orders",
    metadata,
    # Polar's address. Ids are unique there, so the organization need not be known to find a row,
    # and a new access token changes neither.
    sa.Column("server", sa.String(255), primary_key=True),
    sa.Column("order_id", sa.String(36), primary_key=True),
    sa.Column("organization_id", sa.String(36), nullable=False),
    sa.Column("checkout_id", sa.String(36)),
    sa.Column("customer_id", sa.String(36)),
    sa.Column("product_id", sa.String(36)),
    sa.Column("subscription_id", sa.String(36)),
    sa.Column("billing_reason", sa.String(64), nullable=False),
    sa.Column("status", sa.String(64), nullable=False),
    sa.Column("currency", sa.String(8), nullable=False),
    # In minor units, with tax.
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("ordered_at", Moment, nullable=False),
    sa.Column("first_seen_at", Moment, nullable=False),
    sa.Column("seen_via", sa.String(16), nullable=False),
    # What has become of @on_order: the words are in orders/ledger.py.
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("fulfilled_at", Moment),
    # How often its fulfilment was begun.
    sa.Column("attempts", sa.Integer, nullable=False),
    # In minor units, without tax: what was paid back, and how much of it @on_refund has heard of.
    sa.Column("refunded", sa.BigInteger, nullable=False),
    sa.Column("refund_told", sa.BigInteger, nullable=False),
    sa.Index("storefront_orders_by_state", "server", "organization_id", "state"),
    sa.Index("storefront_orders_by_time", "server", "organization_id", "ordered_at"),
)

#: The checkouts whose success page was shown paid: @on_success runs once each.
successes = sa.Table(
    "storefront_successes",
    metadata,
    sa.Column("server", sa.String(255), primary_key=True),
    sa.Column("checkout_id", sa.String(36), primary_key=True),
    sa.Column("shown_at", Moment, nullable=False),
)

#: How far each shop's orders have been compared with Polar's.
reconciliations = sa.Table(
    "storefront_reconciliations",
    metadata,
    sa.Column("server", sa.String(255), primary_key=True),
    sa.Column("organization_id", sa.String(36), primary_key=True),
    # Orders of before are history: somebody else has fulfilled them.
    sa.Column("started_at", Moment, nullable=False),
    # Every order of before has been seen; NULL when nothing was compared yet.
    sa.Column("seen_until", Moment),
)
