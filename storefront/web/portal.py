"""The way to Polar's customer portal."""

from __future__ import annotations

import logging

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import current_visitor
from storefront.errors import PolarError, PolarForbidden, PolarInvalidRequest
from storefront.orders.proof import Standing
from storefront.state import State, get_state
from storefront.urls import page_url
from storefront.web.proof import Deadline, by_browser, checkout_id_in_address, known_purchases
from storefront.web.responses import private_redirect
from storefront.web.success import neutral_page

logger = logging.getLogger("storefront")


def portal() -> BaseResponse:
    """``GET /portal``: on to Polar's customer portal, for who is the customer.

    That is who is signed in, or has shown a session of the customer's. Who has only made the
    purchase is sent to where Polar mails a code to the customer: they may have typed somebody
    else's address at the checkout, and the portal has all that this somebody ever bought.
    """
    state = get_state()
    deadline = Deadline(state.settings.page_timeout_seconds)
    try:
        address = _address(state, deadline)
    except PolarForbidden as error:
        logger.error(
            "The portal can't be opened: the access token lacks the scope "
            "customer_sessions:write. %s",
            error,
        )
        return _nobody(state, 503)
    except PolarError as error:
        logger.warning("The portal could not be opened. %s", error)
        return _nobody(state, 503)
    if address is None or not address.startswith(("https://", "http://")):
        return _nobody(state, 404)
    return private_redirect(address)


def _address(state: State, deadline: Deadline) -> str | None:
    """Where the visitor is sent; None for one who has proved nothing."""
    external_id = current_visitor().external_id
    if external_id and "checkout_id" not in request.args:
        try:
            return _opened(state, deadline, external_customer_id=external_id)
        except PolarInvalidRequest:
            pass  # signed in, and never bought
    checkout_id = checkout_id_in_address()
    if checkout_id is None and "checkout_id" not in request.args:
        known = list(known_purchases(state).items())
        # Of the purchases of a customer rather than of one that was only made here.
        known.sort(key=lambda item: item[1].standing is Standing.CUSTOMER)
        checkout_id = known[-1][0] if known else None
    proven = by_browser(state, checkout_id, deadline) if checkout_id is not None else None
    if proven is None:
        return None
    if proven.standing is Standing.CUSTOMER and proven.checkout.customer_id:
        return _opened(state, deadline, customer_id=proven.checkout.customer_id)
    return _sign_in(state, deadline)


def _opened(state: State, deadline: Deadline, **customer: str) -> str | None:
    if not state.proofs.portals.take(tuple(customer.items())):
        return None
    session = state.client.customer_sessions.create(
        **customer,
        return_url=page_url("catalog", external=True),
        timeout=deadline.left(),
    )
    return session.customer_portal_url


def _sign_in(state: State, deadline: Deadline) -> str | None:
    """Where Polar finds out by itself who somebody is."""
    proofs, client = state.proofs, state.client
    if proofs.slug is None:
        wanted = state.settings.organization_id
        found = client.organizations.list(limit=100, timeout=deadline.left()).items
        proofs.slug = next((each.slug for each in found if wanted in (None, each.id)), None)
    return proofs.slug and client.server.portal_url(proofs.slug)


def _nobody(state: State, status: int) -> Response:
    return neutral_page(state, "unavailable" if status == 503 else "", status=status, form=False)
