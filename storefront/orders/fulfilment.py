"""What the site does for an order, and for money that was paid back: once each.

The work is done by the queue, never in a request. Its transaction is the site's as well, through
``.connection``: it holds what the site wrote, that the order is fulfilled, and that the job is
over, so all of it is true or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from storefront.orders.receipt import Receipt

if TYPE_CHECKING:
    import sqlalchemy as sa


class _Transaction:
    """The job's transaction, lent to the site: it begins when it is asked for."""

    __slots__ = ("_begin", "_lent")

    def __init__(self, begin: Callable[[], sa.Connection]) -> None:
        self._begin = begin
        self._lent: sa.Connection | None = None

    def lend(self) -> sa.Connection:
        if self._lent is None:
            import sqlalchemy as sa

            self._lent = connection = self._begin()
            sa.event.listen(connection, "commit", _refuse_commit)
        return self._lent

    def take_back(self) -> None:
        if self._lent is not None:
            import sqlalchemy as sa

            sa.event.remove(self._lent, "commit", _refuse_commit)

    def check(self) -> None:
        if self._lent is not None and (self._lent.closed or not self._lent.in_transaction()):
            raise RuntimeError(_EXPLAINED.format("ended"))


_EXPLAINED = (
    "The transaction of .connection was {} by the function that got it, and all of it is undone. "
    "It is the ledger's: it is committed when the function returns, and undone when it raises. "
    "For a part that may fail by itself use connection.begin_nested(); with an ORM session, "
    "flush() in place of commit()."
)


def _refuse_commit(connection: sa.Connection) -> None:
    # SQLAlchemy takes the transaction for over, come what may, and would not undo it any more.
    connection.connection.rollback()
    raise RuntimeError(_EXPLAINED.format("committed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfilment:
    """A paid order that the site is to fulfil: what ``@shop.on_order`` gets."""

    #: What was paid, and by whom.
    order: Receipt
    #: The same at each attempt, and no other order's: for services that take one, and for your
    #: own records of what was done outside of ``connection``.
    idempotency_key: str
    #: 1 the first time.
    attempt: int
    _transaction: _Transaction = field(repr=False)

    @property
    def connection(self) -> sa.Connection:
        """The transaction that ends the work: what is written through it is done exactly once.

        It begins when this is first asked for, and other writers of an SQLite database wait from
        then on: do what takes long before.
        """
        return self._transaction.lend()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money that was paid back for an order: what ``@shop.on_refund`` gets.

    Amounts are in the minor unit of the order's currency, without tax.
    """

    #: The order as it is now.
    order: Receipt
    #: All that was paid back for the order until now.
    refunded: int
    #: How much of it the function was told of before; 0 the first time.
    before: int
    #: Whether nothing of what was paid is left.
    is_full: bool
    #: The same at each attempt, and no other refund's.
    idempotency_key: str
    #: 1 the first time.
    attempt: int
    _transaction: _Transaction = field(repr=False)

    @property
    def connection(self) -> sa.Connection:
        """As that of a ``Fulfilment``."""
        return self._transaction.lend()


FulfilmentCallback = Callable[[Fulfilment], Any]
RefundCallback = Callable[[Refund], Any]


@contextmanager
def lent(begin: Callable[[], sa.Connection]) -> Iterator[_Transaction]:
    """The job's transaction for as long as the block lasts; it can't be ended within.

    :raises RuntimeError: when it was all the same.
    """
    transaction = _Transaction(begin)
    try:
        yield transaction
    finally:
        transaction.take_back()
    transaction.check()
