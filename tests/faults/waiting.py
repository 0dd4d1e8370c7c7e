"""R7: a visitor never waits on Polar, whatever it does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storefront.emulator.misbehaving import packed_bomb
from storefront.testing import Fault
from tests.faults.harness import CONTROL, Figure, Load, Site, ask_at_once, polar, seed, visit

#: What Polar may do, a dozen of ways.
WAYS: Final = (
    Fault("latency", 30),
    Fault("status", 503),
    Fault("status", 429),
    Fault("hang"),
    Fault("drip-headers"),
    Fault("drip-body"),
    Fault("garbage"),
    Fault("not-http"),
    Fault("truncated"),
    Fault("endless"),
    Fault("bomb", 1000),
    Fault("reset"),
)
#: `STOREFRONT_PAGE_TIMEOUT_SECONDS`, and what a page itself may take.
LONGEST: Final = 2.3
_PATIENCE: Final = {"STOREFRONT_PAGE_TIMEOUT_SECONDS": "2"}


@dataclass
class _Worst:
    """Seconds of the slowest answers of a kind of page, and how many were too slow."""

    seconds: float = 0.0
    control: float = 0.0
    answers: int = 0
    slow: int = 0

    def note(self, load: Load) -> None:
        """Count what was answered, beside requests that do nothing at the same time."""
        self.answers += len(load.waits)
        self.slow += sum(wait > LONGEST + load.control for wait in load.waits)
        self.seconds = max(self.seconds, load.slowest)
        self.control = max(self.control, load.control)

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.answers:,} answers; control {self.control:.2f} s)"


def waiting(
    folder: Path, *, ways: Sequence[Fault] = WAYS, warm: int, cold: int, success: int
) -> Figure:
    """How long the slowest answer took, while Polar misbehaves in each of these ways.

    `warm` pages of a site that has its catalogue, which it wants to read anew all the time;
    `success` pages; and `cold` pages of a site that never had one. Each figure stands beside that
    of a page that has nothing to do with the shop, asked for at the same time: machines are slow.
    """
    page, first, bought = _Worst(), _Worst(), _Worst()
    for way in ways:
        if way.kind == "bomb":
            packed_bomb(int(way.amount))  # now, and not while visitors wait
    with polar(seed(20)) as upstream:
        paid = upstream.served.purchase("Item 1", email="jane@example.com")
        # With what may prove who bought: without it Polar would not be asked.
        thanks = (
            f"/shop/success?checkout_id={paid.checkout_id}"
            f"&customer_session_token={paid.customer_session_token}"
        )
        for number, way in enumerate(ways):
            # New processes each time: those that know that Polar fails do not ask it.
            settings = {**_PATIENCE, "STOREFRONT_CATALOG_TTL_SECONDS": "0.5"}
            site = Site(folder / f"warm-{number}", upstream, threads=2 * success, settings=settings)
            with site.running():
                site.warm_up()
                upstream.faults.add(way)
                time.sleep(0.6)
                bought.note(_at_once(site, thanks, success))
                page.note(visit(site, [*site.pages, CONTROL], requests=warm))
            settings = {**_PATIENCE, "STOREFRONT_SYNC_ON_START": "false"}
            site = Site(folder / f"cold-{number}", upstream, threads=2 * cold, settings=settings)
            with site.running():
                # A page of the site waits no longer for having many buttons.
                for path in ("/shop/", "/"):
                    first.note(_at_once(site, path, cold))
            upstream.faults.clear()
    slow = page.slow + bought.slow + first.slow
    return Figure(
        f"{slow} answers over {LONGEST} s under {len(ways)} kinds of fault; slowest "
        f"warm {page}, cold {first}, success page {bought}",
        f"0 over {LONGEST} s; warm: no more than a page without the shop",
        slow == 0 and page.seconds < page.control + 0.5,
    )


def _at_once(site: Site, path: str, count: int) -> Load:
    return ask_at_once([(site, each) for _ in range(count) for each in (path, CONTROL)])
