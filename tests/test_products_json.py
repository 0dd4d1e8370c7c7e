"""The products as JSON, for other sites and their scripts."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import requests
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from storefront import Storefront, Visitor
from storefront.emulator import LocalPolar
from storefront.state import get_state
from tests.browser.staging import serving
from tests.conftest import SiteMaker
from tests.demo_processes import free_port
from tests.test_pages import PUBLIC, add_products

EBOOK = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
READABLE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Storefront-Catalog-Age",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def get(site: Flask, path: str, **options: Any) -> TestResponse:
    """What the shop answers below its prefix."""
    return site.test_client().get(f"/shop/{path}", **options)


def told(response: TestResponse) -> Any:
    """What an answer says as JSON."""
    assert response.content_type == "application/json"
    return json.loads(response.data)


def product(site: Flask, reference: str) -> dict[str, Any]:
    """A product's document."""
    response = get(site, f"products/{reference}.json")
    assert response.status_code == 200, response.text
    document: dict[str, Any] = told(response)
    return document


def test_a_product(reference_polar: LocalPolar, site: Flask) -> None:
    """Everything that the contract promises of a product, and nothing else."""
    document = product(site, "ebook-fast-apis")
    description = document.pop("description_html")
    assert description.startswith("<h2>Fast APIs</h2>\n<p>A <strong>markdown</strong> description")
    assert document.pop("buy_url").startswith(f"{reference_polar.url}/v1/checkout-links/polar_cl_")
    assert document == {
        "version": 1,
        "id": EBOOK,
        "slug": "ebook-fast-apis",
        "name": "Ebook: Fast APIs",
        "summary": "A markdown description with a link.",
        "language": "en",
        "direction": "ltr",
        "url": "http://localhost/shop/products/ebook-fast-apis",
        "available": True,
        "label": "Buy Now",
        "price": {
            "headline": "$29.00",
            "kind": "fixed",
            "amount": 2900,
            "decimal": "29.00",
            "currency": "USD",
            "interval": None,
            "interval_count": None,
        },
        "prices": [
            {
                "text": "$29.00",
                "kind": "fixed",
                "amount": 2900,
                "decimal": "29.00",
                "currency": "USD",
                "interval": None,
                "interval_count": None,
                "notes": [],
                "tiers": [],
            }
        ],
        "trial": None,
        "discount": None,
        "images": document["images"],
        "updated_at": document["updated_at"],
    }
    assert document["updated_at"].endswith("Z")


@pytest.mark.parametrize(
    ("slug", "price"),
    [
        ("free-starter", ("Free", "free", 0, "0.00", "USD", None, None)),
        ("every-3-weeks", ("$8.00 every 3 weeks", "fixed", 800, "8.00", "USD", "week", 3)),
        ("support-us", ("Pay what you want", "custom", None, None, "USD", None, None)),
        ("team-seats", ("From $8.00 per seat, per month", "seat", None, None, "USD", "month", 1)),
        ("usage-plan", ("$5.00 per month + usage", "fixed", 500, "5.00", "USD", "month", 1)),
    ],
)
def test_prices_of_every_kind(site: Flask, slug: str, price: tuple[object, ...]) -> None:
    """An amount is there where it is the same for every buyer; a headline always."""
    names = ("headline", "kind", "amount", "decimal", "currency", "interval", "interval_count")
    assert product(site, slug)["price"] == dict(zip(names, price, strict=True))


def test_currencies(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Each price says its own currency; minor units are those of the currency."""
    course = next(
        each
        for each in reference_polar.store.products.values()
        if each["name"] == "Multi Currency Course"
    )
    course["prices"][1]["price_currency"] = "jpy"
    course["prices"][2]["price_currency"] = "kwd"
    prices = product(make_site(reference_polar), "multi-currency-course")["prices"]
    assert [(p["currency"], p["amount"], p["decimal"]) for p in prices] == [
        ("USD", 5000, "50.00"),
        ("JPY", 4500, "4500"),
        ("KWD", 4000, "4.000"),
    ]


def test_a_price_in_tiers(site: Flask) -> None:
    """What depends on the quantity is told in words."""
    (price,) = product(site, "team-seats")["prices"]
    assert price["notes"] == ["At least 2 seats"]
    assert price["tiers"][-1] == {"quantity": "11+", "text": "$8.00"}


def test_a_product_that_is_not_sold(site: Flask) -> None:
    """Without a link there is nowhere to buy, and the words say so."""
    document = product(site, "usage-plan")
    assert document["available"] is False
    assert document["buy_url"] is None
    assert document["label"] == "This can't be bought online yet."


def test_a_link_by_its_name(site: Flask) -> None:
    """A link's id or label gives the product, and that way of buying it."""
    links = get_state(site).catalog.current().links
    off = next(link for link in links.values() if link.discount and link.products[0].id == EBOOK)
    document = product(site, off.id)
    assert document["slug"] == "ebook-fast-apis"
    assert document["discount"] == "$5.00 off: $24.00 instead of $29.00"
    assert document["buy_url"] == off.url
    assert product(site, "ebook-fast-apis")["buy_url"] != off.url
    plans = product(site, "Pro plans")
    assert plans["buy_url"].endswith(f"?product_id={plans['id']}")
    for name in (EBOOK, EBOOK.upper()):
        assert product(site, name) == product(site, "ebook-fast-apis")


def test_a_former_slug(reference_polar: LocalPolar, site: Flask) -> None:
    """A page that was written before a product was renamed goes on showing it."""
    get(site, "products.json")
    reference_polar.store.products[EBOOK]["name"] = "Fast APIs, second edition"
    get_state(site).catalog.sync()
    document = product(site, "ebook-fast-apis")
    assert document["slug"] == "fast-apis-second-edition"
    assert document["url"].endswith("/shop/products/fast-apis-second-edition")


@pytest.mark.parametrize(
    "reference", ["nope", "private-product", "old-product", "draft-product", "x/y", "..", "%00"]
)
def test_what_is_not_listed(site: Flask, reference: str) -> None:
    """Private and archived products are unknown here; that is said as JSON, and kept by nobody."""
    response = get(site, f"products/{reference}.json")
    assert response.status_code == 404
    assert told(response)["error"] == "not_found"
    assert response.headers["Cache-Control"] == "no-store"
    assert READABLE.items() <= dict(response.headers).items()


def test_a_private_product_by_its_link(site: Flask) -> None:
    """A link to what is not listed is no way to find it."""
    links = get_state(site).catalog.current().links.values()
    private = next(link for link in links if link.products[0].name == "Private Product")
    assert get(site, f"products/{private.id}.json").status_code == 404


def test_the_list(site: Flask) -> None:
    """All that is listed, in the order of the shop, without the descriptions."""
    document = told(get(site, "products.json"))
    listed = get_state(site).catalog.current().listed
    assert [each["slug"] for each in document["products"]] == [each.slug for each in listed]
    single = product(site, "ebook-fast-apis")
    del single["version"], single["description_html"]
    assert single in document["products"]
    del document["products"]
    paging = {"page": 1, "pages": 1, "next": None, "previous": None}
    assert document == {"version": 1, "total": len(listed), **paging}


def test_a_large_shop_page_by_page(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Following ``next`` gives every product once; no document has more than 24."""
    add_products(reference_polar, 50)
    site = make_site(reference_polar)
    total = len(get_state(site).catalog.current().listed)
    found: list[str] = []
    url: str | None = "http://localhost/shop/products.json"
    previous = None
    while url is not None:
        document = told(site.test_client().get(url))
        assert len(document["products"]) <= 24
        assert document["previous"] == previous
        found += (each["id"] for each in document["products"])
        previous, url = url, document["next"]
    assert len(found) == len(set(found)) == total == document["total"]
    assert document["page"] == document["pages"] == 3
    assert get(site, "products.json?page=1").data == get(site, "products.json").data
    for number in ("0", "4", "-1", "x", "1e1", "9999999999", "٣", ""):
        response = get(site, "products.json", query_string={"page": number})
        assert response.status_code == 404, number
        assert told(response)["message"] == "There is no such page. The pages are 1 to 3."


def test_caching(site: Flask) -> None:
    """Any cache may keep it; who has it already is told so, in each encoding."""
    for path in ("products.json", "products/ebook-fast-apis.json", "embed.js"):
        first = get(site, path)
        assert first.headers["Cache-Control"] == PUBLIC
        assert first.headers["X-Content-Type-Options"] == "nosniff"
        assert READABLE.items() <= dict(first.headers).items()
        assert "Cookie" not in first.headers.get("Vary", "")
        again = get(site, path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        assert READABLE.items() <= dict(again.headers).items()
        packed = get(site, path, headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(packed.data) == first.data
        assert packed.headers["ETag"] != first.headers["ETag"]
        head = site.test_client().head(f"/shop/{path}")
        assert head.headers["ETag"] == first.headers["ETag"]
        assert head.data == b""


def test_a_change_is_another_document(reference_polar: LocalPolar, site: Flask) -> None:
    """A price that changes changes what is told, and its ETag."""
    before = get(site, "products/ebook-fast-apis.json")
    reference_polar.store.products[EBOOK]["prices"][0]["price_amount"] = 3100
    get_state(site).catalog.sync()
    headers = {"If-None-Match": before.headers["ETag"]}
    after = get(site, "products/ebook-fast-apis.json", headers=headers)
    assert after.status_code == 200
    assert told(after)["price"]["headline"] == "$31.00"


@pytest.mark.parametrize("path", ["products.json", "products/nope.json", "embed.js", "qr/x.svg"])
def test_a_browser_that_asks_first(site: Flask, path: str) -> None:
    """A preflight is told that anybody may read, and nobody as somebody."""
    asked = {
        "Origin": "https://blog.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "if-none-match, x-own",
    }
    response = site.test_client().options(f"/shop/{path}", headers=asked)
    assert response.status_code == 204
    assert dict(response.headers) == READABLE | {
        "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
        "Access-Control-Allow-Headers": "*",
        "Access-Control-Max-Age": "86400",
        "Allow": "GET, HEAD, OPTIONS",
    }
    assert site.test_client().post(f"/shop/{path}").status_code == 405


def test_nothing_of_a_visitor(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Who is signed in, a session and a campaign in the address change not a byte."""
    shop = Storefront()

    @shop.visitor
    def signed_in() -> Visitor:
        raise AssertionError("nobody is asked for")

    site = make_site(reference_polar, shop=shop, SECRET_KEY="k")

    @site.after_request
    def plant(response: Any) -> Any:
        response.set_cookie("session", "of somebody")
        return response

    client = site.test_client()
    client.set_cookie("session", "of jane")
    for path in ("products.json", "products/ebook-fast-apis.json", "embed.js"):
        plain = get(site, path)
        asked = {"utm_source": "x", "customer_email": "jane@example.com"}
        other = client.get(f"/shop/{path}", query_string=asked)
        assert other.data == plain.data
        assert b"jane" not in other.data
        assert "Set-Cookie" not in other.headers


def test_addresses_behind_a_proxy(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Every address is absolute, and as visitors see it."""
    site = make_site(reference_polar, STOREFRONT_BUTTONS="redirect")
    site.wsgi_app = ProxyFix(site.wsgi_app, x_host=1, x_proto=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {
        "X-Forwarded-Host": "shop.example.com",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/en",
    }
    document = told(get(site, "products/ebook-fast-apis.json", headers=headers))
    base = "https://shop.example.com/en/shop"
    assert document["url"] == f"{base}/products/ebook-fast-apis"
    assert document["buy_url"] == f"{base}/buy/ebook-fast-apis"
    assert product(site, "ebook-fast-apis")["url"].startswith("http://localhost/shop/")


def test_by_the_fast_lane(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """What is answered before Flask is the same, down to the headers that scripts need."""
    shop = Storefront()
    site = make_site(reference_polar, shop=shop)
    inner = site.wsgi_app
    passed: list[str] = []

    def note(environ: Any, start_response: Any) -> Any:
        passed.append(environ["REQUEST_METHOD"])
        return inner(environ, start_response)

    site.wsgi_app = shop.fast_lane(note)  # type: ignore[method-assign, assignment]
    answers = [get(site, "products.json", headers={"Origin": "https://a.example"}) for _ in "ab"]
    assert passed == ["GET"]
    assert answers[0].data == answers[1].data
    assert READABLE.items() <= dict(answers[1].headers).items()
    assert site.test_client().options("/shop/products.json").status_code == 204
    assert passed == ["GET", "OPTIONS"]


def test_no_catalogue(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """While nothing was ever read, it is 503 as JSON; the script is there all the same."""
    reference_polar.stop()
    site = make_site(reference_polar)
    for path in ("products.json", "products/x.json"):
        response = get(site, path)
        assert response.status_code == 503
        assert told(response)["error"] == "unavailable"
        assert int(response.headers["Retry-After"]) > 0
        assert READABLE.items() <= dict(response.headers).items()
    assert get(site, "qr/x.svg").status_code == 503
    assert get(site, "embed.js").status_code == 200


def test_hostile_words_stay_words(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Whatever Polar says, it is a string in JSON; the description is the sanitized one."""
    ebook = reference_polar.store.products[EBOOK]
    ebook["name"] = '</script><img src=x onerror=alert(1)> "\u2028'
    ebook["description"] = "<script>alert(1)</script>[x](javascript:alert(1)) **bold**"
    response = get(make_site(reference_polar), f"products/{EBOOK}.json")
    document = told(response)
    assert document["name"] == ebook["name"]
    assert "<script" not in document["description_html"]
    assert "href" not in document["description_html"]
    assert "<strong>bold</strong>" in document["description_html"]


def test_over_a_real_server(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """On the wire as in the tests: a body, a 304 without one, and a preflight."""
    with serving(make_site(reference_polar), free_port()) as url:
        first = requests.get(f"{url}/shop/products.json", timeout=5)
        assert first.json()["products"][0]["url"].startswith(f"{url}/shop/products/")
        headers = {"If-None-Match": first.headers["ETag"]}
        again = requests.get(f"{url}/shop/products.json", headers=headers, timeout=5)
        assert (again.status_code, again.content) == (304, b"")
        assert requests.options(f"{url}/shop/products.json", timeout=5).status_code == 204


def test_the_script_is_small(site: Flask) -> None:
    """It comes compressed with less than four kilobytes."""
    packed = get(site, "embed.js", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < 4096
