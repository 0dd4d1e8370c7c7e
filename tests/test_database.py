"""The database: its tables, its transactions, and what it says when it is not there."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from storefront.database import Database
from storefront.database.tables import leases, metadata, schema
from storefront.errors import DatabaseUnavailable
from storefront.secret import Secret

MOMENT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def test_sqlite_makes_itself(tmp_path: Path) -> None:
    """The file, its folder and its tables are there at the first use, and not before."""
    database = Database(None, tmp_path / "instance")
    assert not (tmp_path / "instance").exists()
    with database.writing() as connection:
        connection.execute(leases.insert().values(name="a", holder="b", until=MOMENT))
    with database.reading() as connection:
        assert connection.scalar(sa.select(leases.c.until)) == MOMENT
        assert set(sa.inspect(connection).get_table_names()) == set(metadata.tables)
    database.close()


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    """What was written in a transaction that did not end is not there."""
    database = Database(None, tmp_path)

    def fail() -> None:
        with database.writing() as connection:
            connection.execute(leases.insert().values(name="a", holder="b", until=MOMENT))
            raise ConnectionError("the caller's own")

    with pytest.raises(ConnectionError, match="own"):
        fail()
    with database.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(leases)) == 0
    database.close()


def test_writers_come_one_after_the_other(tmp_path: Path) -> None:
    """Forty threads that read a number and write the next one lose none."""
    database = Database(None, tmp_path)
    with database.writing() as connection:
        connection.execute(leases.insert().values(name="n", holder="0", until=MOMENT))

    def count_up() -> None:
        with database.writing() as connection:
            number = int(connection.scalar(sa.select(leases.c.holder)) or 0)
            connection.execute(leases.update().values(holder=str(number + 1)))

    threads = [threading.Thread(target=count_up) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        assert connection.scalar(sa.select(leases.c.holder)) == "40"
    database.close()


def test_tables_of_a_later_release_are_left_alone(tmp_path: Path) -> None:
    """A release that is too old for its database says so, and touches nothing."""
    database = Database(None, tmp_path)
    with database.writing() as connection:
        connection.execute(schema.update().values(version=99))
    database.close()
    with pytest.raises(DatabaseUnavailable, match="version 99"), Database(None, tmp_path).reading():
        raise AssertionError("not reached")


def test_a_database_that_is_away_says_so_without_its_password() -> None:
    """The message names database and host; user and password stay out of it, and of its repr."""
    url = Secret("postgresql+psycopg://maria:geheim@127.0.0.1:1/shop")
    database = Database(url, Path("/nowhere"))
    with pytest.raises(DatabaseUnavailable) as raised, database.reading():
        raise AssertionError("not reached")
    for shown in (str(raised.value), repr(database)):
        assert "PostgreSQL, shop on 127.0.0.1" in shown
        assert "maria" not in shown
        assert "geheim" not in shown
    assert raised.value.__suppress_context__
