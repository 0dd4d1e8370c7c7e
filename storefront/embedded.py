"""The local Polar that runs beside a site: ``POLAR_SERVER=local`` without a token.

However the site is served (one process, Flask's reloader, several gunicorn workers), one local
Polar serves all of it, in a process of its own, so that a restarted worker loses no purchase.
Each process of the site holds a shared lock on a file; the kernel releases it however the
process ends, and the local Polar leaves when nobody holds it any more.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import requests

from storefront.errors import ConfigurationError
from storefront.secret import Secret

_START_SECONDS = 15.0
_LEAVE_AFTER_SECONDS = 3.0
#: How long the local Polar is taken to know where this site is: another site may tell it its own.
_KNOWN_SECONDS = 1.0
_PAUSE_AFTER_FAILURE_SECONDS = 10.0


class EmbeddedPolar:
    """This process's hold on the local Polar at ``url``."""

    def __init__(self, url: str, lock: IO[bytes]) -> None:
        self.url = url
        self._lock = lock
        self._site: tuple[str, str | None] | None = None
        self._say_again_at = float("-inf")

    @classmethod
    def start(cls, port: int, *, token: str, seed: Path | None = None) -> EmbeddedPolar:
        """Take part in the local Polar on that port, starting it when it is not there yet.

        :raises ConfigurationError: when the port is taken by another program, the local Polar
            there sells something else, or it does not come up.
        """
        url = f"http://127.0.0.1:{port}"
        files = _Files(port)
        with files.open("start") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            lock = files.open("lock")
            # Waits for a local Polar that is just leaving.
            fcntl.flock(lock, fcntl.LOCK_SH)
            try:
                if _answers(url, port):
                    _agree(files, lock, port, seed)
                if not _answers(url, port):
                    _spawn(files, url, port, token, seed)
            except BaseException:
                lock.close()
                raise
        return cls(url, lock)

    def follow_site(
        self,
        success_url: str | None,
        return_url: str | None,
        *,
        webhook_url: str | None,
        webhook_secret: Secret,
    ) -> None:
        """Have the demo store's links lead back to where this site is served, and webhooks come.

        Only a request tells the address, so it is said with the buttons that are shown; and said
        again, because other sites and other workers tell the same local Polar theirs.
        """
        if success_url is None:
            return
        now, site = time.monotonic(), (success_url, return_url)
        if site == self._site and now < self._say_again_at:
            return
        self._site, self._say_again_at = site, now + _KNOWN_SECONDS
        try:
            with _session() as session:
                session.post(
                    f"{self.url}/local/site",
                    json={
                        "success_url": success_url,
                        "return_url": return_url,
                        "webhook_url": webhook_url,
                        "webhook_secret": webhook_secret.reveal(),
                    },
                    timeout=2,
                )
        except requests.RequestException:
            # The pages say that Polar is out of reach; a button must not hold them up.
            self._say_again_at = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS


class _Files:
    """What one user's processes know of the local Polar on one port, whichever site they are of.

    ``start``: locked by who is starting it. ``lock``: shared by the processes of sites.
    ``serving``: locked by the local Polar, with what it sells. ``log``: what it printed.
    """

    def __init__(self, port: int) -> None:
        self.directory = Path(tempfile.gettempdir()) / f"storefront-local-polar-{os.getuid()}"
        self._port = port
        with suppress(FileExistsError):
            self._guarded(lambda: self.directory.mkdir(mode=0o700))
        status = self._guarded(self.directory.lstat)
        if status.st_uid != os.getuid():
            raise ConfigurationError(
                "POLAR_SERVER",
                f"the folder {str(self.directory)!r}, which the local Polar needs, belongs to "
                "another user. Remove it, or set TMPDIR to a folder of your own.",
            )

    def path(self, kind: str) -> Path:
        return self.directory / f"{self._port}.{kind}"

    def open(self, kind: str) -> IO[bytes]:
        return self._guarded(lambda: _open(self.path(kind)))  # type: ignore[no-any-return]

    def _guarded(self, call: Any) -> Any:
        try:
            return call()
        except FileExistsError:
            raise
        except OSError as error:
            raise ConfigurationError(
                "POLAR_SERVER",
                f"the local Polar needs the folder {str(self.directory)!r}, and it can't be used: "
                f"{error.strerror}. Set TMPDIR to a folder that can be written.",
            ) from None


def _open(path: Path) -> IO[bytes]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, "r+b")


def _session() -> requests.Session:
    """A session for this machine: no proxy of the environment's stands in between."""
    session = requests.Session()
    session.trust_env = False
    return session


def _answers(url: str, port: int) -> bool:
    """Whether a local Polar is there.

    :raises ConfigurationError: when somebody else is.
    """
    try:
        with _session() as session:
            answer = session.get(f"{url}/local/health", timeout=2, allow_redirects=False)
    except requests.ConnectionError:
        return False
    except requests.RequestException:
        answer = None
    if answer is None or "Polar-Version" not in answer.headers:
        raise _port_taken(port)
    return True


def _port_taken(port: int) -> ConfigurationError:
    return ConfigurationError(
        "POLAR_PORT",
        f"port {port} is in use by another program, so the local Polar can't have it. "
        "Set POLAR_PORT to a free port.",
    )


def _goods(seed: Path | None) -> str:
    """What tells one seed from another, or from itself after it was edited."""
    return "" if seed is None else f"{seed.resolve()} {seed.stat().st_mtime_ns}"


def _agree(files: _Files, lock: IO[bytes], port: int, seed: Path | None) -> None:
    """See that the local Polar that is there sells what this site is to sell.

    One that nobody else uses is sent away; a local Polar that was started by hand is left alone.

    :raises ConfigurationError: when other sites use it.
    """
    with files.open("serving") as serving:
        if _locked(serving):
            fcntl.flock(serving, fcntl.LOCK_UN)
            return
        try:
            served = json.load(serving)
        except ValueError:
            return  # it is about to say so: somebody starts it by another name
        if served["goods"] == _goods(seed):
            return
        if not _locked(lock):
            raise ConfigurationError(
                "POLAR_SEED",
                f"the local Polar on port {port} sells something else to another site: "
                f"{served['goods'].rpartition(' ')[0] or 'the demo store'}. "
                "Stop that site, or set POLAR_PORT to a free port.",
            )
        with suppress(ProcessLookupError):
            os.kill(served["pid"], signal.SIGKILL)
        fcntl.flock(serving, fcntl.LOCK_EX)  # until it is gone
        fcntl.flock(lock, fcntl.LOCK_SH)


def _locked(file: IO[bytes]) -> bool:
    """Lock a file for this process alone, if nobody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _spawn(files: _Files, url: str, port: int, token: str, seed: Path | None) -> None:
    command = [sys.executable, "-m", "storefront.embedded", str(files.directory)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--token", token]
    if seed is not None:
        command += ["--seed", str(seed)]
    with files.open("log") as log:
        log.truncate()
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            # Not ours: who reads what the site prints would wait for the local Polar as well.
            stdout=log,
            stderr=log,
            # Ctrl+C is for this site, and others may be using it.
            start_new_session=True,
        )
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
    raise _not_started(port, files.path("log").read_text(errors="replace"))


def _not_started(port: int, printed: str) -> ConfigurationError:
    """The last thing it printed is why."""
    last = (printed.strip().splitlines() or ["It printed nothing."])[-1]
    reason = last.removeprefix("python -m storefront.emulator: ")
    reason = re.sub(r" See python -m storefront\.emulator --help\.$", "", reason)
    if reason.startswith("argument --seed: "):
        return ConfigurationError("POLAR_SEED", reason.removeprefix("argument --seed: "))
    if reason.startswith("argument --port: "):
        return _port_taken(port)
    return ConfigurationError(
        "POLAR_SERVER", f"the local Polar did not start on port {port}: {reason}"
    )


def _leave_when_unused(lock: IO[bytes]) -> None:
    """End this process once no process of a site has held the lock for a while."""
    alone = 0.0
    while True:
        time.sleep(0.5)
        if not _locked(lock):
            alone = 0.0
            continue
        alone += 0.5
        if alone >= _LEAVE_AFTER_SECONDS:
            # With the lock: a site that comes now waits, and then starts another.
            os._exit(0)
        fcntl.flock(lock, fcntl.LOCK_UN)


def main() -> None:
    """``python -m storefront.embedded FOLDER …``: what ``start`` spawns."""
    from storefront.emulator.__main__ import main as serve

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=Path)
    arguments, _ = parser.parse_known_args()
    stem = arguments.folder / str(arguments.port)
    serving, lock = _open(stem.with_suffix(".serving")), _open(stem.with_suffix(".lock"))
    if not _locked(serving):
        sys.exit(f"a local Polar on port {arguments.port} is just leaving; try again")
    serving.truncate()
    serving.write(json.dumps({"pid": os.getpid(), "goods": _goods(arguments.seed)}).encode())
    serving.flush()
    threading.Thread(target=_leave_when_unused, args=[lock], daemon=True).start()
    sys.exit(serve(sys.argv[2:]))


if __name__ == "__main__":
    main()
