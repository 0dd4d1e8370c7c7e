"""A database that takes a request and never answers: pages go on, webhooks are refused in time."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from storefront import Storefront, get_state
from storefront.database.aside import PLACES, Aside, Late
from storefront.testing import Purchase, ShopPolar
from tests.conftest import SiteMaker
from tests.services import PostgreSQLServer
from tests.webhook_posts import SECRET, body, signed

pytestmark = pytest.mark.alone

#: What a page may take, in seconds, and what a busy machine adds to it.
_PATIENCE, _BUSY = 2.0, 1.5
Hang = Callable[[], AbstractContextManager[None]]


@contextmanager
def in_time() -> Iterator[None]:
    """Nobody waits for longer than a page may take."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < _PATIENCE + _BUSY


def arrived(site: Flask, bought: Purchase) -> tuple[FlaskClient, str]:
    """A browser that has brought Polar's token, and the address of its success page."""
    client, page = site.test_client(), f"/shop/success?checkout_id={bought.checkout_id}"
    client.get(f"{page}&customer_session_token={bought.customer_session_token}")
    return client, page


def check(site: Flask, polar: ShopPolar, hang: Hang) -> None:
    """Buyers, strangers and Polar are answered while it hangs; afterwards all is as before."""
    bought = [polar.purchase("northlight", email=f"{name}@example.com") for name in "abcde"]
    shown = [arrived(site, each) for each in bought]
    client, page = shown.pop()
    assert "Thank you" in client.get(page).text
    stranger = site.test_client()

    def send() -> int:
        content = body()
        answer = stranger.post("/shop/webhooks", data=content, headers=signed(content))
        return answer.status_code

    assert send() == 202
    with hang():
        for client, page in shown[:2]:
            with in_time():
                assert "Thank you" in client.get(page).text
            with in_time():
                assert send() == 503
        with in_time():
            assert stranger.get(shown[3][1]).status_code == 200
    give_up = time.monotonic() + 30
    while send() != 202:
        assert time.monotonic() < give_up, "webhooks are kept again"
        time.sleep(0.2)


@pytest.mark.postgresql
def test_a_frozen_postgresql(
    polar: ShopPolar,
    make_site: SiteMaker,
    postgres_server: PostgreSQLServer,
    postgres_url: str,
) -> None:
    """A PostgreSQL that hangs with its connections open is not waited for."""
    shop = Storefront()
    shop.on_order(lambda fulfilment: None)
    site = make_site(
        polar,
        shop=shop,
        SECRET_KEY="x",
        POLAR_WEBHOOK_SECRET=SECRET,
        STOREFRONT_DATABASE_URL=postgres_url,
        STOREFRONT_PAGE_TIMEOUT_SECONDS=_PATIENCE,
    )
    state = get_state(site)
    state.database.upgrade()

    @contextmanager
    def frozen() -> Iterator[None]:
        postgres_server.freeze()
        try:
            yield
        finally:
            postgres_server.thaw()

    with state.inbox.by_hand(), state.work.by_hand():
        check(site, polar, frozen)
    state.database.close()


def test_a_locked_sqlite(polar: ShopPolar, make_site: SiteMaker, tmp_path: Path) -> None:
    """Nor is a process that has SQLite's pen, and hangs."""
    site = make_site(
        polar,
        SECRET_KEY="x",
        POLAR_WEBHOOK_SECRET=SECRET,
        STOREFRONT_PAGE_TIMEOUT_SECONDS=_PATIENCE,
    )

    @contextmanager
    def locked() -> Iterator[None]:
        file = tmp_path / "instance" / "storefront-inbox.db"
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    state = get_state(site)
    with state.inbox.by_hand(), state.work.by_hand():
        check(site, polar, locked)
    state.database.for_short_writes().close()
    state.database.close()


def test_what_is_done_aside_ends_as_it_would() -> None:
    """Results and errors come back; what is late goes on, and nobody waits behind it for long."""
    aside, gate = Aside(), threading.Event()
    assert aside.within(30, lambda: 5) == 5
    with pytest.raises(LookupError, match="its own"):
        aside.within(30, _fail)
    done: list[int] = []
    for number in range(PLACES):
        with pytest.raises(Late):
            aside.within(0.01, partial(_wait, gate, done, number))
    began = time.monotonic()
    with pytest.raises(Late):
        aside.within(30, lambda: 5)
    assert time.monotonic() - began < 10
    gate.set()
    give_up = time.monotonic() + 30
    while sorted(done) != list(range(PLACES)):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert aside.within(30, lambda: 5) == 5


def _wait(gate: threading.Event, done: list[int], number: int) -> None:
    gate.wait(30)
    done.append(number)


def _fail() -> int:
    raise LookupError("its own")
