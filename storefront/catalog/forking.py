"""What must not be under way when a process is forked.

A server may load the site, which starts to look for its catalogue in a thread, and fork its workers
at that moment (``gunicorn --preload``). A worker has no such thread, but it has the locks that the
thread held, locked for good: Babel's over its locales, and Python's over each module that was being
imported.
"""

from __future__ import annotations

import os
import threading
from typing import Final

#: Held while such locks may be taken outside of requests, and by whoever forks.
forking: Final = threading.RLock()

os.register_at_fork(
    before=forking.acquire,
    after_in_parent=forking.release,
    after_in_child=forking.release,
)
