"""Webhooks as Polar sends them, made by hand: signed, and as hostile as can be."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from storefront.emulator.signatures import KeyStyle, sign, signing_key

SECRET = "whsec_fixture_0000000000000000000000000000000"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

_numbers = itertools.count(1)


def body(type: str = "order.paid", **data: Any) -> bytes:
    """A webhook's body."""
    moment = "2026-11-22T08:00:00.123456Z"
    return json.dumps({"type": type, "timestamp": moment, "data": {"id": "x", **data}}).encode()


def signed(
    content: bytes,
    *,
    secret: str = SECRET,
    style: KeyStyle = "utf8",
    id: str | None = None,
    at: float | None = None,
) -> dict[str, str]:
    """The headers of a body, signed now unless ``at`` says otherwise."""
    id = id or f"evt-{next(_numbers)}"
    stamp = str(int(time.time() if at is None else at))
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": sign(signing_key(secret, style), id, stamp, content),
    }


def forged(source: random.Random, content: bytes) -> dict[str, str]:
    """Headers that look like a webhook's here and there, and are signed by nobody."""
    genuine = signed(content)
    while True:
        headers = dict(genuine)
        for name in genuine:
            if source.random() < 0.4:
                headers[name] = _spoilt(source, name, headers[name])
            if source.random() < 0.05:
                del headers[name]
        if not _is_signed(headers, genuine):
            return headers


def _is_signed(headers: Mapping[str, str], genuine: Mapping[str, str]) -> bool:
    same = all(headers.get(n) == genuine[n] for n in ("webhook-id", "webhook-timestamp"))
    signatures = headers.get("webhook-signature", "").split(" ")
    return same and genuine["webhook-signature"] in signatures


def _spoilt(source: random.Random, name: str, value: str) -> str:
    kinds = {"webhook-id": _ids, "webhook-timestamp": _times, "webhook-signature": _signatures}
    return _noise(source) if source.random() < 0.5 else kinds[name](source, value)


def _noise(source: random.Random) -> str:
    """Characters that a server may hand on: it knows bytes, and gives them as Latin-1."""
    length = source.choice([0, 1, 2, 10, 100, 5000])
    return source.randbytes(source.randint(0, length)).decode("latin-1")


def _ids(source: random.Random, value: str) -> str:
    return source.choice(
        [
            "",
            value + "x",
            value + ".1",
            "x" * 256,
            "x" * 60_000,
            "'; --",
            "é",
            "a\tb",
            "a b",
            "\x7f",
        ]
    )


def _times(source: random.Random, value: str) -> str:
    now = int(value) if value.isdecimal() else 0
    return source.choice(
        [
            *("", "0", "-1", "1e9", "nan", "inf", "-inf", "0x10", "1_0", "²", "9" * 400, " "),
            *(f"{value} ", f" {value}", f"+{value}", f"{value}.0", f"0{value}", f"{value}\n"),
            *(str(now + 299), str(now - 301), str(now * 1000), "9" * 11, "9" * 19, "\xb2\xb3"),
        ]
    )


def _signatures(source: random.Random, value: str) -> str:
    return source.choice(
        [
            *(
                "",
                "v1",
                "v1,",
                ",",
                "v1,,",
                "v1,=",
                "v1,é",
                "v1,====",
                "v1,A",
                "v1,\x00",
                "v2,AAAA",
            ),
            *(
                value[:-1],
                value[1:],
                value.upper(),
                value.swapcase(),
                f"v1a{value[2:]}",
                value + "=",
            ),
            *(value.replace("v1,", "v2,"), value.replace(",", ""), value.replace(",", ",v1,")),
            *(
                "v1,AAAA " * 700,
                " ".join(["v1,"] * 50),
                value.replace("v1,", "v1, "),
                "v1," * 20_000,
            ),
        ]
    )


def odd_body(source: random.Random) -> bytes:
    """A body that is no webhook's, or hardly."""
    whole = body(name=source.choice(["é", "\ud800", "\x00", "x" * 1000]))
    made: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: source.randbytes(source.randint(0, 300)),
        lambda: whole[: source.randint(0, len(whole))],
        lambda: _flipped(source, whole),
        lambda: b"[" * source.randint(1, 5000),
        lambda: b'{"a":' * source.randint(1, 5000),
        lambda: source.choice([b"null", b"[]", b'"x"', b"1e999", b"NaN", b"\xef\xbb\xbf{}", b"{}"]),
        lambda: _encoded(type=_oddity(source), data={}),
        lambda: _encoded(type="order.paid", data=_oddity(source)),
        lambda: _encoded(type="order.paid", timestamp=_oddity(source), data={}),
        lambda: _encoded(type="product.updated", data={"id": _oddity(source)}),
        lambda: b'{"type":"a","data":{},"n":' + b"9" * source.randint(1, 9000) + b"}",
    ]
    return source.choice(made)()


def _encoded(**content: Any) -> bytes:
    return json.dumps(content).encode()


def _flipped(source: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(source.randint(1, 4)):
        changed[source.randrange(len(changed))] = source.randrange(256)
    return bytes(changed)


def _oddity(source: random.Random) -> Any:
    return source.choice(
        [
            *(None, True, 0, -1, 1e300, 10**400, [], {}, [[]], {"": ""}, "", "x" * 1000),
            *("a\x00b", "\ud800", "é", "order.paid\n", "2026"),
            *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
        ]
    )
