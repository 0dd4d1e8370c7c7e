"""Reading the facts: each part of Polar's API is tried, and none of it is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from flask import Flask

from storefront.doctor.facts import Facts, Level, Need
from storefront.errors import PolarForbidden, PolarNotFound, PolarUnauthorized
from storefront.inventory import read_inventory
from storefront.polar import Client
from storefront.state import State


class _Trial(NamedTuple):
    scope: str
    level: Level
    without: str
    call: Callable[[Client], object]


# A thing that is not there answers 404 to who may ask for it, and 403 to who may not.
_TRIALS = (
    _Trial(
        "products:read",
        "error",
        "the shop can't see what it sells",
        lambda client: client.products.list(limit=1),
    ),
    _Trial(
        "checkout_links:read",
        "error",
        "the shop has no buy buttons",
        lambda client: client.checkout_links.list(limit=1),
    ),
    _Trial(
        "checkouts:read",
        "error",
        "the success page can't tell what became of a purchase",
        lambda client: client.checkouts.get(str(uuid4())),
    ),
    _Trial(
        "orders:read",
        "error",
        "the success page can't show a receipt",
        lambda client: client.orders.list(limit=1),
    ),
    _Trial(
        "checkout_links:write",
        "note",
        "these commands can't make or change links; the shop's pages don't need it",
        lambda client: client.checkout_links.update(str(uuid4())),
    ),
    _Trial(
        "discounts:read",
        "note",
        "these commands can't find a discount by its code; the shop's pages don't need it",
        lambda client: client.discounts.list(limit=1),
    ),
)


def read_facts(app: Flask, state: State, *, success_url: str | None, has_pages: bool) -> Facts:
    """Read everything. ``success_url`` is this site's, where it can be told.

    :raises PolarError: when Polar can't be reached, or does not answer properly.
    """
    client = state.client
    values: dict[str, Any] = {"clock_ahead_seconds": _clock_ahead(client)}
    try:
        lacks = [need for trial in _TRIALS if (need := _try(client, trial)) is not None]
    except PolarUnauthorized as error:
        values["token_problem"] = str(error)
    else:
        values["lacks"] = tuple(lacks)
        values |= _read_organization(client, state.settings.organization_id)
        if not {need.scope for need in lacks} & {"products:read", "checkout_links:read"}:
            values["inventory"] = read_inventory(
                client,
                state.catalog,
                state.texts,
                organization_id=state.settings.organization_id,
            )
    return Facts(
        server=state.settings.server.name,
        has_pages=has_pages,
        success_url=success_url,
        server_name=app.config.get("SERVER_NAME"),
        cache=state.catalog.cache_name,
        debug=app.debug,
        testing=app.testing,
        raises_unknown_references=state.settings.unknown_reference == "raise",
        has_secret_key=bool(app.secret_key),
        has_webhook_secret=bool(state.settings.webhook_secrets),
        asks_for_visitor=state.callbacks.visitor is not None,
        opens_over_page=state.settings.overlay != "off",
        **values,
    )


def _try(client: Client, trial: _Trial) -> Need | None:
    try:
        trial.call(client)
    except PolarForbidden:
        return Need(trial.scope, trial.level, trial.without)
    except PolarNotFound:
        pass
    return None


def _read_organization(client: Client, id: str | None) -> dict[str, Any]:
    """What is good to know, and not needed: a token without the scope for it goes without."""
    found: dict[str, Any] = {}
    with suppress(PolarForbidden, PolarNotFound):
        organizations = client.organizations.list()
        found["organization"] = next((one for one in organizations if id in (None, one.id)), None)
    with suppress(PolarForbidden, PolarNotFound):
        found["endpoints"] = tuple(client.webhook_endpoints.iterate())
    return found


def _clock_ahead(client: Client) -> float | None:
    before = time.time()
    there = client.server_time()
    after = time.time()
    if there is None:
        return None
    here = datetime.fromtimestamp((before + after) / 2, UTC)
    return (here - there).total_seconds()
