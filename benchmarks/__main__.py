"""Run the benchmarks, all or those that are named, and print one table: ``python -m benchmarks``.

It takes some twenty minutes; ``--quick`` only sees that everything runs.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import time
from typing import Final

from benchmarks.common import Measure, Row, table

NAMES: Final = ("pages", "http", "clicks", "sync", "start", "memory", "imports")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: only to see it run")
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in given.names or NAMES:
        started = time.monotonic()
        measure: Measure = importlib.import_module(f"benchmarks.{name}").measure
        rows += measure(given.quick)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    print(table(rows))
    missed = [row.what for row in rows if row.reached is False]
    print(f"\n{len(missed)} missed." if missed else "\nAll targets are reached.")


if __name__ == "__main__":
    _main()
