"""A thread for what may hang: a database that was stopped takes a request and never answers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Final, Generic, TypeVar

_T = TypeVar("_T")
#: How many are done at once in a process. While that many hang, nobody else begins to wait.
PLACES: Final = 4


class Late(Exception):
    """It is not done in time. What was begun goes on, and may be done yet."""


class _Errand(Generic[_T]):
    """Something to be done, and what came of it."""

    def __init__(self, function: Callable[[], _T], context: Context) -> None:
        self._function = function
        self._context = context
        self._results: list[_T] = []
        self._error: BaseException | None = None
        self.is_done = False
        #: Whether nobody waits for it any more.
        self.is_left = False

    def run(self) -> None:
        """Do it; an error is kept for who waits."""
        try:
            self._results.append(self._context.run(self._function))
        except BaseException as error:
            self._error = error

    def outcome(self) -> _T:
        """What it gave, or raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]


class Aside:
    """Does something in a thread of its own, so that who wants it can stop waiting for it."""

    def __init__(self) -> None:
        self._start_process()

    def within(self, seconds: float, function: Callable[[], _T]) -> _T:
        """What the function gives, or raises, when it ends in so many seconds.

        :raises Late: when it does not, or can't begin since too many others hang.
        """
        if self._process != os.getpid():
            # What hung when this process was forked hangs elsewhere.
            self._start_process()
        ends = time.monotonic() + seconds
        errand = _Errand(function, copy_context())
        with self._changed:
            self._changed.wait_for(self._is_clear, seconds)
            if self._busy >= PLACES:
                raise Late
            self._busy += 1
        try:
            threading.Thread(
                target=self._do, args=[errand], name="storefront-aside", daemon=True
            ).start()
        except RuntimeError:  # the machine gives no more threads
            with self._changed:
                self._busy -= 1
            raise Late from None
        with self._changed:
            if not self._changed.wait_for(lambda: errand.is_done, ends - time.monotonic()):
                errand.is_left = True
                self._left += 1
                self._changed.notify_all()
                raise Late
        return errand.outcome()

    def _is_clear(self) -> bool:
        """Whether it is clear if one can begin, for what nobody waits for hardly ends soon."""
        return self._busy < PLACES or self._left >= PLACES

    def _do(self, errand: _Errand[_T]) -> None:
        errand.run()
        with self._changed:
            errand.is_done = True
            self._busy -= 1
            self._left -= errand.is_left
            self._changed.notify_all()

    def _start_process(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._busy = self._left = 0
