"""The API's endpoints for subscriptions, the organization's and their customers' own."""

from __future__ import annotations

from typing import Any, Final

from storefront.emulator import shapes
from storefront.emulator.bodies import Field, choice, flag, nullable, read_object, text
from storefront.emulator.calls import ApiRoute, Call, by, scopes
from storefront.emulator.errors import NotFoundError
from storefront.emulator.queries import matches_metadata, paginate, sort
from storefront.emulator.records import Body

_READ = scopes("subscriptions")
_WRITE = ("subscriptions:write",)
_ACTIVE: Final = frozenset({"active", "trialing", "past_due"})
_REASONS: Final = (
    "customer_service",
    "low_quality",
    "missing_features",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
    "other",
)
_CANCEL: Final = (
    Field("cancel_at_period_end", nullable(flag), None),
    Field("revoke", nullable(flag), None),
    Field("customer_cancellation_reason", nullable(choice(_REASONS)), None),
    Field("customer_cancellation_comment", nullable(text()), None),
)
_SORTED: Final = {
    "customer": by("customer_id"),
    "status": by("status"),
    "started_at": by("started_at"),
    "current_period_end": by("current_period_end"),
    "amount": by("amount"),
    "product": by("product_id"),
    "discount": by("discount_id"),
}


def list_subscriptions(call: Call) -> Body:
    """Subscriptions, the newest first."""
    query, store = call.query, call.services.store
    wanted = {name: query.ids(name) for name in ("product_id", "customer_id", "discount_id")}
    states, externals = query.all("status"), query.all("external_customer_id")
    active, ending, pairs = (
        query.flag("active"),
        query.flag("cancel_at_period_end"),
        query.metadata(),
    )
    page = query.page()
    order = query.sorting(_SORTED, "-started_at")
    call.services.checkouts.settle_due()
    found = [
        item
        for item in store.subscriptions.values()
        if all(ids is None or item[name] in ids for name, ids in wanted.items())
        and (not states or item["status"] in states)
        and (not externals or store.customers[item["customer_id"]]["external_id"] in externals)
        and active in (None, item["status"] in _ACTIVE)
        and ending in (None, item["cancel_at_period_end"])
        and matches_metadata(item["metadata"], pairs)
    ]
    return paginate(sort(found, order), page, lambda item: shapes.subscription(store, item))


def get_subscription(call: Call) -> Body:
    """One subscription."""
    call.services.checkouts.settle_due()
    return _shown(call, call.services.subscriptions.get(call.id))


def update_subscription(call: Call) -> Body:
    """Cancel a subscription at the end of its period or now, or let it go on after all.

    Plans, seats and periods cannot be changed here.
    """
    subscriptions = call.services.subscriptions
    values = read_object(call.body(), _CANCEL, ("body",))
    why = (values["customer_cancellation_reason"], values["customer_cancellation_comment"])
    if values["revoke"]:
        return _shown(call, subscriptions.revoke(call.id, reason=why[0], comment=why[1]))
    if values["cancel_at_period_end"]:
        return _shown(call, subscriptions.cancel(call.id, reason=why[0], comment=why[1]))
    if values["cancel_at_period_end"] is False:
        return _shown(call, subscriptions.uncancel(call.id))
    return _shown(call, subscriptions.get(call.id))


def revoke_subscription(call: Call) -> Body:
    """End a subscription now."""
    return _shown(call, call.services.subscriptions.revoke(call.id))


def _shown(call: Call, subscription: Body) -> Body:
    return shapes.subscription(call.services.store, subscription)


def list_my_subscriptions(call: Call) -> Body:
    """The customer's own subscriptions, the newest first."""
    query, store = call.query, call.services.store
    products, active = query.ids("product_id"), query.flag("active")
    page = query.page()
    order: Any = query.sorting(_SORTED, "-started_at")
    call.services.checkouts.settle_due()
    found = [
        item
        for item in store.subscriptions_of.get(call.customer_id, ())
        if (products is None or item["product_id"] in products)
        and active in (None, item["status"] in _ACTIVE)
    ]
    return paginate(sort(found, order), page, lambda item: shapes.portal_subscription(store, item))


def get_my_subscription(call: Call) -> Body:
    """One of the customer's own subscriptions; nobody else's."""
    call.services.checkouts.settle_due()
    return shapes.portal_subscription(call.services.store, _mine(call))


def cancel_my_subscription(call: Call) -> Body:
    """Cancel one of the customer's own subscriptions at the end of its period."""
    subscription = call.services.subscriptions.cancel(_mine(call)["id"])
    return shapes.portal_subscription(call.services.store, subscription)


def _mine(call: Call) -> Body:
    subscription = call.services.subscriptions.get(call.id)
    if subscription["customer_id"] != call.customer_id:
        raise NotFoundError
    return subscription


_LIST, _ONE = "/v1/subscriptions/", "/v1/subscriptions/<id>"
_MY_LIST, _MY_ONE = f"/v1/customer-portal{_LIST[3:]}", f"/v1/customer-portal{_ONE[3:]}"

ROUTES = [
    ApiRoute(_LIST, "GET", _READ, list_subscriptions),
    ApiRoute(_ONE, "GET", _READ, get_subscription),
    ApiRoute(_ONE, "PATCH", _WRITE, update_subscription),
    ApiRoute(_ONE, "DELETE", _WRITE, revoke_subscription),
    ApiRoute(_MY_LIST, "GET", "customer", list_my_subscriptions),
    ApiRoute(_MY_ONE, "GET", "customer", get_my_subscription),
    ApiRoute(_MY_ONE, "DELETE", "customer", cancel_my_subscription),
]
