"""The ledger: what becomes of an order's row, whoever brings the news, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa

from storefront.database import Database
from storefront.database.tables import orders
from storefront.orders.ledger import Entry, Ledger, Recorded, Wanted
from storefront.polar import Order, OrderCustomer
from storefront.secret import Secret

BEGAN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
ORGANIZATION = str(uuid4())
BOTH = Wanted(order=True, refund=True)
PAID = Order(
    id=str(uuid4()),
    status="paid",
    net_amount=1000,
    total_amount=1190,
    currency="eur",
    checkout_id=str(uuid4()),
    customer=OrderCustomer(id="c", email="canary@example.com", name="Canary"),
    created_at=BEGAN + timedelta(minutes=1),
)
PENDING = msgspec.structs.replace(PAID, status="pending")
PARTLY = msgspec.structs.replace(PAID, status="partially_refunded", refunded_amount=400)
REFUNDED = msgspec.structs.replace(PAID, status="refunded", refunded_amount=1000)
VOID = msgspec.structs.replace(PAID, status="void")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Either database, with its tables."""
    url = None
    if request.param == "postgresql":
        plain: str = request.getfixturevalue("postgres_url")
        url = Secret(plain.replace("postgresql://", "postgresql+psycopg://"))
    made = Database(url, tmp_path)
    made.upgrade()
    yield made
    made.for_short_writes().close()
    made.close()


@pytest.fixture
def ledger() -> Ledger:
    """The ledger of one server."""
    return Ledger("https://polar.example/v1", BEGAN)


def record(
    ledger: Ledger, database: Database, order: Order, *, wanted: Wanted = BOTH, **options: Any
) -> Recorded:
    """Record one piece of news in a transaction of its own."""
    with database.writing() as connection:
        return ledger.record(
            connection, order, ORGANIZATION, **{"via": "webhook", "wanted": wanted, **options}
        )


def after(ledger: Ledger, database: Database, *news: Order, **options: Any) -> Entry:
    """The row after several pieces of news."""
    for order in news:
        found = record(ledger, database, order, **options)
    return found.entry


def test_a_paid_order_is_due_once(database: Database, ledger: Ledger) -> None:
    """The first news makes it due; the same again, from wherever, changes nothing."""
    first = record(ledger, database, PAID, via="success")
    assert (first.became_due, first.became_paid, first.entry.seen_via) == (True, True, "success")
    for via in ("webhook", "reconcile", "success"):
        again = record(ledger, database, PAID, via=via, trusted=via != "webhook")
        assert (again.became_due, again.became_paid) == (False, False)
        assert again.entry == first.entry
    assert (first.entry.total, first.entry.currency) == (1190, "eur")
    assert first.entry.ordered_at == PAID.created_at


def test_nothing_says_who_bought(database: Database, ledger: Ledger) -> None:
    """Neither address nor name is in the row."""
    record(ledger, database, PAID)
    with database.reading() as connection:
        assert "anary" not in repr(connection.execute(sa.select(orders)).all())


def test_what_is_not_paid_is_not_due(database: Database, ledger: Ledger) -> None:
    """A pending order waits until it is paid; a void one is never due."""
    assert after(ledger, database, PENDING).state == "unpaid"
    paid = record(ledger, database, PAID)
    assert (paid.became_due, paid.became_paid) == (True, True)
    other = msgspec.structs.replace(VOID, id=str(uuid4()))
    assert after(ledger, database, other).state == "unpaid"


def test_free_orders_are_due(database: Database, ledger: Ledger) -> None:
    """A total of 0 is paid."""
    free = msgspec.structs.replace(PAID, net_amount=0, total_amount=0)
    assert after(ledger, database, free).state == "due"


def test_polar_has_the_last_word(database: Database, ledger: Ledger) -> None:
    """A webhook says paid and Polar, when asked, does not: it is not due any more."""
    assert after(ledger, database, PAID, trusted=False).state == "due"
    assert after(ledger, database, PENDING).state == "unpaid"


def test_old_webhooks_take_nothing_back(database: Database, ledger: Ledger) -> None:
    """Webhooks come in any order: pending after paid, and paid after refunded, are old news."""
    assert after(ledger, database, PAID, PENDING, trusted=False).state == "due"
    entry = after(ledger, database, REFUNDED, PAID, PARTLY, trusted=False)
    assert (entry.status, entry.refunded, entry.state) == ("refunded", 1000, "refunded")


def test_a_refund_before_the_order_leaves_a_mark(database: Database, ledger: Ledger) -> None:
    """Refunded in full before anything was done: it is not fulfilled, and nothing to be undone."""
    entry = after(ledger, database, REFUNDED, PAID, trusted=False)
    assert (entry.state, entry.refund_due) == ("refunded", False)


def test_a_refund_while_it_waits_ends_the_wait(database: Database, ledger: Ledger) -> None:
    """An order that was not begun is not fulfilled after its refund."""
    assert after(ledger, database, PAID, REFUNDED).state == "refunded"


def test_a_refund_amid_fulfilment_comes_after_it(database: Database, ledger: Ledger) -> None:
    """Once begun, only who fulfils decides; afterwards the refund is to be told of."""
    entry = after(ledger, database, PAID)
    with database.writing() as connection:
        entry = ledger.begin(connection, entry)
    assert after(ledger, database, REFUNDED).state == "due"
    with database.writing() as connection:
        assert ledger.fulfilled(connection, entry)
    assert after(ledger, database, REFUNDED).refund_due


def test_an_attempt_that_failed_is_told_of_its_refund(database: Database, ledger: Ledger) -> None:
    """What an attempt did outside of the database may have to be undone."""
    entry = after(ledger, database, PAID)
    with database.writing() as connection:
        ledger.begin(connection, entry)
    entry = after(ledger, database, REFUNDED, holds_job=True)
    assert (entry.state, entry.refund_due) == ("refunded", True)


def test_a_partial_refund_waits_for_fulfilment(database: Database, ledger: Ledger) -> None:
    """An order that is refunded in part is fulfilled, and then the refund is told."""
    entry = after(ledger, database, PARTLY)
    assert (entry.state, entry.refund_due) == ("due", False)
    with database.writing() as connection:
        assert ledger.fulfilled(connection, ledger.begin(connection, entry))
    with database.writing() as connection:
        found = ledger.find(connection, PAID.id)
        assert found is not None
        assert found.refund_due
        assert ledger.told_of_refund(connection, found)
        assert not ledger.told_of_refund(connection, found), "only once"
    assert after(ledger, database, REFUNDED).refund_due, "the rest is another refund"


def test_it_is_fulfilled_once(database: Database, ledger: Ledger) -> None:
    """Of two that say so, one is right."""
    entry = after(ledger, database, PAID)
    with database.writing() as connection:
        assert ledger.fulfilled(connection, entry)
        assert not ledger.fulfilled(connection, entry)
    assert after(ledger, database, PENDING).state == "done"


@pytest.mark.parametrize("wanted", [Wanted(order=False, refund=False), BOTH])
def test_history_is_left_alone(database: Database, ledger: Ledger, wanted: Wanted) -> None:
    """Orders of before the ledger was begun are kept, and nothing is done about them."""
    old = msgspec.structs.replace(PAID, created_at=BEGAN - timedelta(days=1))
    entry = after(ledger, database, old, REFUNDED, wanted=wanted)
    assert (entry.state, entry.refund_due) == ("earlier", False)


def test_history_can_be_taken_in(database: Database, ledger: Ledger) -> None:
    """Asked to, the ledger takes an order of before in; it is due then."""
    old = msgspec.structs.replace(PAID, created_at=BEGAN - timedelta(days=1))
    assert after(ledger, database, old).state == "earlier"
    assert record(ledger, database, old, take_in=True).became_due
    assert after(ledger, database, old).state == "due"


def test_the_beginning_outlives_processes(database: Database, ledger: Ledger) -> None:
    """A process that starts later goes by what the first one wrote down."""
    record(ledger, database, PENDING)
    later = Ledger("https://polar.example/v1", BEGAN + timedelta(days=7))
    record(ledger, database, msgspec.structs.replace(PAID, id=str(uuid4())))
    assert after(later, database, msgspec.structs.replace(PAID, id=str(uuid4()))).state == "due"


def test_a_site_that_registers_nothing(database: Database, ledger: Ledger) -> None:
    """Rows are kept; who registers later is not given what was sold until then."""
    nothing = Wanted(order=False, refund=False)
    assert after(ledger, database, PAID, PARTLY, wanted=nothing).state == "unwanted"
    entry = after(ledger, database, PARTLY)
    assert (entry.state, entry.refund_due) == ("unwanted", False)
    assert after(ledger, database, REFUNDED, wanted=Wanted(order=False, refund=True)).refund_due


def test_servers_share_no_rows(database: Database, ledger: Ledger) -> None:
    """The same id in a sandbox is another order."""
    record(ledger, database, PAID)
    with database.reading() as connection:
        assert Ledger("https://sandbox.example/v1", BEGAN).find(connection, PAID.id) is None
        assert ledger.find(connection, PAID.id) is not None
