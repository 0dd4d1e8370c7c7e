"""oEmbed: what another site learns of a product's address, by the letter of the specification."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from storefront import Storefront, Visitor
from storefront.emulator import LocalPolar
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.test_fast_lane import Lane
from tests.test_prepared import own_layout

PAGE = "http://localhost/shop/products/pro-monthly"

#: What the specification knows: sections 2.3.4 and 2.3.4.4, and the types of the values.
TEXTS = {
    *("type", "version", "title", "author_name", "author_url", "provider_name", "provider_url"),
    *("thumbnail_url", "html"),
}
NUMBERS = {"cache_age", "thumbnail_width", "thumbnail_height", "width", "height"}
REQUIRED = {"type", "version", "html", "width", "height"}


def ask(client: FlaskClient, url: str | None = PAGE, **parameters: Any) -> TestResponse:
    """A consumer's request."""
    query = {**({"url": url} if url is not None else {}), **parameters}
    return client.get(f"/shop/oembed?{urlencode(query)}")


def frame_of(html: str) -> dict[str, str]:
    """The attributes of the one element that the HTML may have."""
    found: list[tuple[str, dict[str, str]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, {name: value or "" for name, value in attrs}))

        def handle_data(self, data: str) -> None:
            raise AssertionError(f"text beside the frame: {data!r}")

    reader = Reader()
    reader.feed(html)
    reader.close()
    assert [tag for tag, _ in found] == ["iframe"]
    return found[0][1]


def validate(document: dict[str, Any]) -> dict[str, str]:
    """Hold a document to the specification; gives its frame."""
    assert document.keys() <= TEXTS | NUMBERS
    assert document.keys() >= REQUIRED
    assert all(isinstance(document[name], str) for name in TEXTS & document.keys())
    assert all(type(document[name]) is int for name in NUMBERS & document.keys())
    assert document["type"] == "rich"
    assert document["version"] == "1.0"
    thumbnail = {name for name in document if name.startswith("thumbnail_")}
    assert len(thumbnail) in (0, 3), "a thumbnail has an address, a width and a height"
    for name in ("author_url", "provider_url", "thumbnail_url"):
        assert urlsplit(document.get(name, "http://x")).scheme in ("http", "https")
    frame = frame_of(document["html"])
    assert frame["width"] == str(document["width"])
    assert frame["height"] == str(document["height"])
    return frame


def test_json(site: Flask) -> None:
    """All that is required stands there, and the frame shows a card that is there."""
    client = site.test_client()
    response = ask(client)
    assert response.mimetype == "application/json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Cache-Control"].startswith("public, max-age=60")
    document = response.get_json()
    frame = validate(document)
    assert document["title"] == frame["title"] == "Pro Monthly"
    assert document["provider_url"] == "http://localhost/shop/"
    assert document["cache_age"] == 60
    assert frame["src"] == "http://localhost/shop/embed/pro-monthly"
    assert client.get(frame["src"]).status_code == 200
    again = client.get(response.request.url, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert again.headers["Access-Control-Allow-Origin"] == "*"


def test_xml(site: Flask) -> None:
    """The other format says the same."""
    client = site.test_client()
    response = ask(client, format="xml")
    assert response.headers["Content-Type"] == "text/xml; charset=utf-8"
    root = ElementTree.fromstring(response.data)  # noqa: S314  our own
    assert root.tag == "oembed"
    document = {field.tag: field.text or "" for field in root}
    expected = ask(client, format="json").get_json()
    assert document == {name: str(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("limits", "layout", "size"),
    [
        ({}, "card", (320, 372)),
        ({"maxwidth": 1000, "maxheight": 1000}, "card", (320, 372)),
        ({"maxwidth": 250}, "card", (250, 372)),
        ({"maxheight": 300}, "card", (320, 300)),
        ({"maxheight": 200}, "row", (480, 144)),
        ({"maxwidth": 300, "maxheight": 200}, "row", (300, 144)),
        ({"maxwidth": 120}, "button", (120, 60)),
        ({"maxheight": 40}, "button", (260, 40)),
        ({"maxwidth": "x", "maxheight": "-1"}, "card", (320, 372)),
        ({"maxwidth": "0", "maxheight": "9" * 30}, "card", (320, 372)),
    ],
)
def test_limits(site: Flask, limits: dict[str, Any], layout: str, size: tuple[int, int]) -> None:
    """The frame is never larger than asked for; where it is small, it shows less."""
    document = ask(site.test_client(), **limits).get_json()
    frame = validate(document)
    assert (document["width"], document["height"]) == size
    said = parse_qs(urlsplit(frame["src"]).query)
    assert said.get("layout", ["card"]) == [layout]


def test_a_picture(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """It is told of where there is one, and left out where somebody limits the size."""
    client = make_site(reference_polar).test_client()
    with client.application.test_request_context():
        pictured = next(p for p in get_state().catalog.current() if p.pictures and p.listed)
    page = f"http://localhost/shop/products/{pictured.slug}"
    document = ask(client, page).get_json()
    validate(document)
    assert document["thumbnail_url"] == pictured.pictures[0].url
    limited = ask(client, page, maxwidth=500).get_json()
    validate(limited)
    assert "thumbnail_url" not in limited


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/shop/products/pro-monthly",
        "http://LOCALHOST/shop/products/pro-monthly",
        "http://localhost:80/shop/products/pro-monthly",
        "https://localhost:443/shop/products/pro-monthly?x=y#buy",
        "http://localhost/shop/products/pro%2Dmonthly",
    ],
)
def test_addresses_of_a_product(site: Flask, url: str) -> None:
    """Scheme, default port, case of the host, query and fragment make no other address."""
    assert ask(site.test_client(), url).get_json()["title"] == "Pro Monthly"


def test_a_campaign_in_the_address(site: Flask) -> None:
    """What the pasted address says of its campaign is said by the card, and nothing else of it."""
    url = f"{PAGE}?utm_source=blog&theme=dark&next=//evil.example"
    document = ask(site.test_client(), url).get_json()
    assert validate(document)["src"].endswith("/embed/pro-monthly?utm_source=blog")


@pytest.mark.parametrize(
    "url",
    [
        None,
        *("", "pro-monthly", "/shop/products/pro-monthly", "//localhost/shop/products/pro-monthly"),
        "http://evil.example/shop/products/pro-monthly",
        "http://localhost.evil.example/shop/products/pro-monthly",
        "http://localhost@evil.example/shop/products/pro-monthly",
        "http://evil.example@localhost/shop/products/pro-monthly",
        "http://localhost:8080/shop/products/pro-monthly",
        "http://localhost:x/shop/products/pro-monthly",
        "http://[::1/shop/products/pro-monthly",
        "ftp://localhost/shop/products/pro-monthly",
        "javascript://localhost/shop/products/pro-monthly",
        "http://localhost/shop/products/nope",
        "http://localhost/shop/products/private-product",
        "http://localhost/shop/products/old-product",
        "http://localhost/shop/products/pro-monthly/x",
        *("http://localhost/shop/", "http://localhost/shop/buy/pro-monthly", "http://localhost/"),
        "http://localhost/other/products/pro-monthly",
        "http://localhost/shop/products/%00%ff",
    ],
)
def test_other_addresses(site: Flask, url: str | None) -> None:
    """What is not the page of a listed product of this shop is not found, and not looked up."""
    response = ask(site.test_client(), url)
    assert response.status_code == 404
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("written", ["yaml", "JSON", "", "json,xml", "<b>"])
def test_other_formats(site: Flask, written: str) -> None:
    """A format that there is not is answered with 501, as the specification wants it."""
    response = ask(site.test_client(), format=written)
    assert response.status_code == 501
    assert "<b>" not in response.text


def test_a_name_full_of_markup(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A hostile name stays text in the frame, in JSON, and in XML, which can't hold all of it."""
    product = next(p for p in reference_polar.store.products.values() if p["name"] == "Pro Monthly")
    product["name"] = "\"><script>alert('&amp;')</script>]]>\u2028\x0b\x1b\ufffe<!--"
    product["metadata"] = {"slug": "hostile"}
    client = make_site(reference_polar).test_client()
    page = "http://localhost/shop/products/hostile"
    document = ask(client, page).get_json()
    assert validate(document)["title"] == document["title"]
    assert "<script>" in document["title"]
    root = ElementTree.fromstring(ask(client, page, format="xml").data)  # noqa: S314  our own
    title = root.findtext("title")
    assert title == re.sub("[\x0b\x1b\ufffe]", "", document["title"])


def test_discovery(site: Flask) -> None:
    """A product's page says where to ask, in full; what is there is about that page."""
    client = site.test_client()
    links = re.findall(
        r'<link rel="alternate" type="([^"]*)\+oembed" title="([^"]*)" href="([^"]*)">',
        client.get("/shop/products/pro-monthly").text,
    )
    assert [(kind, title) for kind, title, _ in links] == [
        ("application/json", "Pro Monthly"),
        ("text/xml", "Pro Monthly"),
    ]
    for kind, _, address in links:
        assert address.startswith("http://localhost/shop/oembed?")
        answer = client.get(address.replace("&amp;", "&"))
        assert answer.status_code == 200
        assert answer.mimetype == kind
        assert b"Pro Monthly" in answer.data
    assert "oembed" not in client.get("/shop/").text


def test_behind_a_proxy(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Addresses are those that the visitors see, with the prefix of a mount point."""
    app = make_site(reference_polar)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_proto=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {
        "X-Forwarded-Host": "shop.example.com",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/app",
    }
    client = app.test_client()
    page = client.get("/shop/products/pro-monthly", headers=headers).text
    found = re.search(r'href="(https://shop\.example\.com/app/shop/oembed\?[^"]*json)"', page)
    assert found
    query = urlsplit(found[1].replace("&amp;", "&")).query
    document = client.get(f"/shop/oembed?{query}", headers=headers).get_json()
    assert validate(document)["src"] == "https://shop.example.com/app/shop/embed/pro-monthly"
    assert ask(client).status_code == 200
    assert client.get(f"/shop/oembed?{query}").status_code == 404


def test_a_site_on_subdomains(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The shop on a subdomain answers for that, and not for the site's other addresses."""
    shop = Storefront()
    app = make_site(reference_polar, shop=shop, pages=False, SERVER_NAME="example.com")
    app.subdomain_matching = True
    app.url_map.default_subdomain = ""
    app.register_blueprint(shop.blueprint, subdomain="shop")
    client = app.test_client()

    def get(url: str) -> int:
        query = urlencode({"url": url})
        return client.get(f"/oembed?{query}", base_url="http://shop.example.com").status_code

    assert get("http://shop.example.com/products/pro-monthly") == 200
    assert get("http://example.com/products/pro-monthly") == 404


def test_a_former_address(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A page that has moved is still known by the address that somebody pasted long ago."""
    app = make_site(reference_polar)
    client = app.test_client()
    assert ask(client).status_code == 200
    product = next(p for p in reference_polar.store.products.values() if p["name"] == "Pro Monthly")
    product["metadata"] = {**product.get("metadata", {}), "slug": "pro"}
    with app.test_request_context():
        get_state().catalog.sync()
    document = ask(client).get_json()
    assert validate(document)["src"].endswith("/shop/embed/pro")


def test_preflight(site: Flask) -> None:
    """A browser that asks first may read it."""
    response = site.test_client().options("/shop/oembed", headers={"Origin": "https://a.example"})
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("choice", ["auto", "never"])
def test_it_is_the_same_for_everybody(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path, choice: str
) -> None:
    """Nobody is asked who it is, whatever layout the site has."""
    own_layout(tmp_path)
    shop = Storefront()
    shop.visitor(lambda: Visitor(email="jane@example.com"))
    app = make_site(reference_polar, shop=shop, STOREFRONT_PREPARED_PAGES=choice)
    client = app.test_client(use_cookies=False)
    plain = ask(client)
    query = urlencode({"url": PAGE})
    known = client.get(f"/shop/oembed?{query}", headers={"Cookie": "session=x"})
    assert known.data == plain.data
    assert b"jane" not in plain.data
    assert "Cookie" not in plain.headers.get("Vary", "")


def test_the_fast_lane_leaves_it(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Each of its answers belongs to a query, and goes through Flask."""
    shop = Storefront()
    lane = Lane(make_site(reference_polar, shop=shop), shop)
    path = f"/shop/oembed?{urlencode({'url': PAGE})}"
    lane.get(path)
    assert not lane.is_answered(path)
