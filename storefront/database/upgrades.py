"""From an older schema to today's, a step a version."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from storefront.database.tables import metadata, schema
from storefront.errors import DatabaseUnavailable

#: ``STEPS[n]`` leads from version ``n + 1`` to ``n + 2``.
STEPS: tuple[Callable[[sa.Connection], None], ...] = ()
VERSION = len(STEPS) + 1

# Any number, as long as nobody else takes it: whoever upgrades holds this lock of PostgreSQL's.
_LOCK = 7_301_955_024


def read_version(connection: sa.Connection) -> int:
    """The schema's version; 0 where there is none yet."""
    if not sa.inspect(connection).has_table(schema.name):
        return 0
    return connection.scalar(sa.select(schema.c.version)) or 0


def upgrade(connection: sa.Connection) -> tuple[int, int]:
    """Bring the tables to today's version; gives the version before, and after.

    Two that upgrade at once do it one after the other.

    :raises DatabaseUnavailable: when the tables are of a later release.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    before = read_version(connection)
    if before > VERSION:
        raise DatabaseUnavailable(
            f"The database's tables are of version {before}, and this release of Storefront "
            f"knows version {VERSION}. Install the release that made them, or a later one."
        )
    if before == 0:
        metadata.create_all(connection)
        connection.execute(schema.insert().values(id=1, version=VERSION))
    elif before < VERSION:
        for step in STEPS[before - 1 :]:
            step(connection)
        connection.execute(schema.update().values(version=VERSION))
    return before, VERSION
