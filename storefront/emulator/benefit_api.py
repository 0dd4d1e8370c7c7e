"""The API's endpoints for what was granted: grants, license keys and downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from werkzeug.wrappers import Response

from storefront.emulator import shapes
from storefront.emulator.benefits import stand_in
from storefront.emulator.calls import ApiRoute, Call, by, scopes
from storefront.emulator.errors import NotFoundError
from storefront.emulator.queries import paginate, sort
from storefront.emulator.records import Body

_READ = scopes("benefits")
_READ_KEYS = scopes("license_keys")


def list_grants(call: Call) -> Body:
    """Every benefit's grants, or one benefit's, the newest first."""
    query, services = call.query, call.services
    store = services.store
    ids, customers, owners = (query.ids(n) for n in ("id", "customer_id", "organization_id"))
    members, externals = query.ids("member_id"), query.all("external_customer_id")
    granted = query.flag("is_granted")
    benefit_id = call.id if "id" in call.values else None
    if benefit_id is not None and benefit_id not in store.benefits:
        raise NotFoundError
    page = query.page()
    services.checkouts.settle_due()
    found = [
        item
        for item in store.grants.values()
        if benefit_id in (None, item["benefit_id"])
        and (ids is None or item["id"] in ids)
        and (customers is None or item["customer_id"] in customers)
        and (members is None or item["member_id"] in members)
        and (owners is None or store.organization["id"] in owners)
        and (not externals or store.customers[item["customer_id"]]["external_id"] in externals)
        and granted in (None, item["is_granted"])
    ]
    order: Any = [(by("created_at"), True)]
    return paginate(sort(found, order), page, lambda item: shapes.grant(store, item))


def list_my_grants(call: Call) -> Body:
    """The customer's own grants: in the order of their product's benefits, the newest first."""
    query, services = call.query, call.services
    store, benefits = services.store, services.benefits
    wanted = {name: query.ids(name) for name in ("benefit_id", "order_id", "subscription_id")}
    checkouts, members = query.ids("checkout_id"), query.ids("member_id")
    kinds, text = query.all("type"), (query.last("query") or "").lower()
    page = query.page()
    keys: Mapping[str, Any] = {
        "granted_at": by("granted_at"),
        "type": lambda item: store.benefit(item["benefit_id"])["type"],
        "organization": lambda _: "",
        "product_benefit": benefits.place_in_product,
    }
    given = query.sorting(keys, "product_benefit")
    order: Any = given if query.all("sorting") else [*given, (by("granted_at"), True)]
    services.checkouts.settle_due()

    def checkout_of(item: Body) -> str:
        source = (
            store.orders.get(item["order_id"] or "") or store.subscriptions[item["subscription_id"]]
        )
        return str(source["checkout_id"])

    found = [
        item
        for item in benefits.of_customer(call.customer_id)
        if all(ids is None or item[name] in ids for name, ids in wanted.items())
        and (checkouts is None or checkout_of(item) in checkouts)
        and (members is None or item["member_id"] in members)
        and (not kinds or store.benefit(item["benefit_id"])["type"] in kinds)
        and text in store.benefit(item["benefit_id"])["description"].lower()
    ]
    return paginate(sort(found, order), page, lambda item: shapes.portal_grant(store, item))


def get_my_grant(call: Call) -> Body:
    """One of the customer's own grants; nobody else's."""
    call.services.checkouts.settle_due()
    for item in call.services.benefits.of_customer(call.customer_id):
        if item["id"] == call.id:
            return shapes.portal_grant(call.services.store, item)
    raise NotFoundError


def list_license_keys(call: Call) -> Body:
    """License keys, the oldest first."""
    query, services = call.query, call.services
    benefits, owners = query.ids("benefit_id"), query.ids("organization_id")
    states, page = query.all("status"), query.page()
    services.checkouts.settle_due()
    store = services.store
    found = [
        key
        for key in store.license_keys.values()
        if (benefits is None or key["benefit_id"] in benefits)
        and (owners is None or key["organization_id"] in owners)
        and (not states or key["status"] in states)
    ]
    return paginate(found, page, lambda key: shapes.license_key(store, key))


def get_license_key(call: Call) -> Body:
    """One license key; the computers that it was activated on are not kept here."""
    call.services.checkouts.settle_due()
    key = call.services.store.license_keys.get(call.id)
    if key is None or (call.session is not None and key["customer_id"] != call.customer_id):
        raise NotFoundError
    return {**shapes.license_key(call.services.store, key), "activations": []}


def list_my_license_keys(call: Call) -> Body:
    """The customer's own license keys, the oldest first; those taken back as well."""
    benefits, page = call.query.ids("benefit_id"), call.query.page()
    call.services.checkouts.settle_due()
    store = call.services.store
    found = [
        key
        for key in store.license_keys_of.get(call.customer_id, ())
        if benefits is None or key["benefit_id"] in benefits
    ]
    return paginate(found, page, lambda key: shapes.license_key(store, key))


def list_my_downloads(call: Call) -> Body:
    """The files that the customer may download, with addresses that are good for a while."""
    wanted, page = call.query.ids("benefit_id"), call.query.page()
    call.services.checkouts.settle_due()
    benefits = call.services.benefits

    def show(found: tuple[Body, Body]) -> Body:
        grant, file = found
        token, ends = benefits.download_token(file)
        url = f"{call.base_url}/v1/customer-portal/downloadables/{token}"
        return shapes.download(grant, file, url, ends)

    found = [
        (grant, file)
        for grant, file in benefits.downloads(call.customer_id)
        if wanted is None or grant["benefit_id"] in wanted
    ]
    return paginate(found, page, show)


def download(call: Call) -> Response:
    """A file. Its address is the key to it: no token is asked for."""
    file = call.services.benefits.file_behind(call.values["token"])
    response = Response(stand_in(file["name"]), content_type=file["mime_type"])
    response.headers.update(
        {
            "Cache-Control": "private, no-store",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file['name'])}",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
        }
    )
    return response


_MINE = "/v1/customer-portal"

ROUTES = [
    ApiRoute("/v1/benefits/<id>/grants", "GET", _READ, list_grants),
    ApiRoute("/v1/benefit-grants/", "GET", _READ, list_grants),
    ApiRoute("/v1/license-keys/", "GET", _READ_KEYS, list_license_keys),
    ApiRoute("/v1/license-keys/<id>", "GET", _READ_KEYS, get_license_key),
    ApiRoute(f"{_MINE}/benefit-grants/", "GET", "customer", list_my_grants),
    ApiRoute(f"{_MINE}/benefit-grants/<id>", "GET", "customer", get_my_grant),
    ApiRoute(f"{_MINE}/license-keys/", "GET", "customer", list_my_license_keys),
    ApiRoute(f"{_MINE}/license-keys/<id>", "GET", "customer", get_license_key),
    ApiRoute(f"{_MINE}/downloadables/", "GET", "customer", list_my_downloads),
    ApiRoute(f"{_MINE}/downloadables/<token>", "GET", "public", download),
]
