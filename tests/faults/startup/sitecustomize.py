"""What befalls a process from its first moment on: a clock that is ahead, and slow imports.

Python imports this module at its start from wherever `PYTHONPATH` leads; the harness lets it lead
here. `SITE_CLOCK` names a file with one float of eight bytes: the seconds to be ahead. It may
change while the process runs. `SITE_SLOW_IMPORTS` is what each import takes longer in a thread
that is not the main one, in seconds.
"""

from __future__ import annotations

import _thread
import ctypes
import datetime
import gc
import mmap
import os
import struct
import sys
import time
from typing import Any


def _follow(path: str) -> None:
    with open(path, "rb") as file:
        ahead = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)

    def seconds() -> float:
        return float(struct.unpack_from("d", ahead)[0])

    real_time, real_monotonic, real_now = time.time, time.monotonic, datetime.datetime.now

    def now(cls: type[datetime.datetime], tz: Any = None) -> datetime.datetime:
        return real_now(tz) + datetime.timedelta(seconds=seconds())

    time.time = lambda: real_time() + seconds()
    time.monotonic = lambda: real_monotonic() + seconds()
    # A class written in C takes no new attributes, and a subclass would be another type to who
    # checks types; its dictionary can be reached all the same.
    members = gc.get_referents(datetime.datetime.__dict__)[0]
    members["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


class _Slowly:
    """Finds no module, and takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._main = _thread.get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Wait a little; others find it."""
        if _thread.get_ident() != self._main:
            time.sleep(self._seconds)


if os.environ.get("SITE_SLOW_IMPORTS"):
    sys.meta_path.insert(0, _Slowly(float(os.environ["SITE_SLOW_IMPORTS"])))
if os.environ.get("SITE_CLOCK"):
    _follow(os.environ["SITE_CLOCK"])
