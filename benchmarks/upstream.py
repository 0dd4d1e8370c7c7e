"""A large Polar that costs nothing to ask: lists and checkouts, answered after a set latency.

It is a process of its own, ``python -m benchmarks.upstream --port 8123 --products 10000``, and
speaks only as much HTTP as the clients that are measured: keep-alive, ``page``, ``limit``,
``sorting`` and ``id`` of the two lists, one product or link by id, and a POST that makes a
checkout. Every product has one link. Bodies have Polar's shape and size; they are filled in from
templates, for 100,000 of them would not fit into memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from benchmarks.common import free_port, python, running

TOKEN: Final = "polar_oat_benchmark"
_ORGANIZATION: Final = "8e9b5540-fcf1-431c-99ca-0d840f9a9e94"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MAX_LIMIT: Final = 100

DESCRIPTION: Final = (
    "## What is in it\n\nForty **patterns** for number @N, drawn by hand, with a licence for one "
    "designer.\n\n- vector files\n- a guide of 12 pages\n- [updates](https://example.com/@N) for a "
    "year\n"
)


def product_id(number: int) -> str:
    """The id of the product of that number, counted from 0, the oldest."""
    return f"{number:08x}-0000-4000-8000-00000000000a"


def link_id(number: int) -> str:
    """The id of its checkout link."""
    return f"{number:08x}-0000-4000-8000-00000000000b"


def product_name(number: int) -> str:
    """Its name. The slug of its page is made of it."""
    return f"Pattern collection {number:06d}"


def product_slug(number: int) -> str:
    """The slug of its page."""
    return f"pattern-collection-{number:06d}"


def product_body() -> dict[str, Any]:
    """A product as Polar sends it, with marks where products differ."""
    return {
        "id": "@P",
        "created_at": "@T",
        "modified_at": None,
        "trial_interval": None,
        "trial_interval_count": None,
        "name": "Pattern collection @N",
        "description": DESCRIPTION,
        "visibility": "public",
        "recurring_interval": None,
        "recurring_interval_count": None,
        "meter_interval": None,
        "meter_interval_count": None,
        "is_recurring": False,
        "is_archived": False,
        "is_deletable": False,
        "organization_id": _ORGANIZATION,
        "metadata": {},
        "prices": [
            {
                "created_at": "@T",
                "modified_at": None,
                "id": "@H-0000-4000-8000-00000000000c",
                "source": "catalog",
                "amount_type": "fixed",
                "price_currency": "usd",
                "tax_behavior": None,
                "is_archived": False,
                "product_id": "@P",
                "type": "one_time",
                "recurring_interval": None,
                "price_amount": 2900,
            }
        ],
        "benefits": [
            {
                "id": "01a00024-1373-4477-90da-0dcd1b2995df",
                "created_at": "2026-01-01T00:00:00Z",
                "modified_at": None,
                "type": "license_keys",
                "description": "License key",
                "selectable": True,
                "deletable": True,
                "is_deleted": False,
                "visibility_configurable": True,
                "visibility": "public",
                "metadata": {},
                "properties": {
                    "prefix": None,
                    "expires": None,
                    "activations": None,
                    "limit_usage": None,
                },
                "organization_id": _ORGANIZATION,
            }
        ],
        "medias": [
            {
                "id": "@H-0000-4000-8000-00000000000d",
                "organization_id": _ORGANIZATION,
                "name": "cover.png",
                "path": "product_media/@N/cover.png",
                "mime_type": "image/png",
                "size": 123_456,
                "storage_version": None,
                "checksum_etag": "5d41402abc4b2a76b9719d911017c592",
                "checksum_sha256_base64": None,
                "checksum_sha256_hex": None,
                "last_modified_at": "@T",
                "version": None,
                "service": "product_media",
                "is_uploaded": True,
                "created_at": "@T",
                "size_readable": "120.6 KB",
                "public_url": "https://uploads.example.com/product_media/@N/cover.png",
            }
        ],
        "attached_custom_fields": [],
    }


def _link() -> dict[str, Any]:
    product = product_body()
    for name in ("attached_custom_fields", "is_deletable"):
        del product[name]
    return {
        "id": "@L",
        "created_at": "@T",
        "modified_at": None,
        "trial_interval": None,
        "trial_interval_count": None,
        "metadata": {},
        "payment_processor": "stripe",
        "client_secret": "polar_cl_HMagtGvqBLrS3r0QHUXTbxsVn4CflrIuT5aD@N",
        "url": "https://buy.polar.sh/polar_cl_HMagtGvqBLrS3r0QHUXTbxsVn4CflrIuT5aD@N",
        "success_url": "https://shop.example.com/shop/success?checkout_id={CHECKOUT_ID}",
        "return_url": None,
        "label": None,
        "allow_discount_codes": True,
        "require_billing_address": False,
        "discount_id": None,
        "discount": None,
        "seats": None,
        "units": None,
        "organization_id": _ORGANIZATION,
        "products": [product],
        "product": product,
        "product_id": "@P",
        "product_price": product["prices"][0],
        "product_price_id": product["prices"][0]["id"],
    }


def _template(body: dict[str, Any]) -> str:
    text = json.dumps(body, separators=(",", ":")).replace("%", "%%")
    for mark, name in ("@P", "product"), ("@L", "link"), ("@N", "number"), ("@H", "hex"):
        text = text.replace(mark, f"%({name})s")
    return text.replace("@T", "%(time)s")


class Shop:
    """Bodies of products, or of links, by number and by page."""

    def __init__(
        self, body: dict[str, Any], count: int, *, newest_first: bool, further: int = 0
    ) -> None:
        self._template = _template(body)
        self._first = count
        self._count = count + further
        self._newest_first = newest_first

    def one(self, number: int) -> str:
        """The body of one; of the links, the further ones sell the first products, two each."""
        sold, way = number, 0
        if number >= self._first:
            sold, way = divmod(number - self._first, 2)
        body = self._template % {
            "product": product_id(sold),
            "link": link_id(number),
            "number": f"{sold:06d}",
            "hex": f"{sold:08x}",
            "time": f"{_START + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}",
        }
        if number >= self._first:
            trial = f'"trial_interval":"day","trial_interval_count":{7 * (way + 1)}'
            body = body.replace('"trial_interval":null,"trial_interval_count":null', trial, 1)
        return body

    def by_id(self, id: str) -> str | None:
        """The body of the one with that id, or None."""
        number = int(id[:8], 16)
        return self.one(number) if number < self._count else None

    @lru_cache(maxsize=512)  # noqa: B019  there are two of them, for as long as the process
    def page(self, query: str) -> bytes:
        """One page of the list."""
        given = parse_qs(query)
        limit = min(int(given.get("limit", ["10"])[0]), _MAX_LIMIT)
        number = int(given.get("page", ["1"])[0])
        order = given.get("sorting", ["-" if self._newest_first else ""])[0]
        if "id" in given:
            numbers = [n for id in given["id"] if (n := int(id[:8], 16)) < self._count]
            numbers.sort()
        else:
            numbers = list(range(self._count))
        if order.startswith("-"):
            numbers.reverse()
        shown = numbers[(number - 1) * limit : number * limit]
        last = -(-len(numbers) // limit)
        items = ",".join(self.one(each) for each in shown)
        pages = f'{{"total_count":{len(numbers)},"max_page":{last}}}'
        return f'{{"items":[{items}],"pagination":{pages}}}'.encode()


class Polar(asyncio.Protocol):
    """One connection. A request is answered ``latency`` seconds after it has come."""

    def __init__(self, answer: Callable[[str, str], tuple[str, bytes]], latency: float) -> None:
        self._answer = answer
        self._latency = latency
        self._came = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer to."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Have nothing to answer to any more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer each whole request that has come."""
        self._came += data
        while b"\r\n\r\n" in self._came:
            head, _, rest = self._came.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:])
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._came = rest[length:]
            loop = asyncio.get_running_loop()
            due = loop.time() + self._latency
            method, target, _ = lines[0].split(" ")
            status, body = self._answer(method, target)
            loop.call_at(due, self._send, status, body)

    def _send(self, status: str, body: bytes) -> None:
        if self._transport is None:
            return
        now = datetime.now(UTC)
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Date: {now:%a, %d %b %Y %H:%M:%S} GMT\r\nContent-Length: {len(body)}\r\n"
        )
        if status.startswith("429"):
            head += "Retry-After: 60\r\n"
        self._transport.write(head.encode() + b"\r\n" + body)


class Answers:
    """What is answered to a request line: status and body."""

    def __init__(
        self, count: int, checkout: bytes, per_minute: int | None, three_ways: int = 0
    ) -> None:
        links = Shop(_link(), count, newest_first=False, further=2 * three_ways)
        self._lists = {
            "/v1/products": Shop(product_body(), count, newest_first=True),
            "/v1/checkout-links": links,
        }
        self._checkout = checkout
        self._per_minute = per_minute
        self._asked: deque[float] = deque()
        self._counts = {"requests": 0, "limited": 0, "bytes": 0}

    def __call__(self, method: str, target: str) -> tuple[str, bytes]:
        """Answer, and count it."""
        if target == "/counts":
            counts = json.dumps(self._counts).encode()
            self._counts = dict.fromkeys(self._counts, 0)
            return "200 OK", counts
        self._counts["requests"] += 1
        if self._over_limit():
            self._counts["limited"] += 1
            return "429 Too Many Requests", b""
        status, body = self._find(method, target)
        self._counts["bytes"] += len(body)
        return status, body

    def _find(self, method: str, target: str) -> tuple[str, bytes]:
        parts = urlsplit(target)
        path = parts.path.rstrip("/")
        if method == "POST" and path == "/v1/checkouts":
            return "201 Created", self._checkout
        if path in self._lists:
            return "200 OK", self._lists[path].page(parts.query)
        collection, _, id = path.rpartition("/")
        if collection in self._lists and (body := self._lists[collection].by_id(id)):
            return "200 OK", body.encode()
        return "404 Not Found", b'{"error":"ResourceNotFound","detail":"Not found"}'

    def _over_limit(self) -> bool:
        if self._per_minute is None:
            return False
        now = time.monotonic()
        while self._asked and self._asked[0] <= now - 60:
            self._asked.popleft()
        if len(self._asked) >= self._per_minute:
            return True
        self._asked.append(now)
        return False


@contextmanager
def upstream(
    products: int = 1,
    *,
    latency: float = 0.0,
    checkout: Path | None = None,
    per_minute: int | None = None,
    three_ways: int = 0,
) -> Iterator[str]:
    """Run it; gives its URL. ``latency`` is in seconds.

    So many of the first products, ``three_ways``, have two further links with trials.
    """
    port = free_port()
    command = ["-m", "benchmarks.upstream", "--port", str(port), "--products", str(products)]
    command += ["--latency", str(latency), "--three-ways", str(three_ways)]
    if checkout is not None:
        command += ["--checkout", str(checkout)]
    if per_minute is not None:
        command += ["--per-minute", str(per_minute)]
    with running(*python(*command), port=port):
        yield f"http://127.0.0.1:{port}"


async def _serve(answers: Answers, port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Polar(answers, latency), "127.0.0.1", port)
    await server.serve_forever()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--products", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--checkout", type=Path, help="the body of a checkout")
    parser.add_argument("--three-ways", type=int, default=0, help="products with three links")
    parser.add_argument("--per-minute", type=int, help="requests, before it answers 429")
    given = parser.parse_args()
    checkout = given.checkout.read_bytes() if given.checkout else b"{}"
    answers = Answers(given.products, checkout, given.per_minute, given.three_ways)
    gc.freeze()
    asyncio.run(_serve(answers, given.port, given.latency))


if __name__ == "__main__":
    _main()
