"""What each dialect says in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def now(connection: sa.Connection) -> datetime:
    """The time that all users of the database agree on, in UTC.

    PostgreSQL tells its own, since the clocks of several machines differ. SQLite's users are on
    one machine.
    """
    if connection.dialect.name == "postgresql":
        moment: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)
    return datetime.now(UTC)


def insert_new(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless one with its key is there; gives whether it was inserted.

    While another transaction inserts the same key, it waits for what becomes of that.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(values).on_conflict_do_nothing()
    # SQLAlchemy keeps the count of an INSERT only when told to.
    done = connection.execute(statement, execution_options={"preserve_rowcount": True})
    return done.rowcount == 1
