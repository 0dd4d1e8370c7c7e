"""Pages over HTTP: gunicorn and wrk, in turns with a view that does nothing.

Each site has one worker, which wrk keeps busy with eight connections. What is compared is how many
requests a worker answers in a second of processor time, gunicorn and the kernel included: that is
what it answers in a second when it has a processor for itself. gunicorn takes most of it; what a
page costs without it stands in the table of ``benchmarks.pages``.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import requests

from benchmarks.common import Row, Served, fresh, gunicorn, in_turns, main, ratio, spread, wrk
from benchmarks.site import BARE_BYTES, HEADERS, environment
from benchmarks.upstream import TOKEN, product_slug, upstream

_PRODUCTS: Final = 100
_CONNECTIONS: Final = 8
_OF_THE_SERVER: Final = {"Server", "Date", "Connection", "Transfer-Encoding"}
_PLAIN: Final = {"Accept-Encoding": "identity"}
#: How gunicorn is run, and what that is called.
_SERVERS: Final = {"sync worker": (), "gthread": ("--worker-class", "gthread", "--threads", "4")}

_FILL: Final = (
    "import json, os, benchmarks.site as site, storefront\n"
    "app = site.shop()\n"
    "print(storefront.get_state(app).catalog.sync().products)"
)


def measure(quick: bool) -> Sequence[Row]:
    """Requests by processor time of each site, under each kind of worker."""
    if shutil.which("wrk") is None:
        return [Row("pages over HTTP", "not measured: there is no wrk here (apt install wrk)")]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, upstream(_PRODUCTS) as url:
        env = dict(environment(url, TOKEN, folder))
        fresh("-c", _FILL, env=env)
        for name, options in list(_SERVERS.items())[: 1 if quick else None]:
            rows += _under(name, options, env, Path(folder), quick=quick)
    return rows


def _under(
    server: str, options: Sequence[str], env: dict[str, str], folder: Path, *, quick: bool
) -> list[Row]:
    page = f"/shop/products/{product_slug(_PRODUCTS // 2)}"
    rounds = 1 if quick else 15
    with ExitStack() as stack:

        def serve(site: str, **further: str) -> Served:
            return stack.enter_context(gunicorn(site, *options, env=env | further))

        shop, lane = serve("shop"), serve("shop_with_lane")
        first = _first(shop.url + page)
        # Pages tell their own addresses: the other site's have other tags.
        unchanged, lane_unchanged = (
            f"If-None-Match: {answer.headers['ETag']}"
            for answer in (first, _first(lane.url + page))
        )
        size = {BARE_BYTES: str(len(first.content))}
        own = {k: v for k, v in first.headers.items() if k not in _OF_THE_SERVER}
        bare = serve("bare", **size)
        nothing = serve("nothing", **size, **{HEADERS: json.dumps(own)})
        rendered = serve("shop", STOREFRONT_PREPARED_PAGES="never")
        cached = serve("cached", STOREFRONT_PREPARED_PAGES="never")
        asked: dict[str, tuple[Served, str, tuple[str, ...]]] = {
            "a bare view": (bare, "/page", ()),
            "… its bytes and headers without Flask": (nothing, "/page", ()),
            "product page": (shop, page, ()),
            "product page, 304": (shop, page, (unchanged,)),
            "product page, fast lane": (lane, page, ()),
            "product page, fast lane, 304": (lane, page, (lane_unchanged,)),
            "… rendered by Jinja each time": (rendered, page, ()),
            "… rendered once, kept by Flask-Caching": (cached, page, ()),
        }
        runs: dict[str, Callable[[], float]] = {}
        for name, (site, path, headers) in asked.items():
            _expect(site.url + path, headers, 304 if headers else 200)
            runs[name] = partial(_by_cpu, site, path, headers)
        if not quick:
            for run in runs.values():
                run()  # so that the first round is like the others
        found = in_turns(runs, rounds=rounds)
    targets = {"product page": 0.95, "product page, fast lane": 1.5}
    rows = []
    for name, values in found.items():
        what = f"{name} ({server})"
        measured = f"{statistics.median(values):,.0f} a CPU second {spread(values)}".strip()
        compared = ratio(found, name, "a bare view")
        if name in targets:
            rows.append(Row.at_least(what, measured, compared, "a bare view", targets[name]))
        elif name == "a bare view":
            rows.append(Row(what, measured))
        else:
            rows.append(Row(what, measured, compared, "a bare view"))
    return rows


def _by_cpu(site: Served, path: str, headers: Sequence[str]) -> float:
    before = site.cpu_seconds()
    answered = wrk(site.url + path, connections=_CONNECTIONS, seconds=1, headers=headers)
    return answered.requests / (site.cpu_seconds() - before)


def _first(url: str) -> requests.Response:
    # As wrk asks: a compressed page has another ETag.
    answer = requests.get(url, headers=_PLAIN, timeout=30)
    answer.raise_for_status()
    return answer


def _expect(url: str, headers: Sequence[str], status: int) -> None:
    given = dict(header.split(": ", 1) for header in headers)
    answer = requests.get(url, headers={**_PLAIN, **given}, timeout=30)
    if answer.status_code != status:
        raise RuntimeError(f"{url} answered {answer.status_code}, not {status}")


if __name__ == "__main__":
    main(measure, __doc__)
