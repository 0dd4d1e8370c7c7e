"""What the local Polar was asked for, counted."""

from __future__ import annotations

import threading
from collections import Counter
from fnmatch import fnmatchcase


class Requests:
    """How often each path was asked for, whatever came of it; what controls it is not counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def note(self, method: str, path: str) -> None:
        """Count a request."""
        if not path.startswith("/local/"):
            with self._lock:
                self._counts[method, path] += 1

    def count(self, path: str = "*", *, method: str | None = None) -> int:
        """How many requests there were for a path, `*` standing for anything."""
        return sum(self.by_path(path, method=method).values())

    def by_path(self, path: str = "*", *, method: str | None = None) -> dict[str, int]:
        """The same by method and path: `{"GET /v1/products/": 3}`, the most frequent first."""
        with self._lock:
            counts = self._counts.most_common()
        return {
            f"{asked} {where}": count
            for (asked, where), count in counts
            if method in (None, asked) and fnmatchcase(where, path)
        }

    def reset(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self._counts.clear()
