"""Limits on the rate of requests, as the service has them.

Source: recorded from the service, 2026-11-22: answers 429 with an empty body, and how long to stay
away. How many confirmations it takes was not recorded; here it is the same number.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from werkzeug.wrappers import Request, Response

#: What a token that was not seen before may do in a minute, at most.
UNKNOWN_TOKEN_LIMIT: Final = 60

_WINDOW: Final = 60
_CONFIRM_BLOCK: Final = 1800


class RateLimit:
    """Counts requests in windows of a minute, for each organization, unknown token or address."""

    def __init__(
        self, per_minute: int | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`per_minute` may be changed at any time; None: there is no limit."""
        self.per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        #: The end of the window, and how many requests it has seen.
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._windows.clear()

    def check(self, request: Request, *, organization: str | None) -> Response | None:
        """Count a request; the answer to it if it is one too many.

        `organization` is the one that its token belongs to, None where that is not known.
        """
        limit = self.per_minute
        if limit is None:
            return None
        address = request.headers.get("True-Client-IP") or request.remote_addr or ""
        if request.path.endswith("/confirm"):
            return self._count(("confirm", address), limit, block=_CONFIRM_BLOCK)
        if organization is not None:
            return self._count(("organization", organization), limit)
        token = request.headers.get("Authorization", "")
        if token:
            return self._count(("token", token), min(limit, UNKNOWN_TOKEN_LIMIT))
        return self._count(("address", address), limit)

    def _count(self, who: tuple[str, str], limit: int, *, block: int = _WINDOW) -> Response | None:
        now = self._clock()
        with self._lock:
            ends, count = self._windows.get(who, (0.0, 0))
            if now >= ends:
                ends, count = now + _WINDOW, 0
            count += 1
            if count == limit + 1 and block > _WINDOW:
                ends = now + block
            self._windows[who] = (ends, count)
        if count <= limit:
            return None
        response = Response(status=429, headers={"Retry-After": str(block)})
        del response.headers["Content-Type"]
        return response
