"""Reading the whole catalogue from Polar."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from storefront.catalog.records import encode_link, encode_product
from storefront.catalog.snapshot import Snapshot
from storefront.errors import PolarUnavailable
from storefront.polar import CheckoutLink, Client, Page, Product

#: Called after each page with what is read so far and what there is, products and links together.
Progress = Callable[[int, int], None]

_T = TypeVar("_T", Product, CheckoutLink)
_PAGE_SIZE = 100
_WALKS = 3


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did; ``seconds`` is how long it took. Counts are of products and links."""

    products: int
    links: int
    added: int
    changed: int
    removed: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"Read {self.products} products and {self.links} checkout links in "
            f"{self.seconds:.1f} s: {self.added} added, {self.changed} changed, "
            f"{self.removed} removed."
        )


def read_snapshot(
    client: Client,
    *,
    organization_id: str | None = None,
    previous: Snapshot | None = None,
    progress: Progress | None = None,
) -> tuple[Snapshot, SyncReport]:
    """Read all products and checkout links.

    ``previous`` is what was read last; its slugs are kept where they can be.

    :raises PolarError: when any part of it can't be read: a part is no catalogue.
    """
    started = time.monotonic()
    totals = [0, 0]
    read = [0, 0]

    def report(which: int) -> Callable[[int, int], None]:
        def on_page(done: int, total: int) -> None:
            read[which], totals[which] = done, total
            if progress:
                progress(sum(read), sum(totals))

        return on_page

    products = _read_all(
        lambda page: client.products.list(
            page=page, limit=_PAGE_SIZE, organization_id=organization_id
        ),
        "products",
        report(0),
    )
    links = _read_all(
        lambda page: client.checkout_links.list(
            page=page, limit=_PAGE_SIZE, organization_id=organization_id
        ),
        "checkout links",
        report(1),
    )
    # A link carries its products: one that was created since the list of products was read
    # would otherwise be missing from a link that sells it.
    by_id = {product.id: product for link in links for product in link.products}
    by_id |= {product.id: product for product in products}
    snapshot = Snapshot.of(
        {id_: encode_product(product) for id_, product in by_id.items()},
        {link.id: encode_link(link) for link in links},
        read_at=datetime.now(UTC),
        previous=previous,
    )
    return snapshot, _compare(previous, snapshot, time.monotonic() - started)


def _read_all(
    read_page: Callable[[int], Page[_T]], what: str, on_page: Callable[[int, int], None]
) -> list[_T]:
    """All pages of a list; read again when it changed under the reader's hands."""
    for _ in range(_WALKS):
        items: dict[str, _T] = {}
        number = 1
        while True:
            page = read_page(number)
            items.update((item.id, item) for item in page.items)
            on_page(len(items), page.total_count)
            if number >= page.max_page:
                break
            number += 1
        if len(items) == page.total_count:
            return list(items.values())
    raise PolarUnavailable(
        f"Polar's list of {what} gave {len(items)} of {page.total_count}, {_WALKS} times in a "
        "row. It changes while it is read, or repeats itself; try again in a minute.",
        method="GET",
        path=what,
    )


def _compare(previous: Snapshot | None, now: Snapshot, seconds: float) -> SyncReport:
    found = now.since(previous)
    return SyncReport(
        products=now.products,
        links=now.links,
        added=found.added,
        changed=found.changed,
        removed=found.removed,
        seconds=seconds,
    )
