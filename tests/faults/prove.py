"""`python -m tests.faults.prove [NAME…]`: holds the promises at full size, and prints the figures.

One line a promise: its name, the figure, what it was to be, and how long it took. Exits with 1 when
one was missed. A NAME is the beginning of one; without any, all are proved, which takes an hour.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.faults import (
    acknowledging,
    firing,
    hostile,
    leading,
    leaking,
    lying,
    orders,
    outage,
    probing,
    reading,
    refreshing,
    scripting,
    spoiling,
    waiting,
)
from tests.faults.harness import Figure
from tests.services import PostgreSQLServer, RedisServer

Proof = Callable[[Path], Figure]


#: After each kill in a fleet the lease of the dead has to run out: that takes fifteen seconds.
_FLEET_KILLS: Final = 100


def _reads_redis(folder: Path) -> Figure:
    with RedisServer() as server:
        return reading.torn_reads(
            folder,
            reads=1_000_000,
            kills=_FLEET_KILLS,
            name="Redis",
            machines=2,
            redis_url=server.url,
        )


def _reads_postgresql(folder: Path) -> Figure:
    with PostgreSQLServer() as server:
        settings = {"STOREFRONT_DATABASE_URL": server.create_database()}
        return reading.torn_reads(
            folder,
            reads=1_000_000,
            kills=_FLEET_KILLS,
            name="PostgreSQL",
            machines=2,
            settings=settings,
        )


def _fleet_redis(folder: Path) -> Figure:
    with RedisServer() as server:
        return refreshing.cold_requests(
            folder,
            requests=200,
            times=20,
            machines=2,
            workers=2,
            name="a fleet with Redis",
            redis_url=server.url,
            forget=server.flush,
        )


def _fleet_postgresql(folder: Path) -> Figure:
    with PostgreSQLServer() as server:
        return refreshing.cold_requests(
            folder,
            requests=200,
            times=20,
            machines=2,
            workers=2,
            name="a fleet with PostgreSQL",
            database=server,
        )


def _takeover_postgresql(folder: Path) -> Figure:
    with PostgreSQLServer() as server:
        settings = {"STOREFRONT_DATABASE_URL": server.create_database()}
        return refreshing.takeover(
            folder,
            times=10,
            machines=2,
            within=90,
            name="a fleet with PostgreSQL",
            settings=settings,
        )


def _takeover_redis(folder: Path) -> Figure:
    with RedisServer() as server:
        return refreshing.takeover(
            folder,
            times=10,
            machines=2,
            within=90,
            name="a fleet with Redis",
            redis_url=server.url,
        )


def _redis(folder: Path) -> Figure:
    with RedisServer() as server:
        return spoiling.redis_server(folder, server, pause=5)


def _postgresql(folder: Path) -> Figure:
    with PostgreSQLServer() as server:
        return spoiling.postgresql_server(folder, server, pause=5)


def _acknowledged_postgresql(folder: Path) -> Figure:
    with PostgreSQLServer() as server:
        return acknowledging.acknowledged(folder, seconds=120, url=server.create_database())


def _orders(folder: Path) -> Figure:
    return _both(orders.once(folder, orders=10_000, kills=1_000, preload=True))


def _orders_postgresql(folder: Path) -> Figure:
    with PostgreSQLServer() as server:
        url = server.create_database()
        return _both(
            orders.once(folder, orders=10_000, kills=1_000, url=url, machines=2, preload=True)
        )


def _both(figures: tuple[Figure, Figure]) -> Figure:
    """R2 and R3 of one run."""
    first, second = figures
    return Figure(
        f"in the transaction {first.text}; outside {second.text}",
        f"{first.target}; {second.target}",
        kept=first.kept and second.kept,
    )


PROOFS: Final[dict[str, Proof]] = {
    "R1-outage": lambda f: outage.outage(f, requests=100_000, restarts=200),
    "R1-log": lambda f: outage.log_of_an_outage(f, preload=False, seconds=30),
    "R1-log-preload": lambda f: outage.log_of_an_outage(f, preload=True, seconds=30),
    "R1-fork": lambda f: outage.forks(f, times=50),
    "R1-files": lambda f: spoiling.cache_files(f, pause=5),
    "R1-sqlite": lambda f: spoiling.sqlite_file(f, pause=5),
    "R1-redis": _redis,
    "R1-postgresql": _postgresql,
    "R2-R3-orders": _orders,
    "R2-R3-orders-postgresql": _orders_postgresql,
    "R3-no-kills": lambda f: _both(orders.once(f, orders=1_000, kills=0)),
    "R4-unheard": lambda f: orders.unheard(f, orders=1_000, outage=300, within=600),
    "R5-reads": lambda f: reading.torn_reads(f, reads=1_000_000, kills=1_000),
    "R5-reads-redis": _reads_redis,
    "R5-reads-postgresql": _reads_postgresql,
    "R5-changes": lambda f: reading.concurrent_changes(f, syncs=300),
    "R6-machine": lambda f: refreshing.cold_requests(f, requests=200, times=20),
    "R6-fleet-redis": _fleet_redis,
    "R6-fleet-postgresql": _fleet_postgresql,
    "R6-takeover": lambda f: refreshing.takeover(f, times=20, within=5),
    "R6-takeover-redis": _takeover_redis,
    "R6-takeover-postgresql": _takeover_postgresql,
    "R7-waiting": lambda f: waiting.waiting(f, warm=1_000, cold=20, success=20),
    "R8-sqlite": lambda f: acknowledging.acknowledged(f, seconds=120),
    "R8-postgresql": _acknowledged_postgresql,
    "R9-lying": lambda f: lying.lying(f, megabytes=[10, 100, 1000], seconds=120),
    "S5-webhooks": lambda f: hostile.hostile_webhooks(f, headers=1_000_000, bodies=100_000),
    "S4-leaking": lambda f: leaking.leaking(f),
    "S1-probing": lambda f: probing.probing(f, count=10_000),
    "S2-parsed": lambda f: scripting.parsed(f, every=1, seldom=200),
    "S2-chromium": lambda f: firing.fired(f, every=1),
    "S3-leading": lambda f: leading.led_astray(f, every=1),
}


def main(wanted: list[str]) -> int:
    """Prove what is wanted; 1 when something was missed, 2 when there is no such promise."""
    names = [name for name in PROOFS if not wanted or name.startswith(tuple(wanted))]
    unknown = [start for start in wanted if not any(name.startswith(start) for name in names)]
    if unknown:
        print(f"There is no promise {', '.join(unknown)}; give {', '.join(PROOFS)}.")
        return 2
    missed = 0
    for name in names:
        started = time.monotonic()
        with TemporaryDirectory(prefix="storefront-prove-") as folder:
            try:
                figure = PROOFS[name](Path(folder))
            except Exception:
                traceback.print_exc()
                figure = Figure("could not be measured", "a figure", kept=False)
        missed += not figure.kept
        print(f"{name}: {figure}. {time.monotonic() - started:.0f} s", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
