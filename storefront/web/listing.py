"""What is for sale, as JSON: for other sites, their scripts and the element of ``embed.js``.

It is a contract, described in ``docs/selling-anywhere.md``: a field may come, and none goes or
changes its meaning while ``version`` is 1.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from flask import request, url_for
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import public_url
from storefront.catalog import Catalog, CatalogProduct, Found
from storefront.catalog.pricing import PriceText, describe_price
from storefront.errors import CatalogUnavailable
from storefront.links import read_query
from storefront.state import State, get_state
from storefront.texts import exact_amount
from storefront.web.embed import listed
from storefront.web.pages import PRODUCTS_PER_PAGE, asked_page, page_count
from storefront.web.readers import FOR_READERS, away, told
from storefront.web.responses import public_response

VERSION: Final = 1
_JSON: Final = "application/json"


def products_json() -> BaseResponse:
    """``GET /products.json``: the listed products, 24 a page; ``?page=`` has the others."""
    state = get_state()
    try:
        catalog = state.catalog.current()
    except CatalogUnavailable as error:
        return _away(error)
    number = asked_page(read_query(request.environ.get("QUERY_STRING", "")))
    count = page_count(len(catalog))
    if not 1 <= number <= count:
        return _error(404, "not_found", f"There is no such page. The pages are 1 to {count}.")
    return public_response(
        state,
        catalog,
        _JSON,
        lambda: _page(state, catalog, number, count),
        query="" if number == 1 else f"page={number}",
        headers=FOR_READERS,
    )


def product_json(reference: str) -> BaseResponse:
    """``GET /products/<reference>.json``: one listed product, and how it is bought by that name.

    The reference is a product's slug or id, or a checkout link's id or label.
    """
    state = get_state()
    try:
        catalog = state.catalog.current()
    except CatalogUnavailable as error:
        return _away(error)
    found = listed(catalog, reference)
    if found is None:
        return _error(404, "not_found", "There is no such product, or it is not listed.")
    single = found
    return public_response(
        state, catalog, _JSON, lambda: _single(state, single, reference), headers=FOR_READERS
    )


def _page(state: State, catalog: Catalog, number: int, count: int) -> bytes:
    first = (number - 1) * PRODUCTS_PER_PAGE
    last = min(first + PRODUCTS_PER_PAGE, len(catalog.listed))
    return msgspec.json.encode(
        {
            "version": VERSION,
            "total": len(catalog.listed),
            "page": number,
            "pages": count,
            "next": _address(number + 1) if number < count else None,
            "previous": _address(number - 1) if number > 1 else None,
            "products": [_listed(state, catalog.listed[index]) for index in range(first, last)],
        }
    )


def _single(state: State, found: Found, reference: str) -> bytes:
    product = found.product
    if found.offer is None or product.offers[:1] == (found.offer,):
        reference = product.slug
    document = {"version": VERSION, **_product(state, found, reference)}
    return msgspec.json.encode({**document, "description_html": str(product.description)})


def _listed(state: State, product: CatalogProduct) -> dict[str, Any]:
    offer = product.offers[0] if product.offers else None
    return _product(state, Found(product, offer), product.slug)


def _product(state: State, found: Found, reference: str) -> dict[str, Any]:
    """A product as it stands in either document."""
    product, offer = found
    texts, source = state.texts, product.source
    prices = [
        _price(describe_price(price, source, texts), product, price.recurring_interval)
        for price in source.prices
        if not price.is_archived
    ]
    main = prices[0] if prices else _price(PriceText("unknown", "", ""), product, None)
    return {
        "id": product.id,
        "slug": product.slug,
        "name": product.name,
        "summary": product.summary,
        "language": texts.language,
        "direction": texts.direction,
        "url": url_for(".product", slug=product.slug, _external=True),
        "buy_url": public_url(found, reference),
        "available": offer is not None,
        "label": texts("Buy Now") if offer else texts("This can't be bought online yet."),
        "price": {**_numbers(main), "headline": product.pricing.headline},
        "prices": prices,
        "trial": (offer.trial if offer else "") or product.pricing.trial or None,
        "discount": (offer.discount if offer else "") or None,
        "images": [{"url": picture.url, "alt": picture.alt} for picture in product.pictures],
        "updated_at": _time(source.modified_at or source.created_at),
    }


def _price(price: PriceText, product: CatalogProduct, interval: str | None) -> dict[str, Any]:
    """One price: in words, and in numbers where it has any that holds for every buyer."""
    amount = price.minor
    interval = product.source.recurring_interval or interval
    return {
        "text": str(price),
        "kind": price.kind,
        "amount": amount,
        "currency": price.currency.upper() or None,
        "decimal": None if amount is None else exact_amount(amount, price.currency),
        "interval": interval,
        "interval_count": (product.source.recurring_interval_count or 1) if interval else None,
        "notes": price.notes,
        "tiers": [{"quantity": tier.quantity, "text": tier.amount} for tier in price.tiers],
    }


def _numbers(price: dict[str, Any]) -> dict[str, Any]:
    words = ("text", "notes", "tiers")
    return {name: value for name, value in price.items() if name not in words}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _address(number: int) -> str:
    if number == 1:
        return url_for(".products_json", _external=True)
    return url_for(".products_json", page=number, _external=True)


def _error(status: int, code: str, message: str) -> BaseResponse:
    return told(status, _said(code, message), _JSON)


def _away(error: CatalogUnavailable) -> BaseResponse:
    said = _said("unavailable", "The shop can't be reached. Try again in a minute.")
    return away(error, said, _JSON)


def _said(code: str, message: str) -> bytes:
    return msgspec.json.encode({"version": VERSION, "error": code, "message": message})
