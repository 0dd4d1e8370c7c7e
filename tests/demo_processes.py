"""Runs the demo as its user does: in processes of its own, on ports of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

ROOT = Path(__file__).parent.parent
#: ``python app.py``, which is what ``make run`` runs.
PLAIN = ("app.py",)
FLASK = ("-m", "flask", "--app", "app", "run", "--debug", "--port", "{port}")
GUNICORN = ("-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "app:create_app()")
GUNICORN_PRELOAD = (*GUNICORN, "--preload")
#: The local Polar leaves three seconds after the last process of a site; this allows for a crowd.
LEAVES_WITHIN_SECONDS = 6.0


@dataclass(frozen=True)
class Demo:
    """A demo that is being served."""

    process: subprocess.Popen[bytes]
    port: int
    polar_port: int
    #: A copy of the demo's files: where it runs, and may be changed.
    folder: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def shop_url(self) -> str:
        return f"{self.url}/shop/"

    @property
    def polar_url(self) -> str:
        return f"http://127.0.0.1:{self.polar_port}"

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str) -> requests.Response:
        """A page of the site; redirects are not followed."""
        return requests.get(f"{self.url}{path}", allow_redirects=False, timeout=20)


#: Below those that the system gives to who asks for any port, so that nobody is given one between
#: its choice and its use. Each process of the tests has a thousand, and gives none twice.
_ports = itertools.count(20_001 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]))


def free_port() -> int:
    """A port of this machine that nobody listens on, and that nobody else is given."""
    while True:
        port = next(_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def is_listening(port: int) -> bool:
    """Whether anybody listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def is_served(port: int) -> bool:
    """Whether a server listens there, and not somebody who tries whether a port is free."""
    if not is_listening(port):
        return False
    time.sleep(0.02)
    return is_listening(port)


def wait_until(is_so: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something that happens in another process.

    :raises AssertionError: it did not, in that time.
    """
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def copy_demo(folder: Path) -> Path:
    """The demo's own files in a folder of their own, with nothing of earlier runs."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "app.py", folder)
    for name in ("templates", "static"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    return folder


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """What a process inherits: nothing of this one's settings, temporary files in ``folder``."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
    }


@contextmanager
def demo(
    folder: Path,
    arguments: tuple[str, ...] = PLAIN,
    settings: Mapping[str, str] | None = None,
    *,
    embedded: bool = True,
) -> Iterator[Demo]:
    """Serve the demo until the block ends; then nothing of it is left.

    ``settings`` are environment variables. With ``embedded`` its local Polar has to leave, too.
    """
    port = free_port()
    given = dict(settings or {})
    polar_port = int(given.pop("POLAR_PORT", 0)) or free_port()
    copy_demo(folder)
    log = folder / "printed.txt"
    command = [sys.executable, *(part.format(port=port) for part in arguments)]
    environ = environment(folder, PORT=str(port), POLAR_PORT=str(polar_port), **given)
    with log.open("wb") as printed:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Demo(process, port, polar_port, folder, log)
    try:
        wait_until(lambda: is_served(port) or process.poll() is not None, 30, "the demo is served")
        assert process.poll() is None, running.printed
        yield running
    finally:
        stop(process)
        if embedded:
            wait_until(
                lambda: not is_listening(polar_port), LEAVES_WITHIN_SECONDS, "the local Polar left"
            )


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """End a process and all that it started, but for those that made themselves independent."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
