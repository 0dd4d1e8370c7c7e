"""A session of ``requests`` whose connections can be cut at a deadline, whatever they are doing.

``requests`` limits the time between two bytes, not the time of a call. Here a watchdog shuts the
sockets of each call down at its deadline: amid a look-up of the name, a handshake, the headers or
the body.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
import time
import weakref
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from storefront.polar.servers import POLAR_VERSION

#: How long the watchdog's thread waits for another call before it ends.
_IDLE_SECONDS = 30.0


class Watch:
    """The watch over one call."""

    def __init__(self, wires: Wires, seconds: float) -> None:
        self._wires = wires
        self._over = False
        self.expired = False
        self.ends_at = time.monotonic() + seconds

    def expire(self) -> None:
        """End the call, if it has not ended."""
        with self._wires.lock:
            if not self._over:
                self.expired = True
                self._wires.cut()

    def finish(self) -> bool:
        """End the watch; True when the deadline had passed."""
        with self._wires.lock:
            self._over = True
            self._wires.prune()
            return self.expired


class Watchdog:
    """One thread of a process that ends calls at their deadlines, however many there are.

    Started by the first call, and over when there was none for a while. A thread for each call
    would cost the call some milliseconds on a busy machine: its start is waited for.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: list[tuple[float, int, weakref.ref[Watch]]] = []
        self._numbers = itertools.count()
        self._is_running = False

    def watch(self, watch: Watch) -> None:
        """Have a watch expire at its time; one that nobody holds any more is forgotten.

        :raises RuntimeError: when the machine gives no more threads: nothing would end the call.
        """
        entry = (watch.ends_at, next(self._numbers), weakref.ref(watch))
        with self._changed:
            heapq.heappush(self._watches, entry)
            if not self._is_running:
                threading.Thread(target=self._run, name="storefront-deadline", daemon=True).start()
                self._is_running = True
            elif self._watches[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        idle_until = time.monotonic() + _IDLE_SECONDS
        while True:
            due: list[Watch] = []
            with self._changed:
                now = time.monotonic()
                while self._watches and self._watches[0][0] <= now:
                    watch = heapq.heappop(self._watches)[2]()
                    due += [] if watch is None else [watch]
                if self._watches:
                    idle_until = now + _IDLE_SECONDS
                elif not due and now >= idle_until:
                    self._is_running = False
                    return
                if not due:
                    until = self._watches[0][0] if self._watches else idle_until
                    self._changed.wait(until - now)
            for watch in due:
                watch.expire()
            del due


class Wires:
    """The sockets of one session, held so that another thread can shut them down.

    A handle is a duplicate of the socket's descriptor: it works during the TLS handshake, when
    the plain socket is gone and the wrapped one not there yet, and after ``http.client`` has
    let go of a connection whose body is still being read.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self.lock = threading.Lock()
        self._watchdog = watchdog
        self._handles: list[tuple[HTTPConnection, socket.socket]] = []
        self._watch: Watch | None = None

    def watch(self, seconds: float) -> Watch:
        """Start the watch of a call.

        :raises RuntimeError: when the machine gives no more threads.
        """
        self._watch = watch = Watch(self, seconds)
        self._watchdog.watch(watch)
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
        """Keep a handle of a connection's socket; cut it when the deadline has passed already."""
        with self.lock:
            self._handles.append((connection, wire.dup()))
            if self._watch is not None and self._watch.expired:
                self.cut()

    def cut(self) -> None:
        """Shut every socket down, which ends whatever waits for it."""
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
    try:
        thread.start()
    except RuntimeError:  # the machine gives no more threads
        raise OSError("nobody can look it up") from None
    thread.join(seconds)
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _connect(connection: HTTPConnection, wires: Wires) -> socket.socket:
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
    wires: Wires

    def _new_conn(self) -> socket.socket:
        return _connect(self, self.wires)


class _WatchedHTTPSConnection(HTTPSConnection):
    wires: Wires

    def _new_conn(self) -> socket.socket:
        return _connect(self, self.wires)


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection
    wires: Wires

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.wires = self.wires  # type: ignore[attr-defined]
        return connection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection
    wires: Wires

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.wires = self.wires  # type: ignore[attr-defined]
        return connection


class _Adapter(HTTPAdapter):
    """Makes connections whose sockets ``wires`` knows. Never retries: ``max_retries`` is 0."""

    def __init__(self, wires: Wires) -> None:
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


class Session(requests.Session):
    """A session for one call at a time, of the process that made it."""

    def __init__(
        self,
        watchdog: Watchdog,
        user_agent: str,
        proxy_url: str | None,
        ca_bundle: str | None,
    ) -> None:
        super().__init__()
        self.pid = os.getpid()
        self.wires = Wires(watchdog)
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
        """Let go of the connections and of the handles."""
        super().close()
        self.wires.drop()
