"""The API's endpoints for checkout sessions, and the opening of links."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from werkzeug.wrappers import Request, Response

from storefront.emulator import shapes
from storefront.emulator.calls import ApiRoute, Call, scopes
from storefront.emulator.errors import EmbedHostError, InvalidRequestError, NotFoundError
from storefront.emulator.queries import paginate, sort
from storefront.emulator.records import Body, Checkout
from storefront.emulator.services import Services, base_url

_READ = scopes("checkouts")


def open_link(services: Services, request: Request, secret: str) -> Response:
    """Make a session from a link and send the buyer to its page.

    What the link does not take in stays in the address, the last of repeated parameters only.
    """
    address = request.headers.get("True-Client-IP") or request.remote_addr
    opened = services.checkouts.open_link(secret, request.args, ip_address=address)
    query = urlencode(opened.parameters)
    url = f"{base_url(request)}/checkout/{opened.checkout.client_secret}"
    return _redirect(f"{url}?{query}" if query else url, 307)


def open_short_link(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    """A link as the buy host takes it: dead ones, refused ones and HEAD go to the front page.

    Source: recorded from the service's buy host, 2026-11-22.
    """
    if request.method == "HEAD":
        return _redirect(base_url(request), 302)
    try:
        return open_link(services, request, "polar_cl_" + values["rest"])
    except (NotFoundError, EmbedHostError):
        return _redirect(base_url(request), 302)
    except InvalidRequestError as invalid:
        text = json.dumps({"detail": invalid.body["detail"]})
        return Response(text, invalid.status, content_type="application/json")


def _redirect(location: str, status: int) -> Response:
    response = Response(status=status, headers={"Location": location})
    response.autocorrect_location_header = False
    del response.headers["Content-Type"]
    return response


def redirect_link(call: Call) -> Response:
    """A checkout link, opened."""
    return open_link(call.services, call.request, call.values["secret"])


def list_checkouts(call: Call) -> Body:
    """Checkout sessions, the newest first."""
    query = call.query
    products, customers = query.ids("product_id"), query.ids("customer_id")
    owners, externals = query.ids("organization_id"), query.all("external_customer_id")
    states, text = query.all("status"), (query.last("query") or "").lower()
    page = query.page()
    order = query.sorting(
        {
            "created_at": lambda item: item.created_at,
            "expires_at": lambda item: item.expires_at,
            "status": lambda item: item.status,
        },
        "-created_at",
    )
    store = call.services.store
    found: list[Checkout] = [
        item
        for item in call.services.checkouts.all()
        if (owners is None or store.organization["id"] in owners)
        and (products is None or products & set(item.product_ids))
        and (customers is None or item.customer_id in customers)
        and (not externals or item.customer_external_id in externals)
        and (not states or item.status in states)
        and text in f"{item.customer_name or ''} {item.customer_email or ''}".lower()
    ]

    def show(item: Checkout) -> Body:
        return shapes.checkout(store, item, call.base_url)

    return paginate(sort(found, order), page, show)


def get_checkout(call: Call) -> Body:
    """One checkout session, for its organization."""
    services = call.services
    return shapes.checkout(services.store, services.checkouts.get(call.id), call.base_url)


def create_checkout(call: Call) -> tuple[Body, int]:
    """A session for a list of products."""
    services = call.services
    checkout = services.checkouts.create(call.body())
    return shapes.checkout(services.store, checkout, call.base_url), 201


def get_client_checkout(call: Call) -> Body:
    """One checkout session, for its page."""
    return _public(call, call.services.checkouts.get_by_secret(call.values["secret"]))


def update_client_checkout(call: Call) -> Body:
    """A buyer's changes to an open session."""
    checkout = call.services.checkouts.update(call.values["secret"], call.body())
    return _public(call, checkout)


def confirm_client_checkout(call: Call) -> Body:
    """A buyer's click on Pay."""
    checkout = call.services.checkouts.confirm(call.values["secret"], call.body())
    token = checkout.customer_session_token
    return {**_public(call, checkout), "customer_session_token": token}


def _public(call: Call, checkout: Checkout) -> Body:
    return shapes.public_checkout(call.services.store, checkout, call.base_url)


ROUTES = [
    ApiRoute("/v1/checkout-links/<secret>/redirect", "GET", "public", redirect_link),
    ApiRoute("/v1/checkouts/", "GET", _READ, list_checkouts),
    ApiRoute("/v1/checkouts/", "POST", ("checkouts:write",), create_checkout),
    ApiRoute("/v1/checkouts/<id>", "GET", _READ, get_checkout),
    ApiRoute("/v1/checkouts/custom/<id>", "GET", _READ, get_checkout),
    ApiRoute("/v1/checkouts/client/<secret>", "GET", "public", get_client_checkout),
    ApiRoute("/v1/checkouts/client/<secret>", "PATCH", "public", update_client_checkout),
    ApiRoute("/v1/checkouts/client/<secret>/confirm", "POST", "public", confirm_client_checkout),
]
