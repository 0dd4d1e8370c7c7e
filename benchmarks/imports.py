"""How long a site waits for ``import storefront``, beside what it imports in any case.

Each import runs in an interpreter of its own, with all modules compiled. What a user would pick
instead is Polar's SDK, with the Flask that serves the pages.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks.common import Row, fresh, main, spread

BARE: Final = "flask, requests, flask_caching"
STOREFRONT: Final = "storefront"
SDK: Final = "flask, polar"

_TIMED = "import time; s = time.perf_counter(); import {}; print(time.perf_counter() - s)"


def measure(quick: bool) -> Sequence[Row]:
    """Medians of at least 15 imports each, in turns."""
    names = [BARE, STOREFRONT, SDK]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for each in range(2 if quick else 32):
        for name in names:
            took = fresh("-c", _TIMED.format(name))
            if each:  # the first compiles
                seconds[name].append(took)
        names.reverse()
    medians = {name: statistics.median(values) for name, values in seconds.items()}

    def measured(name: str) -> str:
        return f"{medians[name] * 1000:.0f} ms {spread(seconds[name])}".strip()

    bare = medians[BARE]
    return [
        Row.at_most(
            "`import storefront`", measured(STOREFRONT), medians[STOREFRONT] / bare, BARE, 1.5
        ),
        Row(f"`import {BARE}`", measured(BARE)),
        Row(f"`import {SDK}`", measured(SDK), medians[SDK] / bare, BARE),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
