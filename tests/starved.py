"""A machine that gives a process no more threads, as one that limits their number does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Bytes, more than any machine can address: a thread with such a stack can't be started.
_TOO_MUCH = 1 << 60


@contextmanager
def no_more_threads() -> Iterator[None]:
    """No thread can be started within the block."""
    before = threading.stack_size(_TOO_MUCH)
    try:
        yield
    finally:
        threading.stack_size(before)
