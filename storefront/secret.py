"""A string that must not be seen: an access token, a webhook secret."""

from __future__ import annotations

import hmac
import re

# The prefixes by which Polar's secrets tell their kind. They give nothing away, and they help
# whoever has put one secret where another belongs.
_PREFIX = re.compile(r"polar_[a-z]{1,8}_|whsec_")


class Secret:
    """Holds a string that no repr, log line or traceback with locals shows.

    Only :meth:`reveal` gives it back; ``str()``, ``repr()`` and formatting give
    ``Secret('polar_oat_…')``.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the string itself. Use it in an expression: a local variable shows in tracebacks."""
        return self._value

    def __repr__(self) -> str:
        prefix = _PREFIX.match(self._value)
        return f"Secret('{prefix[0] if prefix else ''}…')"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)
