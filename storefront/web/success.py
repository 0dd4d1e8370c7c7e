"""The success page: where Polar sends the buyer after the payment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, current_app, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from storefront.errors import DatabaseUnavailable, PolarError
from storefront.orders import Outcome, Receipt, read_outcome
from storefront.state import State, get_state
from storefront.web.responses import keep_private, private_page

logger = logging.getLogger("storefront")

#: Seconds until the waiting page asks again, by how often it has asked; then the last one.
_PAUSES = (2, 2, 3, 5, 8, 13, 20, 30)
_TOKEN = "customer_session_token"  # noqa: S105


def success() -> BaseResponse:
    """``GET /success?checkout_id=…``: what became of a purchase.

    Says nothing of who bought. The customer's session token, which Polar appends, is taken out
    of the address by a redirect before anything is shown.
    """
    if _TOKEN in request.args:
        kept = [(k, v) for k, v in request.args.items(multi=True) if k != _TOKEN]
        return keep_private(make_response(redirect(_address(kept), code=303)))
    checkout_id = _checkout_id()
    if checkout_id is None:
        return private_page("storefront/success.html", 404, outcome=Outcome("unknown"))
    state = get_state()
    try:
        outcome = read_outcome(
            state.client, checkout_id, timeout=state.settings.page_timeout_seconds
        )
    except PolarError as error:
        logger.warning("The success page could not read checkout %s. %s", checkout_id, error)
        return _waiting("storefront/success_unavailable.html", checkout_id, 503)
    if outcome.state == "waiting":
        return _waiting("storefront/success.html", checkout_id, 200, outcome=outcome)
    if outcome.receipt is None:
        status = 404 if outcome.state == "unknown" else 200
        return private_page("storefront/success.html", status, outcome=outcome)
    answer = _call_site(outcome.receipt, is_first=_note_sale(state, outcome, checkout_id))
    if answer is not None and not isinstance(answer, Mapping):
        return keep_private(make_response(answer))
    shown = replace(outcome, receipt=replace(outcome.receipt, customer=None))
    return private_page("storefront/success.html", **{**(answer or {}), "outcome": shown})


def _waiting(template: str, checkout_id: str, status: int, **context: Any) -> Response:
    """A page that asks again by itself, with growing pauses, also without JavaScript."""
    asked = request.args.get("asked", 0, type=int)
    asked = min(max(asked, 0), len(_PAUSES) - 1)
    pause = _PAUSES[asked]
    again = _address([("checkout_id", checkout_id), ("asked", str(asked + 1))])
    response = private_page(
        template, status, again=again, patient=asked == len(_PAUSES) - 1, **context
    )
    response.headers["Refresh"] = f"{pause}; url={again}"
    if status == 503:
        response.headers["Retry-After"] = str(pause)
    return response


def _address(query: list[tuple[str, str]]) -> str:
    """This page's own address; the query is never handed to ``url_for``, which has options."""
    address = url_for(".success")
    return f"{address}?{urlencode(query)}" if query else address


def _checkout_id() -> str | None:
    """The id in the address, if it is a UUID; ``{CHECKOUT_ID}`` left unreplaced is not."""
    try:
        return str(UUID(request.args.get("checkout_id", "")))
    except ValueError:
        return None


def _note_sale(state: State, outcome: Outcome, checkout_id: str) -> bool:
    """Have the order fulfilled, should nothing else have told of it; whether this is the first."""
    assert outcome.order is not None, "a receipt is made of an order"
    try:
        return state.orders.saw_paid(outcome.order, checkout_id)
    except DatabaseUnavailable as error:
        logger.error(
            "Order %s was paid, and can't be noted now; a webhook, or comparing the orders with "
            "Polar's, will make up for it. %s",
            *(outcome.order.id, error),
        )
        return False


def _call_site(receipt: Receipt, *, is_first: bool) -> Any:
    """The site's own callback; its failure costs the buyer nothing but what it would have added."""
    callbacks = get_state().callbacks
    function = callbacks.success
    if function is None or not (is_first or callbacks.success_every_time):
        return None
    try:
        return function(receipt)
    except Exception:
        if current_app.debug or current_app.testing:
            raise
        logger.exception("The function registered with @shop.on_success failed")
        return None
