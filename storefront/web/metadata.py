"""What a page says of itself to machines: schema.org's words, previews, its canonical address.

Pure functions: from products in numbers to plain data, which ``script_data`` makes safe to stand
in a page.

Source: schema.org 29; Google's rules for product snippets and merchant listings, of November
2026; the Open Graph protocol; UN/CEFACT's codes of units.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from markupsafe import Markup

from storefront.catalog import CatalogProduct, Offer
from storefront.catalog.catalog import Picture
from storefront.catalog.pricing import decimal_amount, reduced_amount, tier_rows, unit_noun
from storefront.polar.models import Discount, Price
from storefront.texts import Texts, exact_amount

Data = dict[str, Any]

_SCHEMA: Final = "https://schema.org"
#: An interval's common code, and its letter in a duration.
_INTERVALS: Final = {
    "day": ("DAY", "D"),
    "week": ("WEE", "W"),
    "month": ("MON", "M"),
    "year": ("ANN", "Y"),
}
#: Polar's own bound is far below; a longer list would only make the page heavy.
_MOST_TIERS: Final = 50
_DESCRIPTION_CHARACTERS: Final = 160


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages of a shop have in common. Addresses are absolute."""

    #: As the merchant calls it; None where that is not known.
    name: str | None
    catalog_url: str
    feed_url: str
    texts: Texts

    @property
    def title(self) -> str:
        """What to call the shop where it has to be called something."""
        return self.name or self.texts("Shop")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMetadata:
    """What stands in a page's head for machines."""

    site: Site
    #: Open Graph's type: ``product``, or ``website``.
    kind: str
    title: str
    description: str
    #: The one address of the page; None for one that no search engine shall list.
    url: str | None
    picture: Picture | None = None
    #: An exact amount with its currency, where the product has one price.
    price: tuple[str, str] | None = None
    #: For ``<script type="application/ld+json">``.
    data: Markup = Markup()  # noqa: RUF009  it is a string

    @property
    def locale(self) -> str:
        """Language and country, as Open Graph writes them; empty without a country."""
        locale = self.site.texts.locale
        return f"{locale.language}_{locale.territory}" if locale.territory else ""


def product_metadata(product: CatalogProduct, url: str, site: Site) -> PageMetadata:
    """The metadata of a product's page, whose absolute address is ``url``."""
    graph = [describe_product(product, url, site), _breadcrumbs(product, url, site)]
    return PageMetadata(
        site=site,
        kind="product",
        title=product.name,
        description=product.summary or product.pricing.headline,
        url=url,
        picture=product.pictures[0] if product.pictures else None,
        price=_plain_price(product),
        data=script_data({"@context": _SCHEMA, "@graph": graph}),
    )


def catalog_metadata(
    products: Sequence[tuple[CatalogProduct, str]], url: str | None, first: int, site: Site
) -> PageMetadata:
    """The metadata of a page of the catalogue with these products, each with its address.

    ``url`` is None for what somebody searched; ``first`` is the first product's place in the
    catalogue, from 1.
    """
    items = [
        {"@type": "ListItem", "position": place, "name": product.name, "url": address}
        for place, (product, address) in enumerate(products, first)
    ]
    data = {"@context": _SCHEMA, "@type": "ItemList", "url": url, "itemListElement": items}
    pictures = (picture for product, _ in products for picture in product.pictures[:1])
    return PageMetadata(
        site=site,
        kind="website",
        title=site.title,
        description=_names(product.name for product, _ in products),
        url=url,
        picture=next(pictures, None),
        data=script_data(data) if url and items else Markup(),
    )


def describe_product(product: CatalogProduct, url: str, site: Site) -> Data:
    """The product as schema.org describes it, with the offer that its plain button sells."""
    described: Data = {
        "@type": "Product",
        "@id": f"{url}#product",
        "name": product.name,
        "url": url,
        "sku": product.id,
    }
    if product.summary:
        described["description"] = product.summary
    if product.pictures:
        described["image"] = [picture.url for picture in product.pictures]
    if site.name:
        described["brand"] = {"@type": "Brand", "name": site.name}
    offers = list(_offers(product, url, site))
    if offers:
        described["offers"] = offers[0] if len(offers) == 1 else offers
    return described


def script_data(data: Data) -> Markup:
    """Data as JSON that may stand in a ``script`` element, and can't end it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  nothing that HTML knows is left in it


def main_price(product: CatalogProduct) -> Price | None:
    """The one price in the currency that comes first; None where there are several, or none."""
    prices = next(_by_currency(product), [])
    return prices[0] if len(prices) == 1 else None


def running_discount_of(product: CatalogProduct) -> Discount | None:
    """The discount that a plain button brings at this moment."""
    offer = product.offers[0] if product.offers else None
    # It has words only while it runs.
    return offer.link.discount if offer is not None and offer.discount else None


def lasting_discount_of(product: CatalogProduct, price: Price) -> Discount | None:
    """That discount, where it lowers all that is ever paid, and not only the first payments."""
    discount = running_discount_of(product)
    if discount is None or (_period(price, product) and discount.duration != "forever"):
        return None
    return discount


@dataclass(frozen=True, slots=True)
class _Row:
    """One amount that something costs, in one currency."""

    #: Minor units; None where it only shows later what it comes to.
    amount: Decimal | None
    #: What more there is to say of it, each a price specification.
    specifications: tuple[Data, ...] = ()
    #: For how many of it that is.
    quantity: Data | None = None
    #: Whether the specifications hold together, and are not instead of one another.
    is_compound: bool = False
    #: The last day of it, where it has one.
    until: str | None = None


def _by_currency(product: CatalogProduct) -> Iterator[list[Price]]:
    """The prices in each currency, in Polar's order; without what is no currency."""
    valid = [
        price
        for price in product.source.prices
        if not price.is_archived
        and len(price.price_currency) == 3
        and price.price_currency.isascii()
        and price.price_currency.isalpha()
    ]
    order: dict[str, list[Price]] = {}
    for currency, prices in groupby(valid, lambda price: price.price_currency.lower()):
        order.setdefault(currency, []).extend(prices)
    return iter(order.values())


def _offers(product: CatalogProduct, url: str, site: Site) -> Iterator[Data]:
    """One offer a currency; an aggregate of offers where the amount depends on something."""
    sold = f"{_SCHEMA}/{'InStock' if product.offers else 'OutOfStock'}"
    for prices in _by_currency(product):
        currency = prices[0].price_currency.lower()
        rows = [row for price in prices for row in _rows(price, product, site.texts)]
        usage = _usage(prices, product)
        if usage:
            rows = [_with_usage(row, usage) for row in rows] or [_Row(None, usage)]
        common: Data = {"priceCurrency": currency.upper(), "availability": sold}
        offers = [_offer(row, currency, common) for row in rows]
        common["url"] = url
        if site.name:
            common["seller"] = {"@type": "Organization", "name": site.name}
        if len(offers) == 1:
            yield offers[0] | common
        elif offers:
            together: Data = {"@type": "AggregateOffer", **common}
            amounts = [row.amount for row in rows if row.amount is not None]
            if amounts:
                together["lowPrice"] = exact_amount(min(amounts), currency)
                together["highPrice"] = exact_amount(max(amounts), currency)
            yield {**together, "offerCount": len(offers), "offers": offers}


def _offer(row: _Row, currency: str, common: Data) -> Data:
    offer: Data = {"@type": "Offer", **common}
    if row.amount is not None:
        offer["price"] = exact_amount(row.amount, currency)
    if row.quantity:
        offer["eligibleQuantity"] = row.quantity
    if row.is_compound and len(row.specifications) > 1:
        offer["priceSpecification"] = {
            "@type": "CompoundPriceSpecification",
            "priceCurrency": currency.upper(),
            "priceComponent": list(row.specifications),
        }
    elif row.specifications:
        several = len(row.specifications) > 1
        offer["priceSpecification"] = list(row.specifications) if several else row.specifications[0]
    if row.until:
        offer["priceValidUntil"] = row.until
    return offer


def _rows(price: Price, product: CatalogProduct, texts: Texts) -> Iterator[_Row]:
    """What one price comes to; nothing for usage, and for what can't be told."""
    currency = price.price_currency.lower()
    amount_type = price.amount_type
    if amount_type == "free" or (amount_type == "fixed" and price.price_amount is not None):
        yield _fixed(price, price.price_amount or 0, product)
    elif amount_type == "custom":
        suggested = price.preset_amount or price.minimum_amount
        least = Decimal(suggested) if suggested is not None else None
        bounds = {"minPrice": price.minimum_amount, "maxPrice": price.maximum_amount}
        said = {k: exact_amount(v, currency) for k, v in bounds.items() if v is not None}
        yield _Row(least, (_specification(price, product, least, **said),))
    elif amount_type in ("seat_based", "unit_based"):
        yield from _by_quantity(price, product, texts)


def _by_quantity(price: Price, product: CatalogProduct, texts: Texts) -> Iterator[_Row]:
    """What a seat or a unit costs: one amount for each range of how many are bought.

    Where only what is within a range is at its price, all ranges belong to one offer.
    """
    if price.amount_type == "seat_based":
        noun = "seat"
        is_graduated = price.seat_tiers is not None and (
            price.seat_tiers.seat_tier_type == "graduated"
        )
    else:
        noun = unit_noun(price.unit_label, texts)
        is_graduated = price.tiers is not None and price.tiers.type == "graduated"
    tiers = tier_rows(price)
    rows = []
    for tier in tiers[:_MOST_TIERS]:
        quantity: Data | None = None
        if len(tiers) > 1 or tier.first > 1:
            quantity = {"@type": "QuantitativeValue", "minValue": tier.first}
            if tier.last is not None:
                quantity["maxValue"] = tier.last
            quantity["unitText"] = noun
        each = _quantity(1, unitText=noun)
        said = _specification(price, product, tier.amount, referenceQuantity=each)
        rows.append(_Row(tier.amount, (said,), quantity))
    if is_graduated and len(rows) > 1:
        ranges = tuple({**row.specifications[0], "eligibleQuantity": row.quantity} for row in rows)
        rows = [_Row(rows[0].amount, ranges)]
    yield from rows


def _fixed(price: Price, amount: int, product: CatalogProduct) -> _Row:
    """One amount, with the trial and the discount that a plain button brings."""
    currency = price.price_currency.lower()
    before = Decimal(amount)
    usual = _specification(price, product, before)
    discount = running_discount_of(product)
    after = reduced_amount(amount, currency, discount) if discount else None
    is_subscription = _period(price, product) is not None
    trial = _trial(price, product)
    if after is None or discount is None or after == amount:
        if not is_subscription:
            return _Row(before)
        return _Row(before, (*trial, usual), is_compound=True)
    now = Decimal(after)
    if lasting_discount_of(product, price):
        struck = {**usual, "priceType": f"{_SCHEMA}/StrikethroughPrice"}
        reduced = _specification(price, product, now)
        until = discount.ends_at.date().isoformat() if discount.ends_at else None
        return _Row(now, (reduced, struck), until=until)
    # For some time only: the price is what is paid in the end.
    months = discount.duration_in_months or 0
    lasts = f"P{months}M" if discount.duration == "repeating" and months else None
    at_first = _specification(
        price, product, now, billingDuration=lasts or _duration(*_period(price, product) or ("", 0))
    )
    return _Row(before, (*trial, at_first, usual), is_compound=True)


def _trial(price: Price, product: CatalogProduct) -> tuple[Data, ...]:
    """The time that costs nothing, as a part of the price; nothing without one."""
    offer: Offer | None = product.offers[0] if product.offers else None
    source = product.source
    interval, count = source.trial_interval, source.trial_interval_count
    if offer is not None and offer.link.trial_interval:
        interval, count = offer.link.trial_interval, offer.link.trial_interval_count
    duration = _duration(interval or "", count or 0)
    if not duration:
        return ()
    return (
        {
            "@type": "UnitPriceSpecification",
            "price": exact_amount(0, price.price_currency),
            "priceCurrency": price.price_currency.upper(),
            "billingDuration": duration,
        },
    )


def _usage(prices: Iterable[Price], product: CatalogProduct) -> tuple[Data, ...]:
    """What is billed by use, as parts of the price."""
    found = []
    for price in prices:
        amount = decimal_amount(price.unit_amount or "")
        if price.amount_type == "metered_unit" and amount is not None:
            meter = price.meter.name if price.meter and price.meter.name else "use"
            each = _quantity(1, unitText=meter)
            part = _specification(price, product, amount, referenceQuantity=each)
            part.pop("priceComponentType", None)
            found.append(part)
    return tuple(found)


def _with_usage(row: _Row, usage: tuple[Data, ...]) -> _Row:
    return replace(row, specifications=(*row.specifications, *usage), is_compound=True)


def _specification(
    price: Price, product: CatalogProduct, amount: Decimal | None, **more: Any
) -> Data:
    """An amount with what it is for: the period that it is paid for, or what ``more`` says."""
    specification: Data = {"@type": "UnitPriceSpecification"}
    if amount is not None:
        specification["price"] = exact_amount(amount, price.price_currency)
    specification["priceCurrency"] = price.price_currency.upper()
    period = _period(price, product)
    if period is not None:
        interval, count = period
        code = _INTERVALS[interval][0]
        specification |= {
            "referenceQuantity": _quantity(count, unitCode=code),
            "billingIncrement": count,
            "unitCode": code,
            "priceComponentType": f"{_SCHEMA}/Subscription",
        }
    return specification | more


def _period(price: Price, product: CatalogProduct) -> tuple[str, int] | None:
    """How often it is paid; None where that is once."""
    interval = product.source.recurring_interval or price.recurring_interval
    if interval not in _INTERVALS:
        return None
    return interval, product.source.recurring_interval_count or 1


def _duration(interval: str, count: int) -> str:
    """``P14D``; empty for what is no time."""
    return f"P{count}{_INTERVALS[interval][1]}" if interval in _INTERVALS and count > 0 else ""


def _quantity(value: int, **unit: str) -> Data:
    return {"@type": "QuantitativeValue", "value": value, **unit}


def _breadcrumbs(product: CatalogProduct, url: str, site: Site) -> Data:
    trail = ((site.title, site.catalog_url), (product.name, url))
    items = [
        {"@type": "ListItem", "position": place, "name": name, "item": address}
        for place, (name, address) in enumerate(trail, 1)
    ]
    return {"@type": "BreadcrumbList", "itemListElement": items}


def _plain_price(product: CatalogProduct) -> tuple[str, str] | None:
    price = main_price(product)
    if price is None or price.amount_type not in ("fixed", "free"):
        return None
    amount = price.price_amount or 0
    discount = lasting_discount_of(product, price)
    after = reduced_amount(amount, price.price_currency.lower(), discount) if discount else None
    shown = amount if after is None else after
    return exact_amount(shown, price.price_currency), price.price_currency.upper()


def _names(names: Iterable[str]) -> str:
    """Names in a row, as many as a description has room for."""
    text = ""
    for name in names:
        longer = f"{text}, {name}" if text else name
        if len(longer) > _DESCRIPTION_CHARACTERS:
            return f"{text}, …" if text else f"{name[: _DESCRIPTION_CHARACTERS - 1]}…"
        text = longer
    return text
