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


class _Places:
    """How many things are done in one process at this moment."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.busy = 0
        #: How many of them nobody waits for any more.
        self.left = 0

    def is_clear(self) -> bool:
        """Whether it is clear if one can begin, for what nobody waits for hardly ends soon."""
        return self.busy < PLACES or self.left >= PLACES


class Aside:
    """Does something in a thread of its own, so that who wants it can stop waiting for it."""

    def __init__(self) -> None:
        # By process: what hung when this one was forked hangs elsewhere.
        self._places: dict[int, _Places] = {}

    def within(self, seconds: float, function: Callable[[], _T]) -> _T:
        """What the function gives, or raises, when it ends in so many seconds.

        :raises Late: when it does not, or can't begin since too many others hang.
        """
        places = self._places.setdefault(os.getpid(), _Places())
        ends = time.monotonic() + seconds
        errand = _Errand(function, copy_context())
        with places.changed:
            places.changed.wait_for(places.is_clear, seconds)
            if places.busy >= PLACES:
                raise Late
            places.busy += 1
        try:
            threading.Thread(
                target=_do, args=[errand, places], name="storefront-aside", daemon=True
            ).start()
        except RuntimeError:  # the machine gives no more threads
            with places.changed:
                places.busy -= 1
                places.changed.notify_all()
            raise Late from None
        with places.changed:
            if not places.changed.wait_for(lambda: errand.is_done, ends - time.monotonic()):
                errand.is_left = True
                places.left += 1
                places.changed.notify_all()
                raise Late
        return errand.outcome()


def _do(errand: _Errand[_T], places: _Places) -> None:
    errand.run()
    with places.changed:
        errand.is_done = True
        places.busy -= 1
        places.left -= errand.is_left
        places.changed.notify_all()
