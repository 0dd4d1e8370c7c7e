"""The API's endpoints for webhooks: where deliveries go, and what came of them.

Source: recorded from the service, 2026-11-22. Unlike its other lists, these have no slash at the
end.
"""

from __future__ import annotations

import base64
import secrets
from typing import Final

from werkzeug.wrappers import Response

from storefront.emulator.bodies import (
    Field,
    choice,
    flag,
    list_of,
    nullable,
    read_object,
    text,
    uuid,
)
from storefront.emulator.calls import ApiRoute, Call, scopes
from storefront.emulator.errors import NotFoundError
from storefront.emulator.events import EVENTS
from storefront.emulator.link_writing import empty
from storefront.emulator.product_writing import refuse_organization
from storefront.emulator.queries import paginate
from storefront.emulator.records import Body, iso
from storefront.emulator.web_urls import webhook_url
from storefront.emulator.webhooks import Webhook

_READ = scopes("webhooks")
_WRITE = ("webhooks:write",)

_FORMAT = choice(("raw", "discord", "slack"))
_CREATE: Final = (
    Field("url", webhook_url),
    Field("name", nullable(text()), None),
    Field("format", _FORMAT),
    Field("events", list_of(choice(EVENTS))),
    Field("organization_id", nullable(uuid), None),
)
_UPDATE: Final = (
    Field("url", nullable(webhook_url)),
    Field("name", nullable(text())),
    Field("format", nullable(_FORMAT)),
    Field("events", nullable(list_of(choice(EVENTS)))),
    Field("enabled", nullable(flag)),
)


def new_webhook_secret() -> str:
    """A secret that makes a key in either style."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def list_endpoints(call: Call) -> Body:
    """The endpoints, the newest first, with their secrets."""
    endpoints = list(call.services.store.webhook_endpoints.values())
    return paginate(endpoints[::-1], call.query.page(), dict)


def get_endpoint(call: Call) -> Body:
    """One endpoint."""
    return _find(call)


def create_endpoint(call: Call) -> tuple[Body, int]:
    """Deliver to an endpoint from now on."""
    values = read_object(call.body(), _CREATE, ("body",))
    refuse_organization(values)
    webhook = Webhook(values["url"], new_webhook_secret(), tuple(values["events"]))
    made = call.services.webhooks.add(webhook, name=values["name"], kind=values["format"])
    return made, 201


def update_endpoint(call: Call) -> Body:
    """Change an endpoint: what is absent stays."""
    values = read_object(call.body(), _UPDATE, ("body",), partial=True)
    endpoint = _find(call)
    changes = {name: value for name, value in values.items() if value is not None or name == "name"}
    if any(endpoint[name] != value for name, value in changes.items()):
        endpoint.update(changes, modified_at=iso(call.services.store.now()))
    return endpoint


def reset_secret(call: Call) -> Body:
    """Give an endpoint another secret."""
    endpoint = _find(call)
    endpoint.update(secret=new_webhook_secret(), modified_at=iso(call.services.store.now()))
    return endpoint


def delete_endpoint(call: Call) -> Response:
    """Deliver to an endpoint no more."""
    del call.services.store.webhook_endpoints[_find(call)["id"]]
    return empty()


def list_deliveries(call: Call) -> Body:
    """Every try that was made, the newest first."""
    query, webhooks = call.query, call.services.webhooks
    endpoints, succeeded = query.ids("endpoint_id"), query.flag("succeeded")
    kinds = query.all("event_type")
    page = query.page()
    wanted = {key for item in endpoints or () for key in webhooks.of_endpoint(item)}
    found = [
        item
        for item in webhooks.all()
        if (endpoints is None or item["id"] in wanted)
        and succeeded in (None, item["succeeded"])
        and (not kinds or item["webhook_event"]["type"] in kinds)
    ]
    return paginate(found, page, dict)


def redeliver(call: Call) -> tuple[None, int]:
    """Try an event once more."""
    call.services.webhooks.redeliver(call.id)
    return None, 202


def _find(call: Call) -> Body:
    endpoint = call.services.store.webhook_endpoints.get(call.id)
    if endpoint is None:
        raise NotFoundError
    return endpoint


_ENDPOINTS, _ENDPOINT = "/v1/webhooks/endpoints", "/v1/webhooks/endpoints/<id>"

ROUTES = [
    ApiRoute(_ENDPOINTS, "GET", _READ, list_endpoints),
    ApiRoute(_ENDPOINTS, "POST", _WRITE, create_endpoint),
    ApiRoute(_ENDPOINT, "GET", _READ, get_endpoint),
    ApiRoute(_ENDPOINT, "PATCH", _WRITE, update_endpoint),
    ApiRoute(_ENDPOINT, "DELETE", _WRITE, delete_endpoint),
    ApiRoute(f"{_ENDPOINT}/secret", "PATCH", _WRITE, reset_secret),
    ApiRoute("/v1/webhooks/deliveries", "GET", _READ, list_deliveries),
    ApiRoute("/v1/webhooks/events/<id>/redeliver", "POST", _WRITE, redeliver),
]
