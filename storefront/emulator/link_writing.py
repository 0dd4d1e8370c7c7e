"""The API's endpoints that make, change and delete checkout links.

Source: every complaint and side effect as recorded from the service, 2026-11-22.
"""

from __future__ import annotations

from typing import Any, Final

from werkzeug.wrappers import Response

from storefront.emulator import shapes
from storefront.emulator.bodies import (
    Field,
    check_storable,
    choice,
    flag,
    integer,
    list_of,
    literal,
    metadata,
    nullable,
    read_object,
    refused,
    text,
    uuid,
)
from storefront.emulator.calls import ApiRoute, Call
from storefront.emulator.errors import (
    CrashError,
    InvalidRequestError,
    NotFoundError,
    Problem,
)
from storefront.emulator.pricing import (
    choose_price,
    maximum_seats,
    maximum_units,
    minimum_seats,
    minimum_units,
)
from storefront.emulator.records import Body, iso
from storefront.emulator.store import Store, new_id, new_secret
from storefront.emulator.validation import Loc
from storefront.emulator.web_urls import success_url, web_url

_WRITE = ("checkout_links:write",)

#: Where a trial may be set, on links and on products.
TRIAL: Final = (
    Field("trial_interval", nullable(choice(("day", "week", "month", "year"))), None),
    Field("trial_interval_count", nullable(integer(at_least=1, at_most=1000)), None),
)
_PROCESSOR = literal("stripe", "<PaymentProcessor.stripe: 'stripe'>")
_OPTIONS: Final = (
    Field("label", nullable(text()), None),
    Field("allow_discount_codes", flag, True),
    Field("require_billing_address", flag, False),
    Field("discount_id", nullable(uuid), None),
    Field("seats", nullable(integer(at_least=1, at_most=10_000)), None),
    Field("units", nullable(integer(at_least=1, at_most=2**31 - 1)), None),
    Field("success_url", nullable(success_url), None),
    Field("return_url", nullable(web_url), None),
)
_CREATE: Final = (
    Field("metadata", metadata, {}),
    *TRIAL,
    Field("payment_processor", _PROCESSOR),
    *_OPTIONS,
)
_PRODUCTS = list_of(uuid, at_least=1)
#: The bodies that make a link, in the order in which the service tries them: by price and by
#: product, as it was once, and by products. Each is known by what only it requires.
_VARIANTS: Final = {
    "CheckoutLinkCreateProductPrice": Field("product_price_id", uuid),
    "CheckoutLinkCreateProduct": Field("product_id", uuid),
    "CheckoutLinkCreateProducts": Field("products", _PRODUCTS),
}
_FLAGS = ("allow_discount_codes", "require_billing_address")
_UPDATE: Final = (
    *TRIAL,
    Field("metadata", metadata),
    Field("products", nullable(_PRODUCTS), None),
    *(
        Field(field.name, nullable(flag), None) if field.name in _FLAGS else field
        for field in _OPTIONS
    ),
)


def check_trial(values: Body, body: Any, loc: Loc) -> None:
    """Make sure that a trial has both its interval and their number, or neither.

    :raises InvalidRequestError: it has one of them.
    """
    if (values.get("trial_interval") is None) != (values.get("trial_interval_count") is None):
        message = "Both trial_interval and trial_interval_count must be set together."
        raise InvalidRequestError([Problem("missing", loc, message, body)])


def read_new_link(body: Any) -> Body:
    """What a new link is made of, whichever body it was sent in.

    :raises InvalidRequestError: no variant takes it; the complaints of each, one after another.
    """
    problems: list[Problem] = []
    fitting: list[Body] = []
    for name, own in _VARIANTS.items():
        loc = ("body", f"function-after[is_complete_configuration(), {name}]")
        try:
            values = read_object(body, (*_CREATE, own), loc)
            check_trial(values, body, loc)
        except InvalidRequestError as failed:
            problems.extend(failed.problems)
        else:
            fitting.append(values)
    if not fitting:
        raise InvalidRequestError(problems)
    return fitting[-1]


def create_link(call: Call) -> tuple[Body, int]:
    """Make a checkout link."""
    store = call.services.store
    values = read_new_link(call.json())
    product_ids = _products_named(store, values)
    offered = _offered(store, product_ids)
    _check_fit(store, values, offered)
    check_storable(values)
    link: Body = {
        "id": new_id(),
        "created_at": iso(store.now()),
        "modified_at": None,
        "client_secret": new_secret("polar_cl_"),
        "organization_id": store.organization["id"],
        "discount": None,
        "product_ids": product_ids,
        **shapes.without(values, ["products", "product_id", "product_price_id"]),
    }
    store.links[link["id"]] = link
    return shapes.link(store, link, call.base_url), 201


def update_link(call: Call) -> Body:
    """Change a checkout link: what is absent stays, what is null is cleared."""
    store = call.services.store
    link_id, body = call.id, call.json()
    values = read_object(body, _UPDATE, ("body",), partial=True)
    if {"trial_interval", "trial_interval_count"} & values.keys():
        check_trial(values, body, ("body",))
    link = _find(store, link_id)
    if any(values.get(name, False) is None for name in _FLAGS):
        # The columns take no null, and nothing catches that before the database does.
        raise CrashError
    product_ids = values.pop("products", None) or [item["id"] for item in store.link_products(link)]
    is_new = product_ids != [item["id"] for item in store.link_products(link)]
    offered = _offered(store, product_ids) if is_new else store.link_products(link)
    _check_fit(store, values, offered)
    check_storable(values)
    link["product_ids"] = product_ids
    if any(link.get(name) != value for name, value in values.items()):
        link.update(values)
        link["modified_at"] = iso(store.now())
    return shapes.link(store, link, call.base_url)


def delete_link(call: Call) -> Response:
    """Delete a checkout link."""
    store = call.services.store
    store.remove_link(_find(store, call.id)["id"])
    return empty()


def empty() -> Response:
    """An answer without a body; it is called JSON all the same."""
    return Response(status=204, content_type="application/json")


def _find(store: Store, link_id: str) -> Body:
    link = store.links.get(link_id)
    if link is None or not store.link_products(link):
        raise NotFoundError
    return link


def _products_named(store: Store, values: Body) -> list[str]:
    if "products" in values:
        return list(values["products"])
    if "product_id" in values:
        return [values["product_id"]]
    price_id = values["product_price_id"]
    for product in store.products.values():
        if any(price["id"] == price_id for price in product["prices"]):
            return [product["id"]]
    raise refused("value_error", ("body", "product_price_id"), "Price does not exist.", price_id)


def _offered(store: Store, product_ids: list[str]) -> list[Body]:
    """The products that a link is to offer.

    :raises InvalidRequestError: listing those that cannot be offered.
    :raises CrashError: one of them is named twice.
    """
    problems = []
    for index, product_id in enumerate(product_ids):
        product = store.products.get(product_id)
        if product is None:
            message = "Product does not exist."
        elif product["is_archived"]:
            message = "Product is archived."
        elif product["visibility"] == "draft":
            message = "Product is a draft."
        else:
            continue
        loc = ("body", "products", index)
        problems.append(Problem("value_error", loc, message, product_id))
    if problems:
        raise InvalidRequestError(problems, error="PolarRequestValidationError")
    if len(set(product_ids)) < len(product_ids):
        raise CrashError
    return [store.products[product_id] for product_id in product_ids]


def _check_fit(store: Store, values: Body, products: list[Body]) -> None:
    """Make sure that discount, seats and units suit every product.

    :raises InvalidRequestError: naming the one that does not.
    """
    discount_id = values.get("discount_id")
    if discount_id is not None:
        discount = store.discounts.get(discount_id)
        wanted = {item["id"] for item in (discount or {}).get("products", [])}
        if discount is None or (wanted and not wanted & {item["id"] for item in products}):
            message = "Discount does not exist or is not applicable to this product."
            raise refused("value_error", ("body", "discount_id"), message, discount_id)
    for name, kind, fewest_of, most_of in (
        ("seats", "seat", minimum_seats, maximum_seats),
        ("units", "unit", minimum_units, maximum_units),
    ):
        count = values.get(name)
        if count is None:
            continue
        for product in products:
            price = choose_price(product, store.currency)
            fewest, most = fewest_of(price), most_of(price)
            if fewest is None:
                message = (
                    f"{name.capitalize()} can only be preconfigured when all products use "
                    f"{kind}-based pricing."
                )
                raise refused("value_error", ("body", name), message, count)
            if count < fewest or (most is not None and count > most):
                limit = "unlimited" if most is None else most
                message = f"Product '{product['name']}' allows between {fewest} and {limit} {name}."
                raise refused("value_error", ("body", name), message, count)


ROUTES = [
    ApiRoute("/v1/checkout-links/", "POST", _WRITE, create_link),
    ApiRoute("/v1/checkout-links/<id>", "PATCH", _WRITE, update_link),
    ApiRoute("/v1/checkout-links/<id>", "DELETE", _WRITE, delete_link),
]
