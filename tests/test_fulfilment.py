"""Fulfilment: once an order, whoever tells of it, and whatever fails in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import sqlalchemy as sa
from flask import Flask, current_app

from storefront import Fulfilment, Receipt, Refund, Storefront, get_state
from storefront.database.tables import jobs
from storefront.signals import order_paid
from storefront.testing import ShopPolar, local_polar
from tests.conftest import SiteMaker
from tests.order_desk import Bench, bench, effects, note
from tests.webhook_posts import SECRET, body, signed


@pytest.fixture
def polar() -> Iterator[ShopPolar]:
    """A local Polar with the demo store."""
    with local_polar() as polar:
        yield polar


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def at(request: pytest.FixtureRequest, polar: ShopPolar, tmp_path: Path) -> Iterator[Bench]:
    """A desk over either database, whose site writes a row an order."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with bench(polar, tmp_path, url, order=note) as made:
        yield made


@pytest.fixture
def sqlite(polar: ShopPolar, tmp_path: Path) -> Iterator[Bench]:
    """The same over SQLite, where the database makes no difference."""
    with bench(polar, tmp_path, order=note) as made:
        yield made


def everything(at: Bench) -> str:
    """All that is in the database, the queue included."""
    with at.database.reading() as connection:
        names = sa.inspect(connection).get_table_names()
        tables = [connection.exec_driver_sql(f"SELECT * FROM {name}") for name in names]  # noqa: S608
        return repr([tuple(row) for table in tables for row in table])


def test_an_order_is_fulfilled_once(at: Bench) -> None:
    """Five copies of each webhook, the success page and reconciliation make one fulfilment."""
    order_id = at.bought().order_id
    body = at.body(order_id)
    for event in ["order.created", "order.updated", "order.paid"] * 5:
        at.desk.hear(event, body)
    outcome_order = at.client.orders.get(str(order_id))
    assert at.desk.saw_paid(outcome_order, str(outcome_order.checkout_id))
    assert not at.desk.saw_paid(outcome_order, str(outcome_order.checkout_id))
    at.work()
    at.reconciliation.look()
    at.desk.hear("order.paid", body)
    at.work()
    assert at.noted() == [order_id]
    entry = at.entry(order_id)
    assert (entry.state, entry.attempts, entry.seen_via) == ("done", 1, "webhook")
    assert entry.fulfilled_at is not None
    assert [what for what, _ in at.told] == ["paid"]


def test_what_the_site_gets(sqlite: Bench) -> None:
    """The order with its buyer, a key that stays, and the attempt; no repr says who bought."""
    got: list[Fulfilment] = []
    sqlite.registered.order = got.append
    order_id = sqlite.bought().order_id
    sqlite.desk.hear("order.paid", sqlite.body(order_id))
    sqlite.work()
    fulfilment = got[0]
    assert fulfilment.order.order_id == order_id
    assert fulfilment.order.customer is not None
    assert fulfilment.order.customer.email == "canary@example.com"
    assert fulfilment.order.billing_reason == "purchase"
    assert (fulfilment.idempotency_key, fulfilment.attempt) == (f"order-{order_id}", 1)
    assert "canary" not in repr(fulfilment)
    with pytest.raises(AttributeError):
        fulfilment.attempt = 2  # type: ignore[misc]


def test_a_failed_attempt_leaves_nothing(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What it wrote is undone; the next attempt has the same key, and the log no address."""
    seen: list[tuple[str, int]] = []
    mended = threading.Event()

    def fail_first(fulfilment: Fulfilment) -> None:
        note(fulfilment)
        seen.append((fulfilment.idempotency_key, fulfilment.attempt))
        if not mended.is_set():
            customer = fulfilment.order.customer
            raise LookupError(f"no key left for {customer and customer.email}")

    at.registered.order = fail_first
    order_id = at.bought().order_id
    at.desk.hear("order.paid", at.body(order_id))
    at.work()
    assert at.noted() == []
    error = str(at.waiting().last_error)
    assert error.startswith("LookupError: no key left")
    assert "canary" not in caplog.text + error
    assert at.entry(order_id).state == "due"
    mended.set()
    at.retry(order_id)
    at.work()
    assert at.noted() == [order_id]
    assert {key for key, _ in seen} == {f"order-{order_id}"}
    assert [attempt for _, attempt in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
def test_the_transaction_is_the_ledgers(at: Bench, ending: str) -> None:
    """A function that ends it itself is told so, and nothing of it stays."""

    def end(fulfilment: Fulfilment) -> None:
        note(fulfilment)
        getattr(fulfilment.connection, ending)()

    at.registered.order = end
    order_id = at.bought().order_id
    at.desk.hear("order.paid", at.body(order_id))
    at.work()
    assert at.noted() == []
    assert at.entry(order_id).state == "due"
    assert "ledger" in str(at.waiting().last_error)
    at.registered.order = note
    at.retry(order_id)
    at.work()
    assert at.noted() == [order_id]


def test_a_part_may_fail_by_itself(at: Bench) -> None:
    """A savepoint is undone alone."""

    def try_a_part(fulfilment: Fulfilment) -> None:
        note(fulfilment)
        nested = fulfilment.connection.begin_nested()
        fulfilment.connection.execute(effects.insert().values(key="part"))
        nested.rollback()

    at.registered.order = try_a_part
    order_id = at.bought().order_id
    at.desk.hear("order.paid", at.body(order_id))
    at.work()
    assert at.noted() == [order_id]


def test_nobody_waits_while_the_site_works(sqlite: Bench) -> None:
    """Before a function asks for its connection, other writers of SQLite do not wait for it."""

    def slow(fulfilment: Fulfilment) -> None:
        began = time.monotonic()
        with sqlite.database.writing() as connection:
            connection.execute(effects.insert().values(key="other"))
        assert time.monotonic() - began < 5
        note(fulfilment)

    sqlite.registered.order = slow
    order_id = sqlite.bought().order_id
    sqlite.desk.hear("order.paid", sqlite.body(order_id))
    sqlite.work()
    assert sqlite.noted() == ["other", order_id]


def test_polar_is_asked_before_anything_is_done(sqlite: Bench) -> None:
    """A body that says paid, of an order that is not, has nothing done."""
    order_id = sqlite.bought().order_id
    body = sqlite.body(order_id)
    sqlite.polar.store.orders[str(order_id)].update(status="pending", paid=False)
    sqlite.desk.hear("order.paid", body)
    sqlite.work()
    assert sqlite.noted() == []
    assert sqlite.entry(order_id).state == "unpaid"


def test_while_polar_is_down_the_body_serves(
    sqlite: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is fulfilled by what was signed, buyer included; then nothing is left of that."""
    monkeypatch.setattr("storefront.orders.desk._PATIENCE", 0.5)
    got: list[Fulfilment] = []
    sqlite.registered.order = got.append
    order_id = sqlite.bought().order_id
    body = sqlite.body(order_id)
    sqlite.polar.stop()
    with sqlite.inbox.by_hand(), sqlite.queue.by_hand():
        sqlite.desk.hear("order.paid", body)
        assert "canary@example.com" in everything(sqlite)
    sqlite.work()
    assert got[0].order.customer is not None
    assert got[0].order.customer.email == "canary@example.com"
    assert "canary" not in everything(sqlite)


def test_without_a_body_it_waits_for_polar(sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that the success page told of waits, and no attempt is counted."""
    monkeypatch.setattr("storefront.orders.desk._PATIENCE", 0.5)
    order_id = str(sqlite.bought().order_id)
    order = sqlite.client.orders.get(order_id)
    sqlite.polar.faults.set("status", 503)
    sqlite.desk.saw_paid(order, str(order.checkout_id))
    assert "canary" not in everything(sqlite)
    sqlite.work()
    assert sqlite.waiting().attempts == 0
    assert sqlite.noted() == []
    sqlite.polar.faults.clear()
    time.sleep(1.5)  # until Polar is tried again
    sqlite.queue.retry("order", order_id)
    sqlite.work()
    assert sqlite.noted() == [order_id]
    assert sqlite.entry(order_id).seen_via == "success"


def test_free_trial_and_full_discount(sqlite: Bench) -> None:
    """Orders of 0 are sales."""
    bought = [
        sqlite.polar.purchase("starter-templates", email="a@example.com"),
        sqlite.polar.purchase("northlight-sync", email="b@example.com"),
        sqlite.polar.purchase("northlight", email="c@example.com", discount_code="FREE100"),
    ]
    for each in bought:
        sqlite.desk.hear("order.paid", sqlite.body(each.order_id))
    sqlite.work()
    assert set(sqlite.noted()) == {each.order_id for each in bought}
    assert {sqlite.entry(each.order_id).total for each in bought} == {0}


def test_a_renewal_is_an_order(sqlite: Bench) -> None:
    """Each renewal is fulfilled, with a receipt of its own."""
    got: list[Fulfilment] = []
    sqlite.registered.order = got.append
    bought = sqlite.polar.purchase("pro-monthly", email="a@example.com")
    renewal = sqlite.polar.renew(str(bought.subscription_id))
    for order_id in (bought.order_id, renewal):
        sqlite.desk.hear("order.paid", sqlite.body(order_id))
    sqlite.work()
    reasons = {each.order.billing_reason for each in got}
    assert reasons == {"subscription_create", "subscription_cycle"}
    assert {each.order.subscription_id for each in got} == {bought.subscription_id}


def test_a_refund_is_told_after_the_order(at: Bench) -> None:
    """Each amount that was reached is told once; the connection is the transaction's."""
    got: list[Refund] = []

    def undo(refund: Refund) -> None:
        got.append(refund)
        refund.connection.execute(effects.insert().values(key=str(refund.refunded)))

    at.registered.refund = undo
    order_id = str(at.bought().order_id)
    at.polar.refund(order_id, 100)
    at.desk.hear("order.refunded", at.body(order_id))
    at.work()
    assert at.noted() == [order_id, "100"]
    at.polar.refund(order_id)
    for _ in range(3):
        at.desk.hear("order.refunded", at.body(order_id))
        at.desk.hear("refund.created", {"order_id": order_id})
        at.work()
    total = got[-1].order.refunded
    assert at.noted() == [order_id, "100", str(total)]
    assert [(each.before, each.refunded, each.is_full) for each in got] == [
        (0, 100, False),
        (100, total, True),
    ]
    assert got[-1].idempotency_key == f"refund-{order_id}-{total}"
    assert [what for what, _ in at.told] == ["paid", "refunded", "refunded"]


def test_a_refund_that_comes_first(at: Bench) -> None:
    """Refunded in full before the site heard of it: neither function is called."""
    called: list[Any] = []
    at.registered.refund = called.append
    order_id = str(at.bought().order_id)
    paid = at.body(order_id)
    at.polar.refund(order_id)
    at.desk.hear("order.refunded", at.body(order_id))
    at.desk.hear("order.paid", paid)
    at.work()
    assert (at.noted(), called, at.entry(order_id).state) == ([], [], "refunded")


def test_after_the_last_attempt_it_is_parked(
    sqlite: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Work that keeps failing is given up, loudly, and can be tried again."""

    def fail(fulfilment: Fulfilment) -> None:
        raise LookupError("no key left")

    sqlite.registered.order = fail
    order_id = str(sqlite.bought().order_id)
    with sqlite.queue.by_hand():  # so that the next attempt is the last
        sqlite.desk.hear("order.paid", sqlite.body(order_id))
        with sqlite.database.writing() as connection:
            connection.execute(jobs.update().values(attempts=35))
    with caplog.at_level(logging.ERROR):
        sqlite.work()
    assert "given up" in caplog.text
    (parked,) = sqlite.queue.waiting(kind="order", parked=True)
    assert parked.key == order_id
    sqlite.registered.order = note
    sqlite.queue.retry("order", order_id)
    sqlite.work()
    assert sqlite.noted() == [order_id]


def test_lost_work_is_found_again(sqlite: Bench) -> None:
    """An order that is due and has no job gets one when the ledger is compared."""
    order_id = str(sqlite.bought().order_id)
    with sqlite.queue.by_hand():
        sqlite.desk.hear("order.paid", sqlite.body(order_id))
        with sqlite.database.writing() as connection:
            connection.execute(jobs.delete())
    assert sqlite.reconciliation.look().due == 1
    sqlite.work()
    assert sqlite.noted() == [order_id]


def test_news_that_can_not_be_read(sqlite: Bench) -> None:
    """A body that has changed its shape has the order read; one of no order is left alone."""
    order_id = str(sqlite.bought().order_id)
    sqlite.desk.hear("order.paid", {"id": order_id, "total_amount": "changed"})
    for odd in ({}, {"id": "x"}, {"id": None}, {"id": ["x"]}):
        sqlite.desk.hear("order.paid", odd)
        sqlite.desk.hear("refund.created", odd)
    sqlite.work()
    assert sqlite.noted() == [order_id]
    assert [each.entry.order_id for each in sqlite.desk.standings()] == [order_id]


def test_a_site_from_payment_to_signal(polar: ShopPolar, make_site: SiteMaker) -> None:
    """The success page has the order fulfilled, within an app context, and who listens is told."""
    shop = Storefront()
    done: list[str] = []
    told = threading.Event()

    @shop.on_order
    def deliver(fulfilment: Fulfilment) -> None:
        done.append(f"{current_app.name} {fulfilment.order.order_id}")

    app = make_site(polar, shop=shop, SECRET_KEY="x")

    def hear(sender: Flask, order: Receipt) -> None:
        assert done == [f"{sender.name} {order.order_id}"]
        told.set()

    with order_paid.connected_to(hear, app):
        bought = polar.purchase("northlight", email="canary@example.com")
        query = {
            "checkout_id": bought.checkout_id,
            "customer_session_token": bought.customer_session_token,
        }
        page = app.test_client().get("/shop/success", query_string=query, follow_redirects=True)
        assert "Thank you" in page.text
        assert told.wait(30)
    assert done == [f"site {bought.order_id}"]


def test_orders_of_another_organization(polar: ShopPolar, make_site: SiteMaker) -> None:
    """A signed webhook of an organization that the site is not for changes nothing here."""
    shop, done = Storefront(), list[str]()
    shop.on_order(lambda fulfilment: done.append(fulfilment.order.order_id))
    ours = str(polar.store.organization["id"])
    app = make_site(polar, shop=shop, POLAR_WEBHOOK_SECRET=SECRET, POLAR_ORGANIZATION_ID=ours)
    runner = app.test_cli_runner()
    reconcile = ["storefront", "orders", "reconcile"]
    assert runner.invoke(args=reconcile).exit_code == 0
    order_ids = [str(polar.purchase("northlight", email=f"{n}@e.com").order_id) for n in "ab"]
    state = get_state(app)
    with state.inbox.by_hand(), state.work.by_hand(), app.app_context():
        for order_id, organization_id in zip(order_ids, (ours, str(uuid4())), strict=True):
            path = f"{polar.url}/v1/orders/{order_id}"
            order = requests.get(path, headers=polar.headers, timeout=10).json()
            order["customer"]["organization_id"] = organization_id
            content = body("order.paid", **order)
            headers = signed(content)
            sent = app.test_client().post("/shop/webhooks", data=content, headers=headers)
            assert sent.status_code == 202
        while state.inbox.run_due() + state.work.run_due():
            pass
    assert done == order_ids[:1]
    assert [each.entry.order_id for each in state.orders.standings()] == order_ids[:1]
    state.database.for_short_writes().close()
    state.database.close()


@pytest.mark.parametrize("decorator", ["on_order", "on_refund", "on_success"])
def test_each_takes_one_function(decorator: str) -> None:
    """A second registration says which function is there already."""
    register = getattr(Storefront(), decorator)
    assert register(note) is note
    with pytest.raises(RuntimeError, match=f"@shop.{decorator} has note already"):
        register(note)
