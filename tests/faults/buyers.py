"""Buyers who reload the success page, and Polar, which sends its webhook again and again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from storefront.testing import Purchase
from tests.faults.harness import Site, Upstream, Wire
from tests.webhook_posts import signed

#: Buyers at once, and the requests that each of them and Polar's webhooks make at once.
BUYERS: Final = 8
AT_ONCE: Final = 8
#: Ids under which the copies of a webhook come: Polar sends a delivery again under its own.
_IDS: Final = 3
#: Seconds in which somebody must answer, in the end.
_PATIENCE: Final = 60.0
_SUCCESS, _WEBHOOKS = "/shop/success", "/shop/webhooks"
#: What only the page of who bought has.
_RECEIPT: Final = b"storefront-lines"


class _Request(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Crowd:
    """Buyers, some at once, each with several tabs; and what they and the webhooks were answered.

    A request that a kill cuts off is made again, so ``reloads`` and ``copies`` are answers.
    """

    upstream: Upstream
    sites: Sequence[Site]
    reloads: int
    copies: int
    #: Orders that are bought, and followed to the end.
    followed: int = 0
    answers: int = 0
    #: Pages that had the receipt.
    receipts: int = 0
    #: Requests without an answer.
    cut: int = 0
    #: Answers that should not have been; the first of them.
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def come(self, orders: int) -> None:
        """Buy so many times, and follow each order.

        :raises AssertionError: nobody answered for a minute.
        """
        numbers, failures = count(), list[BaseException]()

        def buy_and_follow() -> None:
            try:
                while not failures and (number := next(numbers)) < orders:
                    emails = [f"{number}@example.com"]
                    for bought in self.upstream.served.purchase_many("Item 0", emails):
                        _Following(self, bought).follow()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=buy_and_follow) for _ in range(BUYERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def note(self, following: _Following) -> None:
        """Count what came of an order."""
        with self._lock:
            self.followed += 1
            self.answers += following.answers
            self.receipts += following.receipts
            self.cut += following.cut
            self.wrong += following.wrong[: 10 - len(self.wrong)]


class _Following:
    """One buyer, back from the checkout."""

    def __init__(self, crowd: Crowd, bought: Purchase) -> None:
        self._crowd = crowd
        self._bought = bought
        self._random = Random(bought.order_id)  # noqa: S311
        sites = self._random.sample(crowd.sites, len(crowd.sites))
        self._wires = [Wire(sites[number % len(sites)].port) for number in range(AT_ONCE)]
        self.answers = self.receipts = self.cut = 0
        self.wrong: list[str] = []

    def follow(self) -> None:
        """Come back from Polar, then reload in all tabs at once, while webhooks come."""
        page = f"{_SUCCESS}?checkout_id={self._bought.checkout_id}"
        token = self._bought.customer_session_token
        back = _Request("GET", f"{page}&customer_session_token={token}", {})
        webhooks = self._webhooks()
        # A webhook may be there before the buyer, and with him.
        early = [webhooks.pop() for _ in range(self._random.randrange(2)) if webhooks]
        (_, headers, _), *_ = self._ask([back, *early])
        cookie = headers.get("set-cookie", "").partition(";")[0]
        left = [_Request("GET", page, {"Cookie": cookie})] * self._crowd.reloads + webhooks
        # All webhooks at once in one of the rounds, or each at a time of its own.
        if self._random.randrange(2):
            self._random.shuffle(left)
        while left:
            self._ask(left[-AT_ONCE:])
            del left[-AT_ONCE:]
        for wire in self._wires:
            wire.close()
        self._crowd.note(self)

    def _webhooks(self) -> list[_Request]:
        """Polar's webhooks of the order: some are the same delivery, some others."""
        body = self._body()
        ids = [f"{self._bought.order_id}-{number % _IDS}" for number in range(self._crowd.copies)]
        return [_Request("POST", _WEBHOOKS, signed(body, id=id), body) for id in ids]

    def _body(self) -> bytes:
        upstream = self._crowd.upstream
        wire = Wire(urlsplit(upstream.url).port or 80)
        headers = {"Authorization": f"Bearer {upstream.token}"}
        wire.send("GET", f"/v1/orders/{self._bought.order_id}", headers)
        _, _, order = wire.receive()
        wire.close()
        said = {"type": "order.paid", "timestamp": "2026-11-22T08:00:00.000000Z"}
        return json.dumps({**said, "data": json.loads(order)}).encode()

    def _ask(self, asked: Sequence[_Request]) -> list[tuple[int, dict[str, str], bytes]]:
        """Ask all of it at once, a connection each; the answers."""
        sent = [
            (request, wire, self._send(wire, request))
            for request, wire in zip(asked, self._wires, strict=False)
        ]
        return [self._receive(*each) for each in sent]

    def _send(self, wire: Wire, request: _Request) -> bool:
        try:
            wire.send(*request)
        except OSError:
            return False
        return True

    def _receive(
        self, request: _Request, wire: Wire, is_sent: bool
    ) -> tuple[int, dict[str, str], bytes]:
        ends = time.monotonic() + _PATIENCE
        while True:
            if is_sent:
                try:
                    answer = wire.receive()
                    break
                except OSError:
                    pass
            wire.close()
            self.cut += 1
            assert time.monotonic() < ends, f"nobody answers {request.path}"
            time.sleep(0.02)
            is_sent = self._send(wire, request)
        self._note(request, answer)
        return answer

    def _note(self, request: _Request, answer: tuple[int, dict[str, str], bytes]) -> None:
        status, _, body = answer
        self.answers += 1
        self.receipts += _RECEIPT in body
        # While a process begins its page may have to say that Polar could not be read in time.
        good = {202} if request.method == "POST" else {200, 303, 503}
        if status not in good:
            self.wrong.append(f"{request.method} {request.path.partition('?')[0]}: {status}")
