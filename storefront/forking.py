"""What must not be under way when a process is forked, and the fork waits for.

A server may load the site, which begins to look for its catalogue in a thread, and fork its workers
at that moment (``gunicorn --preload``). A worker has no such thread, but it has the locks that the
thread held, locked for good: Babel's over its locales, and Python's over each module that was being
imported. And it has SQLite's own notes of who holds what in which file, which say that this process
does; so nothing that it writes later ever comes to its turn.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

#: Seconds that a fork waits at the most: for whoever waits for the fork in turn, or never ends.
_LONGEST_WAIT: Final = 10.0


class HasConnections(Protocol):
    """Something that is open and must not be carried into another process."""

    def close_before_fork(self) -> None:
        """Close what is open; it is opened again when it is needed."""


class Gate:
    """Lets threads work side by side, and a fork happen when none of them does."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._working: Counter[int] = Counter()
        self._is_closed = False
        self._open: weakref.WeakSet[HasConnections] = weakref.WeakSet()

    @contextmanager
    def passed(self) -> Iterator[None]:
        """No fork happens within the block, but one that the block itself asks for."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed or self._working[me])
            self._working[me] += 1
        try:
            yield
        finally:
            with self._changed:
                self._working[me] -= 1
                self._working += Counter()  # drops those that are at nought
                self._changed.notify_all()

    def close_before_forks(self, what: HasConnections) -> None:
        """Have this closed before each fork. It is kept alive by others."""
        self._open.add(what)

    def before_fork(self) -> None:
        """Wait until no other thread is within, and let none in."""
        me = threading.get_ident()
        self._changed.acquire()
        self._is_closed = True
        self._changed.wait_for(lambda: not self._working.keys() - {me}, _LONGEST_WAIT)
        for each in list(self._open):
            each.close_before_fork()

    def after_in_parent(self) -> None:
        """Let them in again."""
        self._is_closed = False
        self._changed.notify_all()
        self._changed.release()

    def after_in_child(self) -> None:
        """Begin anew: of all threads only the one that forked is here."""
        me = threading.get_ident()
        self._changed = threading.Condition()
        self._working = Counter({me: self._working[me]}) + Counter()
        self._is_closed = False


def is_forked_unnoticed() -> bool:
    """Whether the server may fork this process without Python's knowing, so that nothing here is
    asked: uWSGI does. No thread may run by then, for its locks would stay taken in the workers.

    Source: uWSGI 2.0.31, tried 2026-11-22; it tells Python with ``py-call-uwsgi-fork-hooks`` only.
    """
    return "uwsgi" in sys.modules


GATE: Final = Gate()

os.register_at_fork(
    before=GATE.before_fork,
    after_in_parent=GATE.after_in_parent,
    after_in_child=GATE.after_in_child,
)
