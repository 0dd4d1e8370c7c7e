"""What Polar tells by webhook: kept with the work that it causes, and acted on afterwards.

A webhook is a hint. It says what to look at; what is there is read from Polar before anything is
done about it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

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
_CATALOG = "catalog"
#: Seconds in which further changes are read together with the first.
_GATHER_SECONDS = 0.3
#: Seconds after which Polar is asked again, when it could not be read.
_PAUSE_SECONDS = 15.0
_REFRESHING = ("product", "discount", "benefit")


def register_webhooks(inbox: WorkQueue) -> None:
    """Have the queue do what webhooks cause."""
    inbox.register(_WEBHOOK, _act_on)
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
    """One webhook: first what the shop does about it, then who listens."""
    state, payload = get_state(), job.payload
    event = read_event(
        job.key, payload["body"].encode(), sent_at=datetime.fromisoformat(payload["at"])
    )
    subject = event.type.partition(".")[0]
    if subject in _REFRESHING:
        _note_change(state, subject, event.data.get("id"))
    elif subject in ("order", "refund"):
        state.orders.hear(event.type, event.data)
    send(webhook_received, event=event)
    if event.type == "checkout.updated":
        send(checkout_updated, event=event)
    elif subject == "subscription":
        send(subscription_updated, event=event, type=event.type)
    # Last: from here on others wait, and who listens may take a while.
    _forget_old(state, job)


def _note_change(state: State, subject: str, id: object) -> None:
    """Have it read again, together with what else changes in this moment."""
    with state.database.for_short_writes().writing() as connection:
        state.inbox.add(
            connection,
            _CATALOG,
            "changes",
            {subject: [id] if isinstance(id, str) else []},
            after_seconds=_GATHER_SECONDS,
            again=True,
            merge=_union,
        )
    state.inbox.wake()


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
        send(product_updated, product_id=product_id)


def _forget_old(state: State, job: Job) -> None:
    from storefront.database.statements import now
    from storefront.database.tables import webhooks

    before = now(job.connection) - REMEMBERED
    job.connection.execute(
        webhooks.delete().where(
            webhooks.c.shop == state.settings.shop, webhooks.c.received_at < before
        )
    )
