"""R1: pages, buttons and embeds keep answering while Polar is down; and what the log says of it."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from pathlib import Path

from tests.demo_processes import wait_until
from tests.faults.harness import Clock, Figure, Load, Site, polar, seed, visit

_HOUR = 3600.0


def outage(folder: Path, *, requests: int, restarts: int, hours: float = 72) -> Figure:
    """Visitors look at every page while Polar is away, and meanwhile everything else goes wrong.

    Workers are killed, the whole site is killed and started again, its cache is emptied, and its
    clock moves on by `hours`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clock = Clock(folder / "clock")
    with polar(seed(20)) as upstream:
        site = Site(folder / "site", upstream, clock=clock)
        with site.running():
            site.warm_up()
            upstream.served.stop()

            load = Load()

            def go_wrong() -> None:
                for number in range(restarts):
                    # Each life lasts until as many were answered in it.
                    share = requests * (number + 1) // restarts
                    wait_until(lambda: load.answers >= share, 120, "pages are answered")  # noqa: B023
                    clock.set_ahead(hours * _HOUR * (number + 1) / restarts)
                    if number % 2:
                        site.kill_workers()
                        time.sleep(0.2)
                    site.kill()
                    if number % 3 == 0:
                        empty_cache(site)
                    site.start()

            visit(site, site.pages, requests=requests, during=go_wrong, load=load)
            age = _told_age(site)
            status = site.flask("status").stdout
            is_told = age >= hours * _HOUR and "3 days" in status
    return Figure(
        f"{load.bad} of {load.answers:,} answers were not a page ({load}); "
        f"{restarts} restarts by kill -9, an age of {age / _HOUR:.0f} h told",
        "0 of 100,000, 200 restarts, 72 h",
        load.bad == 0 and not load.wrong and is_told,
    )


def empty_cache(site: Site) -> None:
    """Empty the site's cache of files."""
    shutil.rmtree(site.instance / "storefront-cache", ignore_errors=True)


def _told_age(site: Site) -> float:
    return float(site.get("/shop/").headers["Storefront-Catalog-Age"])


def log_of_an_outage(folder: Path, *, preload: bool, seconds: float) -> Figure:
    """Polar is away for a while, twice: each process says each thing once an outage.

    With `preload` the processes are forked from one that has the site already.
    """
    settings = {"STOREFRONT_CATALOG_TTL_SECONDS": "0.5"}
    with polar(seed(5)) as upstream:
        site = Site(folder, upstream, preload=preload, settings=settings)
        with site.running():
            site.warm_up()
            for generation in (1, 2):
                upstream.faults.set("reset")
                visit(site, site.pages, requests=50, during=lambda: time.sleep(seconds))
                upstream.set_generation(generation)
                upstream.faults.clear()
                price = f"$10.{generation:02d}"
                visit(site, site.pages, requests=50, during=lambda: _until_shown(site, price))  # noqa: B023
        said = re.findall(r"^\[(\d+)\] WARNING storefront\S*: (\w+ \w+)", site.log, re.MULTILINE)
    counts = Counter(said)
    most = max(counts.values(), default=0)
    return Figure(
        f"log{' of gunicorn --preload' if preload else ''}: {len({pid for pid, _ in said})} "
        f"processes said a thing at most {most} times in 2 outages "
        f"({', '.join(sorted({words for _, words in counts}))} ...)",
        "once an outage",
        0 < most <= 2,
    )


def forks(folder: Path, *, times: int) -> Figure:
    """`gunicorn --preload` forks while the site imports what it needs, and each worker works."""
    slowest, stale = 0.0, 0
    with polar(seed(5)) as upstream:
        for number in range(times):
            settings = {"SITE_SLOW_IMPORTS": "0.005", "STOREFRONT_CATALOG_TTL_SECONDS": "0.5"}
            site = Site(folder / str(number), upstream, preload=True, settings=settings)
            with site.running():
                site.warm_up()
                load = visit(site, site.pages, requests=200)
                slowest = max(slowest, load.slowest)
                upstream.set_generation(number + 1)
                _until_shown(site, f"$10.{number + 1:02d}")
                stale += load.bad
    return Figure(
        f"{times} sites of gunicorn --preload forked while they imported: all refreshed, "
        f"{stale} failed pages, the slowest took {slowest:.2f} s",
        "all refresh, none hangs",
        stale == 0 and slowest < 5,
    )


def _until_shown(site: Site, price: str) -> None:
    def is_shown() -> bool:
        return price in site.get("/shop/").text

    wait_until(is_shown, 150, f"the shop shows {price}")
