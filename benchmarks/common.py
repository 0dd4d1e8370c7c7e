"""What all benchmarks share: fair timing, fresh processes, and one form of table.

A time means little on a machine that others use as well; the ratio of two means something when
both were measured in turns. So contenders are run alternately, medians are taken, and each figure
stands beside what it is a ratio of.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent

#: Seconds that a process may take until it listens, and any one measurement at all.
_START_SECONDS = 60
_RUN_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what was measured, beside what it is compared with."""

    what: str
    #: With its unit: ``812 requests/s``.
    measured: str
    #: ``measured`` divided by what ``of`` names; None where the row is the measure itself.
    ratio: float | None = None
    of: str = ""
    #: ``≥ 0.95``, with ``reached``; empty where nothing is promised.
    target: str = ""
    reached: bool | None = None

    @classmethod
    def at_least(cls, what: str, measured: str, ratio: float, of: str, target: float) -> Row:
        """A row that promises a ratio of ``target`` or more."""
        return cls(what, measured, ratio, of, f"≥ {target:g}", ratio >= target)

    @classmethod
    def at_most(cls, what: str, measured: str, ratio: float, of: str, target: float) -> Row:
        """A row that promises a ratio of ``target`` or less."""
        return cls(what, measured, ratio, of, f"≤ {target:g}", ratio <= target)


#: What a benchmark is: rows of its table; quick for a look whether it runs at all.
Measure = Callable[[bool], Sequence[Row]]


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds that one call takes, by name: medians of ``rounds`` runs of ``calls`` calls each.

    Every round runs each of the contenders, every second one in the opposite order. The garbage
    collector runs between the runs, and in none of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders.items())
    for _, call in order:
        call()  # what is made at the first call is no part of the others
    enabled = gc.isenabled()
    try:
        for _ in range(rounds):
            for name, call in order:
                gc.collect()
                gc.disable()
                started = clock()
                for _ in range(calls):
                    call()
                seconds[name].append((clock() - started) / calls)
            order.reverse()
    finally:
        if enabled:
            gc.enable()
    return {name: statistics.median(values) for name, values in seconds.items()}


def spread(values: Sequence[float]) -> str:
    """The middle half of the values, as a share of the median: ``± 4 %``."""
    if len(values) < 4:
        return ""
    low, _, high = statistics.quantiles(values, n=4)
    return f"± {(high - low) / 2 / statistics.median(values):.0%}".replace("%", " %")


def python(*command: str) -> tuple[str, ...]:
    """This interpreter, to run something with."""
    return (sys.executable, *command)


def fresh(*command: str, env: Mapping[str, str] | None = None) -> Any:
    """Run Python in a new process; gives the JSON that it printed last.

    :raises RuntimeError: when it fails, with what it said.
    """
    done = subprocess.run(
        python(*command),
        env=environment(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def environment(further: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the processes: no setting of a shop, and modules compiled once."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POLAR_", "STOREFRONT_", "FLASK_", "PYTHON"))
    }
    # A folder of its own, for an installed package is compiled, and a checkout may not be.
    kept["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / f"benchmarks-{os.getuid()}")
    kept["PYTHONHASHSEED"] = "0"
    return kept | dict(further or {})


@contextmanager
def running(
    *command: str, port: int, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, listening on ``port``; stopped at the end.

    :raises RuntimeError: when it does not start, with what it said.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            env=environment(env),
            cwd=ROOT,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise RuntimeError(f"{command} did not start:\n{said.read().decode()}")
                time.sleep(0.02)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


@dataclass(frozen=True, slots=True)
class Served:
    """A site that gunicorn serves."""

    url: str
    _leader: int

    def cpu_seconds(self) -> float:
        """The processor time that its processes have had, in all of their threads.

        Linux only. What a request takes of it says how many there can be in a second, also on a
        machine that others keep busy.
        """
        nanoseconds = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(folder.name)) != self._leader:
                    continue
                for task in folder.glob("task/*/schedstat"):
                    nanoseconds += int(task.read_text().split()[0])
            except (OSError, ProcessLookupError):
                continue  # it is gone
        return nanoseconds / 1e9


@contextmanager
def gunicorn(
    site: str, *options: str, env: Mapping[str, str] | None = None, workers: int = 1
) -> Iterator[Served]:
    """One of ``benchmarks/site.py``, served."""
    port = free_port()
    command = ["-m", "gunicorn", f"benchmarks.site:{site}()", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", str(workers), "--log-level", "warning", *options]
    with running(*python(*command), port=port, env=env) as process:
        yield Served(f"http://127.0.0.1:{port}", process.pid)


class Answered(NamedTuple):
    """What wrk counted."""

    requests: int
    a_second: float


def wrk(url: str, *, connections: int, seconds: float, headers: Iterable[str] = ()) -> Answered:
    """Have one thread of wrk ask as often as it is answered.

    :raises RuntimeError: when an answer is neither a success nor a redirect nor a 304.
    """
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--timeout", "30s"]
    command += ["--duration", f"{max(1, round(seconds))}s"]
    for header in headers:
        command += ["--header", header]
    said = subprocess.run(
        [*command, url], capture_output=True, text=True, timeout=_RUN_SECONDS, check=True
    ).stdout
    count = re.search(r"^\s*(\d+) requests in", said, re.MULTILINE)
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", said, re.MULTILINE)
    if count is None or rate is None or "Non-2xx" in said:
        raise RuntimeError(f"{url} was not answered as it should be:\n{said}")
    return Answered(int(count[1]), float(rate[1]))


def in_turns(
    contenders: Mapping[str, Callable[[], float]], *, rounds: int
) -> dict[str, list[float]]:
    """What each contender measures, ``rounds`` times, every second time in the opposite order."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders.items())
    for _ in range(rounds):
        for name, call in order:
            found[name].append(call())
        order.reverse()
    return found


def ratio(found: Mapping[str, Sequence[float]], name: str, of: str) -> float:
    """The median of the ratios in each round, as ``in_turns`` gives them.

    A machine that is slow for half a minute is so for both of a round.
    """
    return statistics.median(a / b for a, b in zip(found[name], found[of], strict=True))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| What | Measured | Ratio | Of | Target | Reached |",
        "| --- | ---: | ---: | --- | --- | --- |",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        reached = "" if row.reached is None else ("yes" if row.reached else "**no**")
        cells = (row.what, row.measured, ratio, row.of, row.target, reached)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(measure: Measure, description: str | None) -> None:
    """Run one benchmark from the command line and print its table."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds: only to see it run")
    print(table(measure(parser.parse_args().quick)))
