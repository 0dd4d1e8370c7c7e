"""The statements of the queue. Imported late: it takes SQLAlchemy along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from storefront.database.statements import insert_new, now
from storefront.database.tables import jobs
from storefront.work.job import Claimed, Waiting


def add(
    connection: sa.Connection,
    shop: str,
    kind: str,
    key: str,
    payload: bytes,
    *,
    after: float,
    again: bool,
    replace: Callable[[bytes], bytes],
) -> bool:
    """Add a job, or bring the one that is there forward; gives whether it was added."""
    moment = now(connection)
    due_at = moment + timedelta(seconds=after)
    values = {
        "shop": shop,
        "kind": kind,
        "key": key,
        "payload": payload,
        "created_at": moment,
        "due_at": due_at,
        "attempts": 0,
        "again": False,
    }
    its = (jobs.c.shop == shop) & (jobs.c.kind == kind) & (jobs.c.key == key)
    while not insert_new(connection, jobs, values):
        found = connection.execute(
            sa.select(jobs.c.due_at, jobs.c.claimed_by, jobs.c.payload).where(its).with_for_update()
        ).first()
        if found is None:
            continue  # it was finished just now: what it did may be too old for who adds it
        change: dict[str, Any] = {}
        if found.due_at is None:
            return False  # parked, until somebody says that it is to be tried again
        if found.claimed_by is None:
            change = {"payload": replace(found.payload), "due_at": min(due_at, found.due_at)}
        elif again:
            change = {"payload": replace(found.payload), "again": True}
        if change:
            connection.execute(jobs.update().where(its).values(change))
        return False
    return True


def seconds_to_next(connection: sa.Connection, shop: str, kinds: Iterable[str]) -> float | None:
    """Seconds until a job of these kinds is due that nobody has in hand; None without one."""
    due_at = connection.scalar(
        sa.select(jobs.c.due_at)
        .where(
            jobs.c.shop == shop,
            jobs.c.kind.in_(list(kinds)),
            jobs.c.claimed_by.is_(None),
            jobs.c.due_at.is_not(None),
        )
        .order_by(jobs.c.due_at)
        .limit(1)
    )
    return None if due_at is None else (due_at - now(connection)).total_seconds()


def is_empty(connection: sa.Connection, shop: str) -> bool:
    """Whether nothing is left to be done, now or later; what is parked does not count."""
    left = sa.select(jobs.c.id).where(jobs.c.shop == shop, jobs.c.due_at.is_not(None)).limit(1)
    return connection.execute(left).first() is None


def claim(
    connection: sa.Connection, shop: str, kind: str, limit: int, holder: str
) -> list[Claimed]:
    """Take at most so many jobs of a kind that are due, those first that have waited longest."""
    found = connection.execute(
        sa.select(jobs.c.id, jobs.c.key, jobs.c.payload, jobs.c.attempts)
        .where(
            jobs.c.shop == shop,
            jobs.c.kind == kind,
            jobs.c.claimed_by.is_(None),
            jobs.c.due_at <= now(connection),
        )
        .order_by(jobs.c.due_at, jobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if found:
        connection.execute(
            jobs.update()
            .where(jobs.c.id.in_([row.id for row in found]))
            .values(claimed_by=holder, attempts=jobs.c.attempts + 1)
        )
    return [Claimed(row.id, kind, row.key, row.payload, row.attempts + 1, holder) for row in found]


def finish(connection: sa.Connection, claimed: Claimed, *, repeat_after: float | None) -> bool:
    """Be done with a job, or have it done again; False when another process has it by now."""
    ours = _held(claimed)
    if repeat_after is None:
        done = connection.execute(jobs.delete().where(ours, jobs.c.again.is_(False)))
        if done.rowcount:
            return True
        repeat_after = 0.0
    moment, kept_as = now(connection), jobs.c.due_at.type
    later = sa.literal(moment + timedelta(seconds=repeat_after), kept_as)
    # What was asked for meanwhile is due at once, whatever the handler said.
    due_at = sa.case((jobs.c.again, sa.literal(moment, kept_as)), else_=later)
    done = connection.execute(
        jobs.update()
        .where(ours)
        .values(due_at=due_at, claimed_by=None, attempts=0, again=False, last_error=None)
    )
    return bool(done.rowcount)


def put_off(
    connection: sa.Connection,
    claimed: Claimed,
    after: float | None,
    reason: str | None,
    *,
    counted: bool,
) -> None:
    """Give a job back to be done later; parked when ``after`` is None."""
    due_at = None if after is None else now(connection) + timedelta(seconds=after)
    attempts = jobs.c.attempts if counted else jobs.c.attempts - 1
    connection.execute(
        jobs.update()
        .where(_held(claimed))
        .values(claimed_by=None, due_at=due_at, attempts=attempts, last_error=reason, again=False)
    )


def claims(connection: sa.Connection, shop: str) -> dict[int, str]:
    """Who has which job in hand: names by the id of the job."""
    found = connection.execute(
        sa.select(jobs.c.id, jobs.c.claimed_by).where(
            jobs.c.shop == shop, jobs.c.claimed_by.is_not(None)
        )
    ).all()
    return {row.id: row.claimed_by for row in found}


def release(connection: sa.Connection, ids: Iterable[int], *, held_by: Iterable[str]) -> None:
    """Free jobs that these names have claimed."""
    connection.execute(
        jobs.update()
        .where(jobs.c.id.in_(list(ids)), jobs.c.claimed_by.in_(list(held_by)))
        .values(claimed_by=None)
    )


def waiting(
    connection: sa.Connection, shop: str, *, kind: str | None, parked: bool
) -> list[Waiting]:
    """The jobs that are there, the oldest first."""
    found = sa.select(
        jobs.c.kind,
        jobs.c.key,
        jobs.c.created_at,
        jobs.c.due_at,
        jobs.c.attempts,
        jobs.c.last_error,
    ).where(jobs.c.shop == shop)
    if kind is not None:
        found = found.where(jobs.c.kind == kind)
    if parked:
        found = found.where(jobs.c.due_at.is_(None))
    return [Waiting(**row._mapping) for row in connection.execute(found.order_by(jobs.c.id)).all()]


def retry(connection: sa.Connection, shop: str, kind: str, key: str) -> bool:
    """Have a job done now, parked or not, with all its attempts; False when there is none."""
    its = (jobs.c.shop == shop) & (jobs.c.kind == kind) & (jobs.c.key == key)
    changed = connection.execute(
        jobs.update()
        .where(its, jobs.c.claimed_by.is_(None))
        .values(due_at=now(connection), attempts=0)
    )
    if changed.rowcount:
        return True
    return connection.execute(sa.select(jobs.c.id).where(its)).first() is not None


def _held(claimed: Claimed) -> sa.ColumnElement[bool]:
    return (jobs.c.id == claimed.id) & (jobs.c.claimed_by == claimed.holder)
