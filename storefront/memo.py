"""A bounded memory of what is costly to make."""

from __future__ import annotations

from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Memo(Generic[_K, _V]):
    """Keeps values up to a weight, and forgets those that were not asked for lately.

    Two generations of dictionaries: what is asked for moves to the younger, and when that is
    full, the older is forgotten whole. Reading takes no lock. Threads may lose count of a
    weight now and then; the next generation counts anew.
    """

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._young: dict[_K, tuple[_V, int]] = {}
        self._old: dict[_K, tuple[_V, int]] = {}
        self._weight = 0

    def get(self, key: _K) -> _V | None:
        """The value, or None when there is none any more."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def put(self, key: _K, value: _V, weight: int) -> None:
        """Keep a value; the unit of ``weight`` is that of the limit."""
        if self._weight + weight > self._half and self._young:
            self._old, self._young, self._weight = self._young, {}, 0
        self._young[key] = (value, weight)
        self._weight += weight

    def items(self) -> list[tuple[_K, _V]]:
        """What is kept at this moment."""
        kept = {**self._old.copy(), **self._young.copy()}
        return [(key, value) for key, (value, _) in kept.items()]

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
