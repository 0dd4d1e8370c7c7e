"""How soon a restarted site shows a product, with a large catalogue kept and Polar down.

The clock runs from the end of ``import storefront`` in a new process: the app is made, the shop
registered, and a product's page asked for, again after each 503. What is kept was read by a sync
in another process. Beside it, what a bare Flask app takes for the same. "Busy" is the processor
time in it; the rest is waiting, mostly for a processor where other programs have them.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.common import Row, fresh, main, spread
from benchmarks.upstream import TOKEN, product_name, product_slug, upstream

_TARGET_SECONDS: Final = 0.3

#: Imports, then what is timed; the environment of the request stands ready, as a server's does.
_START: Final = """
import io, json, sys, time
import {imports}
environ = {{
    "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "{path}", "QUERY_STRING": "",
    "SERVER_NAME": "shop.example.com", "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0), "wsgi.url_scheme": "https", "wsgi.input": io.BytesIO(),
    "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}}
started, busy = time.perf_counter(), time.process_time()
app = flask.Flask("site", instance_path={folder!r})
{make}
statuses = []
while not statuses or (statuses[-1][:3] == "503" and time.perf_counter() - started < 60):
    body = b"".join(app(dict(environ), lambda status, headers: statuses.append(status)))
found = [time.perf_counter() - started, time.process_time() - busy]
assert statuses[-1][:3] == "200" and {expected!r} in body, statuses
print(json.dumps(found))
"""
_SHOP: Final = """
app.config.update(POLAR_SERVER={url!r}, POLAR_ACCESS_TOKEN={token!r})
shop = storefront.Storefront(app)
app.register_blueprint(shop.blueprint, url_prefix="/shop")
"""
_BARE: Final = """
@app.get("{path}")
def page():
    return "Pattern" * 900
"""


def measure(quick: bool) -> Sequence[Row]:
    """Medians of fresh processes, in turns: files kept, the database alone, and a bare app."""
    products, rounds = (500, 1) if quick else (10_000, 15)
    slug = product_slug(products // 2)
    seconds: dict[str, list[float]] = {"files": [], "database": [], "bare": []}
    busy: dict[str, list[float]] = {"files": [], "database": [], "bare": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = _fill(folder, products)
        for each in range(rounds + 1):
            for what in seconds:
                if what == "database":
                    shutil.rmtree(folder / "storefront-cache", ignore_errors=True)
                took = _start(folder, url, slug) if what != "bare" else _start_bare(folder)
                if each:  # the first compiles what is imported late
                    seconds[what].append(took[0])
                    busy[what].append(took[1])
            # The restart from the database filled the files again, or did not: a sync would.
            if not (folder / "storefront-cache").is_dir():
                shutil.copytree(folder / "kept", folder / "storefront-cache")
    medians = {what: statistics.median(values) for what, values in seconds.items()}
    limit = f"≤ {_TARGET_SECONDS * 1000:.0f} ms"

    def row(name: str, what: str) -> Row:
        return Row(
            f"{products:,} products, Polar down: first page from {name}",
            f"{medians[what] * 1000:.0f} ms {spread(seconds[what])}".strip()
            + f", {statistics.median(busy[what]) * 1000:.0f} ms of it busy",
            medians[what] / medians["bare"],
            "a bare app",
            limit,
            medians[what] <= _TARGET_SECONDS,
        )

    return [
        row("the cache's files", "files"),
        row("the database alone", "database"),
        Row("… a bare Flask app's first answer", f"{medians['bare'] * 1000:.1f} ms"),
    ]


def _fill(folder: Path, products: int) -> str:
    """Have a sync read them; gives the URL of the Polar, which is gone then."""
    script = (
        "import flask, storefront, sys\n"
        f"app = flask.Flask('site', instance_path={str(folder)!r})\n"
        "app.config.update(POLAR_SERVER=sys.argv[1], POLAR_ACCESS_TOKEN=sys.argv[2],\n"
        "    STOREFRONT_SYNC_ON_START=False)\n"
        "storefront.Storefront(app)\n"
        "print(storefront.get_state(app).catalog.sync().products)"
    )
    with upstream(products) as url:
        assert fresh("-c", script, url, TOKEN) == products
    shutil.copytree(folder / "storefront-cache", folder / "kept")
    return url


def _start(folder: Path, url: str, slug: str) -> list[float]:
    script = _START.format(
        imports="storefront, flask",
        path=f"/shop/products/{slug}",
        folder=str(folder),
        make=_SHOP.format(url=url, token=TOKEN),
        expected=product_name(int(slug[-6:])).encode(),
    )
    found: list[float] = fresh("-c", script)
    return found


def _start_bare(folder: Path) -> list[float]:
    path = "/page"
    script = _START.format(
        imports="flask",
        path=path,
        folder=str(folder),
        make=_BARE.format(path=path),
        expected=b"Pattern",
    )
    found: list[float] = fresh("-c", script)
    return found


if __name__ == "__main__":
    main(measure, __doc__)
