"""The servers that the tests run: they do what is asked of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from storefront.database import Database
from storefront.database.tables import leases
from storefront.errors import DatabaseUnavailable
from storefront.settings import Settings
from tests.services import PostgreSQLServer, RedisServer

MOMENT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.mark.redis
def test_redis_comes_and_goes(redis_server: RedisServer) -> None:
    """It answers; frozen and killed it does not; started again it is there, and empty."""
    assert redis_server.answers()
    redis_server.kill()
    assert not redis_server.answers()
    redis_server.start()
    redis_server.freeze()
    assert not redis_server.answers()
    redis_server.thaw()
    assert redis_server.answers()


@pytest.mark.postgresql
def test_postgresql_comes_and_goes(
    postgres_server: PostgreSQLServer, postgres_url: str, tmp_path: Path
) -> None:
    """What was committed is there after a kill; while it is away the database says so."""
    url = Settings.from_mapping(
        {"POLAR_SERVER": "local", "STOREFRONT_DATABASE_URL": postgres_url}, {}
    ).database_url
    database = Database(url, tmp_path)
    assert database.upgrade() == (0, 1)
    with database.writing() as connection:
        connection.execute(leases.insert().values(name="a", holder="b", until=MOMENT))
    postgres_server.kill()
    with pytest.raises(DatabaseUnavailable), database.reading():
        raise AssertionError("not reached")
    postgres_server.start()
    with database.reading() as connection:
        assert connection.scalar(sa.select(leases.c.until)) == MOMENT
    database.close()
