"""How long a site waits for ``import storefront``, beside what it imports in any case.

Each import runs in an interpreter of its own, with all modules compiled. What a user would pick
instead is Polar's SDK, with the Flask that serves the pages.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Final

from benchmarks.common import Row, fresh, in_turns, main, ratio, spread

BARE: Final = "flask, requests, flask_caching"
STOREFRONT: Final = "storefront"
SDK: Final = "flask, polar"

_TIMED = "import time; s = time.perf_counter(); import {}; print(time.perf_counter() - s)"


def measure(quick: bool) -> Sequence[Row]:
    """Medians of imports in turns."""
    runs = {name: partial(_import, name) for name in (BARE, STOREFRONT, SDK)}
    for run in runs.values():
        run()  # compiles what was not
    found = in_turns(runs, rounds=1 if quick else 31)

    def measured(name: str) -> str:
        return f"{statistics.median(found[name]) * 1000:.0f} ms {spread(found[name])}".strip()

    ours, sdk = ratio(found, STOREFRONT, BARE), ratio(found, SDK, BARE)
    return [
        Row.at_most("`import storefront`", measured(STOREFRONT), ours, BARE, 1.5),
        Row(f"`import {BARE}`", measured(BARE)),
        Row(f"`import {SDK}`", measured(SDK), sdk, BARE),
    ]


def _import(names: str) -> float:
    return float(fresh("-c", _TIMED.format(names)))


if __name__ == "__main__":
    main(measure, __doc__)
