"""The promises at a small size; `python -m tests.faults.prove` holds them at their full one."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.faults import lying, orders, outage, reading, refreshing, spoiling, waiting
from tests.faults.harness import PATIENCE, Figure, Site, polar, seed
from tests.faults.prove import main
from tests.services import PostgreSQLServer, RedisServer

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def _machines_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """New workers have the time to find the catalogue; how long that is at most, R7 measures."""
    monkeypatch.setenv(PATIENCE, "15")


def assert_kept(figure: Figure) -> None:
    """Fail with the figure where a promise was missed."""
    assert figure.kept, str(figure)


def test_pages_stay_while_polar_is_down(tmp_path: Path) -> None:
    """R1: three days without Polar, killed and restarted meanwhile, and the cache emptied."""
    assert_kept(outage.outage(tmp_path, requests=1_000, restarts=2))


def test_an_outage_is_logged_once(tmp_path: Path) -> None:
    """R1: each process that gunicorn forked refreshes, and says once that it can't."""
    assert_kept(outage.log_of_an_outage(tmp_path, preload=True, seconds=2))


def test_a_fork_amid_imports(tmp_path: Path) -> None:
    """R1: no worker is forked with a lock that nobody will give back."""
    assert_kept(outage.forks(tmp_path, times=2))


def test_spoiled_cache_files(tmp_path: Path) -> None:
    """R1: rubbish in the cache's files, and none of them, are not seen on a page."""
    assert_kept(spoiling.cache_files(tmp_path, pause=0.5))


def test_a_spoiled_sqlite_file(tmp_path: Path) -> None:
    """R1: a database that is corrupt, gone or unreadable is not seen on a page."""
    assert_kept(spoiling.sqlite_file(tmp_path, pause=0.5))


@pytest.mark.redis
def test_a_spoiled_redis(tmp_path: Path, redis_server: RedisServer) -> None:
    """R1: a Redis that is planted with rubbish, stopped or hung is not seen on a page."""
    only = ("filled with rubbish", "stopped", "frozen")
    assert_kept(spoiling.redis_server(tmp_path, redis_server, pause=0.5, only=only))


@pytest.mark.postgresql
def test_a_stopped_postgresql(tmp_path: Path, postgres_server: PostgreSQLServer) -> None:
    """R1: a PostgreSQL that is stopped or hung is not seen on a page."""
    only = ("stopped", "frozen")
    assert_kept(spoiling.postgresql_server(tmp_path, postgres_server, pause=0.5, only=only))


def test_no_catalogue_is_torn(tmp_path: Path) -> None:
    """R5: with writers killed at random, each catalogue that is read is one that was for sale."""
    assert_kept(reading.torn_reads(tmp_path, reads=5_000, kills=4))


@pytest.mark.postgresql
def test_no_catalogue_is_torn_in_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """R5: nor between two machines with one PostgreSQL."""
    settings = {"STOREFRONT_DATABASE_URL": postgres_url}
    figure = reading.torn_reads(
        tmp_path, reads=5_000, kills=4, name="PostgreSQL", machines=2, settings=settings
    )
    assert_kept(figure)


@pytest.mark.redis
def test_no_catalogue_is_torn_in_redis(tmp_path: Path, redis_url: str) -> None:
    """R5: nor between two machines with one Redis."""
    figure = reading.torn_reads(
        tmp_path, reads=5_000, kills=4, name="Redis", machines=2, redis_url=redis_url
    )
    assert_kept(figure)


def test_nothing_is_missed_while_it_changes(tmp_path: Path) -> None:
    """R5: what was for sale all along is read, however much comes and goes meanwhile."""
    assert_kept(reading.concurrent_changes(tmp_path, syncs=5))


def test_one_walk_for_all(tmp_path: Path) -> None:
    """R6: everybody who comes at once to a cold machine has the catalogue read once."""
    assert_kept(refreshing.cold_requests(tmp_path, requests=60, times=1))


@pytest.mark.redis
def test_one_walk_for_a_fleet_with_redis(tmp_path: Path, redis_server: RedisServer) -> None:
    """R6: so do all machines with one Redis."""
    figure = refreshing.cold_requests(
        tmp_path,
        requests=60,
        times=1,
        machines=2,
        workers=2,
        redis_url=redis_server.url,
        forget=redis_server.flush,
    )
    assert_kept(figure)


@pytest.mark.postgresql
def test_one_walk_for_a_fleet_with_postgresql(
    tmp_path: Path, postgres_server: PostgreSQLServer
) -> None:
    """R6: so do all machines with one PostgreSQL."""
    figure = refreshing.cold_requests(
        tmp_path, requests=60, times=1, machines=2, workers=2, database=postgres_server
    )
    assert_kept(figure)


def test_a_killed_reader_is_replaced(tmp_path: Path) -> None:
    """R6: when the process that reads the catalogue is killed, another one begins."""
    assert_kept(refreshing.takeover(tmp_path, times=2, within=5))


def test_nobody_waits_for_polar(tmp_path: Path) -> None:
    """R7: whatever Polar does, a page is there at once, or says in two seconds that it is not."""
    ways = [way for way in waiting.WAYS if way.kind in ("hang", "drip-headers", "bomb")]
    assert_kept(waiting.waiting(tmp_path, ways=ways, warm=100, cold=4, success=4))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """R9: an answer that unpacks to much takes no memory, and changes nothing."""
    assert_kept(lying.lying(tmp_path, megabytes=[100], seconds=3))


def test_a_named_point_kills_once(tmp_path: Path) -> None:
    """A process dies where a test asked it to, once, and the site has another."""
    with polar(seed(5)) as upstream, Site(tmp_path, upstream).running() as site:
        site.warm_up()
        before = set(site.worker_pids())
        (site.kills / "host").touch()
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{site.url}/", timeout=30)
        assert requests.get(f"{site.url}/", timeout=30).status_code == 200
        site.warm_up()
        assert len(before & set(site.worker_pids())) == 1


def test_orders_amid_kills(tmp_path: Path) -> None:
    """R2 and R3: each order is fulfilled once, and outside of the database at least once."""
    for figure in orders.once(tmp_path, orders=20, kills=5, reloads=5):
        assert_kept(figure)


@pytest.mark.postgresql
def test_orders_amid_kills_in_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """R2 and R3: nor do two machines with one PostgreSQL get in each other's way."""
    for figure in orders.once(
        tmp_path, orders=20, kills=5, reloads=5, url=postgres_url, machines=2
    ):
        assert_kept(figure)


def test_orders_that_nobody_tells_of(tmp_path: Path) -> None:
    """R4: they are fulfilled soon after Polar is back."""
    assert_kept(orders.unheard(tmp_path, orders=50, outage=2, within=150, every="10"))


def test_an_unknown_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """The command names what it can prove."""
    assert main(["R0"]) == 2
    assert "R6-machine" in capsys.readouterr().out
