"""The API's endpoints for what is sold: products, checkout links, discounts and the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from storefront.emulator import shapes
from storefront.emulator.calls import ApiRoute, Call, Endpoint, by, scopes
from storefront.emulator.errors import NotFoundError
from storefront.emulator.pricing import choose_price
from storefront.emulator.queries import is_among, matches_metadata, paginate, select, sort
from storefront.emulator.records import Body
from storefront.emulator.store import Store

_LINKS_READ = ("checkout_links:write", "checkout_links:read")


def _price_amount(store: Store) -> Callable[[Body], int | None]:
    def key(product: Body) -> int | None:
        price = choose_price(product, store.currency)
        if price["amount_type"] == "custom":
            return int(price["minimum_amount"] or 0)
        amount: int | None = price.get("price_amount")
        return amount

    return key


def _price_type(store: Store) -> Callable[[Body], str]:
    return lambda product: str(choose_price(product, store.currency)["amount_type"])


def list_products(call: Call) -> Body:
    """Products of every visibility, archived ones too, the newest first.

    Filtered by benefit, a product comes with only the benefits asked for. Source: recorded from
    the service, 2026-11-22.
    """
    store, query = call.services.store, call.query
    ids, owners, benefits = query.ids("id"), query.ids("organization_id"), query.ids("benefit_id")
    archived, recurring = query.flag("is_archived"), query.flag("is_recurring")
    text, visibility = (query.last("query") or "").lower(), query.all("visibility")
    metadata = query.metadata()
    page = query.page()
    order = query.sorting(
        {
            "created_at": by("created_at"),
            "name": by("name"),
            "price_amount_type": _price_type(store),
            "price_amount": _price_amount(store),
        },
        "-created_at",
    )
    found = select(
        store.products.values()
        if ids is None
        else [store.products[key] for key in ids if key in store.products],
        is_among("organization_id", owners),
        is_among("is_archived", None if archived is None else {archived}),
        is_among("is_recurring", None if recurring is None else {recurring}),
        is_among("visibility", visibility or None),
        _has_benefit(benefits) if benefits is not None else None,
        (lambda product: text in product["name"].lower()) if text else None,
        (lambda product: matches_metadata(product["metadata"], metadata)) if metadata else None,
    )
    return paginate(
        sort(found, order), page, lambda product: shapes.full_product(product, benefits=benefits)
    )


def _has_benefit(ids: frozenset[str]) -> Callable[[Body], bool]:
    return lambda product: any(item["id"] in ids for item in product["benefits"])


def get_product(call: Call) -> Body:
    """One product."""
    return shapes.full_product(_find(call.services.store.products, call.id))


def list_links(call: Call) -> Body:
    """Checkout links, the oldest first.

    Filtered by product, a link comes with only the products asked for, and counts once for each
    of them. Source: recorded from the service, 2026-11-22.
    """
    store, query = call.services.store, call.query
    products, owners = query.ids("product_id"), query.ids("organization_id")
    page = query.page()
    order = query.sorting(
        {
            "created_at": by("created_at"),
            "label": by("label"),
            "success_url": by("success_url"),
            "allow_discount_codes": by("allow_discount_codes"),
        },
        "created_at",
    )
    found = select(store.live_links(), is_among("organization_id", owners))
    total = len(found)
    if products is not None:
        found = [link for link in found if not products.isdisjoint(link["product_ids"])]
        offers = [products.intersection(_offered(store, link)) for link in found]
        found = [link for link, offered in zip(found, offers, strict=True) if offered]
        total = sum(map(len, offers))

    def show(link: Body) -> Body:
        return shapes.link(store, link, call.base_url, only=products)

    return paginate(sort(found, order), page, show, total=total)


def _offered(store: Store, link: Body) -> list[str]:
    return [key for key in link["product_ids"] if not store.products[key]["is_archived"]]


def get_link(call: Call) -> Body:
    """One checkout link, whole. One that offers nothing any more is gone."""
    store = call.services.store
    link = _find(store.links, call.id)
    if not store.link_products(link):
        raise NotFoundError
    return shapes.link(store, link, call.base_url)


def _simple_list(
    collection: Callable[[Store], Mapping[str, Body]],
    text_in: str,
    *sort_keys: str,
    default: str = "-created_at",
) -> Endpoint:
    def endpoint(call: Call) -> Body:
        query = call.query
        owners = query.ids("organization_id")
        text = (query.last("query") or "").lower()
        page = query.page()
        keys = {name: by(name) for name in ("created_at", *sort_keys)}
        order = query.sorting(keys, default)
        found = [
            item
            for item in collection(call.services.store).values()
            if (owners is None or item["organization_id"] in owners)
            and text in str(item[text_in]).lower()
        ]
        return paginate(sort(found, order), page, dict)

    return endpoint


def get_discount(call: Call) -> Body:
    """One discount."""
    return _find(call.services.store.discounts, call.id)


def list_organizations(call: Call) -> Body:
    """The organization that the token belongs to, as a list of one."""
    page = call.query.page()
    organization = call.services.store.organization
    slug = call.query.last("slug")
    return paginate([organization] if slug in (None, organization["slug"]) else [], page, dict)


def get_organization(call: Call) -> Body:
    """The organization that the token belongs to."""
    organization = call.services.store.organization
    return _find({organization["id"]: organization}, call.id)


def _find(collection: Mapping[str, Any], key: str) -> Body:
    try:
        item: Body = collection[key]
    except KeyError:
        raise NotFoundError from None
    return item


ROUTES = [
    ApiRoute("/v1/products/", "GET", scopes("products"), list_products),
    ApiRoute("/v1/products/<id>", "GET", scopes("products"), get_product),
    ApiRoute("/v1/checkout-links/", "GET", _LINKS_READ, list_links),
    ApiRoute("/v1/checkout-links/<id>", "GET", _LINKS_READ, get_link),
    ApiRoute(
        "/v1/discounts/",
        "GET",
        scopes("discounts"),
        _simple_list(
            lambda store: store.discounts, "name", "name", "code", "redemptions_count", "ends_at"
        ),
    ),
    ApiRoute("/v1/discounts/<id>", "GET", scopes("discounts"), get_discount),
    ApiRoute(
        "/v1/benefits/",
        "GET",
        scopes("benefits"),
        _simple_list(lambda store: store.benefits, "description", "description", "type"),
    ),
    ApiRoute(
        "/v1/custom-fields/",
        "GET",
        scopes("custom_fields"),
        _simple_list(
            lambda store: store.custom_fields, "name", "slug", "name", "type", default="slug"
        ),
    ),
    ApiRoute("/v1/organizations/", "GET", scopes("organizations"), list_organizations),
    ApiRoute("/v1/organizations/<id>", "GET", scopes("organizations"), get_organization),
]
