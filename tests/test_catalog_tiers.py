"""The catalogue among processes and machines: on a real Redis and a real PostgreSQL."""

from __future__ import annotations

import gc
import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from cachelib.serializers import JSONSerializer
from flask import Flask
from flask_caching import Cache

from storefront import Storefront
from storefront.catalog import CatalogStore
from storefront.database import Database
from storefront.database.statements import now
from storefront.database.tables import catalogs, chunks, leases
from storefront.emulator import LocalPolar
from storefront.emulator.faults import Fault
from storefront.errors import CatalogUnavailable, PolarError
from storefront.settings import Settings
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.machines import machine, store_of, walks
from tests.services import PostgreSQLServer, RedisServer, wait_until

EBOOK = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
HOURS = 3600

Machine = Callable[..., Flask]


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


#: What others may have put in the catalogue's place, as text.
FOREIGN = [
    "null",
    "{}",
    '"catalogue"',
    "[" * 100_000,
    '{"serial": 1}',
    '{"serial": 99999999999999, "manifest": "x"}',
    '{"serial": -1, "manifest": "x", "former": [1]}',
    '{"schema": 1, "serial": 99999999999999, "version": "x", "read_at": "2026-01-01T00:00:00Z",'
    '"changed_at": "2026-01-01T00:00:00Z", "products": [["x", 1]], "links": []}',
    "\\u0000\\ud800",
]


@pytest.fixture
def site_of(reference_polar: LocalPolar, tmp_path: Path) -> Machine:
    """Makes machines that sell the reference store: ``site_of("a", redis_url=…)``."""
    return lambda name, **options: machine(reference_polar, tmp_path / name, **options)


def rename(polar: LocalPolar, name: str) -> None:
    """What a merchant changes in Polar's dashboard."""
    with polar.store.lock:
        polar.store.products[EBOOK]["name"] = name


def shows(store: CatalogStore, slug: str) -> Callable[[], bool]:
    """Whether a worker that is asked has come to show a page."""
    return lambda: store.current().page(slug) is not None


def migrated(url: str, folder: Path) -> Database:
    """The database at a URL, with its tables."""
    settings = {"POLAR_SERVER": "local", "STOREFRONT_DATABASE_URL": url}
    database = Database(Settings.from_mapping(settings, {}).database_url, folder)
    database.upgrade()
    return database


# A request


def test_a_request_does_no_io(reference_polar: LocalPolar, site_of: Machine) -> None:
    """Once there is a catalogue, asking for it starts nothing and opens nothing."""
    store = store_of(site_of("a"))
    store.current()
    opened: list[str] = []
    here = threading.get_ident()

    def hook(event: str, arguments: Any) -> None:
        watched = event in ("open", "socket.connect", "sqlite3.connect", "_thread.start_new_thread")
        if watched and threading.get_ident() == here and recording:
            opened.append(event)

    recording = False
    sys.addaudithook(hook)
    recording = True
    for _ in range(10_000):
        store.current()
    recording = False
    assert opened == []


def test_no_thread_outlives_its_site(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The watcher of an app that is gone ends."""

    def watchers() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name == "storefront-watch"}

    before = watchers()
    apps = [make_site(reference_polar) for _ in range(5)]
    for app in apps:
        get_state(app).catalog.current()
    ours = watchers() - before
    assert len(ours) == 5
    apps.clear()
    del app
    gc.collect()
    wait_until(lambda: not ours & watchers(), "the watchers end")


# One reading


def test_cold_requests_cause_one_walk(reference_polar: LocalPolar, site_of: Machine) -> None:
    """Two hundred requests at once, over the four workers of a machine: Polar is read once."""
    reference_polar.faults.set("latency", 0.05)
    stores = [store_of(site_of("a")) for _ in range(4)]
    with ThreadPoolExecutor(200) as threads:
        found = list(threads.map(lambda n: stores[n % 4].current().version, range(200)))
    assert len(set(found)) == 1
    assert walks(reference_polar) == 1


@pytest.mark.parametrize("shared", ["redis", "postgresql", "both"])
@pytest.mark.redis
@pytest.mark.postgresql
def test_a_fleet_reads_once(
    reference_polar: LocalPolar,
    site_of: Machine,
    redis_url: str,
    postgres_url: str,
    tmp_path: Path,
    shared: str,
) -> None:
    """Machines that share a Redis, a PostgreSQL or both read Polar once a refresh, all of them."""
    options: dict[str, Any] = {}
    if shared != "postgresql":
        options["redis_url"] = redis_url
    if shared != "redis":
        migrated(postgres_url, tmp_path).close()
        options["STOREFRONT_DATABASE_URL"] = postgres_url
    reference_polar.faults.set("latency", 0.1)
    options["STOREFRONT_CATALOG_TTL_SECONDS"] = 2
    stores = [store_of(site_of(name, **options)) for name in "aabb"]
    with ThreadPoolExecutor(40) as threads:
        list(threads.map(lambda n: stores[n % 4].current(), range(40)))
    assert walks(reference_polar) == 1
    rename(reference_polar, "Newer")
    for store in stores:
        wait_until(shows(store, "newer"), "the new name is shown", 20)
    assert walks(reference_polar) == 2


@pytest.mark.redis
def test_who_dies_while_reading_is_replaced(
    reference_polar: LocalPolar, site_of: Machine, redis_url: str, tmp_path: Path
) -> None:
    """A refresher is killed; another process reads within the second that its lock takes."""
    reference_polar.faults.set("latency", 30)
    program = (
        "import sys, pathlib; from tests.machines import machine, store_of;"
        "from types import SimpleNamespace as N;"
        "polar = N(url=sys.argv[1], tokens=['polar_oat_local']);"
        "store_of(machine(polar, pathlib.Path(sys.argv[2]))).sync()"
    )
    command = [sys.executable, "-c", program, reference_polar.url, str(tmp_path / "a")]
    with subprocess.Popen(command) as process:
        wait_until(lambda: walks(reference_polar) == 1, "the other process reads")
        store = store_of(site_of("a", STOREFRONT_PAGE_TIMEOUT_SECONDS=0.5))
        with pytest.raises(CatalogUnavailable):
            store.current()
        assert store.status().refreshing
        assert walks(reference_polar) == 1
        reference_polar.faults.clear()
        process.kill()
        deadline = time.monotonic() + 10
        while store.loaded() is None:
            assert time.monotonic() < deadline
            store.warm_up()
            time.sleep(0.05)


def test_a_lease_runs_out(
    reference_polar: LocalPolar, site_of: Machine, postgres_url: str, tmp_path: Path
) -> None:
    """A machine that died with the lease keeps nobody from reading for longer than it lasts."""
    database = migrated(postgres_url, tmp_path)
    store = store_of(site_of("a", STOREFRONT_DATABASE_URL=postgres_url))
    name = f"sync:{store.status().shop}"
    started = time.monotonic()
    with database.writing() as connection:
        soon = now(connection) + timedelta(seconds=2)
        connection.execute(leases.insert().values(name=name, holder="dead:1:x", until=soon))
    store.current()
    assert 1 < time.monotonic() - started < 10

    def is_free() -> bool:
        with database.reading() as connection:
            return not connection.scalar(sa.select(sa.func.count()).select_from(leases))

    wait_until(is_free, "the leases are given back")
    database.close()


def test_a_failure_is_known_to_all(
    reference_polar: LocalPolar, site_of: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """While Polar is down, the workers of a machine ask it by turns, and less and less often."""
    reference_polar.faults.set("status", 401, path="/v1/products/*")
    stores = [store_of(site_of("a", STOREFRONT_PAGE_TIMEOUT_SECONDS=0.1)) for _ in range(4)]
    deadline = time.monotonic() + 5
    with caplog.at_level(logging.INFO, "storefront"):
        while time.monotonic() < deadline:
            for store in stores:
                with pytest.raises(CatalogUnavailable):
                    store.current()
    # Pauses of at least 0.5, 1, 2 and 4 seconds, and a request alone for a new token.
    assert 2 <= walks(reference_polar) <= 5
    said = [record.message for record in caplog.records if "was not read" in record.message]
    assert 1 <= len(said) <= len(stores)
    status = stores[0].status()
    assert status.problem is not None
    assert status.failures >= 2


# Changes


def test_a_refresh_is_seen_by_all(reference_polar: LocalPolar, site_of: Machine) -> None:
    """One product that is read again is shown by the other worker a second later."""
    one, two = store_of(site_of("a")), store_of(site_of("a"))
    one.current()
    two.current()
    rename(reference_polar, "Changed")
    before = reference_polar.requests.count()
    report = one.refresh(product_ids=[EBOOK])
    assert (report.added, report.changed, report.removed) == (0, 1, 0)
    assert reference_polar.requests.count() - before < 10
    assert shows(one, "changed")()
    wait_until(shows(two, "changed"), "the other worker has it", 5)


def test_a_walk_undoes_no_refresh(reference_polar: LocalPolar, site_of: Machine) -> None:
    """What was read again while a walk was under way is not lost when the walk is published."""
    one, two = store_of(site_of("a")), store_of(site_of("a"))
    one.sync()
    reference_polar.faults.set("latency", 1.5, path="/v1/checkout-links/")
    begun = walks(reference_polar)
    with ThreadPoolExecutor(1) as thread:
        walk = thread.submit(one.sync)
        wait_until(lambda: walks(reference_polar) > begun, "the walk has begun")
        time.sleep(0.5)
        rename(reference_polar, "Changed meanwhile")
        two.refresh(product_ids=[EBOOK])
        assert shows(two, "changed-meanwhile")()
        assert not walk.done()
        walk.result()
    assert shows(one, "changed-meanwhile")()
    time.sleep(1.5)
    assert shows(two, "changed-meanwhile")()


def test_refreshes_at_once_lose_nothing(reference_polar: LocalPolar, site_of: Machine) -> None:
    """Several workers that read different products again publish all of them."""
    stores = [store_of(site_of("a")) for _ in range(4)]
    stores[0].sync()
    ids = list(reference_polar.store.products)[:8]
    with reference_polar.store.lock:
        for number, id_ in enumerate(ids):
            reference_polar.store.products[id_]["name"] = f"Changed {number}"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: stores[n % 4].refresh(product_ids=[ids[n]]), range(8)))
    stores[3].load()
    snapshot = stores[3].snapshot()
    assert snapshot is not None
    slugs = snapshot.slugs()
    assert [slugs[id_] for id_ in ids] == [f"changed-{number}" for number in range(8)]


# Restarts and outages


def test_the_database_outlives_the_cache(reference_polar: LocalPolar, site_of: Machine) -> None:
    """With Polar away and the cache emptied, a new worker has the last catalogue, of any age."""
    app = site_of("a")
    store_of(app).sync()
    reference_polar.stop()
    for file in (Path(app.instance_path) / "storefront-cache").iterdir():
        file.unlink()
    store = store_of(site_of("a"))
    assert len(store.current()) == 12
    assert store.status().source == "database"
    # Whoever has it fills the cache again.
    files = Path(app.instance_path) / "storefront-cache"
    wait_until(lambda: bool(store.current()) and len(list(files.iterdir())) == 4, "it is full", 10)
    assert store_of(site_of("a")).status().source == "cache"


def test_a_restart_needs_no_sqlalchemy(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """A worker that finds its catalogue in the cache answers without importing SQLAlchemy."""
    store_of(machine(reference_polar, tmp_path / "a")).sync()
    program = (
        "import sys, pathlib; from tests.machines import machine, store_of;"
        "from types import SimpleNamespace as N;"
        "polar = N(url=sys.argv[1], tokens=['polar_oat_local']);"
        "print(len(store_of(machine(polar, pathlib.Path(sys.argv[2]))).current()));"
        "print('sqlalchemy' in sys.modules)"
    )
    command = [sys.executable, "-c", program, reference_polar.url, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["12", "False"]


@pytest.mark.parametrize("shift", [72 * HOURS, -72 * HOURS])
def test_a_clock_that_is_wrong(
    reference_polar: LocalPolar,
    site_of: Machine,
    monkeypatch: pytest.MonkeyPatch,
    shift: float,
) -> None:
    """Three days ahead or back, with Polar down: pages go on, and the next change is seen."""
    store_of(site_of("a")).sync()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    reference_polar.faults.set("status", 503)
    store = store_of(site_of("a"))
    other = store_of(site_of("a"))
    for _ in range(20):
        assert len(store.current()) == 12
        assert len(other.current()) == 12
        time.sleep(0.05)
    assert store.age_seconds() >= 0
    reference_polar.faults.clear()
    rename(reference_polar, "After the clock")
    store.sync()
    wait_until(shows(other, "after-the-clock"), "the other worker has it", 5)
    monkeypatch.undo()
    rename(reference_polar, "Back in time")
    other.sync()
    wait_until(shows(store, "back-in-time"), "the first worker has it", 5)


def test_an_instance_folder_that_cannot_be_written(
    reference_polar: LocalPolar, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be kept, the catalogue is in memory, and that is said once."""
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING, "storefront"):
        store = store_of(machine(reference_polar, tmp_path / "file" / "instance"))
        for _ in range(30):
            assert len(store.current()) == 12
            time.sleep(0.1)
    said = [record.message for record in caplog.records]
    assert sum("The database does not answer" in message for message in said) == 1
    assert len(said) == 2


# Redis and PostgreSQL, gone


@pytest.mark.redis
def test_redis_comes_and_goes(
    reference_polar: LocalPolar,
    site_of: Machine,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Killed, frozen, flushed: pages go on, changes arrive afterwards, and each is said once."""
    one, two = (store_of(site_of(name, redis_url=redis_server.url)) for name in "ab")
    one.current()
    two.current()
    slow: list[float] = []

    def browse(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            started = time.monotonic()
            assert len(one.current()) == len(two.current()) == 12
            slow.append(time.monotonic() - started)
            time.sleep(0.01)

    with caplog.at_level(logging.INFO, "storefront"):
        redis_server.kill()
        browse(3)
        redis_server.start()
        wait_until(lambda: _has_stamp(redis_server, one, two), "the new Redis is filled", 20)
        redis_server.freeze()
        browse(4)
        rename(reference_polar, "While it hung")
        one.refresh(product_ids=[EBOOK])
        assert shows(one, "while-it-hung")()
        redis_server.thaw()
        wait_until(shows(two, "while-it-hung"), "the other machine has it", 30)
        redis_server.flush()
        wait_until(lambda: _has_stamp(redis_server, one, two), "the flushed Redis is filled", 20)
    assert max(slow) < 0.5
    said = [record.message for record in caplog.records if "The cache" in record.message]
    assert 2 <= sum("does not answer" in message for message in said) <= 4
    assert 2 <= sum("answers again" in message for message in said) <= 4


def _has_stamp(server: RedisServer, *stores: CatalogStore) -> bool:
    for store in stores:
        store.current()
    with redis.Redis.from_url(server.url) as client:
        return bool(client.keys(f"*{stores[0]._cache.key}:stamp"))


@pytest.mark.postgresql
def test_postgresql_comes_and_goes(
    reference_polar: LocalPolar,
    site_of: Machine,
    postgres_server: PostgreSQLServer,
    postgres_url: str,
    tmp_path: Path,
) -> None:
    """Killed and frozen: pages go on, and what changed meanwhile is in it afterwards."""
    migrated(postgres_url, tmp_path).close()
    one, two = (store_of(site_of(name, STOREFRONT_DATABASE_URL=postgres_url)) for name in "ab")
    one.current()
    two.current()
    for name, away, back in (
        ("Killed", postgres_server.kill, postgres_server.start),
        ("Frozen", postgres_server.freeze, postgres_server.thaw),
    ):
        away()
        rename(reference_polar, name)
        one.refresh(product_ids=[EBOOK])
        assert shows(one, name.lower())()
        for _ in range(50):
            started = time.monotonic()
            assert len(two.current()) == 12
            assert time.monotonic() - started < 0.5
            time.sleep(0.02)
        back()
        for store in (one, two):
            wait_until(shows(store, name.lower()), name, 60)


def test_tables_that_are_not_there(
    reference_polar: LocalPolar, site_of: Machine, postgres_url: str
) -> None:
    """Before db upgrade the shop sells, and status says what to do."""
    store = store_of(site_of("a", STOREFRONT_DATABASE_URL=postgres_url))
    assert len(store.current()) == 12
    assert "Run: flask storefront db upgrade" in store.status().database.problem


# What others put there


@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_json_in_files(
    reference_polar: LocalPolar, site_of: Machine, foreign: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever JSON stands in the cache's files, the catalogue comes from the database."""
    app = site_of("a")
    store_of(app).sync()
    reference_polar.stop()
    for file in (Path(app.instance_path) / "storefront-cache").iterdir():
        file.write_bytes(b"\x00\x00\x00\x00" + foreign.encode())
    store = store_of(site_of("a"))
    with caplog.at_level(logging.WARNING, "storefront"):
        assert len(store.current()) == 12
    assert sum("holds something else" in r.message for r in caplog.records) <= 1


@pytest.mark.redis
@pytest.mark.parametrize("planted", ["pickle", *FOREIGN])
def test_planted_in_redis(
    reference_polar: LocalPolar,
    site_of: Machine,
    redis_url: str,
    tmp_path: Path,
    planted: str,
) -> None:
    """Pickles and foreign JSON in each of the shop's keys run nothing, and break nothing."""
    bomb = b"!" + pickle.dumps(Bomb(tmp_path / "ran"))
    value = bomb if planted == "pickle" else planted.encode()
    one = store_of(site_of("a", redis_url=redis_url))
    one.sync()
    with redis.Redis.from_url(redis_url) as client:
        for key in client.keys("*"):
            client.set(key, value)
        two = store_of(site_of("b", redis_url=redis_url))
        assert len(two.current()) == 12
        # Running workers keep what they have, and put the shop's own back.
        (stamp,) = client.keys(f"*{one._cache.key}:stamp")

        def is_mended() -> bool:
            return shows(one, "pro-monthly")() and client.get(stamp) != value

        wait_until(is_mended, "the shop's own is back", 20)
    assert len(one.current()) == 12
    assert not (tmp_path / "ran").exists()


def test_planted_pickles_in_files(
    reference_polar: LocalPolar, site_of: Machine, tmp_path: Path
) -> None:
    """A pickle in each of the cache's files is not loaded."""
    app = site_of("a")
    store_of(app).sync()
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    for file in (Path(app.instance_path) / "storefront-cache").iterdir():
        file.write_bytes(b"\x00\x00\x00\x00" + bomb)
    assert len(store_of(site_of("a")).current()) == 12
    assert not (tmp_path / "ran").exists()


def test_planted_pickles_in_memory(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """A pickle in each entry of a cache in the process's memory is not loaded."""
    cache = Cache(
        with_jinja2_ext=False,
        config={"CACHE_TYPE": "SimpleCache", "CACHE_SERIALIZER": JSONSerializer},
    )
    apps = []
    for name in ("a", "b"):
        app = Flask(name, instance_path=str(tmp_path / name))
        app.config.update(POLAR_SERVER=reference_polar.url, POLAR_ACCESS_TOKEN="polar_oat_local")
        app.config["STOREFRONT_SYNC_ON_START"] = False
        cache.init_app(app)
        apps.append(app)
    memory = apps[0].extensions["cache"][cache]
    # Two apps of one process that see the same memory.
    apps[1].extensions["cache"][cache] = memory
    for app in apps:
        Storefront(app, cache=cache)
    store_of(apps[0]).sync()
    assert len(memory._cache) > 2
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    for key, (expires, _) in list(memory._cache.items()):
        memory._cache[key] = (expires, bomb)
    assert len(store_of(apps[1]).current()) == 12
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("foreign", [b"", b"\x80\x04.", *(text.encode() for text in FOREIGN)])
def test_planted_in_the_database(
    reference_polar: LocalPolar, site_of: Machine, tmp_path: Path, foreign: bytes
) -> None:
    """Foreign bytes in the database are left aside, and the next reading mends them."""
    app = site_of("a")
    store_of(app).sync()
    for file in (Path(app.instance_path) / "storefront-cache").iterdir():
        file.unlink()
    database = get_state(app).database.for_short_writes()
    serial = datetime.now(UTC).timestamp() * 1000 + 10_000_000
    for change in (
        chunks.update().values(content=foreign),
        catalogs.update().values(manifest=foreign, serial=int(serial)),
    ):
        with database.writing() as connection:
            connection.execute(change)
        before = walks(reference_polar)
        for file in (Path(app.instance_path) / "storefront-cache").iterdir():
            file.unlink()
        store = store_of(site_of("a"))
        assert len(store.current()) == 12
        assert walks(reference_polar) == before + 1
        store.sync()
    with database.reading() as connection:
        manifest = connection.scalar(sa.select(catalogs.c.manifest))
    assert manifest != foreign


def test_a_faulty_reading_changes_nothing(reference_polar: LocalPolar, site_of: Machine) -> None:
    """When Polar breaks off in the middle, what is published stays as it was."""
    store = store_of(site_of("a", STOREFRONT_SYNC_DEADLINE_SECONDS=1))
    version = store.current().version
    rename(reference_polar, "Half way")
    reference_polar.faults.add(Fault("status", 500, path="/v1/checkout-links/"))
    with pytest.raises(PolarError):
        store.sync()
    assert store.current().version == version
    assert store_of(site_of("a")).current().version == version


FORKS = """
import os, pathlib, sys, time
from types import SimpleNamespace
from tests.machines import machine, store_of

polar = SimpleNamespace(url=sys.argv[1], tokens=["polar_oat_local"])
store = store_of(machine(polar, pathlib.Path(sys.argv[2])))
store.current()
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        deadline = time.monotonic() + 20
        while store.current().page("after-the-fork") is None:
            if time.monotonic() > deadline:
                os._exit(1)
            time.sleep(0.02)
        store.refresh(product_ids=[sys.argv[3]])
        os._exit(0)
    children.append(child)
print("forked", flush=True)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def test_forked_workers(reference_polar: LocalPolar, site_of: Machine, tmp_path: Path) -> None:
    """Workers forked from a process that has the catalogue, as by --preload, see changes and can
    make them."""
    command = [sys.executable, "-c", FORKS, reference_polar.url, str(tmp_path / "a"), EBOOK]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"forked\n"
        rename(reference_polar, "After the fork")
        store_of(site_of("a")).sync()
        assert process.wait(60) == 0
    # Two readings of everything; each worker then asked for the one product.
    assert walks(reference_polar) == 2 + 8
