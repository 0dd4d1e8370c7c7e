"""R2, R3 and R4: orders are fulfilled once, though processes die, and though no webhook comes."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
import sqlalchemy as sa

from storefront.database import Database
from storefront.secret import Secret
from storefront.testing import Purchase
from tests.demo_processes import wait_until
from tests.faults.harness import Figure, Site, Upstream, polar, seed
from tests.faults.order_site import POINTS, rows
from tests.webhook_posts import SECRET, signed

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
) -> tuple[Figure, Figure]:
    """R2 and R3: every order has one row, and at least one line, whoever was killed meanwhile.

    Buyers reload the success page and Polar sends its webhook several times, all at once, while
    processes are killed at named points and at any moment. ``url`` names a PostgreSQL, which
    several machines may share; without it the site has SQLite.
    """
    _prepare(folder, url)
    with polar(seed(1)) as upstream:
        sites = [_site(folder / f"machine{n}", upstream, url) for n in range(machines)]
        for site in sites:
            site.start()
        try:
            crowd = _Crowd(upstream, sites, reloads, copies)
            killer = _Killer(sites, kills)
            _wake(sites)
            crowd.come(orders, killer)
            killer.finish()
            wait_until(
                lambda: len(set(_written(sites[0], url))) >= orders,
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
    told = f"{orders:,} orders, {killer.done:,} kills, {crowd.asked:,} requests, {name}"
    missed, doubled = len(sold - set(written)), sum(n - 1 for n in written.values())
    in_transaction = Figure(
        f"{missed} missed, {doubled} doubled ({told})",
        "0 and 0",
        kept=missed == doubled == 0
        and len(written) == orders
        # A point that no process comes by in time kills nobody.
        and killer.done >= 0.8 * kills,
    )
    counts = Counter(order_id for order_id, _ in lines)
    keys = len({key for _, key in lines})
    missed, doubled = len(sold - set(counts)), sum(n - 1 for n in counts.values())
    outside = Figure(
        f"{missed} missed, {doubled} doubled, {keys:,} idempotency keys ({told})",
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


def _site(folder: Path, upstream: Upstream, url: str | None, *, every: str = "3") -> Site:
    settings = {
        "POLAR_WEBHOOK_SECRET": SECRET,
        "STOREFRONT_RECONCILE_SECONDS": every,
        "STOREFRONT_RATE_LIMIT_SHARE": "1",
        "STOREFRONT_PAGE_TIMEOUT_SECONDS": "10",
    }
    if url is not None:
        settings["STOREFRONT_DATABASE_URL"] = url
    return Site(folder, upstream, app=_APP, settings=settings)


def _wake(sites: list[Site]) -> None:
    """Have each machine begin; what is sold from then on is theirs."""
    for site in sites:
        assert site.flask("orders", "reconcile").returncode == 0
        for _ in range(8):
            site.get("/control")


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


def _lines(sites: list[Site]) -> list[tuple[str, str]]:
    found = []
    for site in sites:
        file = site.instance / "lines.txt"
        for line in file.read_text().splitlines() if file.exists() else ():
            order_id, key = line.split(" ")
            found.append((order_id, key))
    return found


class _Killer:
    """Kills workers: at a named point, or at any moment, in turns."""

    def __init__(self, sites: list[Site], kills: int) -> None:
        self._sites = sites
        self._kills = kills
        self._random = random.Random(2)  # noqa: S311
        self.done = 0

    def strike(self) -> None:
        """Have one process die."""
        if self.done >= self._kills:
            return
        site = self._random.choice(self._sites)
        if self.done % 2:
            (site.kills / self._random.choice(POINTS)).touch()
        else:
            pids = site.worker_pids()
            if pids:
                with suppress(ProcessLookupError):
                    os.kill(self._random.choice(pids), signal.SIGKILL)
        self.done += 1

    def finish(self) -> None:
        """What was asked for and not reached is no kill."""
        for site in self._sites:
            for point in POINTS:
                with suppress(FileNotFoundError):
                    (site.kills / point).unlink()
                    self.done -= 1


@dataclass
class _Crowd:
    """Buyers who reload the page, and Polar, which sends its webhook again and again."""

    upstream: Upstream
    sites: list[Site]
    reloads: int
    copies: int
    asked: int = 0

    def come(self, orders: int, killer: _Killer) -> None:
        """Buy, and do all that for each order, some orders at once; kill all along."""
        batch = 20
        every = max(1, orders // max(1, killer._kills))
        bought = 0
        while bought < orders:
            count = min(batch, orders - bought)
            emails = [f"{bought + n}@example.com" for n in range(count)]
            sold = self.upstream.served.purchase_many("Item 0", emails)
            threads = [threading.Thread(target=self._follow, args=[each]) for each in sold]
            for thread in threads:
                thread.start()
            for n in range(count):
                if (bought + n) % every == 0:
                    killer.strike()
                    time.sleep(0.2)
            for thread in threads:
                thread.join()
            bought += count

    def _follow(self, bought: Purchase) -> None:
        source = random.Random(bought.order_id)  # noqa: S311
        page = f"/shop/success?checkout_id={bought.checkout_id}"
        paths = [page] * self.reloads + [""] * self.copies
        source.shuffle(paths)
        # As Polar sends the buyer back; from then on a cookie says who bought.
        paths.insert(0, f"{page}&customer_session_token={bought.customer_session_token}")
        with requests.Session() as session:
            body = self._body(session, bought)
            for path in paths:
                site = source.choice(self.sites)
                self.asked += 1
                # What is cut off is not asked again: neither do buyers.
                with suppress(requests.RequestException):
                    if path:
                        session.get(f"{site.url}{path}", timeout=30)
                    else:
                        url = f"{site.url}/shop/webhooks"
                        session.post(url, data=body, headers=signed(body), timeout=30)

    def _body(self, session: requests.Session, bought: Purchase) -> bytes:
        answer = session.get(
            f"{self.upstream.url}/v1/orders/{bought.order_id}",
            headers={"Authorization": f"Bearer {self.upstream.token}"},
            timeout=30,
        )
        moment = "2026-11-22T08:00:00.000000Z"
        return json.dumps(
            {"type": "order.paid", "timestamp": moment, "data": answer.json()}
        ).encode()
