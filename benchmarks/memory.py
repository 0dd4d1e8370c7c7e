"""What a large catalogue costs each process in memory, with a checkout link for every product.

The resident set of a new process with many products, less that of one with few, by product: what
is imported and made only once cancels out. Measured for a process that found the catalogue kept,
as the workers of a site do, and for the one that read it from Polar; and, for what code would hold
that keeps the answers, for lists of dicts and of the SDK's objects.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.common import Row, fresh, main
from benchmarks.upstream import TOKEN, product_body, upstream

_TARGET_BYTES: Final = 2048
_FEW: Final = 500

_RESIDENT: Final = """
import gc, json, os, sys, time

def tell(kept=0):
    gc.collect()
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(json.dumps([int(status["VmRSS"].split()[0]) * 1024, kept]))

url, folder, mode = sys.argv[1:4]
"""
_SHOP: Final = """
import flask, storefront
app = flask.Flask("site", instance_path=folder)
app.config.update(POLAR_SERVER=url, POLAR_ACCESS_TOKEN=sys.argv[4],
    STOREFRONT_SYNC_ON_START=False, STOREFRONT_RATE_LIMIT_SHARE=1)
shop = storefront.Storefront(app)
app.register_blueprint(shop.blueprint, url_prefix="/shop")
if mode == "sync":
    storefront.get_state(app).catalog.sync()
deadline = time.monotonic() + 120
while app.test_client().get("/shop/").status_code == 503 and time.monotonic() < deadline:
    time.sleep(0.1)
store = storefront.get_state(app).catalog
assert len(store.current()) == int(sys.argv[5])
time.sleep(1)
tell(sum(len(chunk.content) for chunk in store.snapshot().chunks()))
"""
_DICTS: Final = """
import requests
session, kept = requests.Session(), []
for name in ("products", "checkout-links"):
    page, last = 1, 1
    while page <= last:
        body = session.get(f"{url}/v1/{name}/?limit=100&page={page}", timeout=60).json()
        kept += body["items"]
        page, last = page + 1, body["pagination"]["max_page"]
tell()
"""
_SDK: Final = """
from polar.v2026_10 import Polar
with Polar(sys.argv[4], base_url=url) as polar:
    kept = list(polar.products.iter_list(limit=100))
    kept += list(polar.checkout_links.iter_list(limit=100))
tell()
"""


def measure(quick: bool) -> Sequence[Row]:
    """Growth by product, and how large a record is on the wire and as it is kept."""
    many = 3_000 if quick else 100_000
    few_of_many = 2_000 if quick else 10_000
    synced, loaded, record = _of_shop(many)
    dicts = _growth(_DICTS, few_of_many)
    objects = _growth(_SDK, few_of_many)
    on_the_wire = len(json.dumps(product_body(), separators=(",", ":")))
    name = f"{many:,} products, a link each"
    limit = f"≤ {_TARGET_BYTES:,} bytes"

    def row(what: str, bytes_: float) -> Row:
        return Row(
            what,
            f"{bytes_:,.0f} bytes a product",
            bytes_ / record,
            "its record",
            limit,
            bytes_ <= _TARGET_BYTES,
        )

    return [
        row(f"{name}: a process that found them kept", loaded),
        row(f"{name}: the process that read them", synced),
        Row("… a product's record with its link's, as kept", f"{record:,.0f} bytes"),
        Row("… a product as Polar sends it, without its link", f"{on_the_wire:,} bytes"),
        Row("… lists of dicts", f"{dicts:,.0f} bytes a product", dicts / loaded, "kept"),
        Row(
            "… lists of `polar-sdk` objects",
            f"{objects:,.0f} bytes a product",
            objects / loaded,
            "kept",
        ),
    ]


def _of_shop(many: int) -> tuple[float, float, float]:
    """Bytes a product: of the process that synced, of one that loads it, of a record as kept."""
    resident: dict[tuple[str, int], int] = {}
    kept = 0
    for products in (_FEW, many):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with upstream(products) as url:
                resident["sync", products], _ = _run(_SHOP, url, folder, "sync", products)
            resident["load", products], kept = _run(_SHOP, url, folder, "load", products)
    grown = {
        mode: (resident[mode, many] - resident[mode, _FEW]) / (many - _FEW)
        for mode in ("sync", "load")
    }
    return grown["sync"], grown["load"], kept / many


def _growth(script: str, products: int) -> float:
    resident = []
    for count in (_FEW, products):
        with upstream(count) as url:
            resident.append(_run(script, url, Path(), "", count)[0])
    return (resident[1] - resident[0]) / (products - _FEW)


def _run(script: str, url: str, folder: Path, mode: str, products: int) -> tuple[int, int]:
    """The resident set, and what the records of a shop's catalogue come to, in bytes."""
    arguments = (url, str(folder), mode, TOKEN, str(products))
    resident, kept = fresh("-c", _RESIDENT + script, *arguments)
    return resident, kept


if __name__ == "__main__":
    main(measure, __doc__)
