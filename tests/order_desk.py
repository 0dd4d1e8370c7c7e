"""A desk with all that it works with, for tests: a local Polar, a database, queues, a site."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from storefront.database import Database
from storefront.database.tables import jobs
from storefront.orders import (
    Fulfilment,
    FulfilmentCallback,
    OrderDesk,
    Receipt,
    Reconciliation,
    RefundCallback,
)
from storefront.orders.ledger import Entry
from storefront.polar import Client, Server
from storefront.secret import Secret
from storefront.testing import Purchase, ShopPolar
from storefront.work import Waiting, WorkQueue

#: What a site writes in the transaction that it is handed.
effects = sa.Table(
    "effects",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(128)),
)


@dataclass
class Registered:
    """What a site has registered."""

    order: FulfilmentCallback | None = None
    refund: RefundCallback | None = None


@dataclass
class Ears:
    """Somebody who listens."""

    heard: list[tuple[str, Receipt]] = field(default_factory=list)

    def are_there(self, what: str) -> bool:
        """Always."""
        return True

    def tell(self, what: str, order: Receipt) -> None:
        """Remember it."""
        self.heard.append((what, order))


@dataclass
class Bench:
    """A desk, and what stands around it."""

    polar: ShopPolar
    database: Database
    client: Client
    queue: WorkQueue
    inbox: WorkQueue
    desk: OrderDesk
    reconciliation: Reconciliation
    registered: Registered
    #: What listeners heard.
    told: list[tuple[str, Receipt]]

    def work(self) -> None:
        """Have all done that is due, by the queues' own threads."""
        give_up = time.monotonic() + 60
        self.inbox.wake()
        self.queue.wake()
        while self._in_hand():
            assert time.monotonic() < give_up, "the work does not end"
            time.sleep(0.05)

    def _in_hand(self) -> int:
        """How many jobs are being done, or are due."""
        left = 0
        # The inbox first: what is done there adds to the other one.
        for database in dict.fromkeys((self.database.for_short_writes(), self.database)):
            with database.reading() as connection:
                found = connection.execute(sa.select(jobs.c.claimed_by, jobs.c.due_at)).all()
            now = datetime.now(UTC)  # after the reading: nothing that it saw is due later
            left += sum(
                row.claimed_by is not None or (row.due_at is not None and row.due_at <= now)
                for row in found
            )
        return left

    def retry(self, order_id: str | None) -> None:
        """Have an order's work done now, after any attempt that is under way."""
        give_up = time.monotonic() + 60
        claimed = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.claimed_by.is_not(None))
        while True:
            with self.database.reading() as connection:
                if not connection.scalar(claimed):
                    break
            assert time.monotonic() < give_up, "the attempt does not end"
            time.sleep(0.01)
        self.queue.retry("order", str(order_id))

    def waiting(self) -> Waiting:
        """The one job that has failed, or was put off."""
        (found,) = self.queue.waiting()
        return found

    def body(self, order_id: str | None) -> dict[str, Any]:
        """An order as a webhook carries it."""
        answer = requests.get(
            f"{self.polar.url}/v1/orders/{order_id}", headers=self.polar.headers, timeout=10
        )
        found: dict[str, Any] = answer.json()
        return found

    def bought(self, email: str = "canary@example.com") -> Purchase:
        """Somebody buys something."""
        return self.polar.purchase("northlight", email=email)

    def entry(self, order_id: str | None) -> Entry:
        """The order's row."""
        with self.database.reading() as connection:
            found = self.desk.ledger.find(connection, str(order_id))
        assert found is not None
        return found

    def noted(self) -> list[str]:
        """What the site wrote, in order."""
        with self.database.reading() as connection:
            return list(connection.scalars(sa.select(effects.c.key).order_by(effects.c.id)))


def note(fulfilment: Fulfilment) -> None:
    """What a site does that shares the transaction: one row an order."""
    fulfilment.connection.execute(effects.insert().values(key=fulfilment.order.order_id))


@contextmanager
def bench(polar: ShopPolar, folder: Path, url: str = "", **registered: Any) -> Iterator[Bench]:
    """A desk at work on the database of that URL, or on SQLite in the folder."""
    before = set(threading.enumerate())
    url = url.replace("postgresql://", "postgresql+psycopg://")
    database = Database(Secret(url) if url else None, folder)
    database.upgrade()
    with database.writing() as connection:
        effects.create(connection, checkfirst=True)
    client = Client(Server.custom(polar.url), polar.token)
    queue = WorkQueue(database, shop="s", stays=False, lease_seconds=2)
    inbox = WorkQueue(database.for_short_writes(), shop="s", stays=False, lease_seconds=2)
    if not database.is_shared:
        database.for_short_writes().upgrade()
    callbacks = Registered(**registered)
    ears = Ears()
    desk = OrderDesk(client, database, queue, inbox, callbacks, ears, organization_id=None)
    reconciliation = Reconciliation(
        client, database, queue, desk, organization_id=None, every_seconds=300
    )
    yield Bench(polar, database, client, queue, inbox, desk, reconciliation, callbacks, ears.heard)
    # Without work the queues end their threads, and those their connections.
    for each in {database, database.for_short_writes()}:
        with each.writing() as connection:
            connection.execute(jobs.delete())
    give_up = time.monotonic() + 30
    works = ("storefront-work", "storefront-order", "storefront-refund")
    while any(each.name.startswith(works) for each in set(threading.enumerate()) - before):
        assert time.monotonic() < give_up, "the queues' threads do not end"
        time.sleep(0.05)
    client.close()
    database.for_short_writes().close()
    database.close()
