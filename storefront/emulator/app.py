"""The WSGI application: routing, versions, tokens, headers and errors.

What Polar has not, below `/local/`, is in `control`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule
from werkzeug.wrappers import Request, Response

from storefront.emulator import (
    benefit_api,
    catalog_api,
    checkout_api,
    link_writing,
    order_api,
    pages,
    product_writing,
    shapes,
    shop_writing,
    subscription_api,
    webhook_api,
)
from storefront.emulator.benefits import Benefits
from storefront.emulator.calls import Access, ApiRoute, Call
from storefront.emulator.checkouts import Checkouts
from storefront.emulator.customers import Customers
from storefront.emulator.errors import CrashError, PolarError
from storefront.emulator.limits import RateLimit
from storefront.emulator.orders import Orders
from storefront.emulator.records import Body, Session
from storefront.emulator.refunds import Refunds
from storefront.emulator.services import Route, Services, base_url
from storefront.emulator.store import Store
from storefront.emulator.subscriptions import Subscriptions
from storefront.emulator.webhooks import Webhooks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: What `Polar-Version` may ask for; the first is what a request without one gets.
VERSIONS = ("2026-04", "2026-10", "2027-01")

_DEPRECATED = "The API root has moved from /api/v1 to /v1. Please update your integration."
_INVALID_TOKEN = (
    "The access token provided is expired, revoked, malformed, or invalid for other reasons."  # noqa: S105
)
_MORE_NEEDED = "The request requires higher privileges than provided by the access token."
_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
    "Access-Control-Max-Age": "600",
    "Access-Control-Allow-Headers": (
        "Accept, Accept-Language, Authorization, Content-Language, Content-Type, Polar-Version"
    ),
}


@dataclass(frozen=True)
class Token:
    """An organization access token: what it may do, and whose it is."""

    #: None: everything.
    scopes: frozenset[str] | None = None
    #: Whether it belongs to some other organization, one that has nothing.
    is_other_organization: bool = False


def make_services(
    store: Store, *, settle_seconds: float = 1.0, grant_seconds: float = 0.0
) -> Services:
    """The services over a store."""
    benefits = Benefits(store, grant_seconds=grant_seconds)
    orders, customers = Orders(store, settle_seconds=settle_seconds), Customers(store)
    checkouts = Checkouts(store, orders, customers, benefits, settle_seconds=settle_seconds)
    return Services(
        store,
        checkouts,
        orders,
        customers,
        Webhooks(store, tick=checkouts.settle_due),
        benefits,
        Subscriptions(store, orders, benefits),
        Refunds(store, orders, benefits),
    )


_API = (
    catalog_api,
    link_writing,
    product_writing,
    shop_writing,
    checkout_api,
    order_api,
    subscription_api,
    benefit_api,
    webhook_api,
)


class Application:
    """One local Polar as a WSGI application."""

    def __init__(
        self,
        services: Services,
        tokens: Mapping[str, Token],
        *,
        rate_limit: RateLimit | None = None,
        routes: Iterable[Route] = (),
    ) -> None:
        """`tokens` are the organization access tokens that are let in; `routes` are answered
        besides Polar's own."""
        self.services = services
        self._rate_limit = rate_limit or RateLimit()
        self._tokens = tokens
        other = {"id": _OTHER_ORGANIZATION, "name": "Other Organization", "slug": "other"}
        self._others_services = make_services(Store({"organization": other}))
        self._map = Map(merge_slashes=False)
        self._add_api(route for module in _API for route in module.ROUTES)
        short_link = Route("/polar_cl_<rest>", ("GET", "HEAD"), checkout_api.open_short_link)
        for route in (*routes, short_link, *pages.routes()):
            self._map.add(Rule(route.rule, endpoint=route))

    def _add_api(self, routes: Iterable[ApiRoute]) -> None:
        by_rule: dict[str, list[ApiRoute]] = {}
        for route in routes:
            by_rule.setdefault(route.rule, []).append(route)
        for rule, same_rule in by_rule.items():
            self._map.add(Rule(rule, endpoint=tuple(same_rule)))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self.respond(Request(environ))(environ, start_response)

    def respond(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path
        deprecated = path.startswith("/api/v1/")
        if deprecated:
            path = path.removeprefix("/api")
        is_api = path.startswith(("/v1/", "/polar_cl_"))
        is_polars = not path.startswith("/local/")
        version = request.headers.get("Polar-Version", VERSIONS[0]) if is_api else VERSIONS[0]
        if version not in VERSIONS:
            return _json({"detail": "Not Found"}, 404)
        too_many = self._count(request) if is_api else None
        if too_many is not None:
            response = too_many
        elif request.method == "OPTIONS" and "Origin" in request.headers and is_polars:
            response = Response("OK", headers=_PREFLIGHT)
        else:
            try:
                response = self._dispatch(request, path)
            except CrashError as crash:
                return Response(str(crash), crash.status)
            except PolarError as error:
                response = _json(error.body, error.status)
            _finish(request, response, is_api=is_api)
        response.headers["Polar-Version"] = version
        if deprecated:
            response.headers["X-Polar-Deprecation-Notice"] = _DEPRECATED
        return response

    def _count(self, request: Request) -> Response | None:
        """Count a request against the limit of whoever it comes from."""
        token = self._tokens.get(_credential(request) or "")
        organization = None
        if token is not None:
            organization = "other" if token.is_other_organization else "own"
        return self._rate_limit.check(request, organization=organization)

    def _dispatch(self, request: Request, path: str) -> Response:
        adapter = self._map.bind(request.host, path_info=path)
        try:
            endpoint, values = adapter.match()
        except (NotFound, RequestRedirect):
            other_path = path.removesuffix("/") if path.endswith("/") else f"{path}/"
            if other_path and adapter.test(other_path):
                return _moved(request, other_path)
            return _json({"detail": "Not Found"}, 404)
        except HTTPException as error:
            return _json({"detail": error.name}, error.code or 400)
        if isinstance(endpoint, Route):
            if request.method not in endpoint.methods:
                return _not_allowed(endpoint.methods[0])
            return endpoint.view(self.services, request, values)
        for route in endpoint:
            if route.method == request.method:
                return self._call(route, request, values)
        return _not_allowed(endpoint[0].method)

    def _call(self, route: ApiRoute, request: Request, values: Mapping[str, str]) -> Response:
        entry = self._enter(route.access, request)
        if isinstance(entry, Response):
            return entry
        services, session = entry
        with services.store.lock:
            answer = route.endpoint(Call(services, request, values, session))
        if isinstance(answer, Response):
            return answer
        body, status = answer if isinstance(answer, tuple) else (answer, 200)
        return _json(body, status, origin=base_url(request))

    def _enter(
        self, access: Access, request: Request
    ) -> Response | tuple[Services, Session | None]:
        """Let a request in, or say why not."""
        if access == "public":
            return self.services, None
        credential = _credential(request)
        if credential is None:
            return _unauthorized()
        token, session = self._tokens.get(credential), self.services.customers.session(credential)
        if access == "customer":
            if session is not None:
                return self.services, session
            return _unauthorized() if token is not None else _invalid_token()
        if token is None:
            return _unauthorized() if session is not None else _invalid_token()
        if token.scopes is not None and token.scopes.isdisjoint(access):
            return _insufficient(access)
        return (self._others_services if token.is_other_organization else self.services), None


_OTHER_ORGANIZATION = "19546b35-86b3-4083-8376-094cde3d03ce"


def _credential(request: Request) -> str | None:
    """The token that a request brings; None: it brings none."""
    kind, _, credential = request.headers.get("Authorization", "").partition(" ")
    return (credential.strip() or None) if kind.lower() == "bearer" else None


def _json(body: Body | None, status: int, *, origin: str | None = None) -> Response:
    """An answer; `origin` makes addresses absolute, as `shapes.with_origin` does, but in the text:
    quotes in a value are escaped there, so that only a key looks like one."""
    text = "null" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    for key in shapes.ADDRESSES if origin else ():
        text = text.replace(f'"{key}":"/', f'"{key}":"{origin}/')
    return Response(text, status, content_type="application/json")


def _finish(request: Request, response: Response, *, is_api: bool) -> None:
    if is_api or response.mimetype == "application/json":
        response.headers.setdefault("Cache-Control", "private, no-store")
    if is_api and "Origin" in request.headers:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "Polar-Version"


def _moved(request: Request, path: str) -> Response:
    query = request.query_string.decode("latin-1")
    location = f"{request.host_url.rstrip('/')}{path}{'?' if query else ''}{query}"
    response = Response(status=307, headers={"Location": location})
    del response.headers["Content-Type"]
    return response


def _not_allowed(method: str) -> Response:
    response = _json({"detail": MethodNotAllowed().name}, 405)
    response.headers["Allow"] = method
    return response


def _unauthorized() -> Response:
    response = _json({"error": "Unauthorized", "detail": "Unauthorized"}, 401)
    response.headers["WWW-Authenticate"] = 'Bearer realm="polar"'
    return response


def _invalid_token() -> Response:
    return _refused("invalid_token", _INVALID_TOKEN, 401)


def _insufficient(access: Iterable[str]) -> Response:
    scope = f'scope="{" ".join(access)}", '
    return _refused("insufficient_scope", _MORE_NEEDED, 403, scope)


def _refused(error: str, description: str, status: int, scope: str = "") -> Response:
    response = _json({"error": error, "error_description": description}, status)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    response.headers["WWW-Authenticate"] = (
        f'Bearer realm="polar", {scope}error="{error}", error_description="{description}"'
    )
    return response
