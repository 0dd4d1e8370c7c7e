"""R6: one refresh in flight a machine, and a fleet; and who takes over from one that was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.demo_processes import wait_until
from tests.faults.harness import (
    Figure,
    Site,
    Upstream,
    ask_at_once,
    polar,
    seed,
)
from tests.services import PostgreSQLServer

#: A cold site reads when it is first asked, so that all are asked at once; all wait for the walk.
_COLD = {"STOREFRONT_SYNC_ON_START": "false", "STOREFRONT_PAGE_TIMEOUT_SECONDS": "30"}
_PRODUCTS = 250
_SLOWLY = 0.15


def cold_requests(
    folder: Path,
    *,
    requests: int,
    times: int,
    machines: int = 1,
    workers: int = 4,
    name: str = "a machine",
    redis_url: str | None = None,
    forget: Callable[[], None] = lambda: None,
    database: PostgreSQLServer | None = None,
) -> Figure:
    """Nothing was ever read, and everybody comes at once: how often is the catalogue read?

    The machines share a Redis, which `forget` empties, or a new PostgreSQL database each time. A
    walk is as many requests to Polar as one command makes that reads the catalogue alone.
    """
    walks, statuses = list[float](), set[int]()
    with polar(seed(_PRODUCTS)) as upstream:
        alone = _requests_of_one_walk(Site(folder / "alone", upstream), upstream)
        for number in range(times):
            forget()
            settings = dict(_COLD)
            if database is not None:
                settings["STOREFRONT_DATABASE_URL"] = database.create_database()
            sites = [
                Site(
                    folder / f"round-{number}" / f"machine-{machine}",
                    upstream,
                    workers=workers,
                    threads=requests // (machines * workers) + 1,
                    redis_url=redis_url,
                    settings=settings,
                )
                for machine in range(machines)
            ]
            with ExitStack() as running:
                if database is not None:
                    sites[0].flask("db", "upgrade")
                for site in sites:
                    running.enter_context(site.running())
                upstream.asked.clear()
                upstream.faults.set("latency", _SLOWLY)
                load = ask_at_once([(sites[n % machines], "/shop/") for n in range(requests)])
                statuses |= set(load.statuses)
                # What a second reader would still be doing is counted as well.
                time.sleep(1)
                walks.append(len(upstream.asked) / alone)
                upstream.faults.clear()
    worst = max(walks)
    return Figure(
        f"{name}: {requests} cold requests at once, {times} times: at most {worst:.2f} walks of "
        f"{alone} requests ({machines} x {workers} workers; answers {sorted(statuses)})",
        "1 walk each",
        worst == min(walks) == 1 and statuses == {200},
    )


def _requests_of_one_walk(site: Site, upstream: Upstream) -> int:
    upstream.asked.clear()
    done = site.flask("sync")
    assert done.returncode == 0, done.stderr
    return len(upstream.asked)


def takeover(
    folder: Path,
    *,
    times: int,
    machines: int = 1,
    within: float,
    name: str = "a machine",
    settings: dict[str, str] | None = None,
    redis_url: str | None = None,
) -> Figure:
    """Whoever reads the catalogue is killed amid it: how soon does another begin?"""
    given = {"STOREFRONT_CATALOG_TTL_SECONDS": "1", **(settings or {})}
    waits = []
    with polar(seed(_PRODUCTS)) as upstream, ExitStack() as running:
        sites = [
            Site(
                folder / f"machine-{number}",
                upstream,
                workers=3,
                redis_url=redis_url,
                settings=given,
            )
            for number in range(machines)
        ]
        for site in sites:
            site.flask("db", "upgrade")
            running.enter_context(site.running())
        for site in sites:
            site.warm_up()
        for _ in range(times):
            upstream.faults.set("latency", 2.0)
            reader = _wait_for_reader(sites, upstream)
            upstream.asked.clear()
            os.kill(reader, signal.SIGKILL)
            killed = time.monotonic()
            upstream.faults.clear()
            wait_until(lambda: _ask_all(sites) and bool(upstream.asked), 120, "somebody took over")
            waits.append(upstream.asked[0].moment - killed)
            for site in sites:
                site.warm_up()
    return Figure(
        f"{name}: {times} readers killed amid their walk; another began within {max(waits):.1f} s",
        f"{within:g} s",
        max(waits) <= within,
    )


def _wait_for_reader(sites: Sequence[Site], upstream: Upstream) -> int:
    """The process that is reading the catalogue at this moment."""
    found: list[int] = []

    def is_found() -> bool:
        _ask_all(sites)
        pid = upstream.reader([pid for site in sites for pid in site.worker_pids()])
        if pid is not None:
            found.append(pid)
        return pid is not None

    wait_until(is_found, 60, "somebody reads the catalogue")
    return found[0]


def _ask_all(sites: Sequence[Site]) -> bool:
    """A visitor comes, whose request lets an old catalogue be read anew."""
    return all(ask_at_once([(site, "/shop/")]).bad == 0 for site in sites)
