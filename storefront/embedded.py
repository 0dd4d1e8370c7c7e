"""The local Polar that runs beside a site: ``POLAR_SERVER=local`` without a token.

However the site is served (one process, Flask's reloader, several gunicorn workers), one local
Polar serves all of it, in a process of its own, so that a restarted worker loses no purchase.
Each process of the site holds a shared lock on a file; the kernel releases it however the
process ends, and the local Polar leaves when nobody holds it any more.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import requests

from storefront.errors import ConfigurationError

_START_SECONDS = 15.0
_LEAVE_AFTER_SECONDS = 3.0


class EmbeddedPolar:
    """This process's hold on the local Polar at ``url``."""

    def __init__(self, url: str, lock: IO[bytes]) -> None:
        self.url = url
        self._lock = lock
        self._site: tuple[str, str | None] | None = None

    @classmethod
    def start(cls, port: int, *, token: str, seed: Path | None = None) -> EmbeddedPolar:
        """Take part in the local Polar on that port, starting it when it is not there yet.

        :raises ConfigurationError: when the port is taken by another program, or the local Polar
            does not come up.
        """
        url = f"http://127.0.0.1:{port}"
        # Of the user, not of the site: the port is shared by all sites of this machine.
        stem = Path(tempfile.gettempdir()) / f"storefront-local-polar-{os.getuid()}-{port}"
        lock = _open(stem.with_suffix(".lock"))
        fcntl.flock(lock, fcntl.LOCK_SH)
        with _open(stem.with_suffix(".start")) as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not _answers(url, port):
                _spawn(url, port, token, seed, stem.with_suffix(".lock"))
        return cls(url, lock)

    def follow_site(self, success_url: str | None, return_url: str | None) -> None:
        """Have the demo store's links lead back to where this site is served.

        Only a request tells the address, so it is said with the first button that is shown.
        """
        if success_url is None or (success_url, return_url) == self._site:
            return
        try:
            requests.post(
                f"{self.url}/local/site",
                json={"success_url": success_url, "return_url": return_url},
                timeout=2,
            )
        except requests.RequestException:
            return  # the next button says it again
        self._site = (success_url, return_url)


def _open(path: Path) -> IO[bytes]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, "r+b")


def _answers(url: str, port: int) -> bool:
    """Whether a local Polar is there.

    :raises ConfigurationError: when somebody else is.
    """
    try:
        answer = requests.get(f"{url}/local/health", timeout=2)
    except requests.ConnectionError:
        return False
    except requests.RequestException:
        answer = None
    if answer is None or "Polar-Version" not in answer.headers:
        raise ConfigurationError(
            "POLAR_PORT",
            f"port {port} is in use by another program, so the local Polar can't have it. "
            "Set POLAR_PORT to a free port.",
        )
    return True


def _spawn(url: str, port: int, token: str, seed: Path | None, lock: Path) -> None:
    command = [sys.executable, "-m", "storefront.embedded", str(lock)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--token", token]
    if seed is not None:
        command += ["--seed", str(seed)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        if _answers(url, port):
            # Python would warn of a child left running; it is meant to outlive this object.
            process.returncode = 0
            return
        time.sleep(0.05)
    else:
        process.kill()
    process.wait()
    raise ConfigurationError(
        "POLAR_SERVER",
        f"the local Polar did not start on port {port}; what it printed above says why.",
    )


def _leave_when_unused(path: Path) -> None:
    """End this process once no process of a site has held the lock for a while."""
    with _open(path) as lock:
        alone = 0.0
        while alone < _LEAVE_AFTER_SECONDS:
            time.sleep(0.5)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                alone = 0.0
            else:
                fcntl.flock(lock, fcntl.LOCK_UN)
                alone += 0.5
    os._exit(0)


def main() -> None:
    """``python -m storefront.embedded LOCKFILE …``: what ``start`` spawns."""
    from storefront.emulator.__main__ import main as serve

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("lock", type=Path)
    arguments, rest = parser.parse_known_args()
    threading.Thread(target=_leave_when_unused, args=[arguments.lock], daemon=True).start()
    sys.exit(serve(rest))


if __name__ == "__main__":
    main()
