"""`python -m tests.faults.reader READS PRODUCTS`: reads the catalogue as the pages of a site do.

It reads so often at least, and until its input ends, and prints as JSON what was wrong with what it
read. In between it starts anew, as a worker that was killed does. All products of a good catalogue
have one price, and there are so many of them, each with a link.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections import Counter

from storefront import Catalog, CatalogUnavailable
from storefront.state import get_state
from tests.faults.site import create_app

#: How many reads a life has, and how many come at once, as they do in a busy second.
_LIFE = 20_000
_BURST = 500


def fault_of(catalog: Catalog, products: int) -> str:
    """What is wrong with a catalogue; empty: nothing."""
    if len(catalog) != products or len(catalog.links) != products:
        return "shrunk"
    if len({product.pricing.prices[0].minor for product in catalog}) != 1:
        return "mixed"
    if any(len(product.offers) != 1 for product in catalog):
        return "torn"
    return ""


def main(least: int, products: int) -> None:
    """Say when it begins, and read until the input ends."""
    found, versions, reads = Counter[str](), set[str](), 0
    while True:
        store = get_state(create_app(STOREFRONT_SYNC_ON_START=False)).catalog
        last: Catalog | None = None
        price: int | None = None
        for number in range(_LIFE):
            if number % _BURST == 0:
                time.sleep(0.02)
                if reads >= least and select.select([sys.stdin], [], [], 0)[0]:
                    versions.discard("")
                    print(json.dumps({"reads": reads, "versions": len(versions), **found}))
                    return
            reads += 1
            if reads == 1:
                print("reading", flush=True)
            try:
                catalog = store.current()
            except CatalogUnavailable:
                found["absent"] += 1
                continue
            if catalog is last:
                # It never changes; a few of its products are looked at all the same.
                page = catalog.page(f"item-{reads % products}")
                if page is None or page.pricing.prices[0].minor != price:
                    found["mixed"] += 1
                continue
            fault = fault_of(catalog, products)
            if fault:
                found[fault] += 1
            elif last is not None and catalog.read_at < last.read_at:
                found["older"] += 1
            last, price = catalog, next(iter(catalog)).pricing.prices[0].minor
            versions.add(catalog.version)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
