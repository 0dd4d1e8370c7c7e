"""Holds what pages say of themselves to schema.org's words, and to what Google wants of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

#: What these types may say, with what they inherit and as far as it is used here.
#: Source: schema.org 29, of 2026.
THING = {"@type", "@id", "name", "description", "url", "image"}
PRICE_SPECIFICATION = {"eligibleQuantity", "price", "priceCurrency", "minPrice", "maxPrice"}
OFFER = {
    *("availability", "eligibleQuantity", "price", "priceCurrency", "priceSpecification"),
    *("priceValidUntil", "seller"),
}
VOCABULARY = {
    "Product": {"brand", "offers", "sku"},
    "Offer": OFFER,
    "AggregateOffer": {*OFFER, "highPrice", "lowPrice", "offerCount", "offers"},
    "UnitPriceSpecification": {
        *PRICE_SPECIFICATION,
        *("billingDuration", "billingIncrement", "priceComponentType", "priceType"),
        *("referenceQuantity", "unitCode", "unitText"),
    },
    "CompoundPriceSpecification": {*PRICE_SPECIFICATION, "priceComponent"},
    "QuantitativeValue": {"maxValue", "minValue", "unitCode", "unitText", "value"},
    "Brand": set(),
    "Organization": set(),
    "BreadcrumbList": {"itemListElement"},
    "ItemList": {"itemListElement"},
    "ListItem": {"item", "position"},
}
#: What a property's value may be, of those that are no text.
VALUES = {
    "brand": {"Brand"},
    "seller": {"Organization"},
    "offers": {"Offer", "AggregateOffer"},
    "priceSpecification": {"UnitPriceSpecification", "CompoundPriceSpecification"},
    "priceComponent": {"UnitPriceSpecification"},
    "referenceQuantity": {"QuantitativeValue"},
    "eligibleQuantity": {"QuantitativeValue"},
    "itemListElement": {"ListItem"},
}
AMOUNT = re.compile(r"\d+(\.\d+)?")
FORMATS = {
    **dict.fromkeys(("price", "lowPrice", "highPrice", "minPrice", "maxPrice"), AMOUNT),
    "priceCurrency": re.compile("[A-Z]{3}"),
    "availability": re.compile("https://schema.org/(InStock|OutOfStock)"),
    "priceType": re.compile("https://schema.org/StrikethroughPrice"),
    "priceComponentType": re.compile("https://schema.org/Subscription"),
    "billingDuration": re.compile(r"P\d+[DWMY]"),
    "unitCode": re.compile("DAY|WEE|MON|ANN"),
    "priceValidUntil": re.compile(r"\d{4}-\d\d-\d\d"),
    "url": re.compile(r"https?://\S+"),
}


def validate(data: dict[str, Any]) -> None:
    """Hold data to schema.org's words, and to what Google wants of products and lists."""
    assert data["@context"] == "https://schema.org"
    for node in nodes(data.get("@graph", data)):
        kind = node["@type"]
        assert set(node) <= {*VOCABULARY[kind], *THING, "@context"}, kind
        for name, value in node.items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    assert each["@type"] in VALUES[name], name
                elif name in FORMATS:
                    assert FORMATS[name].fullmatch(each), (name, each)
        if kind == "Product":
            assert node["name"]
        if kind == "Offer":
            assert "price" in node or "priceSpecification" in node
            assert "priceCurrency" in node
        if kind == "AggregateOffer":
            assert {"lowPrice", "priceCurrency"} <= set(node)
            assert node["offerCount"] == len(node["offers"])
        if kind in ("ItemList", "BreadcrumbList"):
            places = [item["position"] for item in node["itemListElement"]]
            assert places == list(range(places[0], places[0] + len(places)))
            assert all(item.get("url") or item.get("item") for item in node["itemListElement"])


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it."""
    if isinstance(value, list):
        for each in value:
            yield from nodes(each)
    elif isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes(each)
