"""One HTTP exchange with Polar: a deadline that holds, a body that ends, errors that help.

``requests`` limits the time between two bytes, not the time of a call: a server that sends a
byte every 100 ms keeps its caller for ever. So each call has a watchdog that shuts its
connection down at the deadline, in whatever state it is, and a call whose watchdog fired has
failed whatever came back: a connection cut amid the headers reads as a 200 without a body.

Nothing here retries, follows redirects, or reads the environment's proxies and netrc files (a
netrc entry would replace the token).
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

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
from storefront.secret import Secret
from storefront.version import __version__

#: The largest body that is read, in bytes after decompression. A page of 100 products with long
#: descriptions is about 1 MB; 1 MB of gzip can become 1 GB.
MAX_BODY_BYTES = 16 * 1024 * 1024

# Small, because urllib3 before 2.6 decompresses a whole chunk at once: 16 KB become 16 MB at most.
_CHUNK_BYTES = 16 * 1024

_ERROR_BODY_CHARACTERS = 2000
_DETAIL_CHARACTERS = 300
_DEFAULT_RETRY_AFTER = 60.0

T = TypeVar("T")
Params = Sequence[tuple[str, str]]


class Answer:
    """What Polar answered to a call that succeeded.

    Its repr leaves the body out, which may hold a customer's token, so that a traceback that
    prints local variables does not print that.
    """

    __slots__ = ("_body", "method", "path", "status")

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        self.method = method
        self.path = path
        self.status = status
        self._body = body

    def __repr__(self) -> str:
        return f"<Answer {self.status} to {self.method} {self.path}>"

    @property
    def body(self) -> bytes:
        """The body, decompressed; ``b""`` when there is none."""
        return self._body

    def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Read the body as JSON.

        :raises PolarUnavailable: when it is not JSON, or not of the expected shape.
        """
        try:
            return decoder.decode(self._body)
        except (msgspec.MsgspecError, ValueError) as exc:
            reason = str(exc)
        except RecursionError:
            reason = "it is nested too deeply"
        raise self.unreadable(reason)

    def unreadable(self, reason: str) -> PolarUnavailable:
        """Make the error for an answer that came, and is not what Polar answers."""
        return PolarUnavailable(
            f"Polar's answer to {self.method} {self.path} can't be understood: {reason}. "
            "Polar's API may have changed, or something in between answered in its place.",
            method=self.method,
            path=self.path,
            status=self.status,
        )


class Transport:
    """Sends requests to one Polar server.

    ``timeout`` is the total number of seconds that a call may take. ``proxy_url`` and
    ``ca_bundle`` (a file of certificates) are used when given; the environment's are not.
    Connections are kept open and reused; any number of threads may call at once.
    """

    def __init__(
        self,
        server: Server,
        token: Secret | None,
        *,
        timeout: float,
        proxy_url: str | None = None,
        ca_bundle: str | None = None,
        user_agent: str | None = None,
    ) -> None:
        self.server = server
        self._token = _checked(token)
        self.timeout = timeout
        self._proxy_url = proxy_url
        self._ca_bundle = ca_bundle
        self._user_agent = user_agent or f"flask-polar-storefront/{__version__}"
        # A session serves one call at a time, for requests' sessions are not thread-safe. They
        # lie here in between, not one to a thread: a server that starts a thread for each
        # request would never use one twice. Appending to and popping from a deque is atomic.
        self._idle: deque[_Session] = deque()
        # For a transport that nobody closed.
        weakref.finalize(self, _close_all, self._idle)

    def __repr__(self) -> str:
        return f"<Transport to {self.server.api_url}>"

    def close(self) -> None:
        """Close the idle connections. A later call opens a new one."""
        _close_all(self._idle)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params = (),
        json: Any = None,
        token: Secret | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Make one call and give its answer, which has a status of 2xx.

        ``path`` starts below ``/v1``; ``json`` becomes the body. ``token`` is sent in place of
        the transport's own, for what a customer's session may read. ``timeout`` is the total
        number of seconds for this call, instead of the transport's own.

        :raises PolarError: one of its subclasses, for every other answer, and for none.
        """
        url = self.server.api_url + path
        call = _Call(method, urlsplit(url).path, self.server, customer=token is not None)
        seconds = self.timeout if timeout is None else timeout
        try:
            secret = self._token if token is None else _checked(token)
        except ValueError:
            secret = None
        # Each raise below stands outside of the except blocks: an exception of requests as
        # __context__ would bring the request along, and its headers the token.
        if secret is None and token is not None:
            raise call.unsent()
        if seconds <= 0:
            raise call.failed("there was no time left to ask")
        body = None if json is None else msgspec.json.encode(json)
        answer = self._exchange(call, url, params, body, secret, seconds)
        if isinstance(answer, PolarError):
            raise answer
        return answer

    def _exchange(
        self,
        call: _Call,
        url: str,
        params: Params,
        body: bytes | None,
        secret: Secret | None,
        seconds: float,
    ) -> Answer | PolarError:
        session = self._borrow()
        watch = session.wires.watch(seconds)
        result: Answer | PolarError
        usable = False
        try:
            with session.request(
                call.method,
                url,
                params=list(params),
                data=body,
                headers={"Content-Type": "application/json"} if body is not None else None,
                auth=_Bearer(secret),
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = _read(response)
            usable = True
            if 200 <= response.status_code < 300:
                result = Answer(call.method, call.path, response.status_code, content)
            else:
                result = call.refused(response.status_code, response.headers, content, secret)
        except _TooLargeError:
            result = call.failed(f"the answer is larger than {MAX_BODY_BYTES:,} bytes")
        except _FAILURES as exc:
            result = call.failed(_reason(exc, seconds))
        finally:
            expired = watch.finish()
            if usable and not expired:
                self._idle.append(session)
            else:
                session.close()
        if expired:
            return call.failed(_late(seconds))
        return result

    def _borrow(self) -> _Session:
        while True:
            try:
                session = self._idle.pop()
            except IndexError:
                return _Session(self._user_agent, self._proxy_url, self._ca_bundle)
            if session.pid == os.getpid():
                return session
            # After a fork both processes would read the answers from one connection.
            session.close()


def _close_all(idle: deque[_Session]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


def _checked(token: Secret | None) -> Secret | None:
    """Refuse a token that no HTTP header can carry, without quoting it. An empty one is none.

    :raises ValueError: for one with spaces, line ends or characters outside of ASCII.
    """
    if not token:
        return None
    if not re.fullmatch(r"[\x21-\x7e]+", token.reveal()):
        raise ValueError("the token has a space, a line end or another character no token has")
    return token


class _Bearer(AuthBase):
    """Sets the header at the last moment, so that no frame's locals hold it."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret is not None:
            request.headers["Authorization"] = "Bearer " + self._secret.reveal()
        return request


class _TooLargeError(Exception):
    """The body passed MAX_BODY_BYTES."""


class _StrangeEncodingError(ValueError):
    """The body is compressed in a way that was not asked for."""


def _read(response: requests.Response) -> bytes:
    # Only gzip was offered. Anything else, such as gzip within gzip, is somebody's bomb.
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise _StrangeEncodingError
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise _TooLargeError
    return bytes(content)


# --- the deadline ------------------------------------------------------------------------------


class _Watch:
    """The watchdog of one call."""

    def __init__(self, wires: _Wires, seconds: float) -> None:
        self._wires = wires
        self._over = False
        self.expired = False
        self.ends_at = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.name = "storefront-deadline"
        self._timer.daemon = True

    def start(self) -> None:
        self._timer.start()

    def _expire(self) -> None:
        with self._wires.lock:
            if not self._over:
                self.expired = True
                self._wires.cut()

    def finish(self) -> bool:
        """End the watch; True when the deadline had passed."""
        self._timer.cancel()
        with self._wires.lock:
            self._over = True
            self._wires.prune()
            return self.expired


class _Wires:
    """The sockets of one session, held so that another thread can shut them down.

    A handle is a duplicate of the socket's descriptor: it works during the TLS handshake, when
    the plain socket is gone and the wrapped one not there yet, and after ``http.client`` has
    let go of a connection whose body is still being read.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._handles: list[tuple[HTTPConnection, socket.socket]] = []
        self._watch: _Watch | None = None

    def watch(self, seconds: float) -> _Watch:
        self._watch = watch = _Watch(self, seconds)
        watch.start()
        return watch

    def remaining(self) -> float:
        """Seconds until the deadline, more than 0.

        :raises TimeoutError: when it has passed.
        """
        left = self._watch.ends_at - time.monotonic() if self._watch else 0.0
        if left <= 0:
            raise TimeoutError
        return left

    def hold(self, connection: HTTPConnection, wire: socket.socket) -> None:
        with self.lock:
            self._handles.append((connection, wire.dup()))
            if self._watch is not None and self._watch.expired:
                self.cut()

    def cut(self) -> None:
        for _, handle in self._handles:
            with suppress(OSError):  # the other side was quicker
                handle.shutdown(socket.SHUT_RDWR)

    def prune(self) -> None:
        """Let go of the handles whose connections are closed."""
        for connection, handle in self._handles:
            if connection.sock is None:
                handle.close()
        self._handles = [held for held in self._handles if held[0].sock is not None]

    def drop(self) -> None:
        """Let go of all handles, the connections being closed or beyond use."""
        with self.lock:
            for _, handle in self._handles:
                handle.close()
            self._handles.clear()


def _resolve(host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
    """Look a host's addresses up, for at most so many seconds.

    The system's resolver can't be interrupted, so a thread waits for it; when it is given up
    on, it ends by itself as soon as the resolver does.
    """
    found: list[list[tuple[Any, ...]] | OSError] = []

    def look_up() -> None:
        try:
            found.append(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as exc:
            found.append(exc if isinstance(exc, OSError) else OSError("no host name"))

    thread = threading.Thread(target=look_up, name="storefront-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _connect(connection: HTTPConnection, wires: _Wires) -> socket.socket:
    """Open the connection's socket within the deadline, however many addresses the host has."""
    try:
        addresses = _resolve(
            connection._dns_host.strip("[]"), connection.port or 0, wires.remaining()
        )
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in addresses:
            wire = socket.socket(family, kind, protocol)
            try:
                for option in connection.socket_options or ():
                    wire.setsockopt(*option)
                wire.settimeout(wires.remaining())
                wire.connect(address)
            except OSError as exc:
                wire.close()
                failure = exc
            else:
                wires.hold(connection, wire)
                return wire
        raise failure
    except TimeoutError as exc:
        raise urllib3.exceptions.ConnectTimeoutError(connection, "deadline") from exc
    except OSError as exc:
        raise urllib3.exceptions.NewConnectionError(connection, "can't connect") from exc


class _WatchedHTTPConnection(HTTPConnection):
    wires: _Wires

    def _new_conn(self) -> socket.socket:
        return _connect(self, self.wires)


class _WatchedHTTPSConnection(HTTPSConnection):
    wires: _Wires

    def _new_conn(self) -> socket.socket:
        return _connect(self, self.wires)


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection
    wires: _Wires

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.wires = self.wires  # type: ignore[attr-defined]
        return connection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection
    wires: _Wires

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.wires = self.wires  # type: ignore[attr-defined]
        return connection


class _Adapter(HTTPAdapter):
    """Makes connections whose sockets ``wires`` knows. Never retries: ``max_retries`` is 0."""

    def __init__(self, wires: _Wires) -> None:
        self._wires = wires
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch_pools_of(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._watch_pools_of(manager)
        return manager

    def _watch_pools_of(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.wires = self._wires  # type: ignore[attr-defined]
        return pool


class _Session(requests.Session):
    """A session for one call at a time, of the process that made it."""

    def __init__(self, user_agent: str, proxy_url: str | None, ca_bundle: str | None) -> None:
        super().__init__()
        self.pid = os.getpid()
        self.wires = _Wires()
        self.trust_env = False
        self.headers.clear()
        self.headers["Accept"] = "application/json"
        self.headers["Accept-Encoding"] = "gzip"
        self.headers["Polar-Version"] = POLAR_VERSION
        self.headers["User-Agent"] = user_agent
        if proxy_url:
            self.proxies = {"http": proxy_url, "https": proxy_url}
        self.verify = ca_bundle or True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("http://", _Adapter(self.wires))
        self.mount("https://", _Adapter(self.wires))

    def close(self) -> None:
        super().close()
        self.wires.drop()


# --- what went wrong ---------------------------------------------------------------------------

#: What an unusable answer, or none, makes the layers below raise: requests and urllib3 their own,
#: http.client and zlib theirs through gaps in those, ValueError for headers that are no headers.
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    zlib.error,
)


def _late(seconds: float) -> str:
    return f"there was no whole answer within {seconds:g} seconds"


def _reason(exc: BaseException, seconds: float) -> str:
    """Say what happened, by the kind of exception: its text may quote the request."""
    if isinstance(exc, (requests.Timeout, TimeoutError)):
        return _late(seconds)
    if isinstance(exc, (requests.exceptions.SSLError, ssl.SSLError)):
        return (
            "the connection could not be secured; check the clock, and the CA bundle if one is set"
        )
    if isinstance(exc, requests.exceptions.ProxyError):
        return "the proxy could not be reached, or refused"
    if isinstance(exc, _StrangeEncodingError):
        return "the answer is compressed in a way that was not asked for"
    if isinstance(exc, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the answer was complete"
    if isinstance(exc, requests.ConnectionError):
        for cause in exc.args:
            if isinstance(getattr(cause, "reason", None), urllib3.exceptions.NewConnectionError):
                return "the server could not be reached"
        return "the connection broke before the answer was complete"
    return "the answer is not proper HTTP"


class _ErrorBody(msgspec.Struct):
    """The JSON bodies of errors, all shapes at once. ``detail``: a string, or the list of a 422."""

    error: Any = None
    error_description: Any = None
    detail: Any = None


_error_bodies = msgspec.json.Decoder(_ErrorBody)


class _Call:
    """A request as an error tells of it. Knows neither headers nor token."""

    def __init__(self, method: str, path: str, server: Server, *, customer: bool) -> None:
        self.method = method
        self.path = path
        self._server = server
        self._customer = customer

    def failed(self, reason: str) -> PolarUnavailable:
        """Make the error for a call that has no answer."""
        return PolarUnavailable(
            f"No usable answer came from {self._server.api_url} to {self._words}: {reason}.",
            method=self.method,
            path=self.path,
        )

    def unsent(self) -> PolarUnauthorized:
        """Make the error for a customer's token that no HTTP header can carry."""
        return PolarUnauthorized(
            "The customer's session token is not one of Polar's: it has characters that no token "
            "has. Nothing was sent.",
            method=self.method,
            path=self.path,
        )

    @property
    def _words(self) -> str:
        return f"{self.method} {self.path}"

    def refused(
        self, status: int, headers: Mapping[str, str], content: bytes, secret: Secret | None
    ) -> PolarError:
        """Make the error for an answer whose status is not 2xx.

        Source: recorded answers of Polar's API, 2026-11-22; proxies answer with HTML.
        """
        text = content[: 4 * _ERROR_BODY_CHARACTERS].decode("utf-8", "replace")
        if secret is not None:  # a proxy's error page may show the request's headers
            text = text.replace(secret.reveal(), "***")
        text = text[:_ERROR_BODY_CHARACTERS]
        try:
            parsed = _error_bodies.decode(content)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            parsed = _ErrorBody()
        detail = _detail(parsed, secret)

        def make(kind: type[E], message: str) -> E:
            return kind(message, method=self.method, path=self.path, status=status, body=text)

        if status == 401:
            return make(PolarUnauthorized, self._unauthorized(secret))
        if status == 403:
            scopes = _scopes(headers.get("WWW-Authenticate", ""))
            forbidden = make(PolarForbidden, self._forbidden(scopes, detail))
            forbidden.scopes = scopes
            return forbidden
        if status == 404:
            return make(
                PolarNotFound,
                f"Polar has nothing at {self._words} that this token may see"
                + (f": {detail}" if detail else "."),
            )
        if status == 410:
            return make(
                PolarGone, f"{self._words} is past its time" + (f": {detail}" if detail else ".")
            )
        if status == 429:
            limited = make(PolarRateLimited, "")
            limited.retry_after = _retry_after(headers.get("Retry-After", ""))
            limited.args = (
                f"Polar answered {self._words} with 429: too many requests. Try again in "
                f"{limited.retry_after:g} seconds.",
            )
            return limited
        if 400 <= status < 500:
            problems = _problems(parsed.detail, secret)
            listed = "; ".join(f"{field}: {said}" for field, said in problems) or detail
            invalid = make(
                PolarInvalidRequest,
                f"Polar refused {self._words} ({status})" + (f": {listed}" if listed else "."),
            )
            invalid.problems = problems
            return invalid
        if 300 <= status < 400:
            # Following it would carry the token to an address that nobody configured, and the
            # paths used here are the canonical ones, which Polar does not redirect: what stands
            # at that address is not the API, so there is no usable answer.
            return make(
                PolarUnavailable,
                f"{self._server.api_url} answered {self._words} with a redirect ({status}), which "
                "is not followed. Check POLAR_SERVER: it must be the API's own address, https "
                "included.",
            )
        return make(
            PolarUnavailable,
            f"{self._server.api_url} answered {self._words} with {status}, which is a failure on "
            "its side. Try again later.",
        )

    def _unauthorized(self, secret: Secret | None) -> str:
        if self._customer:
            return "The customer's session has expired, or its token is not one of Polar's (401)."
        if secret is None:
            return f"{self._words} needs an access token (401): set POLAR_ACCESS_TOKEN."
        return (
            f"Polar does not accept the access token (401 on {self._words}). It may have been "
            "revoked or have expired. A token of the sandbox does not work on production and the "
            f"other way round; POLAR_SERVER is {self._server.name} ({self._server.api_url})."
        )

    def _forbidden(self, scopes: Sequence[str], detail: str) -> str:
        if scopes:
            return (
                f"The access token may not do {self._words} (403). It needs the scope "
                f"{' or '.join(scopes)}: add it to the token in Polar's settings."
            )
        return f"Polar forbids {self._words} (403)" + (f": {detail}" if detail else ".")


E = TypeVar("E", bound=PolarError)


def _clean(value: object, secret: Secret | None) -> str:
    """Bring a foreign string into a form fit for one line of an error message."""
    if not isinstance(value, str):
        return ""
    if secret is not None:
        value = value.replace(secret.reveal(), "***")
    return "".join(c if c.isprintable() else " " for c in value)[:_DETAIL_CHARACTERS].strip()


def _detail(body: _ErrorBody, secret: Secret | None) -> str:
    for value in (body.detail, body.error_description, body.error):
        if words := _clean(value, secret):
            return words
    return ""


def _problems(detail: object, secret: Secret | None) -> tuple[FieldProblem, ...]:
    """Read the list of a 422, in which each variant of a union repeats the same complaints."""
    problems: dict[FieldProblem, None] = {}
    for entry in detail if isinstance(detail, list) else ():
        if isinstance(entry, dict):
            loc = entry.get("loc")
            field = _field(loc if isinstance(loc, list) else ())
            problems[FieldProblem(field, _clean(entry.get("msg"), secret))] = None
    return tuple(problems)


def _field(loc: Iterable[object]) -> str:
    """Name the field at which a 422's ``loc`` points.

    Between and after the names stand pydantic's own words for the variants that it tried, such as
    ``function-after[…]``, ``constrained-str`` and ``CheckoutLinkCreateProducts``, and indexes.
    A metadata key follows ``metadata`` and is kept with it.
    """
    names = [str(part) for part in loc if not isinstance(part, int)]
    if "metadata" in names:
        return ".".join(names[names.index("metadata") :][:2])
    fields = [name for name in names if re.fullmatch(r"[a-z][a-z0-9_]*", name)]
    while len(fields) > 1 and fields[-1] in _TYPE_NAMES:
        fields.pop()
    return fields[-1] if fields else "body"


_TYPE_NAMES = {"uuid", "str", "int", "float", "bool"}


def _scopes(challenge: str) -> tuple[str, ...]:
    found = re.search(r'\bscope="([a-z0-9_: -]{1,500})"', challenge)
    return tuple(found[1].split()) if found else ()


def _retry_after(value: str) -> float:
    # A date is possible by the standard; Polar sends seconds.
    if re.fullmatch(r"[0-9]{1,6}", value.strip()):
        return float(value)
    return _DEFAULT_RETRY_AFTER
