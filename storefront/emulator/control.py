"""What controls a local Polar while it runs, below `/local/`, where Polar itself has nothing.

For programs on this machine only, and not for pages in a browser: what comes from elsewhere, or
brings an `Origin`, is answered as if nothing were there. Docs: `docs/local-polar.md`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any, Final

from werkzeug.wrappers import Request, Response

from storefront.emulator import shapes
from storefront.emulator.bodies import (
    Field,
    choice,
    flag,
    integer,
    invalid,
    list_of,
    mapping,
    nullable,
    read_object,
    text,
    uuid,
)
from storefront.emulator.buying import buy
from storefront.emulator.counting import Requests
from storefront.emulator.errors import NotFoundError
from storefront.emulator.events import EVENTS
from storefront.emulator.faults import Faults, parse_fault, written
from storefront.emulator.records import Body
from storefront.emulator.services import Route, Services, View, base_url
from storefront.emulator.validation import Loc
from storefront.emulator.webhooks import RETRY_AFTER, Webhook


def _number(value: Any, loc: Loc) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86_400:
        raise invalid("float_type", loc, "Input should be a number of seconds", value)
    return float(value)


_SITE: Final = (
    Field("success_url", text(at_least=1)),
    Field("return_url", nullable(text()), None),
    Field("webhook_url", nullable(text(at_least=1)), None),
    Field("webhook_secret", nullable(text(at_least=1)), None),
)
_FAULTS: Final = (Field("faults", list_of(text(at_least=1))),)
_PURCHASE: Final = (
    Field("link", text(at_least=1)),
    Field("email", text(at_least=3)),
    Field("count", integer(at_least=1, at_most=100_000), 1),
    Field("country", text(at_least=2, at_most=2), "FR"),
    Field("query", mapping, {}),
)
_REFUND: Final = (
    Field("order_id", uuid),
    Field("amount", nullable(integer(at_least=1)), None),
    Field("revoke_benefits", flag, False),
)
_RENEWAL: Final = (Field("subscription_id", uuid), Field("declined", flag, False))
_WEBHOOK: Final = (
    Field("url", text(at_least=1)),
    Field("secret", text(at_least=1)),
    Field("key", choice(("utf8", "standard")), "utf8"),
    Field("events", nullable(list_of(choice(EVENTS))), None),
    Field("retry_seconds", nullable(_number), None),
)


def routes(faults: Faults, requests: Requests) -> list[Route]:
    """The endpoints of one local Polar, given what goes wrong in it and what it was asked."""

    def show_faults(services: Services, request: Request, values: Mapping[str, str]) -> Response:
        if request.method == "POST":
            given = read_object(_body(request), _FAULTS, ("body",))["faults"]
            try:
                wanted = [parse_fault(line) for line in given]
            except ValueError as error:
                raise invalid("value_error", ("body", "faults"), str(error), given) from error
            faults.clear()
            for fault in wanted:
                faults.add(fault)
        elif request.method == "DELETE":
            faults.clear()
        return _json({"faults": [written(fault) for fault in faults.now], "count": faults.count})

    def show_requests(services: Services, request: Request, values: Mapping[str, str]) -> Response:
        if request.method == "DELETE":
            requests.reset()
        path, method = request.args.get("path", "*"), request.args.get("method")
        found = requests.by_path(path, method=method)
        return _json({"count": sum(found.values()), "requests": found})

    return [
        Route("/local/health", ("GET",), _health),
        Route("/local/site", ("POST",), _for_programs(_move_site)),
        Route("/local/faults", ("GET", "POST", "DELETE"), _for_programs(show_faults)),
        Route("/local/requests", ("GET", "DELETE"), _for_programs(show_requests)),
        Route("/local/purchases", ("POST",), _for_programs(_purchase)),
        Route("/local/refunds", ("POST",), _for_programs(_refund)),
        Route("/local/renewals", ("POST",), _for_programs(_renew)),
        Route("/local/webhooks", ("POST", "DELETE"), _for_programs(_webhooks)),
    ]


def _for_programs(view: View) -> View:
    def guarded(services: Services, request: Request, values: Mapping[str, str]) -> Response:
        asker = ipaddress.ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104
        if not asker.is_loopback or "Origin" in request.headers:
            raise NotFoundError
        return view(services, request, values)

    return guarded


def _health(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    return _json({"store": services.store.organization["name"]})


def _move_site(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    site = read_object(_body(request), _SITE, ("body",))
    services.store.move_site(success_url=site["success_url"], return_url=site["return_url"])
    if site["webhook_url"] is not None and site["webhook_secret"] is not None:
        services.webhooks.keep(Webhook(site["webhook_url"], site["webhook_secret"]))
    return Response(status=204)


def _purchase(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    wanted = read_object(_body(request), _PURCHASE, ("body",))
    with services.store.lock:
        names = ("id", "label", "client_secret")
        links = [
            link
            for link in services.store.live_links()
            if wanted["link"] in [link[name] for name in names]
        ]
    if not links:
        message = "No link has that id, label or secret."
        raise invalid("value_error", ("body", "link"), message, wanted["link"])
    made = []
    for number in range(1, wanted["count"] + 1):
        checkout = buy(
            services,
            links[0]["client_secret"],
            email=wanted["email"].replace("{n}", str(number)),
            country=wanted["country"],
            query=wanted["query"],
        )
        (order,) = services.store.orders_by("checkout_id", [checkout.id])
        made.append(
            {
                "checkout_id": checkout.id,
                "order_id": order["id"],
                "customer_id": order["customer_id"],
                "subscription_id": order["subscription_id"],
                "success_url": shapes.success_url(checkout, base_url(request)),
                "customer_session_token": checkout.customer_session_token,
            }
        )
    return _json({"purchases": made}, 201)


def _refund(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    wanted = read_object(_body(request), _REFUND, ("body",))
    refund = services.refunds.create(
        wanted["order_id"], wanted["amount"], revoke_benefits=wanted["revoke_benefits"]
    )
    return _json(refund, 201)


def _renew(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    wanted = read_object(_body(request), _RENEWAL, ("body",))
    services.checkouts.settle_due()
    order = services.subscriptions.renew(wanted["subscription_id"], declined=wanted["declined"])
    return _json({"order_id": order and order["id"]}, 201)


def _webhooks(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    if request.method == "DELETE":
        services.webhooks.remove_all()
        return Response(status=204)
    wanted = read_object(_body(request), _WEBHOOK, ("body",))
    pause = wanted["retry_seconds"]
    try:
        webhook = Webhook(
            wanted["url"],
            wanted["secret"],
            events=tuple(EVENTS if wanted["events"] is None else wanted["events"]),
            key=wanted["key"],
            retry_after=RETRY_AFTER if pause is None else (pause,) * len(RETRY_AFTER),
        )
    except ValueError as error:
        raise invalid("value_error", ("body", "secret"), str(error)) from error
    return _json({"id": services.webhooks.add(webhook)["id"]}, 201)


def _body(request: Request) -> Any:
    return request.get_json(silent=True)


def _json(body: Body, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
