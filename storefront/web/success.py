"""The success page: where Polar sends the buyer after the payment.

Whoever can't prove that it was their purchase gets one page that says nothing of any purchase.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import urlencode

from flask import Response, current_app, make_response, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from storefront.errors import (
    DatabaseUnavailable,
    PolarError,
    PolarForbidden,
    PolarInvalidRequest,
    PolarUnauthorized,
)
from storefront.orders import Customer, Granted, Outcome, Receipt, read_granted, read_outcome
from storefront.polar import Checkout, Order
from storefront.secret import Secret
from storefront.state import State, get_state
from storefront.web.proof import (
    Deadline,
    Proven,
    by_browser,
    by_email,
    by_session,
    checkout_id_in_address,
    may_try_email,
    note_visit,
    remember,
    seals_of,
)
from storefront.web.responses import keep_private, private_page, private_redirect
from storefront.work.job import trace

logger = logging.getLogger("storefront")

#: Seconds until the waiting page asks again, by how often it has asked; then the last one.
_PAUSES = (2, 2, 3, 5, 8, 13, 20, 30)
_TOKEN = "customer_session_token"  # noqa: S105
#: A form has one short field.
_LONGEST_FORM: Final = 4096
#: How long after an order its benefits are waited for.
_BENEFITS_WITHIN: Final = timedelta(minutes=10)
#: Seconds between two looks whether an invoice is there, and the most that one call may take.
_INVOICE_PAUSE = 0.4

#: What the neutral page adds for who has tried something.
Said = Literal["", "no match", "too many", "unavailable"]
_STATUS: Final[Mapping[Said, int]] = {"": 200, "no match": 422, "too many": 429, "unavailable": 503}


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a proven buyer sees."""

    outcome: Outcome
    #: The buyer as the checkout has them: what else is known of a customer may be another's.
    buyer: Customer
    granted: tuple[Granted, ...] = ()
    #: Whether more is on its way.
    more_to_come: bool = False


def success() -> BaseResponse:
    """``GET`` and ``POST /success?checkout_id=…``: what became of a purchase, to its buyer.

    The customer's session token, which Polar appends, is taken out of the address by a redirect
    before anything is shown. The form of the neutral page posts an email address here.
    """
    state = get_state()
    deadline = Deadline(state.settings.page_timeout_seconds)
    checkout_id = checkout_id_in_address()
    if request.method == "POST":
        return _prove_by_email(state, checkout_id, deadline)
    if _TOKEN in request.args:
        return _prove_by_session(state, checkout_id, deadline)
    if checkout_id is None:
        return neutral_page(state)
    try:
        proven = by_browser(state, checkout_id, deadline)
        if proven is None:
            note_visit(state, checkout_id, deadline)
            return neutral_page(state)
        shown = _read(state, proven.checkout, deadline)
    except PolarError as error:
        logger.warning("The success page could not read checkout %s. %s", checkout_id, error)
        return _waiting("storefront/success_unavailable.html", checkout_id, 503)
    response = _page(state, checkout_id, shown, deadline)
    remember(state, response, proven, "success")
    return response


def invoice() -> BaseResponse:
    """``GET /success/invoice?checkout_id=…``: on to the invoice, for the buyer."""
    state = get_state()
    deadline = Deadline(state.settings.page_timeout_seconds)
    checkout_id = checkout_id_in_address()
    if checkout_id is None:
        return private_redirect(_address([]))
    try:
        proven = by_browser(state, checkout_id, deadline)
        order = _read(state, proven.checkout, deadline).outcome.order if proven else None
        if order is None:
            return private_redirect(_address([("checkout_id", checkout_id)]))
        while True:
            # Up to three calls.
            found = state.client.orders.invoice(order.id, timeout=deadline.left() / 3)
            if found is not None:
                return private_redirect(found.reveal())
            time.sleep(min(_INVOICE_PAUSE, deadline.left()))
            if deadline.is_over:
                break
    except PolarInvalidRequest as error:
        logger.warning("Polar draws up no invoice for checkout %s. %s", checkout_id, error)
        back = _address([("checkout_id", checkout_id)])
        return private_page("storefront/success_invoice.html", 404, again=None, back=back)
    except PolarError as error:
        logger.warning("The invoice of checkout %s could not be had. %s", checkout_id, error)
        return _waiting("storefront/success_unavailable.html", checkout_id, 503, tail="invoice")
    back = _address([("checkout_id", checkout_id)])
    return _waiting("storefront/success_invoice.html", checkout_id, 200, tail="invoice", back=back)


def neutral_page(state: State, said: Said = "", *, status: int = 0, form: bool = True) -> Response:
    """What everybody sees who has proved nothing, whatever the address says: always the same."""
    return private_page(
        "storefront/success_neutral.html",
        status or _STATUS[said],
        said=said,
        form=form and seals_of(state) is not None,
    )


def _prove_by_session(state: State, checkout_id: str | None, deadline: Deadline) -> BaseResponse:
    """Take the token out of the address, and keep what it proves."""
    kept = [(k, v) for k, v in request.args.items(multi=True) if k != _TOKEN]
    response = private_redirect(_address(kept))
    token = Secret(request.args[_TOKEN])
    proven: Proven | None = None
    try:
        if checkout_id is not None and _may_be_token(token):
            proven = by_session(state, checkout_id, token, deadline)
    except PolarError as error:
        logger.warning("A customer's session could not be checked. %s", error)
    except Exception as error:
        # Whoever reports errors with their requests would report the token.
        logger.error("A customer's session could not be checked: %s", type(error).__name__)
    if proven is not None:
        remember(state, response, proven, "success")
    return response


def _may_be_token(token: Secret) -> bool:
    value = token.reveal()
    return len(value) <= 200 and value.isascii() and value.replace("_", "").isalnum()


def _prove_by_email(state: State, checkout_id: str | None, deadline: Deadline) -> BaseResponse:
    # A page of somebody else's must not have the visitor's browser remember a purchase. Where no
    # address of a page is told, Sec-Fetch-Site is what there is to go by.
    elsewhere = request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
    if elsewhere or seals_of(state) is None or (request.content_length or 0) > _LONGEST_FORM:
        return neutral_page(state)
    if not may_try_email(state, checkout_id):
        return neutral_page(state, "too many")
    proven = None
    try:
        if checkout_id is not None:
            typed = Secret(request.form.get("email", ""))
            proven = by_email(state, checkout_id, typed, deadline)
    except PolarError as error:
        logger.warning("The success page could not read checkout %s. %s", checkout_id, error)
        return neutral_page(state, "unavailable")
    if proven is None:
        return neutral_page(state, "no match")
    response = private_redirect(_address([("checkout_id", proven.checkout.id)]))
    remember(state, response, proven, "success")
    return response


def _read(state: State, checkout: Checkout, deadline: Deadline) -> _Shown:
    """What has become of a checkout, and what it gave: as much as can be read in time.

    :raises PolarError: when Polar does not give the order.
    """
    found = state.proofs.pages.get(checkout.id)
    if isinstance(found, _Shown):
        return found
    outcome = read_outcome(state.client, checkout, timeout=deadline.left())
    buyer = Customer(
        id=checkout.customer_id or "",
        email=checkout.customer_email,
        name=checkout.customer_name,
        address=checkout.customer_billing_address,
    )
    shown = _Shown(outcome, buyer)
    receipt = outcome.receipt
    if receipt is not None and receipt.benefits and not deadline.is_over:
        granted = _read_granted(state, checkout, deadline)
        if granted is not None:
            is_young = datetime.now(UTC) - receipt.ordered_at < _BENEFITS_WITHIN
            more = len(granted) < len(receipt.benefits) and is_young and receipt.status == "paid"
            shown = _Shown(outcome, buyer, granted, more)
    state.proofs.pages.put(checkout.id, shown)
    return shown


def _read_granted(
    state: State, checkout: Checkout, deadline: Deadline
) -> tuple[Granted, ...] | None:
    """What the buyer was granted, read with the customer's own session; None: it can't be read."""
    customer_id = checkout.customer_id
    if customer_id is None:
        return None
    client, sessions = state.client, state.proofs.sessions
    try:
        session = sessions.get(customer_id)
        if session is None:
            made = client.customer_sessions.create(customer_id=customer_id, timeout=deadline.left())
            session = Secret(made.token)
            sessions.put(customer_id, session)
        return read_granted(client, session, checkout.id, seconds=deadline.left())
    except PolarForbidden as error:
        if "customer_sessions" not in state.said:
            state.said["customer_sessions"] = time.monotonic()
            logger.error(
                "License keys and downloads can't be shown to their buyers: the access token lacks "
                "the scope customer_sessions:write. %s",
                error,
            )
    except PolarUnauthorized:
        sessions.forget(customer_id)
        logger.warning("A customer's session was over before its time.")
    except PolarError as error:
        logger.warning("What checkout %s gave its buyer could not be read. %s", checkout.id, error)
    return None


def _page(state: State, checkout_id: str, shown: _Shown, deadline: Deadline) -> Response:
    outcome = shown.outcome
    if outcome.state == "waiting":
        note_visit(state, checkout_id, deadline, is_proven=True)
        return _waiting("storefront/success.html", checkout_id, 200, outcome=outcome)
    if outcome.receipt is None:
        return private_page("storefront/success.html", outcome=outcome)
    is_first = _note_sale(state, outcome.order, checkout_id, deadline)
    answer = _call_site(outcome.receipt, is_first=is_first)
    if answer is not None and not isinstance(answer, Mapping):
        return keep_private(make_response(answer))
    receipt = replace(outcome.receipt, customer=shown.buyer)
    context = {
        **(answer or {}),
        "outcome": replace(outcome, receipt=receipt),
        "granted": shown.granted,
        "more_to_come": False,
        "invoice_url": url_for(".invoice", checkout_id=checkout_id),
        "portal_url": url_for(".portal", checkout_id=checkout_id),
    }
    if shown.more_to_come and _asked() < len(_PAUSES) - 1:
        context["more_to_come"] = True
        return _waiting("storefront/success.html", checkout_id, 200, **context)
    return private_page("storefront/success.html", **context)


def _waiting(
    template: str, checkout_id: str, status: int, *, tail: str = "success", **context: Any
) -> Response:
    """A page that asks again by itself, with growing pauses, also without JavaScript."""
    asked = _asked()
    pause = _PAUSES[asked]
    query = [("checkout_id", checkout_id), ("asked", str(asked + 1))]
    again = _address(query, tail)
    response = private_page(
        template, status, again=again, patient=asked == len(_PAUSES) - 1, **context
    )
    response.headers["Refresh"] = f"{pause}; url={again}"
    if status == 503:
        response.headers["Retry-After"] = str(pause)
    return response


def _asked() -> int:
    """How often the page has asked again by itself."""
    return min(max(request.args.get("asked", 0, type=int), 0), len(_PAUSES) - 1)


def _address(query: list[tuple[str, str]], endpoint: str = "success") -> str:
    """An address of these pages; the query is never handed to ``url_for``, which has options."""
    address = url_for(f".{endpoint}")
    return f"{address}?{urlencode(query)}" if query else address


def _note_sale(state: State, order: Order | None, checkout_id: str, deadline: Deadline) -> bool:
    """Have the order fulfilled, should nothing else have told of it; whether this is the first."""
    assert order is not None, "a receipt is made of an order"
    if checkout_id in state.proofs.noted:
        return False
    try:
        first = state.database.within(
            deadline.left_to_note(), lambda: state.orders.saw_paid(order, checkout_id)
        )
    except DatabaseUnavailable as error:
        logger.error(
            "Order %s was paid, and can't be noted now; a webhook, or comparing the orders with "
            "Polar's, will make up for it. %s",
            *(order.id, error),
        )
        return False
    state.proofs.noted.put(checkout_id, True)
    return first


def _call_site(receipt: Receipt, *, is_first: bool) -> Any:
    """The site's own callback; its failure costs the buyer nothing but what it would have added."""
    callbacks = get_state().callbacks
    function = callbacks.success
    if function is None or not (is_first or callbacks.success_every_time):
        return None
    try:
        return function(receipt)
    except Exception as error:
        if current_app.debug or current_app.testing:
            raise
        # It knows the buyer, and what it raises may say who that is.
        logger.error("The function registered with @shop.on_success failed.\n%s", trace(error))
        return None
