"""Run the benchmarks, all or those that are named, and print one table: ``python -m benchmarks``.

It takes half an hour; ``--quick`` only sees that everything runs.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from typing import Final

from benchmarks.common import ROOT, environment, python, table

NAMES: Final = ("pages", "http", "clicks", "sync", "start", "memory", "search", "imports")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: only to see it run")
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    head = table(()).splitlines()
    rows: list[str] = []
    for name in given.names or NAMES:
        started = time.monotonic()
        # A process each: threads and caches of one are no part of the next.
        command = ["-m", f"benchmarks.{name}", *(["--quick"] if given.quick else [])]
        done = subprocess.run(
            python(*command),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        rows += done.stdout.splitlines()[len(head) :]
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    print(*head, *rows, sep="\n")
    missed = sum("**no**" in row for row in rows)
    print(f"\n{missed} missed." if missed else "\nAll targets are reached.")


if __name__ == "__main__":
    _main()
