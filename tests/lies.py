"""A Polar that lies: real pages with one thing wrong in each answer, and what a sync makes of them.

``hold`` tries them all, at the size it is told, and gives the figures.
"""

from __future__ import annotations

import copy
import json
import math
import random
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from storefront.catalog.snapshot import Snapshot
from storefront.catalog.sync import read_again, read_everything
from storefront.errors import PolarError
from storefront.polar import Client, Server
from tests.contract.recordings import REFERENCE_STORE
from tests.wire import Request, answer, upstream

Body = dict[str, Any]
#: Changes the answer to a request, given its path and what would have been answered.
Spoil = Callable[[str, Body], Body | bytes]

FOREIGN: Final = "ffffffff-ffff-4fff-8fff-ffffffffffff"
_PAGE: Final = 100


def id_of(kind: int, number: int) -> str:
    """A UUID of the fourth version."""
    return f"{number:08x}-0000-4000-8000-{kind:012x}"


@dataclass
class Shop:
    """As much of Polar as a sync asks for: two lists, by page and by id."""

    products: dict[str, Body] = field(default_factory=dict)
    links: dict[str, Body] = field(default_factory=dict)
    spoil: Spoil = lambda path, body: body
    #: The path and query of every request.
    asked: list[str] = field(default_factory=list)
    #: How many requests were being answered at once, at the most.
    at_once: int = 0
    seconds: float = 0.0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, products: int, links: int) -> Shop:
        """A shop of copies of real ones; each link sells one product."""
        store = json.loads(REFERENCE_STORE.read_text())
        product = store["products"][0]
        link = next(one for one in store["checkout_links"] if len(one["products"]) == 1)
        shop = cls()
        for number in range(products):
            id_ = id_of(1, number)
            shop.products[id_] = {**product, "id": id_, "name": f"Product {number}"}
        sold = list(shop.products.values())
        for number in range(links):
            id_ = id_of(2, number)
            shop.links[id_] = {**link, "id": id_, "products": [sold[number % len(sold)]]}
        return shop

    def __call__(self, connection: socket.socket, request: Request, over: threading.Event) -> None:
        """Answer a request; who asks may say in ``User-Agent`` how it is to be lied to."""
        with self._lock:
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            self.asked.append(request.target)
        over.wait(self.seconds)
        path = urlsplit(request.target).path.removeprefix("/v1")
        with self._lock:
            status, body = self._answer(path, parse_qs(urlsplit(request.target).query))
            self._now -= 1
        spoil = _spoil_of(request.headers.get("user-agent", "")) or self.spoil
        connection.sendall(answer(spoil(path, body) if status == 200 else body, status))

    def _answer(self, path: str, query: Mapping[str, list[str]]) -> tuple[int, Body]:
        _, kind, id_ = path.split("/")
        rows = self.products if kind == "products" else self.links
        if id_:
            return (200, rows[id_]) if id_ in rows else (404, {"error": "ResourceNotFound"})
        found = [row for row in rows.values() if "id" not in query or row["id"] in query["id"]]
        if "product_id" in query:
            found = [row for row in found if row["products"][0]["id"] in query["product_id"]]
        if query["sorting"][0].startswith("-"):
            found.reverse()
        number = int(query["page"][0])
        pages = -(-len(found) // _PAGE)
        return 200, {
            "items": found[(number - 1) * _PAGE : number * _PAGE],
            "pagination": {"total_count": len(found), "max_page": pages},
        }


def lies() -> dict[str, Callable[[Body], Body | bytes]]:
    """Forty ways to spoil a page, by name. Each gets a page of its own to spoil."""

    def on_page(change: Callable[[Body], Any]) -> Callable[[Body], Body | bytes]:
        def spoil(page: Body) -> Body:
            change(page)
            return page

        return spoil

    def on_item(change: Callable[[Body], Any]) -> Callable[[Body], Body | bytes]:
        return on_page(lambda page: change(page["items"][3]))

    def sets(**fields: Any) -> Callable[[Body], Body | bytes]:
        return on_item(lambda item: item.update(fields))

    def counts(**fields: Any) -> Callable[[Body], Body | bytes]:
        return on_page(lambda page: page["pagination"].update(fields))

    def raw(change: Callable[[bytes], bytes]) -> Callable[[Body], Body | bytes]:
        return lambda page: change(json.dumps(page).encode())

    return {
        "a name that is a number": sets(name=5, label=5),
        "a name that is a list": sets(name=["a"], label=["a"]),
        "a name that is null": sets(name=None, url=None),
        "an id that is a number": sets(id=5),
        "an id that is null": sets(id=None),
        "an id that is empty": sets(id=""),
        "an id that is a path": sets(id="../../v1/orders"),
        "an id in capitals": on_item(lambda item: item.update(id=item["id"].upper()[:-1] + "F")),
        "somebody else's id": sets(id=FOREIGN),
        "no id": on_item(lambda item: item.pop("id")),
        "an item that is null": on_page(lambda page: page["items"].__setitem__(0, None)),
        "an item that is text": on_page(lambda page: page["items"].__setitem__(0, "x")),
        "an item that is a list": on_page(lambda page: page["items"].__setitem__(0, [])),
        "an empty item": on_page(lambda page: page["items"].__setitem__(0, {})),
        "prices that are text": sets(prices="free", products="all"),
        "products without ids": sets(prices=[{}], products=[{}]),
        "products of strange ids": sets(prices=[{"id": 5}], products=[{"id": "x"}]),
        "foreign products": sets(
            products=[{"id": FOREIGN}], prices=[{"id": "p", "price_amount": "1"}]
        ),
        "a time that is none": sets(created_at="yesterday"),
        "a time of the year 99999": sets(created_at="99999-01-01T00:00:00Z"),
        "metadata that is text": sets(metadata="x"),
        "deep metadata": sets(metadata={"a": json.loads("[" * 400 + "]" * 400)}),
        "a huge integer": sets(prices=[{"id": "p", "price_amount": 10**400}], seats=10**400),
        "not a number": sets(prices=[{"id": "p", "price_amount": math.nan}], seats=math.nan),
        "items that are null": on_page(lambda page: page.update(items=None)),
        "items that are an object": on_page(lambda page: page.update(items={})),
        "no items": on_page(lambda page: page.update(items=[])),
        "one item less": on_page(lambda page: page["items"].pop()),
        "an item twice": on_page(lambda page: page["items"].append(page["items"][0])),
        "an item in place of another": on_page(
            lambda page: page["items"].__setitem__(-1, page["items"][0])
        ),
        "no pagination": on_page(lambda page: page.pop("pagination")),
        "a total that is too low": counts(total_count=1),
        "a total that is negative": counts(total_count=-1, max_page=-1),
        "a total that is text": counts(total_count="many"),
        "a thousand million pages": counts(total_count=10**11, max_page=10**9),
        "no pages at all": counts(total_count=0, max_page=0),
        "half a page": raw(lambda content: content[: len(content) // 2]),
        "a page nested 200,000 deep": raw(lambda content: b"[" * 200_000 + b"]" * 200_000),
        "a page of 20 MB": raw(lambda content: content[:-1] + b" " * (20 * 2**20) + b"}"),
        "halves of characters": raw(lambda content: content.replace(b'"Product', b'"\xff\xfe')),
    }


@dataclass
class Figures:
    """What came of the lies."""

    refused: int = 0
    read: int = 0
    wrong: list[str] = field(default_factory=list)
    #: By how much the process grew, in bytes, and the longest that a lie was listened to.
    grown: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.refused + self.read} lies: {self.refused} refused, {self.read} read as far as "
            f"they were true, {len(self.wrong)} wrong catalogues; memory "
            f"+{self.grown / 2**20:.1f} MB, at most {self.seconds:.1f} s"
        )


def hold(*, products: int = 250, every: int = 1, patience: float = 1.5) -> Figures:
    """Tell every lie (or each ``every``-th) in both lists, in all answers or in some.

    A sync has ``patience`` seconds; it tries again until then.
    """
    figures = Figures()
    # In a process of its own, so that the memory that lies take to tell is not counted.
    command = [sys.executable, "-m", "tests.lies", str(products)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as teller:
        assert teller.stdout is not None
        url = teller.stdout.readline().decode().strip()
        honest, _ = read_everything(_client(url))
        read_again(_client(url), honest, product_ids=[id_of(1, 3)])
        before = _peak()
        cases = [
            f"{name}|{where}|{share}"
            for where in ("/products/", "/checkout-links/")
            for name in lies()
            for share in (1.0, 0.3)
        ]
        for case in cases[::every]:
            started = time.monotonic()
            try:
                found, _ = read_everything(
                    _client(url, case), previous=honest, deadline_seconds=patience
                )
            except PolarError:
                figures.refused += 1
            else:
                figures.read += 1
                if not _is_true(found, honest):
                    figures.wrong.append(case)
            figures.seconds = max(figures.seconds, time.monotonic() - started)
        figures.grown = _peak() - before
        teller.communicate()
    return figures


def _client(url: str, lie: str | None = None) -> Client:
    client = Client(Server.custom(url), "polar_oat_lies", timeout=10, user_agent=lie)
    # Hundreds of syncs in a minute are no sync's business: the pace is tried elsewhere.
    client._transport.pace.budget = 10**6
    return client


def _spoil_of(lie: str) -> Spoil | None:
    if lie.count("|") != 2:
        return None
    name, where, share = lie.split("|")

    def spoil(path: str, body: Body) -> Body | bytes:
        if path != where or random.random() >= float(share):  # noqa: S311
            return body
        return lies()[name](copy.deepcopy(body))

    return spoil


def _is_true(found: Snapshot, honest: Snapshot) -> bool:
    """Whether it has what there is, and of at most one a page something else than there is."""
    for now, then in (
        (found.product_records, honest.product_records),
        (found.link_records, honest.link_records),
    ):
        if list(now) != list(then):
            return False
        if sum(now[id_] != then[id_] for id_ in then) > -(-len(then) // _PAGE):
            return False
    return True


def _peak() -> int:
    """The most memory that this process ever had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _main() -> None:
    """Tell lies until standard input ends; prints where."""
    products = int(sys.argv[1])
    with upstream(Shop.of(products, products)) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    _main()
