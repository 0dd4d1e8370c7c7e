"""Misbehaviour on demand: what goes wrong, with which requests, and how often.

How each kind is played on the wire is in `misbehaving`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

#: The kinds, and the value each has where none is given: seconds, a status, or megabytes.
KINDS: Final[Mapping[str, float]] = {
    "latency": 1.0,
    "status": 503,
    "hang": 3600.0,
    "drip-headers": 0.1,
    "drip-body": 0.1,
    "garbage": 0,
    "not-http": 0,
    "truncated": 0,
    "endless": 0,
    "bomb": 100,
    "reset": 0,
}

#: What the local Polar is controlled by is spared.
_SPARED = "/local/"


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    :raises ValueError: there is no such kind, or the numbers make no sense.
    """

    #: One of `KINDS`.
    kind: str
    #: Seconds, a status or megabytes, by the kind; None: its own.
    value: float | None = None
    #: Paths it befalls, `*` standing for anything.
    path: str = "*"
    #: The method it befalls; None: any.
    method: str | None = None
    #: How many requests it befalls before it is over; None: it does not end.
    times: int | None = None
    #: The share of the requests it befalls, from 0 to 1.
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no fault; give one of {', '.join(KINDS)}")
        if self.value is not None and not 0 <= self.value <= 1e6:
            raise ValueError(f"{self.kind} cannot have the value {self.value:g}")
        if self.kind == "status" and not (100 <= self.amount <= 599 and self.amount % 1 == 0):
            raise ValueError(f"{self.amount:g} is no status; give one from 100 to 599")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times={self.times} is no number of requests; give 1 or more")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share:g} is no share; give a number from 0 to 1")

    @property
    def amount(self) -> float:
        """The value, or the kind's own where none was given."""
        return KINDS[self.kind] if self.value is None else self.value


def parse_fault(text: str) -> Fault:
    """A fault as a command line has it: `KIND[:VALUE][,path=…][,method=…][,times=…][,share=…]`.

    :raises ValueError: it is none.
    """
    head, *rest = text.split(",")
    kind, has_value, value = head.partition(":")
    readers: dict[str, Callable[[str], Any]] = {
        "path": str,
        "method": str.upper,
        "times": int,
        "share": float,
    }
    options: dict[str, Any] = {}
    for option in rest:
        name, _, given = option.partition("=")
        if name not in readers:
            raise ValueError(f"{option!r} is no option of a fault; give {', '.join(readers)}")
        options[name] = _read(readers[name], given, option)
    return Fault(kind, _read(float, value, head) if has_value else None, **options)


def written(fault: Fault) -> str:
    """A fault as `parse_fault` reads it."""
    parts = [fault.kind if fault.value is None else f"{fault.kind}:{fault.value:g}"]
    if fault.path != "*":
        parts.append(f"path={fault.path}")
    if fault.method is not None:
        parts.append(f"method={fault.method}")
    if fault.times is not None:
        parts.append(f"times={fault.times}")
    if fault.share < 1:
        parts.append(f"share={fault.share:g}")
    return ",".join(parts)


def _read(reader: Callable[[str], Any], given: str, whole: str) -> Any:
    try:
        return reader(given)
    except ValueError:
        raise ValueError(f"{whole!r} has no number where one belongs") from None


class Faults:
    """What is to go wrong now. It may be changed at any time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, list[int]]] = []
        self._random = random.Random(0)  # noqa: S311
        #: How many requests went wrong so far.
        self.count = 0
        #: Set when the local Polar stops: whoever hangs or drips lets go.
        self.is_over = threading.Event()

    @property
    def now(self) -> list[Fault]:
        """What is to go wrong, the first that fits a request first; those used up as well."""
        with self._lock:
            return [fault for fault, _ in self._faults]

    def set(self, kind: str, value: float | None = None, **options: Any) -> None:
        """Let this go wrong, and nothing else: `set("status", 503, path="/v1/products/*")`.

        Options are those of `Fault`: `path`, `method`, `times`, `share`.

        :raises ValueError: it is no fault.
        """
        fault = Fault(kind, value, **options)
        with self._lock:
            self._faults = [(fault, [0])]

    def add(self, fault: Fault) -> None:
        """Let this go wrong as well; where several fit a request, the one that came first does."""
        with self._lock:
            self._faults.append((fault, [0]))

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._faults = []

    @contextmanager
    def during(self, kind: str, value: float | None = None, **options: Any) -> Iterator[None]:
        """Let this go wrong inside a `with`.

        :raises ValueError: it is no fault.
        """
        self.set(kind, value, **options)
        try:
            yield
        finally:
            self.clear()

    def befalling(self, method: str, path: str) -> Fault | None:
        """What a request is to suffer, which then counts as suffered; None: nothing."""
        if path.startswith(_SPARED):
            return None
        with self._lock:
            for fault, used in self._faults:
                if fault.times is not None and used[0] >= fault.times:
                    continue
                if fault.method not in (None, method) or not fnmatchcase(path, fault.path):
                    continue
                if fault.share < 1 and self._random.random() >= fault.share:
                    continue
                used[0] += 1
                self.count += 1
                return fault
        return None
