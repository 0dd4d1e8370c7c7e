"""What products say of themselves to machines: schema.org and previews. Pages: test_heads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from storefront.catalog import Catalog, CatalogProduct, Snapshot
from storefront.catalog.records import encode_link, encode_product
from storefront.polar.models import CheckoutLink, Product
from storefront.texts import Texts, exact_amount
from storefront.web.metadata import Site, catalog_metadata, product_metadata, script_data
from tests.schema_org import validate

NOW = datetime.now(UTC).replace(microsecond=0)
PAGE = "https://example.com/shop/products/it"
SITE = Site(
    name="Acme",
    catalog_url="https://example.com/shop/",
    feed_url="https://example.com/shop/feed.atom",
    texts=Texts("en"),
)


def shop_of(
    *prices: dict[str, Any],
    link: dict[str, Any] | None = None,
    **fields: Any,
) -> Catalog:
    """A catalogue of one product with these prices; a link sells it, unless that is None."""
    id_ = "11111111-1111-4111-8111-111111111111"
    some = [
        {"id": f"p{number}", "price_currency": "usd", **price}
        for number, price in enumerate(prices)
    ]
    product = msgspec.convert(
        {"id": id_, "name": "It", "created_at": NOW, "prices": some, **fields}, Product
    )
    links = {}
    if link is not None:
        url = "https://buy.polar.sh/polar_cl_x"
        sold = msgspec.convert({"id": "l", "url": url, "products": [product], **link}, CheckoutLink)
        links = {"l": encode_link(sold)}
    snapshot = Snapshot.of({id_: encode_product(product)}, links, read_at=NOW)
    return Catalog(snapshot, Texts("en"), image_hosts=())


def described(product: CatalogProduct, site: Site = SITE) -> dict[str, Any]:
    """What the product's page says in its data, which is what schema.org and Google know."""
    data = json.loads(product_metadata(product, PAGE, site).data)
    validate(data)
    first: dict[str, Any] = data["@graph"][0]
    return first


def offers_of(catalog: Catalog) -> Any:
    """The offers of the only product, without what all have in common."""
    offers = described(catalog.listed[0]).get("offers", [])
    for offer in offers if isinstance(offers, list) else [offers]:
        assert offer.pop("url") == PAGE
        assert offer.pop("seller") == {"@type": "Organization", "name": "Acme"}
    return json.loads(json.dumps(offers).replace("https://schema.org/", ""))


def unit(price: str | None, **more: Any) -> dict[str, Any]:
    """A price specification."""
    given = {} if price is None else {"price": price}
    return {"@type": "UnitPriceSpecification", **given, "priceCurrency": "USD", **more}


def every(count: int, code: str, **more: Any) -> dict[str, Any]:
    """What a price specification says of a period."""
    quantity = {"@type": "QuantitativeValue", "value": count, "unitCode": code}
    return {
        "referenceQuantity": quantity,
        "billingIncrement": count,
        "unitCode": code,
        "priceComponentType": "Subscription",
        **more,
    }


def each(noun: str) -> dict[str, Any]:
    """One of something."""
    return {"@type": "QuantitativeValue", "value": 1, "unitText": noun}


def parts(*components: dict[str, Any]) -> dict[str, Any]:
    """A price that has parts."""
    return {
        "@type": "CompoundPriceSpecification",
        "priceCurrency": "USD",
        "priceComponent": list(components),
    }


FIXED = {"amount_type": "fixed", "price_amount": 2900}
SEATS = {
    "amount_type": "seat_based",
    "seat_tiers": {
        "tiers": [
            {"min_seats": 2, "max_seats": 10, "price_per_seat": 1000},
            {"min_seats": 11, "price_per_seat": 800},
        ]
    },
}
UNITS = {
    "amount_type": "unit_based",
    "unit_label": {"en": "gigabyte"},
    "tiers": {"tiers": [{"unit_amount": "2500.000000000000"}]},
}
METERED = {"amount_type": "metered_unit", "unit_amount": "0.25000", "meter": {"name": "API calls"}}
MONTHLY = {"recurring_interval": "month", "is_recurring": True}
USAGE = unit("0.0025", referenceQuantity=each("API calls"), billingIncrement=1, unitCode="MON")


def sold(price: str | None = None, specification: Any = None, **more: Any) -> dict[str, Any]:
    """An offer in dollars that can be bought."""
    offer = {"@type": "Offer", "priceCurrency": "USD", "availability": "InStock", **more}
    if price is not None:
        offer["price"] = price
    if specification is not None:
        offer["priceSpecification"] = specification
    return offer


@pytest.mark.parametrize(
    ("prices", "fields", "expected"),
    [
        pytest.param([FIXED], {}, sold("29.00"), id="once"),
        pytest.param([{"amount_type": "free"}], {}, sold("0.00"), id="free"),
        pytest.param(
            [FIXED], MONTHLY, sold("29.00", unit("29.00", **every(1, "MON"))), id="monthly"
        ),
        pytest.param(
            [{"amount_type": "fixed", "price_amount": 0}],
            {"recurring_interval": "year"},
            sold("0.00", unit("0.00", **every(1, "ANN"))),
            id="free every year",
        ),
        pytest.param(
            [FIXED],
            {"recurring_interval": "week", "recurring_interval_count": 3},
            sold("29.00", unit("29.00", **every(3, "WEE"))),
            id="every 3 weeks",
        ),
        pytest.param(
            [FIXED],
            {**MONTHLY, "trial_interval": "day", "trial_interval_count": 14},
            sold(
                "29.00",
                parts(unit("0.00", billingDuration="P14D"), unit("29.00", **every(1, "MON"))),
            ),
            id="trial",
        ),
        pytest.param(
            [
                {
                    "amount_type": "custom",
                    "minimum_amount": 500,
                    "maximum_amount": 50000,
                    "preset_amount": 1500,
                }
            ],
            {},
            sold("15.00", unit("15.00", minPrice="5.00", maxPrice="500.00")),
            id="what you want",
        ),
        pytest.param(
            [{"amount_type": "custom", "minimum_amount": 0}],
            {},
            sold("0.00", unit("0.00", minPrice="0.00")),
            id="what you want, or nothing",
        ),
        pytest.param(
            [{"amount_type": "custom"}], {}, sold(None, unit(None)), id="what you want, unbounded"
        ),
        pytest.param(
            [SEATS],
            MONTHLY,
            {
                **sold(),
                "@type": "AggregateOffer",
                "lowPrice": "8.00",
                "highPrice": "10.00",
                "offerCount": 2,
                "offers": [
                    sold(
                        price,
                        unit(price, **every(1, "MON", referenceQuantity=each("seat"))),
                        eligibleQuantity={
                            "@type": "QuantitativeValue",
                            **bounds,
                            "unitText": "seat",
                        },
                    )
                    for price, bounds in (
                        ("10.00", {"minValue": 2, "maxValue": 10}),
                        ("8.00", {"minValue": 11}),
                    )
                ],
            },
            id="seats",
        ),
        pytest.param(
            [
                {
                    "amount_type": "unit_based",
                    "tiers": {
                        "type": "graduated",
                        "tiers": [{"unit_amount": "100", "bound": 5}, {"unit_amount": "50"}],
                    },
                }
            ],
            {},
            sold(
                "1.00",
                [
                    unit(
                        price,
                        referenceQuantity=each("unit"),
                        eligibleQuantity={
                            "@type": "QuantitativeValue",
                            **bounds,
                            "unitText": "unit",
                        },
                    )
                    for price, bounds in (
                        ("1.00", {"minValue": 1, "maxValue": 5}),
                        ("0.50", {"minValue": 6}),
                    )
                ],
            ),
            id="units, each at its range's price",
        ),
        pytest.param(
            [
                {**FIXED, "recurring_interval": "month"},
                {**FIXED, "recurring_interval": "year", "price_amount": 29000},
            ],
            {},
            {
                **sold(),
                "@type": "AggregateOffer",
                "lowPrice": "29.00",
                "highPrice": "290.00",
                "offerCount": 2,
                "offers": [
                    sold("29.00", unit("29.00", **every(1, "MON"))),
                    sold("290.00", unit("290.00", **every(1, "ANN"))),
                ],
            },
            id="monthly or yearly",
        ),
        pytest.param(
            [UNITS],
            {},
            sold("25.00", unit("25.00", referenceQuantity=each("gigabyte"))),
            id="units",
        ),
        pytest.param([METERED], MONTHLY, sold(None, USAGE), id="use"),
        pytest.param(
            [FIXED, METERED],
            MONTHLY,
            sold("29.00", parts(unit("29.00", **every(1, "MON")), USAGE)),
            id="monthly and use",
        ),
        pytest.param(
            [FIXED, {**FIXED, "price_currency": "jpy"}, {**FIXED, "price_currency": "KWD"}],
            {},
            [
                sold("29.00"),
                {**sold("2900"), "priceCurrency": "JPY"},
                {**sold("2.900"), "priceCurrency": "KWD"},
            ],
            id="several currencies",
        ),
        pytest.param([{**FIXED, "is_archived": True}], {}, [], id="an archived price"),
        pytest.param([{"amount_type": "barter"}], {}, [], id="an unknown price"),
        pytest.param([{**FIXED, "price_currency": "</s>"}], {}, [], id="no currency"),
        pytest.param([{**METERED, "unit_amount": "1e999999"}], {}, [], id="no amount"),
    ],
)
def test_each_kind_of_price_is_an_offer(
    prices: list[dict[str, Any]], fields: dict[str, Any], expected: Any
) -> None:
    """Each price is told exactly, in schema.org's words and as Google reads them."""
    assert offers_of(shop_of(*prices, link={}, **fields)) == expected


def discount(**fields: Any) -> dict[str, Any]:
    """A link with a discount that runs for ten more days."""
    ends_at = NOW + timedelta(days=10)
    return {"discount": {"id": "d", "type": "percentage", "ends_at": ends_at, **fields}}


UNTIL = (NOW + timedelta(days=10)).date().isoformat()


@pytest.mark.parametrize(
    ("given", "fields", "expected"),
    [
        pytest.param(
            discount(basis_points=2000),
            {},
            sold(
                "23.20",
                [unit("23.20"), unit("29.00", priceType="StrikethroughPrice")],
                priceValidUntil=UNTIL,
            ),
            id="once",
        ),
        pytest.param(
            discount(basis_points=2000, duration="forever"),
            MONTHLY,
            sold(
                "23.20",
                [
                    unit("23.20", **every(1, "MON")),
                    unit("29.00", **every(1, "MON"), priceType="StrikethroughPrice"),
                ],
                priceValidUntil=UNTIL,
            ),
            id="each payment",
        ),
        pytest.param(
            discount(basis_points=2000, duration="repeating", duration_in_months=3),
            MONTHLY,
            sold(
                "29.00",
                parts(
                    unit("23.20", **every(1, "MON"), billingDuration="P3M"),
                    unit("29.00", **every(1, "MON")),
                ),
            ),
            id="three months",
        ),
        pytest.param(
            discount(type="fixed", amounts={"usd": 900}, duration="once"),
            {"recurring_interval": "year"},
            sold(
                "29.00",
                parts(
                    unit("20.00", **every(1, "ANN"), billingDuration="P1Y"),
                    unit("29.00", **every(1, "ANN")),
                ),
            ),
            id="first payment",
        ),
        pytest.param(discount(basis_points=333), {}, sold("29.00"), id="to be rounded"),
        pytest.param(discount(type="fixed", amounts={"eur": 900}), {}, sold("29.00"), id="euros"),
        pytest.param(
            discount(basis_points=2000, ends_at=NOW - timedelta(days=1)),
            {},
            sold("29.00"),
            id="over",
        ),
        pytest.param(
            {"trial_interval": "week", "trial_interval_count": 2},
            {**MONTHLY, "trial_interval": "day", "trial_interval_count": 3},
            sold(
                "29.00",
                parts(unit("0.00", billingDuration="P2W"), unit("29.00", **every(1, "MON"))),
            ),
            id="a trial of the link's own",
        ),
    ],
)
def test_an_offer_is_what_the_button_sells(
    given: dict[str, Any], fields: dict[str, Any], expected: Any
) -> None:
    """The discount and the trial of the link behind the button are in the price, while they run."""
    assert offers_of(shop_of(FIXED, link=given, **fields)) == expected


@pytest.mark.parametrize("fields", [{}, MONTHLY])
@pytest.mark.parametrize("duration", ["once", "repeating", "forever"])
def test_previews_and_data_tell_the_same_price(fields: dict[str, Any], duration: str) -> None:
    """Whatever a discount is for, both say one price."""
    link = discount(basis_points=2000, duration=duration, duration_in_months=3)
    [product] = shop_of(FIXED, link=link, **fields).listed
    told = described(product)["offers"]["price"]
    assert product_metadata(product, PAGE, SITE).price == (told, "USD")
    assert told == ("29.00" if fields and duration != "forever" else "23.20")


def test_what_no_link_sells_is_out_of_stock() -> None:
    """A product that can't be bought says so, and tells its price all the same."""
    assert offers_of(shop_of(FIXED)) == {**sold("29.00"), "availability": "OutOfStock"}


def test_a_product_says_no_more_than_it_knows() -> None:
    """Without a name of the shop there is no brand and no seller; metadata stays the merchant's."""
    catalog = shop_of(FIXED, link={}, metadata={"secret": "internal-7"})
    unnamed = Site(None, SITE.catalog_url, SITE.feed_url, SITE.texts)
    data = described(catalog.listed[0], unnamed)
    assert data == {
        "@type": "Product",
        "@id": f"{PAGE}#product",
        "name": "It",
        "url": PAGE,
        "sku": "11111111-1111-4111-8111-111111111111",
        "offers": {
            "@type": "Offer",
            "priceCurrency": "USD",
            "availability": "https://schema.org/InStock",
            "url": PAGE,
            "price": "29.00",
        },
    }


def test_pictures_and_words_are_told() -> None:
    """Every picture with a usable address, the first words, and where in the shop one is."""
    medias = [
        {"public_url": "https://files.example.com/a.png"},
        {"public_url": "javascript:alert(1)"},
        {"public_url": "https://files.example.com/b.png"},
    ]
    catalog = shop_of(FIXED, medias=medias, description="Learn **fast**.\n\nThen more.")
    meta = product_metadata(catalog.listed[0], PAGE, SITE)
    product, crumbs = json.loads(meta.data)["@graph"]
    assert product["image"] == [f"https://files.example.com/{name}.png" for name in "ab"]
    assert product["description"] == meta.description == "Learn fast."
    assert product["brand"] == {"@type": "Brand", "name": "Acme"}
    assert [(step["name"], step["item"]) for step in crumbs["itemListElement"]] == [
        ("Acme", SITE.catalog_url),
        ("It", PAGE),
    ]


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>&quot;\"'\\",
    "a\u2028b\u2029c",
    "\x00\x08\x1f\ufffe",
    "{{7*7}}{%x%}",
    "ü\U0001f600",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_data_cannot_end_its_script(text: str) -> None:
    """Whatever a name holds, nothing in the data is markup, and it reads the same again."""
    written = script_data({"name": text, text: [text]})
    assert json.loads(written) == {"name": text, text: [text]}
    assert not set("<>&\u2028\u2029") & set(written)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [(2900, "usd", "29.00"), (5, "EUR", "0.05"), (2900, "jpy", "2900"), (2900, "bhd", "2.900")],
)
def test_amounts_have_their_currencys_decimals(amount: int, currency: str, expected: str) -> None:
    """Machines read an amount with as many decimals as its currency has."""
    assert exact_amount(amount, currency) == expected


def test_a_page_of_search_results_says_nothing() -> None:
    """What somebody searched has no address of its own, and no data."""
    product = shop_of(FIXED, link={}).listed[0]
    meta = catalog_metadata([(product, PAGE)], None, 1, SITE)
    assert (meta.url, meta.data) == (None, "")
