"""`python -m tests.faults.writer`: reads the catalogue from Polar each time it is told to.

For each line on its input it forks a process that syncs and ends, prints its number, and then how
it ended: 0, an exit code, or a signal below 0. The fork is there to be killed; it spares the time
that a process takes to start.
"""

from __future__ import annotations

import os
import sys
import traceback

from storefront.state import get_state
from tests.faults.site import create_app


def main() -> None:
    """Sync until the input ends."""
    app = create_app(STOREFRONT_SYNC_ON_START=False)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                get_state(app).catalog.sync()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
