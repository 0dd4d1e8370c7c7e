"""The API's endpoints for orders, their refunds, and customers with their portal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from storefront.emulator import shapes
from storefront.emulator.bodies import (
    Field,
    check_storable,
    choice,
    flag,
    integer,
    metadata,
    nullable,
    read_object,
    refused,
    text,
    uuid,
)
from storefront.emulator.calls import ApiRoute, Call, by, scopes
from storefront.emulator.errors import InvalidRequestError, NotFoundError, Problem
from storefront.emulator.queries import is_among, matches_metadata, paginate, select, sort
from storefront.emulator.records import Body
from storefront.emulator.store import Store
from storefront.emulator.validation import check_uuid

_ORDERS = scopes("orders")
_SORTED_ORDERS = {
    "created_at": by("created_at"),
    "status": by("status"),
    "invoice_number": by("invoice_number"),
    "amount": by("total_amount"),
    "net_amount": by("net_amount"),
    "customer": by("customer_id"),
    "product": by("product_id"),
    "discount": by("discount_id"),
    "subscription": by("subscription_id"),
}
_SORTED_PORTAL_ORDERS = {
    name: _SORTED_ORDERS[name]
    for name in ("created_at", "amount", "net_amount", "product", "subscription")
}


def list_orders(call: Call) -> Body:
    """Orders, the newest first."""
    services, query = call.services, call.query
    store = services.store
    wanted = {
        name: query.ids(name)
        for name in ("product_id", "discount_id", "customer_id", "checkout_id", "subscription_id")
    }
    owners, externals = query.ids("organization_id"), query.all("external_customer_id")
    kinds, states = query.all("product_billing_type"), query.all("status")
    pairs = query.metadata()
    after, before = query.moment("created_after"), query.moment("created_before")
    page = query.page()
    order = query.sorting(_SORTED_ORDERS, "-created_at")
    services.checkouts.settle_due()

    def is_of(item: Body) -> bool:
        return store.customers[item["customer_id"]]["external_id"] in externals

    found = select(
        _candidates(store, wanted),
        *(is_among(name, ids) for name, ids in wanted.items()),
        is_among("status", states or None),
        is_of if externals else None,
        (lambda item: store.organization["id"] in owners) if owners is not None else None,
        (lambda item: _billing_type(item) in kinds) if kinds else None,
        _is_between(after, before) if after or before else None,
        (lambda item: matches_metadata(item["metadata"], pairs)) if pairs else None,
    )
    return paginate(sort(found, order), page, lambda item: shapes.order(store, item))


def _is_between(after: datetime | None, before: datetime | None) -> Callable[[Body], bool]:
    """Whether an order was placed then; neither end counts. They may have any offset from UTC."""

    def holds(item: Body) -> bool:
        at = datetime.fromisoformat(item["created_at"])
        return (after is None or at > after) and (before is None or at < before)

    return holds


def _candidates(store: Store, wanted: Mapping[str, frozenset[str] | None]) -> Iterable[Body]:
    """The orders to look at: a few where one of the ids leads to them."""
    for name in ("checkout_id", "customer_id", "subscription_id"):
        ids = wanted[name]
        if ids is not None:
            return store.orders_by(name, ids)
    return store.orders.values()


def _billing_type(order: Body) -> str:
    return "one_time" if order["subscription_id"] is None else "recurring"


def get_order(call: Call) -> Body:
    """One order."""
    call.services.checkouts.settle_due()
    return shapes.order(call.services.store, call.services.orders.get(call.id))


def request_invoice(call: Call) -> tuple[None, int]:
    """Ask for an order's invoice."""
    call.services.orders.request_invoice(call.id)
    return None, 202


def get_invoice(call: Call) -> Body:
    """Where an order's invoice can be downloaded, once it was asked for."""
    call.services.orders.check_invoice(call.id)
    return {"url": f"{call.base_url}/assets/invoices/{call.id}.pdf"}


_REFUND: Final = (
    Field("metadata", metadata, {}),
    Field("order_id", uuid),
    Field(
        "reason",
        choice(
            (
                "duplicate",
                "fraudulent",
                "customer_request",
                "service_disruption",
                "satisfaction_guarantee",
                "dispute_prevention",
                "other",
            )
        ),
    ),
    Field("amount", integer(at_least=1)),
    Field("comment", nullable(text()), None),
    Field("revoke_benefits", flag, False),
)


def create_refund(call: Call) -> tuple[Body, int]:
    """Give money back."""
    values = read_object(call.body(), _REFUND, ("body",))
    check_storable(values)
    call.services.checkouts.settle_due()
    try:
        refund = call.services.refunds.create(
            values["order_id"],
            values["amount"],
            reason=values["reason"],
            revoke_benefits=values["revoke_benefits"],
            metadata=values["metadata"],
        )
    except NotFoundError:
        loc = ("body", "order_id")
        raise refused("value_error", loc, "Order not found", values["order_id"]) from None
    return refund, 201


def list_refunds(call: Call) -> Body:
    """Refunds, the newest first."""
    query, store = call.query, call.services.store
    names = ("id", "organization_id", "order_id", "subscription_id", "customer_id")
    wanted = {name: query.ids(name) for name in names}
    externals, succeeded = query.all("external_customer_id"), query.flag("succeeded")
    page = query.page()
    order: Any = query.sorting(
        {"created_at": by("created_at"), "amount": by("amount")}, "-created_at"
    )
    found = [
        item
        for item in store.refunds.values()
        if all(ids is None or item[name] in ids for name, ids in wanted.items())
        and (not externals or store.customers[item["customer_id"]]["external_id"] in externals)
        and succeeded in (None, item["status"] == "succeeded")
    ]
    return paginate(sort(found, order), page, dict)


def list_customers(call: Call) -> Body:
    """Customers, the newest first."""
    query = call.query
    email, part = query.last("email"), (query.last("query") or "").lower()
    pairs = query.metadata()
    page = query.page()
    keys = {name: by(name) for name in ("created_at", "email", "name")}
    order = query.sorting(keys, "-created_at")
    call.services.checkouts.settle_due()
    found = [
        customer
        for customer in call.services.store.customers.values()
        if (email is None or customer["email"].lower() == email.lower())
        and part in f"{customer['name'] or ''} {customer['email']}".lower()
        and matches_metadata(customer["metadata"], pairs)
    ]
    return paginate(sort(found, order), page, shapes.public_customer)


def get_customer(call: Call) -> Body:
    """One customer."""
    call.services.checkouts.settle_due()
    return shapes.public_customer(call.services.customers.get(call.id))


def get_customer_state(call: Call) -> Body:
    """One customer with all that they have."""
    call.services.checkouts.settle_due()
    customer = call.services.customers.get(call.id)
    return shapes.customer_state(call.services.store, customer)


def create_session(call: Call) -> tuple[Body, int]:
    """A customer session, for a shop to send a customer to the portal with."""
    body = call.body()
    if "customer_id" not in body and "external_customer_id" not in body:
        raise InvalidRequestError(
            [
                Problem("missing", ("body", f"CustomerSession{kind}", name), "Field required", body)
                for kind, name in (
                    ("CustomerIDCreate", "customer_id"),
                    ("CustomerExternalIDCreate", "external_customer_id"),
                )
            ]
        )
    customer = _customer_of(call, body)
    services = call.services
    session = services.customers.open_session(
        customer["id"], prefix="polar_mst_", return_url=body.get("return_url")
    )
    slug = services.store.organization["slug"]
    token, email = session.token, quote(customer["email"])
    url = f"{call.base_url}/{slug}/portal?customer_session_token={token}&email={email}"
    return shapes.session(services.store, session, url), 201


def _customer_of(call: Call, body: Body) -> Body:
    customers = call.services.customers
    found: Body | None
    if "customer_id" in body:
        name, given = "customer_id", body["customer_id"]
        try:
            found = customers.get(check_uuid(str(given), ("body", name)))
        except NotFoundError:
            found = None
    else:
        name, given = "external_customer_id", body["external_customer_id"]
        found = customers.by_external_id(str(given))
    if found is None:
        problem = Problem("value_error", ("body", name), "Customer does not exist.", given)
        raise InvalidRequestError([problem], error="PolarRequestValidationError")
    return found


def get_me(call: Call) -> Body:
    """The customer whose session this is."""
    return shapes.portal_customer(call.services.customers.get(call.customer_id))


def list_my_orders(call: Call) -> Body:
    """The customer's own orders, the newest first."""
    query = call.query
    products, subscriptions = query.ids("product_id"), query.ids("subscription_id")
    kinds = query.all("product_billing_type")
    page = query.page()
    order: Any = query.sorting(_SORTED_PORTAL_ORDERS, "-created_at")
    call.services.checkouts.settle_due()
    store = call.services.store
    found = [
        item
        for item in call.services.orders.of_customer(call.customer_id)
        if (products is None or item["product_id"] in products)
        and (subscriptions is None or item["subscription_id"] in subscriptions)
        and (not kinds or _billing_type(item) in kinds)
    ]
    return paginate(sort(found, order), page, lambda item: shapes.portal_order(store, item))


def get_my_order(call: Call) -> Body:
    """One of the customer's own orders; nobody else's."""
    call.services.checkouts.settle_due()
    return shapes.portal_order(call.services.store, _my_order(call))


def get_my_invoice(call: Call) -> Body:
    """Where the invoice of one of the customer's own orders can be downloaded."""
    _my_order(call)
    return get_invoice(call)


def request_my_invoice(call: Call) -> tuple[None, int]:
    """Ask for the invoice of one of the customer's own orders."""
    _my_order(call)
    return request_invoice(call)


def _my_order(call: Call) -> Body:
    order = call.services.orders.get(call.id)
    if order["customer_id"] != call.customer_id:
        raise NotFoundError
    return order


ROUTES = [
    ApiRoute("/v1/orders/", "GET", _ORDERS, list_orders),
    ApiRoute("/v1/orders/<id>", "GET", _ORDERS, get_order),
    ApiRoute("/v1/orders/<id>/invoice", "GET", ("orders:read",), get_invoice),
    ApiRoute("/v1/orders/<id>/invoice", "POST", ("orders:read",), request_invoice),
    ApiRoute("/v1/refunds/", "GET", scopes("refunds"), list_refunds),
    ApiRoute("/v1/refunds/", "POST", ("refunds:write",), create_refund),
    ApiRoute("/v1/customers/", "GET", scopes("customers"), list_customers),
    ApiRoute("/v1/customers/<id>", "GET", scopes("customers"), get_customer),
    ApiRoute("/v1/customers/<id>/state", "GET", scopes("customers"), get_customer_state),
    ApiRoute("/v1/customer-sessions/", "POST", ("customer_sessions:write",), create_session),
    ApiRoute("/v1/customer-portal/customers/me", "GET", "customer", get_me),
    ApiRoute("/v1/customer-portal/orders/", "GET", "customer", list_my_orders),
    ApiRoute("/v1/customer-portal/orders/<id>", "GET", "customer", get_my_order),
    ApiRoute("/v1/customer-portal/orders/<id>/invoice", "GET", "customer", get_my_invoice),
    ApiRoute("/v1/customer-portal/orders/<id>/invoice", "POST", "customer", request_my_invoice),
]
