"""Real servers for the tests: Debian's Redis and PostgreSQL, each in a folder of its own.

Nothing that runs on the machine already is touched, and nothing outlives the tests.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any

import pytest

from tests.conftest import REQUIRED
from tests.demo_processes import free_port

_PATIENCE = 60.0
_names = count(1)


def need(what: str, path: str | None) -> str:
    """The program's path; a skip where it is absent, a failure where it must not be."""
    if path is None:
        if what in REQUIRED:
            pytest.fail(f"{what} is required, and is not installed")
        pytest.skip(f"{what} is not installed")
    return path


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = _PATIENCE) -> None:
    """Wait for something that happens elsewhere.

    :raises AssertionError: when it does not.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.02)


class Service:
    """A server process that can be stopped, killed, frozen and started again."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="storefront-tests-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Any:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self) -> list[str]:
        """What starts it in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it does what it is for."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it answers; nothing when it runs."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            return
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        wait_until(self._runs, f"{type(self).__name__} answers")

    def _runs(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text()[-2000:])
        return self.answers()

    def stop(self) -> None:
        """Stop it in good order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill it: no farewell to anybody."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Make it hang: its connections stay, and nothing comes of them."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        self._signal(signal.SIGCONT)
        if self._process is not None:
            self._process.wait(_PATIENCE)
            self._process = None


class RedisServer(Service):
    """A ``redis-server`` that keeps everything in memory."""

    def __init__(self) -> None:
        self._program = need("redis", shutil.which("redis-server"))
        super().__init__()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """What starts it, without files to keep anything in."""
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [self._program, *where, "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        """Whether it answers a ping."""
        import redis

        with redis.Redis.from_url(self.url, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def flush(self) -> None:
        """Empty it."""
        import redis

        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            client.flushall()


class PostgreSQLServer(Service):
    """A PostgreSQL cluster on loopback, without fsync: it need not survive this machine."""

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
        self._folder_of_programs = Path(
            need("postgresql", str(programs[-1]) if programs else None)
        ).parent
        super().__init__()
        # PostgreSQL does not run as root; Debian's package brings a user for it.
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        initdb = [str(self._folder_of_programs / "initdb"), "-D", str(self.folder / "data")]
        initdb += ["-U", "shop", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([*self._as_user, *initdb], check=True, stdout=subprocess.DEVNULL)

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://shop@127.0.0.1:{self.port}/{database}"

    def command(self) -> list[str]:
        """What starts it."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        program = str(self._folder_of_programs / "postgres")
        return [*self._as_user, program, "-D", str(self.folder / "data"), *settings]

    def answers(self) -> bool:
        """Whether it takes a connection."""
        import psycopg

        try:
            with psycopg.connect(self.url(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def create_database(self) -> str:
        """Make an empty database, and give its URL."""
        import psycopg

        name = f"shop_{os.getpid()}_{next(_names)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def kill(self) -> None:
        """Kill the server with all its children: orphans would hold on to its memory."""
        self._signal_all(signal.SIGKILL)
        super().kill()

    def freeze(self) -> None:
        """Make it hang, those of its processes too that serve connections."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all of them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        children: list[int] = []
        if self._process is not None:
            children = _children(self._process.pid)
        self._signal(number)
        for child in children:
            _send(child, number)


def _children(pid: int) -> list[int]:
    try:
        tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it has just ended
        return []
    return [int(child) for child in tasks.split()]


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _version(program: Path) -> float:
    return float(program.parent.parent.name)
