"""Reconciliation: the ledger compared with Polar, so that no sale hangs on a webhook.

Each look reads three lists, newest news last: the orders made since the last look, those that wait
for their money, and those that were refunded of late. Whatever the ledger does not have, or has
otherwise, is news like any other.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from storefront.database import Database
from storefront.errors import PolarError, PolarNotFound
from storefront.orders.desk import OrderDesk
from storefront.orders.ledger import Recorded, Via
from storefront.polar import Client, Order
from storefront.work import Job, WorkQueue

logger = logging.getLogger("storefront")

#: The kind of work.
RECONCILE: Final = "reconcile"
#: How much of what was seen is looked at again: clocks differ, and what is made last may appear
#: late.
OVERLAP: Final = timedelta(hours=1)
#: How long an order may wait for its money: Polar tries a renewal's card for some weeks.
PENDING_FOR: Final = timedelta(days=45)
#: How old an order may be whose refund is noticed without a webhook.
REFUNDED_WITHIN: Final = timedelta(days=90)
#: Seconds until the next look after one that failed.
_AGAIN = 60.0
#: Seconds that a look may take, waiting for Polar's limits included.
_PATIENCE = 900.0
#: Orders that are compared, and written down, in one transaction.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a look found."""

    #: The orders that it looked at.
    seen: int
    #: Those that the ledger did not have.
    new: int
    #: Those that it had otherwise: paid by now, or refunded.
    changed: int
    #: The work that is to be done for it.
    due: int


class Reconciliation:
    """Compares one organization's orders with the ledger, every so many seconds once it runs."""

    def __init__(
        self,
        client: Client,
        database: Database,
        queue: WorkQueue,
        desk: OrderDesk,
        *,
        organization_id: str | None,
        every_seconds: float,
    ) -> None:
        self._client = client
        self._database = database
        self._queue = queue
        self._desk = desk
        self._organization_id = organization_id
        self._every_seconds = every_seconds
        # What fails is tried again for ever: the next look makes up for all that were missed.
        queue.register(RECONCILE, self._run, at_once=1, attempts=sys.maxsize)

    def start(self) -> None:
        """Have it done from now on, by one of the processes that share the database.

        :raises DatabaseUnavailable: when that can't be noted.
        """
        with self._database.writing() as connection:
            self._queue.add(connection, RECONCILE, "all", {})
        self._queue.wake()

    def look(self, *, since: datetime | None = None, via: Via = "reconcile") -> Reconciled:
        """Compare, and set going what was missed.

        With ``since``, all orders made since then are compared, and taken in although they were
        made before the ledger was begun, or before something was registered.

        :raises PolarError: when Polar can't be read; what was found until then is taken.
        :raises DatabaseUnavailable: when the ledger can't be read or written.
        """
        began_at = datetime.now(UTC)
        with self._client.patiently(_PATIENCE) as client:
            organization_id = self._organization(client)
            seen_until = self._desk.seen_until(organization_id)
            again = self._desk.set_going_again(organization_id)
            made_since = seen_until - OVERLAP if since is None else since
            lists = (
                # Oldest first: what is made while the pages are read comes at the end of them.
                _orders(client, organization_id, created_after=made_since),
                _orders(client, organization_id, "pending", created_after=began_at - PENDING_FOR),
                _orders(
                    client,
                    organization_id,
                    *("partially_refunded", "refunded"),
                    created_after=began_at - REFUNDED_WITHIN,
                ),
            )
            seen: set[str] = set()
            found: list[Recorded] = []
            for each in lists:
                for batch in _batches(each):
                    fresh = [order for order in batch if order.id not in seen]
                    seen.update(order.id for order in fresh)
                    found += self._desk.compare(
                        fresh, organization_id, via=via, take_in=since is not None
                    )
            found += self._paid_by_now(
                client, organization_id, seen, since=began_at - PENDING_FOR, via=via
            )
        if since is None:
            self._desk.saw_all(organization_id, began_at)
        return Reconciled(
            seen=len(seen),
            new=sum(recorded.before is None for recorded in found),
            changed=sum(recorded.before is not None for recorded in found),
            due=again + sum(recorded.became_due for recorded in found),
        )

    def _run(self, job: Job) -> None:
        if not self._every_seconds:
            return
        job.repeat_after = self._every_seconds
        try:
            found = self.look()
        except PolarError as error:
            logger.warning("The orders could not be compared with Polar's. %s", error)
            job.repeat_after = min(self._every_seconds, _AGAIN)
            return
        if found.due:
            logger.warning(
                "%d paid orders were fulfilled late: no webhook had told of them. Is there an "
                "endpoint in Polar's dashboard (Settings, Webhooks) that reports order.paid?",
                found.due,
            )

    def _paid_by_now(
        self, client: Client, organization_id: str, seen: set[str], *, since: datetime, via: Via
    ) -> Iterator[Recorded]:
        """Look at those that the ledger takes for unpaid, and Polar did not list as such."""
        for entry in self._desk.unpaid(organization_id, since):
            if entry.order_id in seen:
                continue
            try:
                order = client.orders.get(entry.order_id)
            except PolarNotFound:
                continue
            seen.add(order.id)
            yield from self._desk.compare([order], organization_id, via=via, take_in=False)

    def _organization(self, client: Client) -> str:
        if self._organization_id is None:
            # A token sees the one that it belongs to, and that does not change.
            self._organization_id = client.organizations.list(limit=1).items[0].id
        return self._organization_id


def _orders(
    client: Client, organization_id: str, *status: str, created_after: datetime
) -> Iterator[Order]:
    return client.orders.iterate(
        organization_id=organization_id,
        status=status or None,
        created_after=created_after,
        sorting=("created_at", "invoice_number"),
    )


def _batches(orders: Iterable[Order]) -> Iterator[list[Order]]:
    rest = iter(orders)
    while batch := list(islice(rest, _BATCH)):
        yield batch
