"""The API's endpoints that make what a shop has besides products and links.

Discounts, benefits, custom fields, meters, and the organization itself.

Source: bodies and answers as recorded from the service, 2026-11-22; what was not recorded follows
its OpenAPI document of the same day.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from storefront.emulator import shapes
from storefront.emulator.bodies import (
    Field,
    check_storable,
    choice,
    integer,
    invalid,
    list_of,
    mapping,
    metadata,
    nullable,
    read_object,
    refused,
    text,
    uuid,
)
from storefront.emulator.calls import ApiRoute, Call, scopes
from storefront.emulator.errors import NotFoundError
from storefront.emulator.product_writing import refuse_organization
from storefront.emulator.queries import paginate
from storefront.emulator.records import Body, iso
from storefront.emulator.store import Store, new_id
from storefront.emulator.validation import Loc

_NAME = text(at_least=1)
_OWNER: Final = (
    Field("metadata", metadata, {}),
    Field("organization_id", nullable(uuid), None),
)


def _moment(value: Any, loc: Loc) -> str:
    written: str = text()(value, loc)
    try:
        datetime.fromisoformat(written)
    except ValueError:
        message = "Input should be a valid datetime, input is no ISO 8601 time"
        raise invalid("datetime_from_date_parsing", loc, message, value) from None
    return written


_DISCOUNT: Final = (
    *_OWNER,
    Field("name", _NAME),
    Field("code", nullable(text(at_least=3)), None),
    Field("starts_at", nullable(_moment), None),
    Field("ends_at", nullable(_moment), None),
    Field("max_redemptions", nullable(integer(at_least=1)), None),
    Field("max_redemptions_per_customer", nullable(integer(at_least=1)), None),
    Field("products", nullable(list_of(uuid)), None),
    Field("duration", choice(("once", "forever", "repeating"))),
)
_PERCENTAGE: Final = (*_DISCOUNT, Field("basis_points", integer(at_least=1, at_most=10_000)))
_FIXED: Final = (
    *_DISCOUNT,
    Field("amount", nullable(integer(at_least=0)), None),
    Field("currency", text(at_least=3, at_most=3), "usd"),
    Field("amounts", nullable(mapping), None),
)
_MONTHS = Field("duration_in_months", integer(at_least=1, at_most=999))
_BENEFIT_TYPES = (
    "custom",
    "discord",
    "github_repository",
    "downloadables",
    "license_keys",
    "meter_credit",
    "feature_flag",
    "slack_shared_channel",
)
_BENEFIT: Final = (
    *_OWNER,
    Field("type", choice(_BENEFIT_TYPES)),
    Field("description", text(at_least=3, at_most=42)),
    Field("visibility", choice(("public", "private")), "public"),
    Field("properties", mapping),
)
_PROPERTIES: Final = {
    "custom": {"note": None},
    "license_keys": {"prefix": None, "expires": None, "activations": None, "limit_usage": None},
}
_CUSTOM_FIELD: Final = (
    *_OWNER,
    Field("type", choice(("text", "number", "date", "checkbox", "select"))),
    Field("slug", _NAME),
    Field("name", _NAME),
    Field("properties", mapping),
)
_METER: Final = (
    *_OWNER,
    Field("name", text(at_least=3)),
    Field("unit", choice(("scalar", "token", "custom")), "scalar"),
    Field("custom_label", nullable(text()), None),
    Field("custom_multiplier", nullable(integer(at_least=1)), None),
    Field("filter", mapping),
    Field("aggregation", mapping),
)
_ORGANIZATION: Final = (
    Field("name", nullable(text(at_least=3))),
    Field("avatar_url", nullable(text())),
    Field("email", nullable(text())),
    Field("website", nullable(text())),
    Field("socials", nullable(list_of(mapping))),
    Field("feature_settings", nullable(mapping)),
    Field("customer_portal_settings", nullable(mapping)),
    Field("embed_hosts", nullable(list_of(text(at_least=1)))),
)


def _made(store: Store, values: Body) -> Body:
    """What every new object begins with."""
    refuse_organization(values)
    check_storable(values)
    return {
        **values,
        "id": new_id(),
        "created_at": iso(store.now()),
        "modified_at": None,
        "organization_id": store.organization["id"],
    }


def create_discount(call: Call) -> tuple[Body, int]:
    """Make a discount."""
    store, body = call.services.store, call.body()
    kind = choice(("fixed", "percentage"))(body.get("type"), ("body", "type"))
    fields = _PERCENTAGE if kind == "percentage" else _FIXED
    if body.get("duration") == "repeating":
        fields = (*fields, _MONTHS)
    values = read_object(body, fields, ("body", kind))
    if kind == "fixed":
        _complete_amounts(values, body)
    code = values["code"]
    taken = {(item["code"] or "").casefold() for item in store.discounts.values()}
    if code is not None and code.casefold() in taken:
        message = "Discount with this code already exists."
        raise refused("value_error", ("body", "code"), message, code)
    ids = values.pop("products") or []
    for index, product_id in enumerate(ids):
        if product_id not in store.products:
            loc = ("body", "products", index)
            raise refused("value_error", loc, "Product not found.", product_id)
    discount = {**_made(store, values), "type": kind, "redemptions_count": 0}
    discount["products"] = [shapes.order_product(store.products[key]) for key in ids]
    store.put_discount(discount)
    store.announce("discount.created", lambda _: discount)
    return discount, 201


def _complete_amounts(values: Body, body: Body) -> None:
    """Bring amount and currency, as it was once, and amounts by currency into line."""
    if values["amounts"]:
        values["currency"], values["amount"] = next(iter(values["amounts"].items()))
    elif values["amount"] is not None:
        values["amounts"] = {values["currency"]: values["amount"]}
    else:
        raise invalid("missing", ("body", "fixed", "amount"), "Field required", body)


def create_benefit(call: Call) -> tuple[Body, int]:
    """Make a benefit."""
    store = call.services.store
    values = read_object(call.body(), _BENEFIT, ("body",))
    kind = values["type"]
    benefit = {
        **_made(store, values),
        "selectable": True,
        "deletable": True,
        "is_deleted": False,
        "visibility_configurable": True,
        "properties": {**_PROPERTIES.get(kind, {}), **values["properties"]},
    }
    if kind == "custom":
        benefit["is_tax_applicable"] = True
    store.put_benefit(benefit)
    store.announce("benefit.created", lambda _: benefit)
    return benefit, 201


def create_custom_field(call: Call) -> tuple[Body, int]:
    """Make a custom field."""
    store = call.services.store
    values = read_object(call.body(), _CUSTOM_FIELD, ("body",))
    if values["slug"] in {item["slug"] for item in store.custom_fields.values()}:
        message = "Custom field with this slug already exists."
        raise refused("value_error", ("body", "slug"), message, values["slug"])
    field = _made(store, values)
    store.put_custom_field(field)
    return field, 201


def create_meter(call: Call) -> tuple[Body, int]:
    """Make a meter."""
    store = call.services.store
    meter = {**_made(store, read_object(call.body(), _METER, ("body",))), "archived_at": None}
    # Recorded with a time of change right away: the first reckoning of what it has measured.
    meter["modified_at"] = iso(store.now())
    store.meters[meter["id"]] = meter
    return meter, 201


def list_meters(call: Call) -> Body:
    """Meters, the oldest first."""
    return paginate(list(call.services.store.meters.values()), call.query.page(), dict)


def update_organization(call: Call) -> Body:
    """Change the organization that the token belongs to: what is absent or null stays."""
    store = call.services.store
    organization_id, body = call.id, call.body()
    values = read_object(body, _ORGANIZATION, ("body",), partial=True)
    organization = store.organization
    if organization_id != organization["id"]:
        raise NotFoundError
    check_storable(values)
    changes = {name: value for name, value in values.items() if value is not None}
    if any(organization.get(name) != value for name, value in changes.items()):
        organization.update(changes, modified_at=iso(store.now()))
        shown = shapes.without(organization, ())
        store.announce("organization.updated", lambda base: shapes.with_origin(shown, base))
    return organization


ROUTES = [
    ApiRoute("/v1/discounts/", "POST", ("discounts:write",), create_discount),
    ApiRoute("/v1/benefits/", "POST", ("benefits:write",), create_benefit),
    ApiRoute("/v1/custom-fields/", "POST", ("custom_fields:write",), create_custom_field),
    ApiRoute("/v1/meters/", "GET", scopes("meters"), list_meters),
    ApiRoute("/v1/meters/", "POST", ("meters:write",), create_meter),
    ApiRoute("/v1/organizations/<id>", "PATCH", ("organizations:write",), update_organization),
]
