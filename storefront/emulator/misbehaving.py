"""The HTTP server's request handler, and how it plays each fault on the wire."""

from __future__ import annotations

import io
import select
import socket
import struct
import time
import zlib
from functools import lru_cache
from http import HTTPStatus
from typing import Any, ClassVar, Final

from werkzeug.serving import WSGIRequestHandler

from storefront.emulator.counting import Requests
from storefront.emulator.faults import Fault, Faults

_JSON: Final = b"Content-Type: application/json\r\n"
_CHUNK: Final = 64 * 1024
_MEGABYTE: Final = 1024 * 1024
_GARBAGE: Final = bytes(range(256)) * 8
_END_OF_HEADERS: Final = b"\r\n\r\n"


@lru_cache(maxsize=4)
def packed_bomb(megabytes: int) -> bytes:
    """JSON that unpacks to so much; packing it takes seconds."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(b'"')
    for _ in range(megabytes):
        packed += packer.compress(b"a" * _MEGABYTE)
    return packed + packer.compress(b'"') + packer.flush()


class Handler(WSGIRequestHandler):
    """Speaks HTTP/1.1, so that clients may keep their connections, logs nothing, and misbehaves
    as it is told."""

    protocol_version = "HTTP/1.1"
    #: What is to go wrong; each server has a class of its own with it.
    faults: ClassVar[Faults]
    #: Counts what it is asked.
    requests: ClassVar[Requests]

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: request lines carry client secrets and email addresses."""

    def run_wsgi(self) -> None:
        """Answer a request, or play the fault that befalls it."""
        path = self.path.partition("?")[0]
        self.requests.note(self.command, path)
        fault = self.faults.befalling(self.command, path)
        if fault is None:
            super().run_wsgi()
            return
        try:
            self._play(fault)
        except OSError:
            # Whoever asked has had enough and is gone.
            self.close_connection = True

    def _play(self, fault: Fault) -> None:
        match fault.kind:
            case "latency":
                self._wait(fault.amount)
                super().run_wsgi()
            case "drip-headers" | "drip-body":
                self._answer_through(_Dripping(self, fault))
            case "truncated":
                self._truncate()
            case _:
                # Read what was sent: closing on unread bytes would reset the connection.
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._make_up(fault)

    def _make_up(self, fault: Fault) -> None:
        """Answer without asking the application."""
        self.close_connection = fault.kind != "status"
        match fault.kind:
            case "status":
                self.wfile.write(_status_answer(int(fault.amount)))
            case "hang":
                self._wait(fault.amount)
            case "garbage":
                size = b"Content-Length: %d\r\n\r\n" % len(_GARBAGE)
                self.wfile.write(b"HTTP/1.1 200 OK\r\n" + _JSON + size + _GARBAGE)
            case "not-http":
                self.wfile.write(_GARBAGE)
            case "endless":
                self._never_end()
            case "bomb":
                self._send_bomb(int(fault.amount))
            case "reset":
                # Closing without lingering sends a reset instead of an end.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()

    def _answer_through(self, outlet: Any) -> None:
        inlet, self.wfile = self.wfile, outlet
        try:
            super().run_wsgi()
        finally:
            self.wfile = inlet

    def _truncate(self) -> None:
        """Promise the whole answer and send half of its body."""
        whole = io.BytesIO()
        self._answer_through(whole)
        headers, _, body = whole.getvalue().partition(_END_OF_HEADERS)
        self.wfile.write(headers + _END_OF_HEADERS + body[: len(body) // 2])
        self.close_connection = True

    def _never_end(self) -> None:
        headers = b"Transfer-Encoding: chunked\r\n\r\n"
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + _JSON + headers + b'1\r\n"\r\n')
        chunk = b"%x\r\n%s\r\n" % (_CHUNK, b"a" * _CHUNK)
        while not self.faults.is_over.is_set():
            self.wfile.write(chunk)

    def _send_bomb(self, megabytes: int) -> None:
        """A small answer that unpacks to a large one."""
        packed = packed_bomb(megabytes)
        headers = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + _JSON + headers + packed)

    def _wait(self, seconds: float) -> None:
        """Wait, but not for somebody who is gone, nor when the server stops."""
        give_up = time.monotonic() + seconds
        while (left := give_up - time.monotonic()) > 0:
            if self.faults.is_over.wait(min(left, 0.1)) or self._is_gone():
                return

    def _is_gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True


class _Dripping(io.RawIOBase):
    """Lets an answer through one byte after another: its headers, or all that follows them."""

    def __init__(self, handler: Handler, fault: Fault) -> None:
        self._outlet = handler.wfile
        self._pause = fault.amount
        self._is_over = handler.faults.is_over
        self._drips_headers = fault.kind == "drip-headers"
        self._has_headers = False

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Send a piece of the answer at the pace it is to have."""
        rest = bytes(data)
        if not self._has_headers:
            headers, end, rest = rest.partition(_END_OF_HEADERS)
            self._has_headers = bool(end)
            self._send(headers + end, drip=self._drips_headers)
        self._send(rest, drip=not self._drips_headers)
        return len(data)

    def _send(self, data: bytes, *, drip: bool) -> None:
        if not drip:
            self._outlet.write(data)
            return
        for index in range(len(data)):
            if self._is_over.wait(self._pause):
                raise ConnectionAbortedError
            self._outlet.write(data[index : index + 1])


def _status_answer(status: int) -> bytes:
    """An answer like the service's: 429 is empty and says when to come back, the rest is text."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    body = b"" if status == HTTPStatus.TOO_MANY_REQUESTS else phrase.encode()
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: text/plain; charset=utf-8")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        lines.append("Retry-After: 60")
    return "\r\n".join(lines).encode() + _END_OF_HEADERS + body


def make_handler(faults: Faults, requests: Requests) -> type[Handler]:
    """The handler of one server, which counts there and misbehaves as these faults say."""
    return type("FaultyHandler", (Handler,), {"faults": faults, "requests": requests})
