"""What a click on "buy" costs, with a checkout link and with a checkout made for each click.

A checkout link's address stands in the page already, so the button asks neither this site nor
Polar; ``/buy/<reference>`` redirects to it from memory. What is recommended elsewhere is a handler
that makes a checkout through the API for each click: by the official adapter for Express on Node,
and by the Python SDK in a Flask view. Their Polar here answers after a set latency, from memory.

Every server has one process; Flask's have eight threads. wrk clicks one at a time, and eight.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import requests

from benchmarks.common import (
    ROOT,
    Row,
    environment,
    free_port,
    fresh,
    gunicorn,
    in_turns,
    main,
    ratio,
    running,
    spread,
    wrk,
)
from benchmarks.site import environment as site_environment
from benchmarks.upstream import TOKEN, product_id, product_slug, upstream
from storefront.testing import local_polar

_NODE: Final = ROOT / "benchmarks" / "node"
_THREADS: Final = ("--worker-class", "gthread", "--threads", "8")

_FILL: Final = (
    "import json, benchmarks.site as site, storefront\n"
    "print(storefront.get_state(site.shop()).catalog.sync().products)"
)


def measure(quick: bool) -> Sequence[Row]:
    """Clicks a second: one at a time and eight at once, by the latency of Polar."""
    if shutil.which("wrk") is None:
        return [Row("clicks", "not measured: there is no wrk here (apt install wrk)")]
    rows = [
        Row("plain button: the link stands in the page", "no request to the shop or to Polar"),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = folder / "checkout.json"
        body.write_bytes(_checkout())
        lacking = _install(quick=quick)
        if lacking:
            rows.append(Row("`@polar-sh/express`", f"not measured: {lacking}"))
        for latency in (0.0,) if quick else (0.0, 0.05):
            with upstream(100, latency=latency, checkout=body) as url:
                rows += _at_latency(url, latency, folder, has_node=not lacking, quick=quick)
    return rows


def _at_latency(
    url: str, latency: float, folder: Path, *, has_node: bool, quick: bool
) -> list[Row]:
    env = dict(site_environment(url, TOKEN, str(folder), PRODUCT_ID=product_id(0)))
    fresh("-c", _FILL, env=env)
    buy = f"/shop/buy/{product_slug(50)}"
    with ExitStack() as stack:

        def serve(site: str) -> str:
            return stack.enter_context(gunicorn(site, *_THREADS, env=env)).url

        targets = {
            "`/buy/<reference>`": serve("shop") + buy,
            "`/buy/<reference>`, fast lane": serve("shop_with_lane") + buy,
            "a bare Flask redirect": serve("bare") + "/redirect",
            "`polar-sdk` in a Flask view": serve("by_sdk") + "/buy",
        }
        if has_node:
            node = stack.enter_context(_node(url))
            targets["`@polar-sh/express`"] = f"{node}/checkout?products={product_id(0)}"
            targets["a bare Express redirect"] = f"{node}/memory"
        for target in targets.values():
            answer = requests.get(target, allow_redirects=False, timeout=30)
            if not answer.is_redirect:
                raise RuntimeError(f"{target} answered {answer.status_code}: {answer.text[:200]}")
        rows = []
        for clicks in (8,) if quick else (1, 8):
            runs: dict[str, Callable[[], float]] = {
                name: partial(_clicks, target, clicks, seconds=1 if quick else 2)
                for name, target in targets.items()
            }
            if not quick:
                for run in runs.values():
                    run()  # so that the first round is like the others
            found = in_turns(runs, rounds=1 if quick else 5)
            rows += _rows(found, f"Polar at {latency * 1000:.0f} ms, {clicks} at once")
    return rows


def _clicks(url: str, at_once: int, *, seconds: float) -> float:
    return wrk(url, connections=at_once, seconds=seconds).a_second


def _rows(found: dict[str, list[float]], where: str) -> list[Row]:
    bare = "a bare Flask redirect"
    return [
        Row(
            f"{name} ({where})",
            f"{statistics.median(values):,.0f} a second {spread(values)}".strip(),
            None if name == bare else ratio(found, name, bare),
            "" if name == bare else bare,
        )
        for name, values in found.items()
    ]


def _checkout() -> bytes:
    """The body of a checkout, whole enough for strict clients, as the local Polar makes it."""
    with local_polar() as polar:
        product = next(
            id
            for id, product in polar.store.products.items()
            if not product["is_archived"]
            and {price["amount_type"] for price in product["prices"]} == {"fixed"}
        )
        answer = requests.post(
            f"{polar.url}/v1/checkouts/",
            json={"products": [product]},
            headers={"Authorization": f"Bearer {polar.token}"},
            timeout=30,
        )
        answer.raise_for_status()
        return json.dumps(answer.json(), separators=(",", ":")).encode()


def _install(*, quick: bool) -> str:
    """Install what ``benchmarks/node`` names; says why not, where that is so."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "there is no Node here"
    if (_NODE / "node_modules").is_dir():
        return ""
    if quick:
        return "--quick installs nothing"
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=_NODE, check=False, capture_output=True)
    return "npm ci failed" if done.returncode else ""


@contextmanager
def _node(url: str) -> Iterator[str]:
    port = free_port()
    env = environment({"POLAR_URL": url, "POLAR_ACCESS_TOKEN": TOKEN, "PORT": str(port)})
    env["NODE_ENV"] = "production"
    with running("node", os.fspath(_NODE / "shop.js"), port=port, env=env):
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    main(measure, __doc__)
