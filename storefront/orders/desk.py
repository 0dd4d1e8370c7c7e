"""The desk: news of orders comes in, is written into the ledger, and becomes work for the site.

News may come from a webhook, from the success page, or from comparing the ledger with Polar. What
it says is only ever a reason to look: before the site is asked to do something, the order is read
from Polar. While Polar can't be asked, what its webhook said and signed serves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec

from storefront.database import Database
from storefront.errors import (
    PolarError,
    PolarForbidden,
    PolarNotFound,
    PolarRateLimited,
    PolarUnauthorized,
    PolarUnavailable,
)
from storefront.orders.fulfilment import (
    Fulfilment,
    FulfilmentCallback,
    Refund,
    RefundCallback,
    lent,
)
from storefront.orders.ledger import Entry, Ledger, Recorded, Via, Wanted
from storefront.orders.receipt import Receipt, make_receipt, read_checkout, read_outcome
from storefront.polar import Client, Order
from storefront.polar.resource import uuid
from storefront.work import Job, Postpone, Waiting, WorkQueue

if TYPE_CHECKING:
    import sqlalchemy as sa

logger = logging.getLogger("storefront")

#: The kinds of work; the key of each is the order's id.
FULFIL: Final = "order"
TELL_REFUND: Final = "refund"
LOOK: Final = "order-news"
LOOK_AT_CHECKOUT: Final = "checkout"

#: What there is to be told.
What = Literal["paid", "refunded"]
_TELL: Final[Mapping[What, str]] = {"paid": "order-paid", "refunded": "order-refunded"}

#: Attempts before work for an order is parked: with the pauses in between, about a day.
ATTEMPTS: Final = 36
#: Seconds to wait for a turn to ask Polar, and until it is asked again when it does not answer.
_PATIENCE = 10.0
_AGAIN = 15.0
#: The same where it is not Polar that has to be waited for, but somebody who mends a setting.
_LATER = 60.0
#: Seconds after a visit of the success page when its checkout is looked at.
_LOOKS = (2.0, 10.0, 60.0)


class Callbacks(Protocol):
    """What the site has registered, now or later."""

    @property
    def order(self) -> FulfilmentCallback | None: ...
    @property
    def refund(self) -> RefundCallback | None: ...


class Listeners(Protocol):
    """Whoever wants to know, without being asked to do something."""

    def are_there(self, what: What) -> bool:
        """Whether there is anybody to be told."""
        ...

    def tell(self, what: What, order: Receipt) -> None:
        """Tell them."""
        ...


@dataclass(frozen=True, slots=True)
class _Read:
    order: Order
    #: Whether Polar said so just now.
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An order, and what is left to be done about it."""

    entry: Entry
    #: To be fulfilled, and to be told of a refund.
    work: Waiting | None
    refund_work: Waiting | None

    @property
    def is_parked(self) -> bool:
        """Whether something about it was given up, until somebody has it tried again."""
        return any(each is not None and each.due_at is None for each in self._left)

    @property
    def is_due(self) -> bool:
        """Whether something about it is left to be done."""
        return any(each is not None for each in self._left)

    @property
    def last_error(self) -> str | None:
        """Why it is not done yet."""
        return next((each.last_error for each in self._left if each and each.last_error), None)

    @property
    def next_at(self) -> datetime | None:
        """When it is tried again."""
        return min((each.due_at for each in self._left if each and each.due_at), default=None)

    @property
    def _left(self) -> tuple[Waiting | None, Waiting | None]:
        return (self.work, self.refund_work)


class OrderDesk:
    """The orders of one app.

    ``organization_id`` is the configured one; an order's own counts where it is known. ``queue``
    is in the same database as the ledger, ``inbox`` in the one for short writes.
    """

    def __init__(
        self,
        client: Client,
        database: Database,
        queue: WorkQueue,
        inbox: WorkQueue,
        callbacks: Callbacks,
        listeners: Listeners,
        *,
        organization_id: str | None,
    ) -> None:
        self._client = client
        self._database = database
        self._queue = queue
        self._inbox = inbox
        self._callbacks = callbacks
        self._listeners = listeners
        self._organization_id = organization_id
        self._server = client.server.api_url
        self.ledger = Ledger(self._server, datetime.now(UTC))
        # One at a time: what a kill cuts short, and may be done twice outside, is one order.
        queue.register(FULFIL, self._fulfil, at_once=1, attempts=ATTEMPTS)
        queue.register(TELL_REFUND, self._tell_of_refund, at_once=1, attempts=ATTEMPTS)
        inbox.register(LOOK, self._look)
        inbox.register(LOOK_AT_CHECKOUT, self._look_at_checkout, at_once=1)
        for what, kind in _TELL.items():
            queue.register(kind, partial(self._tell, what))

    def hear(self, event: str, data: Mapping[str, Any]) -> None:
        """Take a webhook's news of an order or a refund; its signature has been checked.

        :raises DatabaseUnavailable: when it can't be written down.
        :raises Postpone: when Polar has to be asked, and can't be.
        """
        # A refund does not say how much is refunded by now, only how much this time.
        is_refund = event.startswith("refund.")
        try:
            order_id = uuid("id", data.get("order_id" if is_refund else "id"))
            order = None if is_refund else msgspec.convert(data, Order)
        except msgspec.ValidationError:  # a ValueError, too
            order = None
        except ValueError:
            logger.warning("A webhook %s was of no order, and is left alone.", event)
            return
        if order is not None:
            # What is kept until the work is done is what the work needs.
            self.take([order], via="webhook", trusted=False, keep=True)
            return
        try:
            self.take([self._ask(order_id)], via="webhook")
        except PolarNotFound:
            logger.warning("A webhook %s was of an order that Polar does not have.", event)

    def saw_paid(self, order: Order, checkout_id: str) -> bool:
        """Take the success page's news; gives whether the page shows it for the first time.

        Only notes it where nobody writes for long, and returns.

        :raises DatabaseUnavailable: when it can't be noted.
        """
        from storefront.database.statements import insert_new, now
        from storefront.database.tables import successes

        news = msgspec.structs.replace(
            order, customer=None, custom_field_data={}, metadata={}, discount=None, product=None
        )
        organization_id = self._organization_of(order)
        payload = {"order": msgspec.to_builtins(news), "organization_id": organization_id}
        with self._database.for_short_writes().writing() as connection:
            shown = {
                "server": self._server,
                "checkout_id": checkout_id,
                "shown_at": now(connection),
            }
            first = insert_new(connection, successes, shown)
            if first:
                self._inbox.add(connection, LOOK, order.id, payload)
        if first:
            self._inbox.wake()
        return first

    def saw_visit(self, checkout_id: str) -> None:
        """Have it found out whether a checkout was paid: somebody came back from it.

        Nothing is done where nobody wants to know of orders.

        :raises DatabaseUnavailable: when it can't be noted.
        """
        wanted = self._wanted()
        if not (wanted.order or wanted.refund or self._listeners.are_there("paid")):
            return
        with self._database.for_short_writes().writing() as connection:
            payload = {"checkout_id": checkout_id, "looks": 0}
            self._inbox.add(
                *(connection, LOOK_AT_CHECKOUT, checkout_id, payload), after_seconds=_LOOKS[0]
            )
        self._inbox.wake()

    def take(
        self,
        orders: Sequence[Order],
        *,
        via: Via,
        trusted: bool = True,
        keep: bool = False,
        take_in: bool = False,
        organization_id: str | None = None,
    ) -> list[Recorded]:
        """Write news of orders down, all or none, and set the work going that follows from it.

        ``keep`` keeps what was said until the work is done, for when Polar can't be asked then.
        ``take_in`` also takes in orders that were made before the ledger was begun. Orders of
        another organization than the configured one are left alone.

        :raises DatabaseUnavailable: when it can't be written down.
        """
        whose = {order.id: organization_id or self._organization_of(order) for order in orders}
        orders = [order for order in orders if self._organization_id in (None, whose[order.id])]
        wanted = self._wanted()
        with self._database.writing() as connection:
            found = [
                self.ledger.record(
                    connection,
                    order,
                    whose[order.id],
                    via=via,
                    wanted=wanted,
                    trusted=trusted,
                    take_in=take_in,
                )
                for order in orders
            ]
            for order, recorded in zip(orders, found, strict=True):
                self._set_going(connection, recorded, order if keep else None)
        self._queue.wake()
        return found

    def compare(
        self, orders: Sequence[Order], organization_id: str, *, via: Via, take_in: bool
    ) -> list[Recorded]:
        """Take those orders, as Polar has them now, that the ledger has otherwise or not at all.

        Of those that it has, refunds are told for which the work was lost.

        :raises DatabaseUnavailable: when the ledger can't be read or written.
        """
        with self._database.reading() as connection:
            ids = [order.id for order in orders]
            known = {each.order_id: each for each in self.ledger.entries(connection, ids=ids)}
        self._tell_again(known.values())
        news = [order for order in orders if _is_news(known.get(order.id), order, take_in)]
        if not news:
            return []
        return self.take(news, via=via, take_in=take_in, organization_id=organization_id)

    def seen_until(self, organization_id: str) -> datetime:
        """Up to when all orders of an organization are in the ledger.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        with self._database.writing() as connection:
            return self.ledger.seen_until(connection, organization_id)

    def saw_all(self, organization_id: str, until: datetime) -> None:
        """Note that all orders made until then are in the ledger.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        with self._database.writing() as connection:
            self.ledger.saw_all(connection, organization_id, until)

    def unpaid(self, organization_id: str, since: datetime) -> list[Entry]:
        """The orders made since then that may still be paid.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        with self._database.reading() as connection:
            found = self.ledger.entries(
                connection, organization_id=organization_id, states=["unpaid"], since=since
            )
        return [entry for entry in found if entry.status != "void"]

    def standings(
        self,
        *,
        order_id: str | None = None,
        left: bool = False,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[Standing]:
        """Orders, those made last first; with ``left`` those with work that is left to be done.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        work = {
            kind: {job.key: job for job in self._queue.waiting(kind=kind)}
            for kind in (FULFIL, TELL_REFUND)
        }
        ids = {*work[FULFIL], *work[TELL_REFUND]} if left else None
        with self._database.reading() as connection:
            entries = self.ledger.entries(
                connection,
                organization_id=self._organization_id,
                ids=ids if order_id is None else [order_id],
                since=since,
                limit=limit,
            )
        return [
            Standing(
                entry=entry,
                work=work[FULFIL].get(entry.order_id),
                refund_work=work[TELL_REFUND].get(entry.order_id),
            )
            for entry in entries
        ]

    def retry(self, order_id: str) -> bool:
        """Have what is left for an order done now, parked or not; False when nothing is.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        found = [self._queue.retry(kind, order_id) for kind in (FULFIL, TELL_REFUND)]
        self._queue.wake()
        return any(found)

    def set_going_again(self, organization_id: str) -> int:
        """Add the work that orders are due and that is not there; gives how much that was.

        It was lost with a database that was put back, or belonged to a shop of another name.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        there = {job.key for job in self._queue.waiting(kind=FULFIL)}
        with self._database.writing() as connection:
            due = self.ledger.entries(connection, organization_id=organization_id, states=["due"])
            lost = [entry for entry in due if entry.order_id not in there]
            for entry in lost:
                self._queue.add(connection, FULFIL, entry.order_id, {})
        if lost:
            self._queue.wake()
        return len(lost)

    def _tell_again(self, entries: Iterable[Entry]) -> None:
        """Add the work of telling of refunds, where some are to be told and it is not there."""
        untold = {entry.order_id for entry in entries if entry.refund_due}
        if untold:
            untold -= {job.key for job in self._queue.waiting(kind=TELL_REFUND)}
        if not untold:
            return
        with self._database.writing() as connection:
            for order_id in sorted(untold):
                self._queue.add(connection, TELL_REFUND, order_id, {})
        self._queue.wake()

    def _set_going(self, connection: sa.Connection, recorded: Recorded, said: Order | None) -> None:
        payload = {} if said is None else {"order": msgspec.to_builtins(said)}
        entry = recorded.entry
        if recorded.became_due:
            self._queue.add(connection, FULFIL, entry.order_id, payload)
        elif recorded.became_paid and entry.state == "unwanted":
            self._tell_later(connection, "paid", entry)
        if recorded.refund_became_due:
            self._queue.add(connection, TELL_REFUND, entry.order_id, payload, again=True)
        elif (
            recorded.more_refunded
            and self._callbacks.refund is None
            and entry.state in ("done", "unwanted")
        ):
            self._tell_later(connection, "refunded", entry)

    def _tell_later(self, connection: sa.Connection, what: What, entry: Entry) -> None:
        if self._listeners.are_there(what):
            self._queue.add(connection, _TELL[what], entry.order_id, {}, again=True)

    def _tell(self, what: What, job: Job) -> None:
        """Tell whoever listens."""
        self._listeners.tell(what, make_receipt(self._ask(job.key)))

    def _look(self, job: Job) -> None:
        """What the success page saw goes into the ledger."""
        said = msgspec.convert(job.payload["order"], Order)
        # Some time may have passed since.
        self.take(
            [said], via="success", trusted=False, organization_id=job.payload["organization_id"]
        )

    def _look_at_checkout(self, job: Job) -> None:
        """Take in the order of a checkout that somebody came back from, if it has one."""
        checkout_id = job.payload["checkout_id"]
        try:
            with self._client.patiently(_PATIENCE) as client:
                checkout = read_checkout(client, checkout_id, timeout=_PATIENCE)
                if checkout is None or checkout.status not in ("confirmed", "succeeded"):
                    return
                order = read_outcome(client, checkout, timeout=_PATIENCE).order
        except PolarError as error:
            raise Postpone(_LATER, str(error)) from None
        if order is not None:
            self.take([order], via="success")
            return
        looks = job.payload["looks"] + 1
        if looks < len(_LOOKS):  # comparing finds what comes still later
            payload = {"checkout_id": checkout_id, "looks": looks}
            self._inbox.add(
                *(job.connection, LOOK_AT_CHECKOUT, f"{checkout_id} {looks}", payload),
                after_seconds=_LOOKS[looks],
            )

    def _fulfil(self, job: Job) -> None:
        """Have the site fulfil an order."""
        read = self._read(job)
        function = self._callbacks.order
        with self._database.writing() as connection:
            entry = self._record_read(connection, read)
            if entry.state == "due" and function is not None:
                entry = self.ledger.begin(connection, entry)
        if entry.state != "due":
            return
        if function is None:
            raise Postpone(_LATER, "Nothing is registered with @shop.on_order.")
        with lent(lambda: job.connection) as transaction:
            function(
                Fulfilment(
                    order=make_receipt(read.order),
                    idempotency_key=f"order-{entry.order_id}",
                    attempt=entry.attempts,
                    _transaction=transaction,
                )
            )
        if not self.ledger.fulfilled(job.connection, entry):
            raise Postpone(0, "The order was fulfilled meanwhile.")
        done = self.ledger.find(job.connection, entry.order_id)
        if done is not None and done.refund_due:
            self._queue.add(job.connection, TELL_REFUND, entry.order_id, job.payload)
        self._tell_later(job.connection, "paid", entry)

    def _tell_of_refund(self, job: Job) -> None:
        """Have the site act on a refund."""
        read = self._read(job)
        function = self._callbacks.refund
        with self._database.writing() as connection:
            entry = self._record_read(connection, read)
        if not entry.refund_due:
            return
        if function is None:
            raise Postpone(_LATER, "Nothing is registered with @shop.on_refund.")
        with lent(lambda: job.connection) as transaction:
            function(
                Refund(
                    order=make_receipt(read.order),
                    refunded=entry.refunded,
                    before=entry.refund_told,
                    is_full=entry.status == "refunded",
                    idempotency_key=f"refund-{entry.order_id}-{entry.refunded}",
                    attempt=job.attempt,
                    _transaction=transaction,
                )
            )
        if not self.ledger.told_of_refund(job.connection, entry):
            raise Postpone(0, "The site was told of the refund meanwhile.")
        self._tell_later(job.connection, "refunded", entry)

    def _record_read(self, connection: sa.Connection, read: _Read) -> Entry:
        recorded = self.ledger.record(
            connection,
            read.order,
            self._organization_of(read.order),
            via="webhook",
            wanted=self._wanted(),
            trusted=read.trusted,
            holds_job=True,
        )
        self._set_going(connection, recorded, None)
        return recorded.entry

    def _read(self, job: Job) -> _Read:
        """The order of a job, from Polar; what was said of it, while Polar does not answer.

        :raises Postpone: when there is neither.
        """
        said = job.payload.get("order")
        try:
            return _Read(self._ask(job.key, may_be_down=said is not None), trusted=True)
        except PolarUnavailable:
            return _Read(msgspec.convert(said, Order), trusted=False)

    def _ask(self, order_id: str, *, may_be_down: bool = False) -> Order:
        """The order, as Polar has it now.

        :raises Postpone: when Polar can't be asked.
        :raises PolarUnavailable: in its place with ``may_be_down``, when Polar does not answer.
        """
        try:
            with self._client.patiently(_PATIENCE) as client:
                return client.orders.get(order_id)
        except PolarRateLimited as error:
            raise Postpone(error.retry_after, str(error)) from None
        except PolarUnavailable as error:
            if may_be_down:
                raise
            raise Postpone(SystemRandom().uniform(_AGAIN / 2, _AGAIN), str(error)) from None
        except (PolarUnauthorized, PolarForbidden) as error:
            logger.error("Order %s can't be read. %s", order_id, error)
            raise Postpone(_LATER, str(error)) from None

    def _wanted(self) -> Wanted:
        return Wanted(
            order=self._callbacks.order is not None, refund=self._callbacks.refund is not None
        )

    def _organization_of(self, order: Order) -> str:
        """Whose order it is: the token may see several organizations."""
        its = order.customer.organization_id if order.customer else None
        return its or self._organization_id or ""


def _is_news(entry: Entry | None, order: Order, take_in: bool) -> bool:
    return (
        entry is None
        or entry.status != order.status
        or entry.refunded != order.refunded_amount
        or (take_in and entry.state in ("earlier", "unwanted"))
    )
