"""The ledger: a row for every order that was seen, and what has become of it.

It says nothing of who bought. How a row changes is decided in :func:`_next_state`, whoever brings
the news: webhooks come twice, late, in any order, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from storefront.orders.receipt import is_paid
from storefront.polar import Order

if TYPE_CHECKING:
    import sqlalchemy as sa

#: ``unpaid``: the money has not come in. ``due``: to be fulfilled, now or at a later attempt.
#: ``done``: fulfilled. ``unwanted``: nothing was registered with ``@shop.on_order``.
#: ``refunded``: paid back in full before it was fulfilled, and so never to be. ``earlier``: made
#: before the ledger was begun, and so somebody else's.
State = Literal["unpaid", "due", "done", "unwanted", "refunded", "earlier"]
STATES: tuple[State, ...] = get_args(State)

#: Who brought the first news of an order.
Via = Literal["webhook", "success", "reconcile", "cli"]

#: What Polar's words say of the money: the later one is the newer.
_RANKS = {"paid": 1, "partially_refunded": 2, "refunded": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the site has registered."""

    order: bool
    refund: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One order as the ledger has it. Amounts are in the minor unit of ``currency``."""

    server: str
    organization_id: str
    order_id: str
    checkout_id: str | None
    customer_id: str | None
    product_id: str | None
    subscription_id: str | None
    billing_reason: str
    #: Polar's own word, such as ``paid``.
    status: str
    currency: str
    total: int
    ordered_at: datetime
    first_seen_at: datetime
    seen_via: Via
    state: State
    fulfilled_at: datetime | None
    #: How often its fulfilment was begun.
    attempts: int
    #: What was paid back, without tax, and how much of it the site was told of.
    refunded: int
    refund_told: int

    @property
    def refund_due(self) -> bool:
        """Whether the site is to be told of a refund: not before it has acted on the order."""
        acted = self.state in ("done", "unwanted") or (self.state == "refunded" and self.attempts)
        return bool(acted) and self.refunded > self.refund_told


@dataclass(frozen=True, slots=True)
class Recorded:
    """An order's row before some news of it, and after."""

    before: Entry | None
    entry: Entry

    @property
    def became_due(self) -> bool:
        """Whether this news is what it is to be fulfilled for."""
        return self.entry.state == "due" and (self.before is None or self.before.state != "due")

    @property
    def became_paid(self) -> bool:
        """Whether this news is that the money came in."""
        return _RANKS.get(self.entry.status, 0) > 0 and (
            self.before is None or _RANKS.get(self.before.status, 0) == 0
        )

    @property
    def more_refunded(self) -> bool:
        """Whether this news is that money was paid back."""
        return self.entry.refunded > (self.before.refunded if self.before else 0)

    @property
    def refund_became_due(self) -> bool:
        """Whether this news is why the site is to be told of a refund."""
        had_it = self.before is not None and self.before.refund_due
        return self.entry.refund_due and (self.more_refunded or not had_it)


class Ledger:
    """The orders of one Polar server. Every method works in the transaction that it is given.

    ``began_at`` is when this site began to keep it, should the database not say so yet.
    """

    def __init__(self, server: str, began_at: datetime) -> None:
        self._server = server
        self._began_at = began_at

    def record(
        self,
        connection: sa.Connection,
        order: Order,
        organization_id: str,
        *,
        via: Via,
        wanted: Wanted,
        trusted: bool = True,
        holds_job: bool = False,
        take_in: bool = False,
    ) -> Recorded:
        """Write down what is known of an order.

        ``trusted`` says that Polar's API was asked just now. What a webhook says may be old: it
        adds to what is known, and takes nothing back. ``holds_job`` says that nobody else can be
        fulfilling the order at this moment. ``take_in`` takes in what was made before the ledger
        was begun, or before something was registered.
        """
        from storefront.database.statements import insert_new
        from storefront.database.tables import orders

        before = self._locked(connection, order.id)
        if before is None:
            values = self._first(connection, order, organization_id, via, wanted, take_in)
            if insert_new(connection, orders, values):
                return Recorded(None, Entry(**values))
            before = self._locked(connection, order.id)
            assert before is not None, "what is in the way of a row is there"
        status, refunded = order.status, order.refunded_amount
        if not trusted:
            refunded = max(refunded, before.refunded)
            if _RANKS.get(status, 0) < _RANKS.get(before.status, 0):
                status = before.status
        state = _next_state(
            before.state,
            status,
            wanted=wanted.order,
            begun=before.attempts > 0 and not holds_job,
            take_in=take_in,
        )
        told = before.refund_told
        if not wanted.refund or state == "earlier" or (state == "refunded" and not before.attempts):
            # Nobody is to hear of it, not even who asks to be told from now on.
            told = refunded
        values = {
            "status": status,
            "total": order.total_amount,
            "state": state,
            "refunded": refunded,
            "refund_told": told,
        }
        return Recorded(before, self._changed(connection, before, values))

    def begin(self, connection: sa.Connection, entry: Entry) -> Entry:
        """Note that the site is about to be asked to fulfil the order."""
        return self._changed(connection, entry, {"attempts": entry.attempts + 1})

    def fulfilled(self, connection: sa.Connection, entry: Entry) -> bool:
        """Note that the order is fulfilled; False when it is not to be any more."""
        from storefront.database.tables import orders

        done = connection.execute(
            orders.update()
            .where(*self._is(entry.order_id), orders.c.state == "due")
            .values(state="done", fulfilled_at=datetime.now(UTC))
        )
        return done.rowcount == 1

    def told_of_refund(self, connection: sa.Connection, entry: Entry) -> bool:
        """Note that the site knows what ``entry`` says of refunds; False when somebody has."""
        from storefront.database.tables import orders

        done = connection.execute(
            orders.update()
            .where(
                *self._is(entry.order_id),
                orders.c.refund_told == entry.refund_told,
            )
            .values(refund_told=entry.refunded)
        )
        return done.rowcount == 1

    def find(self, connection: sa.Connection, order_id: str) -> Entry | None:
        """The order of that id; None when it was never seen."""
        import sqlalchemy as sa

        from storefront.database.tables import orders

        row = connection.execute(sa.select(orders).where(*self._is(order_id))).first()
        return None if row is None else Entry(**row._mapping)

    def entries(
        self,
        connection: sa.Connection,
        *,
        organization_id: str | None = None,
        ids: Collection[str] | None = None,
        states: Sequence[State] = (),
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """Orders, those made last first; of an organization, of these ids, in these states, made
        since then, where that is given."""
        import sqlalchemy as sa

        from storefront.database.tables import orders

        found = sa.select(orders).where(orders.c.server == self._server)
        if organization_id is not None:
            found = found.where(orders.c.organization_id == organization_id)
        if ids is not None:
            found = found.where(orders.c.order_id.in_(list(ids)))
        if states:
            found = found.where(orders.c.state.in_(states))
        if since is not None:
            found = found.where(orders.c.ordered_at >= since)
        found = found.order_by(orders.c.ordered_at.desc(), orders.c.order_id).limit(limit)
        return [Entry(**row._mapping) for row in connection.execute(found)]

    def began(self, connection: sa.Connection, organization_id: str) -> datetime:
        """When the ledger was begun for an organization: now, if it was not yet."""
        import sqlalchemy as sa

        from storefront.database.statements import insert_new
        from storefront.database.tables import reconciliations

        moment = sa.select(reconciliations.c.started_at).where(*self._of(organization_id))
        found: datetime | None = connection.scalar(moment)
        if found is None:
            values = {
                "server": self._server,
                "organization_id": organization_id,
                "started_at": self._began_at,
            }
            insert_new(connection, reconciliations, values)
            found = connection.scalar(moment)
        assert found is not None
        return found

    def seen_until(self, connection: sa.Connection, organization_id: str) -> datetime:
        """Up to when all orders are known."""
        import sqlalchemy as sa

        from storefront.database.tables import reconciliations

        began_at = self.began(connection, organization_id)
        found = connection.scalar(
            sa.select(reconciliations.c.seen_until).where(*self._of(organization_id))
        )
        return found or began_at

    def saw_all(self, connection: sa.Connection, organization_id: str, until: datetime) -> None:
        """Note that all orders made until then are known."""
        from storefront.database.tables import reconciliations

        connection.execute(
            reconciliations.update().where(*self._of(organization_id)).values(seen_until=until)
        )

    def _first(
        self,
        connection: sa.Connection,
        order: Order,
        organization_id: str,
        via: Via,
        wanted: Wanted,
        take_in: bool,
    ) -> dict[str, Any]:
        now = datetime.now(UTC)
        ordered_at = order.created_at or now
        state: State = "unpaid"
        if is_paid(order) and ordered_at < self.began(connection, organization_id) and not take_in:
            state = "earlier"
        else:
            state = _next_state(
                "unpaid", order.status, wanted=wanted.order, begun=False, take_in=take_in
            )
        is_told = not wanted.refund or state in ("earlier", "refunded")
        return {
            "server": self._server,
            "organization_id": organization_id,
            "order_id": order.id,
            "checkout_id": order.checkout_id,
            "customer_id": order.customer_id,
            "product_id": order.product_id,
            "subscription_id": order.subscription_id,
            "billing_reason": order.billing_reason,
            "status": order.status,
            "currency": order.currency,
            "total": order.total_amount,
            "ordered_at": ordered_at,
            "first_seen_at": now,
            "seen_via": via,
            "state": state,
            "fulfilled_at": None,
            "attempts": 0,
            "refunded": order.refunded_amount,
            "refund_told": order.refunded_amount if is_told else 0,
        }

    def _locked(self, connection: sa.Connection, order_id: str) -> Entry | None:
        import sqlalchemy as sa

        from storefront.database.tables import orders

        row = connection.execute(
            sa.select(orders).where(*self._is(order_id)).with_for_update()
        ).first()
        return None if row is None else Entry(**row._mapping)

    def _changed(self, connection: sa.Connection, entry: Entry, values: dict[str, Any]) -> Entry:
        from storefront.database.tables import orders

        changed = {name: value for name, value in values.items() if getattr(entry, name) != value}
        if not changed:
            return entry
        row = connection.execute(
            orders.update().where(*self._is(entry.order_id)).values(changed).returning(*orders.c)
        ).one()
        return Entry(**row._mapping)

    def _is(self, order_id: str) -> tuple[sa.ColumnElement[bool], ...]:
        from storefront.database.tables import orders

        return (
            orders.c.server == self._server,
            orders.c.order_id == order_id,
        )

    def _of(self, organization_id: str) -> tuple[sa.ColumnElement[bool], ...]:
        from storefront.database.tables import reconciliations

        return (
            reconciliations.c.server == self._server,
            reconciliations.c.organization_id == organization_id,
        )


def _next_state(state: State, status: str, *, wanted: bool, begun: bool, take_in: bool) -> State:
    """What becomes of an order's state when Polar's word for it is ``status``.

    ``begun`` says that somebody may be fulfilling it at this very moment.
    """
    if state == "done" or (state == "due" and begun):
        return state
    if status not in _RANKS:
        return "unpaid"
    if state in ("earlier", "unwanted") and not take_in:
        return state
    if not wanted:
        # What is due stays so: this process may not be the one that fulfils.
        return "due" if state == "due" else "unwanted"
    return "refunded" if status == "refunded" else "due"
