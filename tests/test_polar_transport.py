from __future__ import annotations

import gzip
import logging
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storefront.errors import (
    FieldProblem,
    PolarError,
    PolarForbidden,
    PolarGone,
    PolarInvalidRequest,
    PolarNotFound,
    PolarRateLimited,
    PolarUnauthorized,
    PolarUnavailable,
)
from storefront.polar.servers import POLAR_VERSION, Server
from storefront.polar.transport import MAX_BODY_BYTES, Transport
from storefront.secret import Secret
from tests.starved import no_more_threads
from tests.wire import Behaviour, Request, Upstream, answer, sends, upstream

TOKEN = "polar_oat_canary7Wq2Zx9"
SECRET = Secret(TOKEN)
CUSTOMER = "polar_cst_canary7Wq2Zx9"
#: For what never comes.
DEADLINE = 0.4
#: How much later a busy machine may be.
GRACE = 0.5
#: For what comes, however busy the machine.
PATIENCE = 20.0

Start = Callable[..., tuple[Transport, Upstream]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an upstream that behaves as told, and a transport to it."""
    with ExitStack() as stack:

        def start(
            behave: Behaviour,
            *,
            scheme: str = "http",
            token: Secret | None = SECRET,
            timeout: float = PATIENCE,
        ) -> tuple[Transport, Upstream]:
            server = stack.enter_context(upstream(behave))
            address = Server.custom(f"{scheme}://127.0.0.1:{server.port}")
            transport = Transport(address, token, timeout=timeout)
            stack.callback(transport.close)
            return transport, server

        yield start


def drips(before: bytes, drop: bytes, every: float = 0.1) -> Behaviour:
    def behave(connection: socket.socket, request: Request, over: threading.Event) -> None:
        connection.sendall(before)
        while not over.wait(every):
            connection.sendall(drop)

    return behave


def ends(raw: bytes, *, reset: bool = False) -> Behaviour:
    def behave(connection: socket.socket, request: Request, over: threading.Event) -> None:
        connection.sendall(raw)
        if reset:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise ConnectionAbortedError  # leave the closing to the one who reads from it
        connection.shutdown(socket.SHUT_RDWR)

    return behave


def pours(before: bytes, drop: bytes) -> Behaviour:
    def behave(connection: socket.socket, request: Request, over: threading.Event) -> None:
        connection.sendall(before)
        while not over.is_set():
            connection.sendall(drop)

    return behave


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE = OK + b"Connection: close\r\n\r\n"
BOMB = gzip.compress(bytes(MAX_BODY_BYTES * 4))


def zipped(content: bytes, encoding: str = "gzip") -> bytes:
    return answer(content, headers=[("Content-Encoding", encoding)])


FAULTS: dict[str, Behaviour] = {
    "hangs before the status": drips(b"", b""),
    "hangs amid the headers": drips(OK + b"Content-Le", b""),
    "hangs amid the body": drips(OK + b"Content-Length: 99\r\n\r\n{", b""),
    "drips the status": drips(b"HTTP/1.1 200 ", b"O"),
    "drips a header": drips(OK + b"X-Long: ", b"x"),
    "drips headers": drips(OK, b"A: b\r\n"),
    "drips a body of known length": drips(OK + b"Content-Length: 9999\r\n\r\n", b" "),
    "drips a chunk": drips(CHUNKED + b"ffff\r\n", b" "),
    "drips chunks": drips(CHUNKED, b"1\r\n \r\n"),
    "drips a body that ends with the connection": drips(CLOSE, b" "),
    "drips an error's body": drips(b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\n", b" "),
    "drips interim answers": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "pours headers": pours(OK, b"A: b\r\n"),
    "pours one header": pours(OK + b"A: ", b"b" * 4096),
    "pours a body": pours(CHUNKED, b"4000\r\n" + b" " * 0x4000 + b"\r\n"),
    "pours a body without end": pours(CLOSE, b" " * 65536),
    "pours interim answers": pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "pours garbage": pours(b"", os.urandom(4096)),
    "closes without a word": ends(b""),
    "resets without a word": ends(b"", reset=True),
    "resets amid the body": ends(OK + b"Content-Length: 99\r\n\r\n{", reset=True),
    "ends amid the body": ends(OK + b"Content-Length: 99\r\n\r\n{}"),
    "ends amid a chunk": ends(CHUNKED + b"ff\r\n{}"),
    "ends before the last chunk": ends(CHUNKED + b"2\r\n{}\r\n"),
    "speaks no HTTP": ends(b"220 smtp.example.com ESMTP\r\n" * 3),
    "has two lengths": ends(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "has an impossible chunk": ends(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "has an impossible status": ends(b"HTTP/1.1 9999 Oh\r\n\r\n"),
    "sends a gzip bomb": sends(zipped(BOMB)),
    "sends a bomb in a bomb": sends(zipped(gzip.compress(BOMB), "gzip, gzip")),
    "sends gzip that is none": sends(zipped(b"nothing of the kind")),
    "sends gzip cut short": ends(zipped(gzip.compress(os.urandom(999)))[:-50]),
    "sends an encoding nobody asked for": sends(zipped(b"{}", "br")),
    "sends an error that is a bomb": sends(zipped(BOMB).replace(b" 200 ", b" 422 ", 1)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_an_error_in_time(fault: str, start: Start) -> None:
    """Whatever upstream does, the call fails within its deadline, and the next one works."""
    transport, server = start(FAULTS[fault], timeout=DEADLINE)
    started = time.monotonic()
    with pytest.raises(PolarUnavailable) as caught:
        transport.request("GET", "/products/")
    assert time.monotonic() - started < DEADLINE + GRACE
    assert caught.value.method == "GET"
    assert caught.value.path == "/v1/products/"
    assert str(caught.value).startswith("No usable answer came from http://127.0.0.1:")
    assert_no_secret(caught.value)

    server.behave = sends(answer({"fine": True}))
    body = transport.request("GET", "/products/", timeout=PATIENCE).body
    assert body == b'{"fine": true}'


@pytest.mark.parametrize(
    "behave",
    [drips(b"", b""), drips(b"\x16\x03\x03\x40\x00", b"\x00"), ends(b"HTTP/1.1 400 Oh\r\n\r\n")],
    ids=["hangs", "drips", "speaks plain HTTP"],
)
def test_a_tls_handshake_is_held_to_the_deadline(behave: Behaviour, start: Start) -> None:
    """A server that never finishes the handshake is given up on like any other."""

    def handshake(server: Upstream) -> None:
        # A client's hello is no HTTP request: answer what comes, whatever it is.
        def serve(connection: socket.socket) -> None:
            with connection:
                connection.recv(4096)
                with suppress(OSError):
                    behave(connection, Request("", "", {}, b""), server._over)

        server._serve = serve  # type: ignore[method-assign]

    transport, server = start(behave, scheme="https", timeout=DEADLINE)
    handshake(server)
    started = time.monotonic()
    with pytest.raises(PolarUnavailable) as caught:
        transport.request("GET", "/products/")
    assert time.monotonic() - started < DEADLINE + GRACE
    assert_no_secret(caught.value)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    with path.open("a") as file:
        file.write(Path(f"{path}.crt").read_text())
    return path


def test_tls(certificate: Path) -> None:
    """Over TLS a call works with the CA bundle that is given, fails without, and ends in time."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with upstream(sends(answer({})), tls=context) as server:
        address = Server.custom(f"https://127.0.0.1:{server.port}")
        transport = Transport(address, SECRET, timeout=DEADLINE, ca_bundle=str(certificate))
        for _ in range(2):
            assert transport.request("GET", "/products/", timeout=PATIENCE).body == b"{}"
        assert server.connections == 1

        server.behave = drips(CLOSE, b" ")
        started = time.monotonic()
        with pytest.raises(PolarUnavailable, match=r"within 0\.4 seconds") as caught:
            transport.request("GET", "/products/")
        assert time.monotonic() - started < DEADLINE + GRACE
        assert_no_secret(caught.value)

        suspicious = Transport(address, SECRET, timeout=PATIENCE)
        with pytest.raises(PolarUnavailable, match="could not be secured"):
            suspicious.request("GET", "/products/")
        transport.close()


def test_a_resolver_that_hangs_is_held_to_the_deadline(
    monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """The system's resolver can take half a minute; the caller does not."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: over.wait(5) and [])
    transport, _ = start(sends(answer({})), timeout=DEADLINE)
    started = time.monotonic()
    with pytest.raises(PolarUnavailable, match=r"within 0\.4 seconds"):
        transport.request("GET", "/products/")
    assert time.monotonic() - started < DEADLINE + GRACE
    over.set()


def test_without_threads_a_call_fails_and_later_ones_are_held_to_the_deadline(start: Start) -> None:
    """A call whose end nobody could see to is not sent; the next one is watched as ever."""
    transport, server = start(drips(b"", b"H"), timeout=DEADLINE)
    with no_more_threads(), pytest.raises(PolarUnavailable, match="no more threads") as caught:
        transport.request("GET", "/products/")
    assert not caught.value.sent
    started = time.monotonic()
    with pytest.raises(PolarUnavailable, match=r"within 0\.4 seconds"):
        transport.request("GET", "/products/")
    assert time.monotonic() - started < DEADLINE + GRACE
    with no_more_threads(), pytest.raises(PolarUnavailable, match="not be reached") as caught:
        transport.request("GET", "/products/")
    assert not caught.value.sent
    assert len(server.requests) == 1


def test_a_host_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address is an error that says the server could not be reached."""

    def no_address(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    transport = Transport(Server.production(), SECRET, timeout=DEADLINE)
    with pytest.raises(PolarUnavailable) as caught:
        transport.request("GET", "/products/")
    assert str(caught.value) == (
        "No usable answer came from https://api.polar.sh/v1 to GET /v1/products/: "
        "the server could not be reached."
    )
    assert_no_secret(caught.value)


def test_all_addresses_share_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with three addresses that do not answer takes no longer than one."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(3):  # fill the queue: further connections get no answer at all
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [info] * 3)
        transport = Transport(Server.production(), SECRET, timeout=DEADLINE)
        started = time.monotonic()
        with pytest.raises(PolarUnavailable, match=r"within 0\.4 seconds"):
            transport.request("GET", "/products/")
        assert time.monotonic() - started < DEADLINE + GRACE


def test_a_call_may_have_a_timeout_of_its_own(start: Start) -> None:
    """``timeout`` shortens a call, and none left means that nothing is sent."""
    transport, server = start(drips(b"", b""), timeout=10)
    started = time.monotonic()
    with pytest.raises(PolarUnavailable, match=r"within 0\.2 seconds"):
        transport.request("GET", "/products/", timeout=0.2)
    assert time.monotonic() - started < 0.2 + GRACE
    with pytest.raises(PolarUnavailable, match="no time left"):
        transport.request("GET", "/products/", timeout=-1)
    assert len(server.requests) == 1


# --- what is sent ------------------------------------------------------------------------------


def test_the_request_is_complete(start: Start) -> None:
    """Token, pinned version and name of this client go along, and the query as it was given."""
    transport, server = start(sends(answer({})))
    transport.request("GET", "/products/", params=[("id", "a"), ("id", "b c"), ("q", "ä&=")])
    request = server.requests[0]
    assert (request.method, request.path) == ("GET", "/v1/products/")
    assert request.query == [("id", "a"), ("id", "b c"), ("q", "ä&=")]
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["polar-version"] == POLAR_VERSION == "2026-10"
    assert request.headers["user-agent"].startswith("flask-polar-storefront/")
    assert request.headers["accept-encoding"] == "gzip"


def test_a_body_is_json(start: Start) -> None:
    """What is posted is JSON in UTF-8."""
    transport, server = start(sends(answer({}, 201)))
    transport.request("POST", "/customer-sessions/", json={"external_customer_id": "ä"})
    request = server.requests[0]
    assert request.headers["content-type"] == "application/json"
    assert request.body == '{"external_customer_id":"ä"}'.encode()


def test_another_token_may_be_sent(start: Start) -> None:
    """A customer's session is asked about with its own token, and never with the shop's."""
    transport, server = start(sends(answer({})))
    transport.request("GET", "/customer-portal/customers/me", token=Secret("polar_cst_x"))
    assert server.requests[0].headers["authorization"] == "Bearer polar_cst_x"


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "ä", "\ud800", "a\0"])
def test_a_token_that_is_none_is_not_sent(token: str, start: Start) -> None:
    """A visitor's string that no header can carry is an unknown token."""
    transport, server = start(sends(answer({})))
    with pytest.raises(PolarUnauthorized):
        transport.request("GET", "/customer-portal/customers/me", token=Secret(token))
    assert server.requests == []


def test_a_broken_access_token_is_refused_unquoted() -> None:
    """A line end pasted along with the token is found at once, and the token not shown."""
    with pytest.raises(ValueError, match="line end") as caught:
        Transport(Server.sandbox(), Secret(TOKEN + "\n"), timeout=1)
    assert_no_secret(caught.value)


def test_without_a_token_no_header_is_sent(start: Start) -> None:
    """No token means no Authorization header, and an error that says which setting is missing."""
    transport, server = start(sends(answer({"error": "Unauthorized"}, 401)), token=None)
    with pytest.raises(PolarUnauthorized, match="set POLAR_ACCESS_TOKEN"):
        transport.request("GET", "/products/")
    assert "authorization" not in server.requests[0].headers


def test_the_environment_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: Start
) -> None:
    """Neither a netrc file nor a proxy in the environment comes between."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    transport, server = start(sends(answer({})))
    transport.request("GET", "/products/")
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_proxy_may_be_given(start: Start) -> None:
    """``proxy_url`` is asked for the whole URL, and held to the deadline as well."""
    _, proxy = start(sends(answer({"by": "proxy"})))
    transport = Transport(
        Server.custom("http://polar.example.com"),
        SECRET,
        timeout=DEADLINE,
        proxy_url=proxy.url,
    )
    body = transport.request("GET", "/products/", timeout=PATIENCE).body
    assert body == b'{"by": "proxy"}'
    assert proxy.requests[0].target == "http://polar.example.com/v1/products/"
    proxy.behave = drips(OK, b"A: b\r\n")
    started = time.monotonic()
    with pytest.raises(PolarUnavailable):
        transport.request("GET", "/products/")
    assert time.monotonic() - started < DEADLINE + GRACE
    transport.close()


def test_cookies_are_not_kept(start: Start) -> None:
    """No call sends back what another one was given."""
    transport, server = start(sends(answer({}, headers=[("Set-Cookie", "a=b; Path=/")])))
    transport.request("GET", "/products/")
    transport.request("GET", "/products/")
    assert "cookie" not in server.requests[1].headers


# --- connections -------------------------------------------------------------------------------


def test_connections_are_kept(start: Start) -> None:
    """Calls one after the other share a connection, also after an error and from other threads."""
    transport, server = start(sends(answer({}, 404)))
    for _ in range(2):
        with pytest.raises(PolarNotFound):
            transport.request("GET", "/products/")
    server.behave = sends(answer({}))
    thread = threading.Thread(target=transport.request, args=("GET", "/products/"))
    thread.start()
    thread.join()
    assert (len(server.requests), server.connections) == (3, 1)


def test_a_closed_connection_is_replaced(start: Start) -> None:
    """A connection that the server closed while it lay idle makes no call fail."""
    ended = threading.Semaphore(0)

    def answer_and_end(connection: socket.socket, request: Request, over: threading.Event) -> None:
        connection.sendall(answer({}))
        connection.shutdown(socket.SHUT_RDWR)
        ended.release()

    transport, server = start(answer_and_end)
    for _ in range(3):
        transport.request("GET", "/products/")
        assert ended.acquire(timeout=PATIENCE)
        time.sleep(0.02)
    assert server.connections == 3


def test_threads_get_their_own_answers(start: Start) -> None:
    """Calls at once do not mix their answers up."""

    def echo(connection: socket.socket, request: Request, over: threading.Event) -> None:
        connection.sendall(answer({"target": request.target}))

    transport, server = start(echo, timeout=5)
    wrong: list[object] = []

    def call(number: int) -> None:
        for each in range(10):
            path = f"/products/{number}-{each}"
            body = transport.request("GET", path).body
            if body != f'{{"target": "/v1{path}"}}'.encode():
                wrong.append((path, body))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(server.requests) == 80
    assert server.connections <= 8


def test_a_compressed_answer_is_read(start: Start) -> None:
    """gzip is what is asked for, and what is understood."""
    transport, _ = start(sends(zipped(gzip.compress(b'{"fine": true}'))))
    assert transport.request("GET", "/products/").body == b'{"fine": true}'


def test_a_forked_process_has_connections_of_its_own(start: Start) -> None:
    """After a fork the child opens a new connection, and the parent keeps the old one."""
    transport, server = start(sends(answer({})))
    transport.request("GET", "/products/")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            transport.request("GET", "/products/")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    transport.request("GET", "/products/")
    assert (len(server.requests), server.connections) == (3, 2)


def test_a_closed_transport_stays_usable(start: Start) -> None:
    """Closing lets go of the idle connections; the next call opens one."""
    transport, server = start(sends(answer({})))
    transport.request("GET", "/products/")
    transport.close()
    transport.request("GET", "/products/")
    assert server.connections == 2


def test_a_forgotten_transport_leaks_nothing(start: Start) -> None:
    """One that nobody closed is closed when it goes, without a ResourceWarning."""
    _, server = start(sends(answer({})))
    transport = Transport(Server.custom(server.url), SECRET, timeout=PATIENCE)
    transport.request("GET", "/products/")
    del transport  # an unclosed socket would be a warning, and so an error


# --- errors ------------------------------------------------------------------------------------


def refuse(start: Start, raw: bytes, **options: Any) -> PolarError:
    transport, _ = start(sends(raw), **options)
    with pytest.raises(PolarError) as caught:
        transport.request("GET", "/products/")
    assert_no_secret(caught.value)
    return caught.value


INVALID_TOKEN = {
    "error": "invalid_token",
    "error_description": "The access token provided is expired, revoked, malformed, or invalid "
    "for other reasons.",
}
NOT_FOUND = {"error": "ResourceNotFound", "detail": "Not found"}
UNION = "function-after[is_complete_configuration(), CheckoutLinkCreate"


def test_401_explains_the_two_servers(start: Start) -> None:
    """The commonest mistake is a token of the other server: the message says so."""
    error = refuse(start, answer(INVALID_TOKEN, 401))
    assert isinstance(error, PolarUnauthorized)
    assert "A token of the sandbox does not work on production" in str(error)
    assert "POLAR_SERVER is custom (http://127.0.0.1:" in str(error)
    assert error.status == 401
    assert "invalid_token" in error.body


def test_401_of_a_customer_is_told_apart(start: Start) -> None:
    """A session that has expired is no reason to doubt the shop's own token."""
    transport, _ = start(sends(answer(INVALID_TOKEN, 401)))
    with pytest.raises(PolarUnauthorized, match="The customer's session has expired") as caught:
        transport.request("GET", "/customer-portal/customers/me", token=Secret(CUSTOMER))
    assert_no_secret(caught.value)


def test_403_names_the_scope(start: Start) -> None:
    """A token without a scope is told which one it lacks."""
    challenge = (
        'Bearer realm="polar", scope="checkout_links:read checkout_links:write", '
        'error="insufficient_scope", error_description="The request requires higher privileges."'
    )
    error = refuse(start, answer({}, 403, [("WWW-Authenticate", challenge)]))
    assert isinstance(error, PolarForbidden)
    assert error.scopes == ("checkout_links:read", "checkout_links:write")
    assert "needs the scope checkout_links:read or checkout_links:write" in str(error)


def test_403_for_another_reason_gives_it(start: Start) -> None:
    """A state that forbids the call is told in Polar's words."""
    detail = "Checkout 16779e37 is not open: confirmed"
    error = refuse(start, answer({"error": "NotOpenCheckout", "detail": detail}, 403))
    assert isinstance(error, PolarForbidden)
    assert error.scopes == ()
    assert str(error) == f"Polar forbids GET /v1/products/ (403): {detail}"


def test_404_and_410(start: Start) -> None:
    """Nothing there, and something past its time, have classes of their own."""
    assert isinstance(refuse(start, answer(NOT_FOUND, 404)), PolarNotFound)
    gone = {"error": "ExpiredCheckoutError", "detail": "This checkout session has expired."}
    error = refuse(start, answer(gone, 410))
    assert isinstance(error, PolarGone)
    assert str(error).endswith("is past its time: This checkout session has expired.")


def test_422_lists_each_problem_once(start: Start) -> None:
    """Complaints that each variant of a union repeats are one, by the field's own name."""
    detail: list[object] = [
        {"type": "bool_type", "loc": ["body", UNION + variant, "label"], "msg": "No", "input": 1}
        for variant in ("ProductPrice)]", "Product)]", "Products)]")
    ]
    detail += [
        {"loc": ["body", "products", 0], "msg": "Product is archived."},
        {"loc": ["body", "one_time", "prices", 0, "fixed", "price_amount"], "msg": "Too low"},
        {"loc": ["body", UNION + "Products)]", "metadata", "k", "constrained-str"], "msg": "Long"},
        {"loc": ["query", "product_id", "uuid"], "msg": "No UUID"},
        {"loc": ["query", "product_id", "json-or-python[json=list[uuid]]", 0], "msg": "No UUID"},
        {"loc": ["body", 1], "msg": "JSON decode error"},
        {"loc": "odd"},
        "odd",
    ]
    error = refuse(start, answer({"error": "RequestValidationError", "detail": detail}, 422))
    assert isinstance(error, PolarInvalidRequest)
    assert list(error.problems) == [
        FieldProblem("label", "No"),
        FieldProblem("products", "Product is archived."),
        FieldProblem("price_amount", "Too low"),
        FieldProblem("metadata.k", "Long"),
        FieldProblem("product_id", "No UUID"),
        FieldProblem("body", "JSON decode error"),
        FieldProblem("body", ""),
    ]
    assert "label: No; products: Product is archived.; price_amount: Too low" in str(error)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (answer({"detail": "Method Not Allowed"}, 405), "(405): Method Not Allowed"),
        (answer(b"", 405), "(405)."),
        (answer({"detail": {"odd": 1}, "error": ["odd"]}, 422), "(422)."),
        (answer([1], 400), "(400)."),
        (answer(b"[" * 200_000, 400), "(400)."),
        (answer(b"\xff\xfe", 418), "(418)."),
        (answer({"detail": "a\nb\x1b[31m"}, 400), "(400): a b [31m"),
    ],
)
def test_other_refusals(raw: bytes, said: str, start: Start) -> None:
    """Every other 4xx says what it can, in one line, whatever its body is."""
    error = refuse(start, raw)
    assert type(error) is PolarInvalidRequest
    assert str(error) == f"Polar refused GET /v1/products/ {said}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("60", 60), ("1800", 1800), ("0", 0), ("soon", 60), ("-5", 60), ("9" * 30, 60), (None, 60)],
)
def test_429_tells_when_to_come_back(value: str | None, seconds: float, start: Start) -> None:
    """``Retry-After`` is read, and 60 seconds assumed where it can't be."""
    headers = [("Retry-After", value)] if value is not None else []
    error = refuse(start, answer(b"", 429, headers))
    assert isinstance(error, PolarRateLimited)
    assert error.retry_after == seconds
    assert str(error).endswith(f"too many requests. Try again in {seconds} seconds.")


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"Internal Server Error", 500, [("Content-Type", "text/plain")]),
        answer(b"<html><h1>502 Bad Gateway</h1>" + b" " * 5000, 502),
        answer(b"", 503),
        answer({"odd": 1}, 599),
    ],
)
def test_a_failure_of_the_server(raw: bytes, start: Start) -> None:
    """Plain text, HTML of a proxy or nothing: a 5xx is a server that can't answer now."""
    error = refuse(start, raw)
    assert type(error) is PolarUnavailable
    assert error.status is not None
    assert error.status >= 500
    assert len(error.body) <= 2000
    assert "Try again later" in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_a_redirect_is_not_followed(status: int, start: Start) -> None:
    """The token goes nowhere else, and the message tells which setting to look at."""
    _, elsewhere = start(sends(answer({})))
    error = refuse(start, answer(b"", status, [("Location", elsewhere.url + "/v1/products/")]))
    assert type(error) is PolarUnavailable
    assert "Check POLAR_SERVER" in str(error)
    assert elsewhere.requests == []


def test_a_page_that_shows_the_token_is_masked(start: Start) -> None:
    """An error page that repeats the request's headers does not bring the token into the error."""
    page = f"<pre>Authorization: Bearer {TOKEN}</pre>".encode()
    assert refuse(start, answer(page, 502)).body == "<pre>Authorization: Bearer ***</pre>"
    for body in (
        {"detail": f"Bad header {TOKEN}"},
        {"detail": [{"loc": ["header"], "msg": f"Bad {TOKEN}", "input": TOKEN}]},
    ):
        assert "Bad" in str(refuse(start, answer(body, 400)))


@pytest.mark.parametrize(
    "behave",
    [
        sends(answer(b"")),
        sends(answer(b"<html>Welcome to the hotel's network</html>")),
        sends(answer(b"[" * 200_000)),
        sends(answer(b'"\xff"')),
        ends(OK + b"Content-Le"),
        ends(OK + b'\r\n[{"id": "a"}, {"i'),
    ],
    ids=["nothing", "HTML", "too deep", "not UTF-8", "cut headers", "cut body"],
)
def test_a_success_that_is_no_json(behave: Behaviour, start: Start) -> None:
    """A page that something in between puts in Polar's place is no answer, nor is half of one."""
    transport, _ = start(behave)
    with pytest.raises(PolarUnavailable, match="can't be understood") as caught:
        transport.request("GET", "/products/").decode(msgspec.json.Decoder(list[Any]))
    assert caught.value.status == 200
    assert_no_secret(caught.value)


def test_nothing_is_logged_that_is_secret(caplog: pytest.LogCaptureFixture, start: Start) -> None:
    """urllib3 at its most talkative does not write the token."""
    caplog.set_level(logging.DEBUG)
    transport, _ = start(sends(answer({})))
    transport.request("GET", "/products/")
    assert "/v1/products/" in caplog.text
    assert "canary" not in caplog.text


def test_the_objects_do_not_show_the_token() -> None:
    """Neither the transport nor a secret shows it in any of its forms."""
    transport = Transport(Server.sandbox(), SECRET, timeout=1)
    secret = SECRET
    shown = f"{transport!r} {transport} {secret!r} {secret} {vars(transport)}"
    assert "canary" not in shown
    assert repr(secret) == "Secret('polar_oat_…')"
    assert repr(Secret("hunter2")) == "Secret('…')"
    assert secret.reveal() == TOKEN
    assert secret == Secret(TOKEN)
    assert secret != Secret("polar_oat_other")
    assert secret != TOKEN
    assert len({secret, Secret(TOKEN)}) == 1
    assert secret
    assert not Secret("")


def assert_no_secret(error: BaseException) -> None:
    """Fail if the token is anywhere that an error report would look."""
    assert error.__cause__ is None
    assert error.__context__ is None
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The tests' own frames hold the token, of course.
    told.stack[:] = [frame for frame in told.stack if "/tests/" not in frame.filename]
    assert len(told.stack) > 0
    texts = [str(error), repr(error), repr(vars(error)), *told.format()]
    assert "canary" not in "\n".join(texts)
