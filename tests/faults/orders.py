"""R2, R3 and R4: orders are fulfilled once, though processes die, and though no webhook comes."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from storefront.database import Database
from storefront.secret import Secret
from tests.demo_processes import wait_until
from tests.faults.buyers import Crowd
from tests.faults.harness import Figure, Site, Upstream, polar, seed
from tests.faults.order_site import POINTS, rows
from tests.webhook_posts import SECRET

_APP = "tests.faults.order_site:create_app()"


def once(
    folder: Path,
    *,
    orders: int,
    kills: int,
    reloads: int = 50,
    copies: int = 5,
    url: str | None = None,
    machines: int = 1,
    every: str = "60",
    preload: bool = False,
) -> tuple[Figure, Figure]:
    """R2 and R3: every order has one row, and at least one line, whoever was killed meanwhile.

    Buyers reload the success page and Polar sends its webhook several times, all at once, while
    processes are killed at named points and at any moment. ``url`` names a PostgreSQL, which
    several machines may share; without it the site has SQLite. ``every`` are the seconds between
    two comparisons with Polar. With ``preload`` a killed process is replaced by a fork, which
    costs a machine a hundredth of one that imports everything.
    """
    _prepare(folder, url)
    with polar(seed(1)) as upstream:
        names = [folder / f"machine{n}" for n in range(machines)]
        sites = [_site(name, upstream, url, every=every, preload=preload) for name in names]
        for site in sites:
            site.start()
        try:
            _wake(sites)
            crowd = Crowd(upstream, sites, reloads, copies)
            killer = _Killer(sites, kills, lambda: crowd.followed / orders)
            with killer.at_work():
                crowd.come(orders)
            with closing(_database(sites[0].instance, url)) as database:
                wait_until(
                    lambda: _visited(sites) and _count(database) >= orders,
                    max(120, orders / 4),
                    "every order is fulfilled",
                )
                time.sleep(3)  # whatever would do it once more
            for site in sites:
                site.stop()
        finally:
            for site in sites:
                with suppress(AssertionError):
                    site.kill()
        sold = set(upstream.store.orders)
        written, lines = Counter(_written(sites[0], url)), _lines(sites)
    name = "PostgreSQL" if url else "SQLite"
    told = (
        f"{orders:,} orders, {killer.done:,} kills, {crowd.answers:,} answers, "
        f"{crowd.receipts:,} of them receipts, {crowd.cut:,} requests cut off, {name}"
    )
    missed, doubled = len(sold - set(written)), sum(n - 1 for n in written.values())
    in_transaction = Figure(
        f"{missed} missed, {doubled} doubled ({told})" + "".join(crowd.wrong[:1]),
        "0 and 0",
        kept=missed == doubled == 0
        and len(written) == orders
        and crowd.answers == orders * (1 + reloads + copies)
        and not crowd.wrong
        and killer.done == kills,
    )
    counts = Counter(order_id for order_id, _ in lines)
    keys = len({key for _, key in lines})
    missed, doubled = len(sold - set(counts)), sum(n - 1 for n in counts.values())
    outside = Figure(
        f"{missed} missed, {doubled} doubled, {keys:,} idempotency keys",
        f"0 missed, at most {killer.done} doubled, a key an order",
        kept=missed == 0 and doubled <= killer.done and keys == orders,
    )
    return in_transaction, outside


def unheard(
    folder: Path, *, orders: int, outage: float, within: float, every: str = "300"
) -> Figure:
    """R4: no webhook, no buyer, and Polar away for a time: all is fulfilled soon after.

    ``every`` are the seconds between two looks: 300, unless a site says otherwise.
    """
    _prepare(folder, None)
    with polar(seed(1)) as upstream:
        site = _site(folder / "machine0", upstream, None, every=every)
        with site.running():
            _wake([site])
            wait_until(lambda: "/v1/orders/" in _asked(upstream), 60, "it has looked once")
            upstream.faults.set("status", 503)
            upstream.served.purchase_many("Item 0", [f"{n}@example.com" for n in range(orders)])
            time.sleep(outage)
            upstream.faults.clear()
            began = time.monotonic()
            wait_until(
                lambda: len(set(_written(site, None))) >= orders, within * 1.5, "all is fulfilled"
            )
            took = time.monotonic() - began
        written = _written(site, None)
    doubled = len(written) - len(set(written))
    return Figure(
        f"{orders:,} orders in {took:.0f} s after {outage:.0f} s of outage, {doubled} doubled",
        f"all within {within:.0f} s, 0 doubled",
        kept=took < within and doubled == 0,
    )


def _prepare(folder: Path, url: str | None) -> None:
    if url is not None:
        with closing(_database(folder, url)) as database:
            database.upgrade()
            with database.writing() as connection:
                # Workers that start together would each try to make it.
                rows.create(connection, checkfirst=True)


def _site(
    folder: Path, upstream: Upstream, url: str | None, *, every: str, preload: bool = False
) -> Site:
    settings = {
        "POLAR_WEBHOOK_SECRET": SECRET,
        "STOREFRONT_RECONCILE_SECONDS": every,
        "STOREFRONT_RATE_LIMIT_SHARE": "1",
        "STOREFRONT_PAGE_TIMEOUT_SECONDS": "10",
    }
    if url is not None:
        settings["STOREFRONT_DATABASE_URL"] = url
    return Site(folder, upstream, app=_APP, settings=settings, preload=preload)


def _wake(sites: list[Site]) -> None:
    """Have each machine begin; what is sold from then on is theirs."""
    for site in sites:
        assert site.flask("orders", "reconcile").returncode == 0
        for _ in range(8):
            site.get("/control")


def _visited(sites: list[Site]) -> bool:
    """Have somebody come by: a process that was started anew begins with its first request."""
    for site in sites:
        site.get("/control")
    time.sleep(0.5)
    return True


def _asked(upstream: Upstream) -> set[str]:
    return {asked.path.partition("?")[0] for asked in list(upstream.asked)}


def _database(folder: Path, url: str | None) -> Database:
    plain = url and url.replace("postgresql://", "postgresql+psycopg://")
    return Database(Secret(plain) if plain else None, folder)


def _written(site: Site, url: str | None) -> list[str]:
    with (
        closing(_database(site.instance, url)) as database,
        database.reading() as connection,
    ):
        return list(connection.scalars(sa.select(rows.c.order_id)))


def _count(database: Database) -> int:
    with database.reading() as connection:
        return connection.scalar(sa.select(sa.func.count(rows.c.order_id.distinct()))) or 0


def _lines(sites: list[Site]) -> list[tuple[str, str]]:
    found = []
    for site in sites:
        file = site.instance / "lines.txt"
        for line in file.read_text().splitlines() if file.exists() else ():
            order_id, key = line.split(" ")
            found.append((order_id, key))
    return found


class _Killer:
    """Kills workers: at a named point, or at any moment, in turns.

    ``progress``, from 0 to 1, tells how many are to be dead by now.
    """

    def __init__(self, sites: list[Site], kills: int, progress: Callable[[], float]) -> None:
        self._sites = sites
        self._kills = kills
        self._progress = progress
        self._random = random.Random(2)  # noqa: S311
        #: Points at which a process is to die, and none has yet.
        self._asked: list[Path] = []
        self._over = threading.Event()
        self.done = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Kill for as long as the block lasts; then those that are left, at once."""
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _work(self) -> None:
        while self.done < self._kills:
            self._note_reached()
            is_over, progress = self._over.is_set(), self._progress()
            if is_over and progress < 1:
                return  # it failed
            if is_over:
                # A point that nobody comes by any more kills nobody.
                for file in self._asked:
                    file.unlink(missing_ok=True)
                self._asked.clear()
            if self.done + len(self._asked) < self._kills * progress:
                self._strike(anywhere=is_over)
            self._over.wait(0.05)
            if is_over:
                time.sleep(0.05)

    def _note_reached(self) -> None:
        for file in list(self._asked):
            if not file.exists():
                self._asked.remove(file)
                self.done += 1

    def _strike(self, *, anywhere: bool) -> None:
        """Have one process die."""
        site = self._random.choice(self._sites)
        file = site.kills / self._random.choice(POINTS)
        if not anywhere and self._random.randrange(2) and file not in self._asked:
            file.touch()
            self._asked.append(file)
        elif pids := site.worker_pids():
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(pids), signal.SIGKILL)
                self.done += 1
