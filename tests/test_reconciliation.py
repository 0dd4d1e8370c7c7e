"""Reconciliation: no sale hangs on a webhook, and nothing is done about what was before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storefront.database.tables import jobs
from storefront.errors import PolarUnavailable
from storefront.orders import Refund
from storefront.testing import ShopPolar, local_polar
from tests.order_desk import Bench, bench, note


@pytest.fixture
def polar() -> Iterator[ShopPolar]:
    """A local Polar with the demo store."""
    with local_polar() as polar:
        yield polar


@pytest.fixture
def at(polar: ShopPolar, tmp_path: Path) -> Iterator[Bench]:
    """A desk whose site writes a row an order, and has looked once."""
    with bench(polar, tmp_path, order=note) as made:
        made.reconciliation.look()
        yield made


def change(at: Bench, order_id: str | None, **values: Any) -> None:
    """Change an order at Polar, with no webhook to tell of it."""
    at.polar.store.orders[str(order_id)].update(values)


def test_no_webhook_is_needed(at: Bench) -> None:
    """All that was sold since the last look is fulfilled, page after page, and only once."""
    bought = at.polar.purchase_many("northlight", [f"{n}@example.com" for n in range(120)])
    found = at.reconciliation.look()
    assert (found.seen, found.new, found.due) == (120, 120, 120)
    at.work()
    assert sorted(at.noted()) == sorted(str(each.order_id) for each in bought)
    again = at.reconciliation.look()
    assert (again.new, again.changed, again.due) == (0, 0, 0)
    at.work()
    assert len(at.noted()) == 120


def test_orders_that_are_made_amid_the_look(at: Bench) -> None:
    """What is sold while the pages are read is found by this look or the next."""
    at.polar.purchase_many("northlight", [f"{n}@example.com" for n in range(110)])
    selling = threading.Thread(
        target=at.polar.purchase_many,
        args=("northlight", [f"late{n}@example.com" for n in range(60)]),
    )
    selling.start()
    at.reconciliation.look()
    selling.join()
    at.reconciliation.look()
    at.work()
    assert sorted(at.noted()) == sorted(at.polar.store.orders)


def test_history_is_not_fulfilled(polar: ShopPolar, tmp_path: Path) -> None:
    """What was sold before the first start is known and left alone, until it is asked for."""
    before = polar.purchase("northlight", email="before@example.com").order_id
    with bench(polar, tmp_path, order=note) as at:
        at.reconciliation.look()
        at.work()
        assert (at.noted(), at.entry(before).state) == ([], "earlier")
        after = at.bought().order_id
        at.reconciliation.look()
        at.work()
        assert at.noted() == [after]
        found = at.reconciliation.look(since=datetime.now(UTC) - timedelta(days=1))
        assert found.due == 1
        at.work()
        assert at.noted() == [after, before]


def test_what_was_pending_is_paid_later(at: Bench) -> None:
    """An order that waits for its money is looked at until it has come, however old it is."""
    order_id = at.bought().order_id
    made = (datetime.now(UTC) - timedelta(days=20)).isoformat()
    change(at, order_id, status="pending", paid=False, created_at=made)
    at.reconciliation.look()
    at.work()
    assert (at.noted(), at.entry(order_id).state) == ([], "unpaid")
    change(at, order_id, status="paid", paid=True)
    at.reconciliation.look()
    at.work()
    assert at.noted() == [order_id]


def test_refunds_are_found(at: Bench) -> None:
    """A refund of an order of some weeks ago is told without a webhook."""
    got: list[Refund] = []
    at.registered.refund = got.append
    order_id = str(at.bought().order_id)
    at.reconciliation.look()
    at.work()
    change(at, order_id, created_at=(datetime.now(UTC) - timedelta(days=30)).isoformat())
    at.polar.refund(order_id)
    for _ in range(2):
        at.reconciliation.look()
        at.work()
    assert [each.is_full for each in got] == [True]


def test_work_that_is_lost_is_set_going_again(at: Bench) -> None:
    """An order that is due, and a refund, are known by the ledger; a look finds what is amiss."""
    got: list[Refund] = []
    at.registered.refund = got.append
    refunded = str(at.bought().order_id)
    at.reconciliation.look()
    at.work()
    with at.queue.by_hand(), at.inbox.by_hand():
        ordered = str(at.bought("late@example.com").order_id)
        at.desk.hear("order.paid", at.body(ordered))
        at.polar.refund(refunded)
        at.desk.hear("order.refunded", at.body(refunded))
        with at.database.writing() as connection:
            connection.execute(jobs.delete().where(jobs.c.kind.in_(["order", "refund"])))
    at.work()
    assert (at.noted(), got) == ([refunded], [])
    for _ in range(2):
        at.reconciliation.look()
        at.work()
    assert at.noted() == [refunded, ordered]
    assert [each.order.order_id for each in got] == [refunded]


def test_after_an_outage_nothing_is_missed(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails is made up for by the next: it begins where the last good one ended."""
    monkeypatch.setattr("storefront.orders.reconciliation._PATIENCE", 0.5)
    at.bought("first@example.com")
    at.polar.faults.set("status", 503)
    with pytest.raises(PolarUnavailable):
        at.reconciliation.look()
    at.polar.faults.clear()
    order_ids = sorted(at.polar.store.orders)
    monkeypatch.setattr("storefront.orders.reconciliation._PATIENCE", 30)
    assert at.reconciliation.look().new == 1
    at.work()
    assert at.noted() == order_ids
