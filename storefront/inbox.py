"""What Polar tells by webhook: kept with the work that it causes, and acted on afterwards.

A webhook is a hint. It says what to look at; what is there is read from Polar before anything is
done about it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from blinker import NamedSignal
from flask import current_app

from storefront.errors import CatalogUnavailable, PolarError
from storefront.polar.webhooks import Event, read_event
from storefront.signals import (
    checkout_updated,
    product_updated,
    send,
    subscription_updated,
    webhook_received,
)
from storefront.state import State, get_state
from storefront.work import Job, Postpone, WorkQueue

logger = logging.getLogger("storefront")

#: How long Polar's id of a webhook is remembered. It sends for half an hour; a person who has one
#: sent again from the dashboard does so within days.
REMEMBERED: Final = timedelta(days=90)

_WEBHOOK = "webhook"
_TELL = "signal"
_CATALOG = "catalog"
#: Seconds in which further changes are read together with the first.
_GATHER_SECONDS = 0.3
#: Seconds after which Polar is asked again, when it could not be read.
_PAUSE_SECONDS = 15.0
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_REFRESHING = ("product", "discount", "benefit")


def register_webhooks(inbox: WorkQueue) -> None:
    """Have the queue do what webhooks cause."""
    inbox.register(_WEBHOOK, _act_on)
    inbox.register(_TELL, _tell)
    # Never parked: the next change is read by the same job.
    inbox.register(_CATALOG, _refresh, at_once=1, attempts=sys.maxsize)


def receive(state: State, event: Event) -> bool:
    """Keep a webhook, and the work that it causes, in one transaction; False if it came before.

    :raises DatabaseUnavailable: when it can't be kept.
    """
    from storefront.database.statements import insert_new, now
    from storefront.database.tables import webhooks

    with state.database.for_short_writes().writing() as connection:
        moment = now(connection)
        row = {
            "shop": state.settings.shop,
            "id": event.id,
            "type": event.type,
            "received_at": moment,
        }
        if not insert_new(connection, webhooks, row):
            return False
        # The body goes when the work is done: it says who bought.
        payload = {"body": event.body.decode(), "at": event.timestamp.isoformat()}
        state.inbox.add(connection, _WEBHOOK, event.id, payload)
    state.inbox.wake()
    return True


def _act_on(job: Job) -> None:
    """What the shop itself does about a webhook."""
    state, event = get_state(), _event(job)
    subject = event.type.partition(".")[0]
    if subject in ("order", "refund"):
        state.orders.hear(event.type, event.data)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    if any(signal.has_receivers_for(app) for signal, _ in _told(event)):
        # Who listens may take a while, and what the shop does must not wait for it.
        state.inbox.add(job.connection, _TELL, event.id, job.payload)
    if subject in _REFRESHING:
        _note_change(state, job, subject, event.data.get("id"))
    _forget_old(state, job)


def _tell(job: Job) -> None:
    """Tell who listens, of a webhook or of a product."""
    if "product_id" in job.payload:
        send(product_updated, product_id=job.payload["product_id"])
        return
    for signal, values in _told(_event(job)):
        send(signal, **values)


def _told(event: Event) -> Iterator[tuple[NamedSignal, dict[str, Any]]]:
    """The signals of an event."""
    yield webhook_received, {"event": event}
    if event.type == "checkout.updated":
        yield checkout_updated, {"event": event}
    elif event.type.startswith("subscription."):
        yield subscription_updated, {"event": event, "type": event.type}


def _event(job: Job) -> Event:
    body, at = job.payload["body"], datetime.fromisoformat(job.payload["at"])
    return read_event(job.key, body.encode(), sent_at=at)


def _note_change(state: State, job: Job, subject: str, id: object) -> None:
    """Have it read again, together with what else changes in this moment."""
    state.inbox.add(
        job.connection,
        _CATALOG,
        "changes",
        {subject: [id] if isinstance(id, str) and _UUID.fullmatch(id) else []},
        after_seconds=_GATHER_SECONDS,
        again=True,
        merge=_union,
    )


def _union(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        key: list(dict.fromkeys([*old.get(key, ()), *new.get(key, ())])) for key in {*old, *new}
    }


def _refresh(job: Job) -> None:
    """Read again what has changed. What can't be read now is, later; a full reading has it too."""
    state, changed = get_state(), job.payload
    try:
        state.catalog.refresh(
            product_ids=changed.get("product", ()),
            discount_ids=changed.get("discount", ()),
            benefit_ids=changed.get("benefit", ()),
        )
    except (PolarError, CatalogUnavailable) as error:
        raise Postpone(_PAUSE_SECONDS, str(error)) from None
    for product_id in changed.get("product", ()):
        payload = {"product_id": product_id}
        state.inbox.add(job.connection, _TELL, product_id, payload, again=True)


def _forget_old(state: State, job: Job) -> None:
    from storefront.database.statements import now
    from storefront.database.tables import webhooks

    before = now(job.connection) - REMEMBERED
    job.connection.execute(
        webhooks.delete().where(
            webhooks.c.shop == state.settings.shop, webhooks.c.received_at < before
        )
    )
