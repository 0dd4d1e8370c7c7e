"""What the heads of the pages tell machines, over HTTP: the pure functions are in test_metadata."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from lxml import html as lxml_html
from werkzeug.middleware.proxy_fix import ProxyFix

from storefront.emulator import LocalPolar
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.schema_org import nodes, validate
from tests.test_metadata import HOSTILE
from tests.test_pages import add_products
from tests.test_prepared import own_layout


def head_of(app: Flask, path: str, **more: Any) -> dict[str, Any]:
    """The head of a page: its links by relation, its metas by name, and its data, validated."""
    page = app.test_client().get(path, **more)
    assert page.status_code == 200
    head = lxml_html.fromstring(page.get_data()).find("head")
    metas = head.xpath("meta[@name or @property]")
    data = [json.loads(each.text) for each in head.xpath("script[@type='application/ld+json']")]
    for each in data:
        validate(each)
    return {
        **{each.get("type") or each.get("rel"): each.get("href") for each in head.xpath("link")},
        **{each.get("name") or each.get("property"): each.get("content") for each in metas},
        "data": data,
    }


def test_every_product_page_has_valid_data(site: Flask) -> None:
    """Each product of the reference store tells what it is, and its one address."""
    for product in get_state(site).catalog.current():
        path = f"/shop/products/{product.slug}"
        head = head_of(site, f"{path}?utm_source=x&utm_campaign=y&q=z")
        assert head["canonical"] == head["og:url"] == f"http://localhost{path}"
        assert head["og:type"] == "product"
        assert head["og:title"] == product.name
        assert head["description"]
        assert "robots" not in head
        assert head["twitter:card"] == ("summary_large_image" if product.pictures else "summary")
        [data] = head["data"]
        assert data["@graph"][0]["name"] == product.name


def test_previews_tell_the_price_and_the_picture(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Where there is one price and a picture, a preview can show both."""
    app = make_site(
        reference_polar, STOREFRONT_SHOP_NAME="Bücher & mehr", STOREFRONT_LOCALE="de_AT"
    )
    head = head_of(app, "/shop/products/ebook-fast-apis")
    assert head["product:price:amount"] == "29.00"
    assert head["product:price:currency"] == "USD"
    assert head["og:image"].endswith("/cover.png")
    assert head["og:site_name"] == "Bücher & mehr"
    assert head["og:locale"] == "de_AT"
    assert "product:price:amount" not in head_of(app, "/shop/products/support-us")


def test_pages_of_the_catalogue_have_their_own_addresses(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Each page is canonical to itself and lists its products; what is searched is not listed."""
    add_products(reference_polar, 30)
    app = make_site(reference_polar)
    first, second = head_of(app, "/shop/"), head_of(app, "/shop/?page=2&utm_source=x")
    assert first["canonical"] == "http://localhost/shop/"
    assert second["canonical"] == "http://localhost/shop/?page=2"
    assert [item["position"] for item in first["data"][0]["itemListElement"]] == [*range(1, 25)]
    assert second["data"][0]["itemListElement"][0]["position"] == 25
    for found in ("/shop/?q=pro", "/shop/?kind=subscription", "/shop/?q=numbered&page=2"):
        head = head_of(app, found)
        assert head["robots"] == "noindex, follow"
        assert "canonical" not in head
        assert head["data"] == []


def test_only_what_is_listed_is_told(site: Flask) -> None:
    """No data of any page names a product that has no page."""
    for path in (
        "/shop/",
        *(f"/shop/products/{p.slug}" for p in get_state(site).catalog.current()),
    ):
        said = json.dumps(head_of(site, path))
        for name in ("Private Product", "Draft Product", "Old Product"):
            assert name not in said


@pytest.mark.parametrize(
    ("prefix", "headers", "expected"),
    [
        (None, {}, "http://localhost/"),
        ("/a/b", {"Host": "shop.example:8443"}, "http://shop.example:8443/a/b/"),
        (
            "/shop",
            {
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "example.com",
                "X-Forwarded-Prefix": "/site",
            },
            "https://example.com/site/shop/",
        ),
    ],
)
def test_addresses_are_those_that_visitors_use(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    prefix: str | None,
    headers: dict[str, str],
    expected: str,
) -> None:
    """Absolute addresses have the scheme, host and prefix that a proxy tells of, each its own."""
    app = make_site(reference_polar, url_prefix=prefix)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    path = f"{prefix or ''}/products/ebook-fast-apis"
    # Another host's page, which was asked for before, is not this one's.
    other = head_of(app, path, headers={"Host": "other.example"})
    assert other["canonical"] == f"http://other.example{path}"
    head = head_of(app, path, headers=headers)
    assert head["canonical"] == f"{expected}products/ebook-fast-apis"
    assert head["application/atom+xml"] == f"{expected}feed.atom"
    for node in nodes(head["data"]):
        for name in ("url", "item"):
            assert node.get(name, expected).startswith(expected)


def test_a_subdomain_is_part_of_the_address(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """A shop on a subdomain tells addresses there."""
    from storefront import Storefront

    shop = Storefront()
    app = make_site(reference_polar, shop=shop, pages=False, SERVER_NAME="example.com")
    app.subdomain_matching = True
    app.register_blueprint(shop.blueprint, subdomain="buy")
    head = head_of(app, "/", base_url="http://buy.example.com")
    assert head["canonical"] == "http://buy.example.com/"


def test_hostile_words_stay_words(reference_polar: LocalPolar, site: Flask) -> None:
    """Names and descriptions with markup in them add nothing to the head, and come out whole."""
    ebook = reference_polar.store.products["4d9da0c8-624a-4ab4-b70c-408c28772d94"]
    for text in HOSTILE:
        if "\x00" in text:
            continue  # a parser of HTML replaces what HTML can't have
        ebook["name"] = f"Ebook {text}"
        ebook["description"] = text
        get_state(site).catalog.sync()
        product = next(p for p in get_state(site).catalog.current() if p.id == ebook["id"])
        head = head_of(site, f"/shop/products/{product.slug}")
        assert head["og:title"] == product.name
        [data] = head["data"]
        assert data["@graph"][0]["name"] == product.name
        page = site.test_client().get(f"/shop/products/{product.slug}").text
        assert len(re.findall("<script", page)) == len(re.findall("</script>", page))
        assert "alert(1)<" not in page


def test_a_layout_of_the_sites_own_keeps_the_metadata(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """A site's frame gets the metadata with the block for the head."""
    own_layout(
        tmp_path,
        "<html><head>{% block storefront_head %}{% endblock %}</head>"
        "<body>{% block storefront_main %}{% endblock %}</body></html>",
    )
    head = head_of(make_site(reference_polar), "/shop/products/pro-monthly")
    assert head["canonical"] == "http://localhost/shop/products/pro-monthly"
