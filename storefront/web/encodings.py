"""Which of the encodings that we have a client wants to have: ``Accept-Encoding``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from importlib.util import find_spec

IDENTITY = "identity"


def available() -> tuple[str, ...]:
    """What pages can be compressed to here, the smallest first: Brotli needs its package."""
    return ("br", "gzip") if find_spec("brotli") is not None else ("gzip",)


def compress(body: bytes, encoding: str) -> bytes:
    """The body in that encoding: the same bytes each time, without a date in them."""
    if encoding == "br":
        import brotli

        made: bytes = brotli.compress(body, quality=9)
        return made
    if encoding == "gzip":
        packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        return packer.compress(body) + packer.flush()
    return body


def choose(header: str | None, offered: Sequence[str]) -> str:
    """The encoding to answer with; of those that a client likes equally well the first offered.

    A client that says nothing gets the plain bytes, and so does one that takes nothing of what
    there is: an answer it may be able to read is better than none.
    """
    if not header or not offered:
        return IDENTITY
    wanted: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if name := name.strip():
            wanted[name] = _quality(parameters)
    rest = wanted.get("*", 0.0)
    best, best_quality = IDENTITY, wanted.get(IDENTITY, 0.0)
    for name in offered:
        quality = wanted.get(name, rest)
        # Plain bytes lose a draw, and so does what is offered later.
        if quality > best_quality or (quality == best_quality > 0 and best == IDENTITY):
            best, best_quality = name, quality
    return best


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
