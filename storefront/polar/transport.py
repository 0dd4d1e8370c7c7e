"""One HTTP exchange with Polar: a deadline that holds, a body that ends, errors that help.

``requests`` limits the time between two bytes, not the time of a call: a server that sends a
byte every 100 ms keeps its caller for ever. So a watchdog shuts each call's connection down at the
deadline, in whatever state it is, and a call whose deadline has passed has failed whatever came
back: a connection cut amid the headers reads as a 200 without a body.

When a call is sent, and whether it is sent at all, is the business of the `pace`.

Nothing here retries, follows redirects, or reads the environment's proxies and netrc files (a
netrc entry would replace the token).
"""

from __future__ import annotations

import copy
import mmap
import os
import re
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from requests.auth import AuthBase

from storefront.errors import (
    PolarError,
    PolarUnavailable,
)
from storefront.polar.deadline import Session, Watchdog
from storefront.polar.failures import (
    FAILURES,
    Call,
    StrangeEncodingError,
    TooLargeError,
    answered_at,
    is_unreached,
    late,
    reason,
)
from storefront.polar.pace import Hold, Pace, Patience, Turn
from storefront.polar.servers import Server
from storefront.secret import Secret
from storefront.version import __version__

#: The largest body that is read, in bytes after decompression. A page of 100 products with long
#: descriptions is about 1 MB; 1 MB of gzip can become 1 GB.
MAX_BODY_BYTES = 16 * 1024 * 1024

# Small, because urllib3 before 2.6 decompresses a whole chunk at once: 16 KB become 16 MB at most.
_CHUNK_BYTES = 16 * 1024

# A body may become so large beside others; the rest of a larger one is read when no other is.
_SMALL_BODY_BYTES = 1024 * 1024

T = TypeVar("T")
Params = Sequence[tuple[str, str]]


class Answer:
    """What Polar answered to a call that succeeded.

    Its repr leaves the body out, which may hold a customer's token, so that a traceback that
    prints local variables does not print that.
    """

    __slots__ = ("_body", "date", "method", "path", "status")

    def __init__(
        self, method: str, path: str, status: int, body: bytes, date: datetime | None = None
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self._body = body
        #: When Polar answered, by its own clock and to the second; None when it did not say.
        self.date = date

    def __repr__(self) -> str:
        return f"<Answer {self.status} to {self.method} {self.path}>"

    @property
    def body(self) -> bytes:
        """The body, decompressed; ``b""`` when there is none."""
        return self._body

    def looks_usable(self) -> bool:
        """Tell whether the body may be JSON, by its ends: a proxy's page, or half of one, is not.

        No body at all is usable: a deletion has none.
        """
        ends = self._body[:8].lstrip()[:1] + self._body[-8:].rstrip()[-1:]
        return ends in (b"", b"{}", b"[]")

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
    ``share`` is what patient calls may use of the server's limit.
    Connections are kept open and reused; any number of threads may call at once.
    """

    #: None for calls that fail when it is not their turn.
    _patience: Patience | None = None

    def __init__(
        self,
        server: Server,
        token: Secret | None,
        *,
        timeout: float,
        proxy_url: str | None = None,
        ca_bundle: str | None = None,
        user_agent: str | None = None,
        share: float = 0.8,
    ) -> None:
        self.server = server
        self.pace = Pace(server.requests_per_minute, share)
        self._token = _checked(token)
        self.timeout = timeout
        self._proxy_url = proxy_url
        self._ca_bundle = ca_bundle
        self._user_agent = user_agent or f"flask-polar-storefront/{__version__}"
        # A session serves one call at a time, for requests' sessions are not thread-safe. They
        # lie here in between, not one to a thread: a server that starts a thread for each
        # request would never use one twice. Appending to and popping from a deque is atomic.
        self._idle: deque[Session] = deque()
        self._large_body = threading.Lock()
        # By process: neither its thread nor a lock that another thread held is of use after a fork.
        self._watchdogs: dict[int, Watchdog] = {}
        # For a transport that nobody closed.
        weakref.finalize(self, _close_all, self._idle)

    def __repr__(self) -> str:
        return f"<Transport to {self.server.api_url}>"

    def close(self) -> None:
        """Close the idle connections. A later call opens a new one."""
        _close_all(self._idle)

    @contextmanager
    def patiently(self, seconds: float) -> Iterator[Transport]:
        """Give a transport like this one, whose calls wait for their turns inside the ``with``.

        They may wait and take ``seconds`` in all; those that still wait at its end fail.
        """
        patient = copy.copy(self)
        patient._patience = patience = Patience(seconds)
        try:
            yield patient
        finally:
            self.pace.give_up(patience)

    def rest(self, seconds: float) -> bool:
        """Wait before a second attempt, and tell whether there is patience for one."""
        return self._patience is not None and self._patience.rest(seconds)

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
        call = Call(method, urlsplit(url).path, self.server, customer=token is not None)
        seconds = self.timeout if timeout is None else timeout
        try:
            secret = self._token if token is None else _checked(token)
        except ValueError:
            secret = None
        # Each raise below stands outside of the except blocks: an exception of requests as
        # __context__ would bring the request along, and its headers the token.
        if secret is None and token is not None:
            raise call.unsent()
        body = None if json is None else msgspec.json.encode(json, enc_hook=_plain)
        turn = self._turn(customer=token is not None)
        if isinstance(turn, Hold):
            raise call.held(turn)
        try:
            if self._patience is not None:
                seconds = min(seconds, self._patience.left())
            if seconds <= 0:
                raise call.failed("there was no time left to ask", sent=False)
            answer = self._exchange(call, url, params, body, secret, seconds)
        except BaseException:
            self.pace.abandon(turn)
            raise
        if isinstance(answer, PolarError):
            self.pace.settle(turn, answer)
            raise answer
        usable = answer.looks_usable()
        self.pace.settle(turn, None if usable else answer.unreadable("it is not JSON"))
        return answer

    def _turn(self, *, customer: bool) -> Turn | Hold:
        if self._patience is None:
            return self.pace.ask(patient=False, customer=customer)
        return self.pace.wait(self._patience, customer=customer)

    def _exchange(
        self,
        call: Call,
        url: str,
        params: Params,
        body: bytes | None,
        secret: Secret | None,
        seconds: float,
    ) -> Answer | PolarError:
        session = self._borrow()
        try:
            watch = session.wires.watch(seconds)
        except RuntimeError:
            session.close()
            return call.failed("the machine gives no more threads", sent=False)
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
                content = self._read(response, seconds)
            usable = True
            if 200 <= response.status_code < 300:
                date = answered_at(response.headers)
                result = Answer(call.method, call.path, response.status_code, content, date)
            else:
                result = call.refused(response.status_code, response.headers, content, secret)
        except TooLargeError:
            result = call.failed(f"the answer is larger than {MAX_BODY_BYTES:,} bytes")
        except FAILURES as exc:
            result = call.failed(reason(exc, seconds), sent=not is_unreached(exc))
        finally:
            expired = watch.finish()
            if usable and not expired:
                self._idle.append(session)
            else:
                session.close()
        if expired:
            return call.failed(late(seconds))
        return result

    def _read(self, response: requests.Response, seconds: float) -> bytes:
        # Only gzip was offered. Anything else, such as gzip within gzip, is somebody's bomb.
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            raise StrangeEncodingError
        content = bytearray()
        large: mmap.mmap | None = None
        alone = False
        try:
            for chunk in response.iter_content(_CHUNK_BYTES):
                size = len(content) if large is None else large.tell()
                if size + len(chunk) > MAX_BODY_BYTES:
                    raise TooLargeError
                if large is None and size + len(chunk) > _SMALL_BODY_BYTES:
                    # So that bombs in every answer at once take no more memory than one; and
                    # from the system itself, for the allocator would keep so much per thread.
                    alone = self._large_body.acquire(timeout=seconds)
                    if not alone:
                        raise TimeoutError
                    large = mmap.mmap(-1, MAX_BODY_BYTES)
                    large.write(content)
                if large is None:
                    content += chunk
                else:
                    large.write(chunk)
            return bytes(content) if large is None else large[: large.tell()]
        finally:
            if large is not None:
                large.close()
            if alone:
                self._large_body.release()

    def _borrow(self) -> Session:
        while True:
            try:
                session = self._idle.pop()
            except IndexError:
                watchdog = self._watchdogs.setdefault(os.getpid(), Watchdog())
                return Session(watchdog, self._user_agent, self._proxy_url, self._ca_bundle)
            if session.pid == os.getpid():
                return session
            # After a fork both processes would read the answers from one connection.
            session.close()


def _close_all(idle: deque[Session]) -> None:
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


def _plain(value: object) -> object:
    """Write what is a kind of string or number, such as a Markup, as what it is a kind of."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


class _Bearer(AuthBase):
    """Sets the header at the last moment, so that no frame's locals hold it."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret is not None:
            request.headers["Authorization"] = "Bearer " + self._secret.reveal()
        return request
