"""The API's endpoints that make and change products.

Source: every complaint and side effect as recorded from the service, 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from storefront.emulator import shapes
from storefront.emulator.bodies import (
    Field,
    check_storable,
    choice,
    flag,
    integer,
    list_of,
    metadata,
    nullable,
    object_of,
    read_object,
    refused,
    sized,
    text,
    uuid,
)
from storefront.emulator.calls import ApiRoute, Call
from storefront.emulator.errors import CrashError, InvalidRequestError, NotFoundError, Problem
from storefront.emulator.link_writing import TRIAL, check_trial
from storefront.emulator.price_bodies import (
    check_prices,
    make_price,
    new_or_kept_price,
    new_price,
)
from storefront.emulator.records import Body, iso
from storefront.emulator.store import Store, new_id

_WRITE = ("products:write",)
_INTERVALS = ("day", "week", "month", "year")

_NAME = sized(text(), "Value", at_least=3, at_most=64)
_VISIBILITY = choice(("draft", "private", "public"))
_ATTACHED = list_of(object_of(Field("custom_field_id", uuid), Field("required", flag)))
_CREATE: Final = (
    Field("metadata", metadata, {}),
    Field("name", _NAME),
    Field("description", nullable(text()), None),
    Field("visibility", _VISIBILITY, "public"),
    Field("prices", list_of(new_price, at_least=1)),
    Field("medias", nullable(list_of(uuid)), None),
    Field("attached_custom_fields", _ATTACHED, []),
    Field("organization_id", nullable(uuid), None),
)
_RECURRING: Final = (
    *_CREATE,
    *TRIAL,
    Field("recurring_interval", choice(_INTERVALS)),
    Field("recurring_interval_count", integer(at_least=1, at_most=999), 1),
    Field("meter_interval", nullable(choice(_INTERVALS)), None),
    Field("meter_interval_count", nullable(integer(at_least=1, at_most=999)), None),
)
_UPDATE: Final = (
    Field("metadata", metadata),
    *TRIAL,
    Field("name", nullable(_NAME)),
    Field("description", nullable(text())),
    Field("is_archived", nullable(flag)),
    Field("visibility", nullable(_VISIBILITY)),
    Field("prices", nullable(list_of(new_or_kept_price, at_least=1))),
    Field("medias", nullable(list_of(uuid))),
    Field("attached_custom_fields", nullable(_ATTACHED)),
)
_BENEFITS: Final = (Field("benefits", list_of(uuid)),)
#: What a product has in columns of its own; a change of the rest leaves `modified_at` alone.
_COLUMNS: Final = (
    "metadata",
    "trial_interval",
    "trial_interval_count",
    "name",
    "description",
    "is_archived",
    "visibility",
)
_NOT_NULL = frozenset({"name", "is_archived", "visibility"})


def refuse_organization(values: Mapping[str, Any]) -> None:
    """Make sure that no organization is named, as the token already says which it is.

    :raises InvalidRequestError: one is.
    """
    named = values.get("organization_id")
    if named is not None:
        message = "Setting organization_id is disallowed when using an organization token."
        raise refused("organization_token", ("body", "organization_id"), message, named)


def create_product(call: Call) -> tuple[Body, int]:
    """Make a product."""
    store, body = call.services.store, call.body()
    is_recurring = body.get("recurring_interval") is not None
    tag = "recurring" if is_recurring else "one_time"
    values = read_object(body, _RECURRING if is_recurring else _CREATE, ("body", tag))
    check_trial(values, body, ("body", tag))
    refuse_organization(values)
    check_prices(store, values["prices"], is_recurring=is_recurring)
    medias = _looked_up(store.files, values["medias"] or [], "medias", "File")
    attached = _attached(store, values["attached_custom_fields"])
    check_storable(values)
    product: Body = {
        "id": new_id(),
        "created_at": iso(store.now()),
        "modified_at": None,
        **{field.name: values.get(field.name) for field in (*TRIAL, *_CREATE[:4])},
        "recurring_interval": values.get("recurring_interval"),
        "recurring_interval_count": values.get("recurring_interval_count"),
        "meter_interval": values.get("meter_interval"),
        "meter_interval_count": values.get("meter_interval_count"),
        "is_recurring": is_recurring,
        "is_archived": False,
        "organization_id": store.organization["id"],
        "benefits": [],
        "medias": medias,
        "attached_custom_fields": attached,
    }
    product["prices"] = [make_price(store, price, product) for price in values["prices"]]
    store.put_product(product)
    store.announce("product.created", lambda base: _shown(product, base))
    # Shown as it was sent: only what is read again has the database's twelve decimals.
    return shapes.full_product(product), 201


def update_product(call: Call) -> Body:
    """Change a product: what is absent stays. Archiving one takes it off its links."""
    store = call.services.store
    product_id, body = call.id, call.body()
    values = read_object(body, _UPDATE, ("body",), partial=True)
    if {"trial_interval", "trial_interval_count"} & values.keys():
        check_trial(values, body, ("body",))
    product = _find(store, product_id)
    values = {k: v for k, v in values.items() if v is not None or k not in _NOT_NULL}
    prices = values.pop("prices", None)
    if prices is not None:
        values["prices"] = _new_prices(store, product, prices)
    if "medias" in values:
        values["medias"] = _looked_up(store.files, values["medias"] or [], "medias", "File")
    if values.get("attached_custom_fields") is not None:
        values["attached_custom_fields"] = _attached(store, values["attached_custom_fields"])
    else:
        values.pop("attached_custom_fields", None)
    check_storable(values)
    if any(product[name] != values[name] for name in _COLUMNS if name in values):
        values["modified_at"] = iso(store.now())
    # In place: open checkouts hold the product, and show it as it is now.
    store.put_product({**product, **values})
    product.update(store.products[product_id])
    store.products[product_id] = product
    if product["is_archived"]:
        store.take_off_links(product["id"])
    store.announce("product.updated", lambda base: _shown(product, base))
    return shapes.full_product(product)


def set_benefits(call: Call) -> Body:
    """Give a product these benefits, in this order, and no others."""
    store = call.services.store
    product_id, body = call.id, call.body()
    values = read_object(body, _BENEFITS, ("body",))
    product = _find(store, product_id)
    ids = values["benefits"]
    if len(set(ids)) < len(ids):
        raise CrashError
    product["benefits"] = _looked_up(store.benefits, ids, "benefits", "Benefit")
    store.announce("product.updated", lambda base: _shown(product, base))
    return shapes.full_product(product)


def _shown(product: Body, base_url: str) -> Body:
    shown: Body = shapes.with_origin(shapes.full_product(product), base_url)
    return shown


def _find(store: Store, product_id: str) -> Body:
    try:
        return store.products[product_id]
    except KeyError:
        raise NotFoundError from None


def _new_prices(store: Store, product: Body, prices: list[Body]) -> list[Body]:
    known = {price["id"]: price for price in product["prices"]}
    for index, price in enumerate(prices):
        if "id" in price and price["id"] not in known:
            loc = ("body", "prices", index, "id")
            raise refused("value_error", loc, "Price does not exist.", price["id"])
    whole = [known[price["id"]] if "id" in price else price for price in prices]
    check_prices(store, whole, is_recurring=product["is_recurring"])
    return [
        known[price["id"]] if "id" in price else make_price(store, price, product)
        for price in prices
    ]


def _looked_up(collection: Mapping[str, Body], ids: list[str], name: str, what: str) -> list[Body]:
    problems = [
        Problem("value_error", ("body", name, index), f"{what} does not exist.", key)
        for index, key in enumerate(ids)
        if key not in collection
    ]
    if problems:
        raise InvalidRequestError(problems, error="PolarRequestValidationError")
    return [collection[key] for key in ids]


def _attached(store: Store, attached: list[Body]) -> list[Body]:
    fields = _looked_up(
        store.custom_fields,
        [item["custom_field_id"] for item in attached],
        "attached_custom_fields",
        "Custom field",
    )
    return [
        {**item, "custom_field": field, "order": order}
        for order, (item, field) in enumerate(zip(attached, fields, strict=True))
    ]


ROUTES = [
    ApiRoute("/v1/products/", "POST", _WRITE, create_product),
    ApiRoute("/v1/products/<id>", "PATCH", _WRITE, update_product),
    ApiRoute("/v1/products/<id>/benefits", "POST", _WRITE, set_benefits),
]
