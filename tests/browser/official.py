"""Polar's own overlay script as it is published, and a Polar that it takes for polar.sh."""

from __future__ import annotations

import fcntl
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from werkzeug.serving import WSGIRequestHandler, make_server

from storefront.emulator import LocalPolar
from storefront.emulator.app import Application
from tests.browser.driving import CHROMIUM, QUIET
from tests.conftest import REQUIRED
from tests.services import need

#: The script listens to two origins, and to no other: this is one of them.
SANDBOX = "https://sandbox.polar.sh"
_NODE = Path(__file__).with_name("node")


def overlay_script() -> Path:
    """The script of `@polar-sh/checkout`, installed by npm when it is first wanted."""
    script = _NODE / "node_modules/@polar-sh/checkout/dist/embed.global.js"
    with (_NODE / "package.json").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # another process of the tests may be at it
        if not script.exists():
            _install()
    return script


def _install() -> None:
    npm = need("npm", shutil.which("npm"))
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=_NODE, check=False, capture_output=True, text=True)
    if done.returncode and "npm" not in REQUIRED:
        pytest.skip("npm ci failed")
    assert done.returncode == 0, done.stderr


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def behind_tls(polar: LocalPolar, folder: Path) -> Iterator[int]:
    """The same store once more, behind TLS; gives the port on this machine."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    openssl = need("openssl", shutil.which("openssl"))
    subject = ["-days", "1", "-subj", "/CN=sandbox.polar.sh"]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(certificate), *subject]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = make_server(
        "127.0.0.1",
        0,
        Application(polar.services, polar.tokens),
        threaded=True,
        request_handler=_Quiet,
        ssl_context=context,
    )
    # In a thread of its own: Chromium may open a connection, and say nothing on it.
    server.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def seeing_sandbox(browser: Browser, port: int) -> Iterator[Browser]:
    """A Chromium that finds the sandbox's host at that port of this machine, and no other host."""
    rules = f"MAP sandbox.polar.sh 127.0.0.1:{port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    found = browser.browser_type.launch(
        executable_path=CHROMIUM, args=[*QUIET, f"--host-resolver-rules={rules}"]
    )
    try:
        yield found
    finally:
        found.close()
