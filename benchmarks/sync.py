"""How long it takes to read a large organization, beside what Polar's answers take by themselves.

The bound is what no client can go below: the requests of a plain walk, times the latency, divided
by how many are in flight; or what the rate limit makes of them. The first sync of an app goes into
an empty database and cache, in a process that has made one before; the one after it finds nothing
changed. All that they do until the catalogue can be shown counts.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import requests
from flask import Flask
from polar.v2026_10 import Polar as PolarSdk

from benchmarks.common import Row, main
from benchmarks.upstream import TOKEN, upstream
from storefront import Storefront, get_state

_LISTS: Final = ("products", "checkout-links")
_PAGE_SIZE: Final = 100
_CONCURRENCY: Final = 8  # the default of STOREFRONT_SYNC_CONCURRENCY
_TARGET: Final = 1.15


def measure(quick: bool) -> Sequence[Row]:
    """Medians at several latencies, and one sync that the rate limit holds back."""
    products = 300 if quick else 10_000
    rows: list[Row] = []
    for latency in (0.0, 0.01) if quick else (0.0, 0.05, 0.15):
        rows += _at_latency(products, latency, rounds=1 if quick else 5)
    # About what the sandbox allows, whose 100 a minute would be at its edge with 200 requests.
    rows.append(_held_back(products, share=0.24))
    return rows


def bound(products: int, latency: float) -> float:
    """Seconds below which no walk with that concurrency can go. Every product has one link."""
    pages = -(-products // _PAGE_SIZE) * len(_LISTS)
    return pages * latency / _CONCURRENCY


def _at_latency(products: int, latency: float, *, rounds: int) -> list[Row]:
    name = f"{products:,} products and links at {latency * 1000:.0f} ms"
    with upstream(products, latency=latency) as url:
        for call in (_sync, _fetch):
            call(url)  # the pages are made, and all modules imported
        firsts, agains, bares = [], [], []
        for _ in range(rounds):
            first, again = _sync(url)
            firsts.append(first)
            agains.append(again)
            bares.append(_timed(_fetch, url))
        plain, sdk = _timed(_one_by_one, url), _timed(_by_sdk, url)
    ours, bare = statistics.median(firsts), statistics.median(bares)
    limit = bound(products, latency)

    def row(what: str, seconds: float) -> Row:
        measured = f"{seconds:.2f} s"
        if limit:
            return Row.at_most(what, measured, seconds / limit, "the bound", _TARGET)
        return Row(what, measured, seconds / bare, "the same pages thrown away")

    rows = [
        row(f"{name}: sync", ours),
        row(f"{name}: sync, again", statistics.median(agains)),
    ]
    if limit:
        rows.append(Row("… the bound", f"{limit:.2f} s"))
    return [
        *rows,
        *(
            Row(f"… {what}", f"{seconds:.2f} s", seconds / ours, "the sync")
            for what, seconds in (
                (f"{_CONCURRENCY} threads that throw the pages away", bare),
                ("`requests`, one page after the other", plain),
                ("`polar-sdk`, one page after the other", sdk),
            )
        ),
    ]


def _held_back(products: int, *, share: float) -> Row:
    budget = int(500 * share)
    pages = -(-products // _PAGE_SIZE) * len(_LISTS)
    limit = (pages - 1) // budget * 60.0
    with upstream(products) as url:
        seconds, _ = _sync(url, share=share, again=False)
    what = f"{products:,} products and links at {budget} requests a minute: sync"
    if not limit:
        return Row(what, f"{seconds:.2f} s")
    return Row.at_most(what, f"{seconds:.1f} s", seconds / limit, f"{limit:.0f} s", _TARGET)


def _timed(call: Callable[..., object], *arguments: str) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def _sync(url: str, *, share: float = 1.0, again: bool = True) -> tuple[float, float]:
    """Seconds of a first sync, and of one after it that finds nothing changed."""
    with tempfile.TemporaryDirectory() as folder:
        app = Flask(__name__, instance_path=folder)
        app.config.update(
            POLAR_SERVER=url,
            POLAR_ACCESS_TOKEN=TOKEN,
            STOREFRONT_SYNC_ON_START=False,
            STOREFRONT_SYNC_CONCURRENCY=_CONCURRENCY,
            STOREFRONT_RATE_LIMIT_SHARE=share,
        )
        Storefront(app)
        sync = get_state(app).catalog.sync
        first = _timed(sync)
        return first, _timed(sync) if again else 0.0


def _fetch(url: str) -> None:
    """All pages by so many connections, each read and thrown away."""
    with requests.Session() as session:
        pages = [
            (name, page) for name in _LISTS for page in range(1, _last_page(session, url, name) + 1)
        ]

    def work() -> None:
        with requests.Session() as session:
            while True:
                try:
                    name, page = pages.pop()
                except IndexError:
                    return
                _get(session, url, name, page)

    threads = [threading.Thread(target=work) for _ in range(_CONCURRENCY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _one_by_one(url: str) -> None:
    """What a page of code does: lists of dicts."""
    kept = []
    with requests.Session() as session:
        for name in _LISTS:
            page, last = 1, 1
            while page <= last:
                body = _get(session, url, name, page).json()
                kept += body["items"]
                page, last = page + 1, body["pagination"]["max_page"]


def _by_sdk(url: str) -> None:
    """The same with Polar's own SDK: lists of its objects."""
    with PolarSdk(TOKEN, base_url=url) as polar:
        _ = list(polar.products.iter_list(limit=_PAGE_SIZE, sorting=["created_at"]))
        _ = list(polar.checkout_links.iter_list(limit=_PAGE_SIZE, sorting=["created_at"]))


def _get(session: requests.Session, url: str, name: str, page: int) -> requests.Response:
    answer = session.get(
        f"{url}/v1/{name}/",
        params={"page": str(page), "limit": str(_PAGE_SIZE), "sorting": "created_at"},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=60,
    )
    answer.raise_for_status()
    return answer


def _last_page(session: requests.Session, url: str, name: str) -> int:
    last: int = _get(session, url, name, 1).json()["pagination"]["max_page"]
    return last


if __name__ == "__main__":
    main(measure, __doc__)
