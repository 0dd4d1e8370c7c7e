"""The catalogue and product pages, over the reference store."""

from __future__ import annotations

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, flash, session
from jinja2 import BaseLoader, Environment, Template

from storefront import Storefront, Visitor
from storefront.emulator import LocalPolar
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.test_prepared import own_layout

PUBLIC = "public, max-age=60, stale-while-revalidate=300, stale-if-error=86400"


def text_of(html: str) -> str:
    """What a reader sees of a page, in one line."""
    main = html[html.index("<main") : html.index("</main>")]
    return " ".join(re.sub(r"<[^>]*>", " ", main).split())


def test_catalogue_lists_what_is_for_sale(site: Flask) -> None:
    """Every public product has a card with its price; the others have none."""
    response = site.test_client().get("/shop/")
    assert response.status_code == 200
    text = text_of(response.text)
    for words in (
        "Ebook: Fast APIs",
        "Pro Yearly $190.00 per year 14 days free, then $190.00 per year",
        "Free Starter Free",
        "From $8.00 per seat, per month",
        "$5.00 per month + usage",
        "$8.00 every 3 weeks",
    ):
        assert words in text
    for name in ("Draft Product", "Private Product", "Old Product", "Soon archived"):
        assert name not in text


@pytest.mark.parametrize(
    ("settings", "name"),
    [({}, "Shop"), ({"STOREFRONT_SHOP_NAME": "Bücher & mehr"}, "Bücher &amp; mehr")],
)
def test_the_catalogue_goes_by_the_shops_name(
    reference_polar: LocalPolar, make_site: SiteMaker, settings: dict[str, str], name: str
) -> None:
    """Its heading and its title are what the merchant calls the shop, where that is known."""
    client = make_site(reference_polar, **settings).test_client()
    for address in ("/shop/", "/shop/?kind=subscription"):
        html = client.get(address).text
        assert f"<title>{name}</title>" in html
        assert f"<h1>{name}</h1>" in html


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        (
            "ebook-fast-apis",
            [
                "$29.00 Buy Now",
                "What you get Private Discord invite Desktop license key",
                "Other ways to buy $5.00 off: $24.00 instead of $29.00 Buy Now",
                "A markdown description with a link .",
            ],
        ),
        (
            "pro-yearly",
            ["$190.00 per year", "14 days free, then", "Choose one:", "Buy Pro Monthly"],
        ),
        ("support-us", ["Pay what you want", "From $5.00 · Up to $500.00 · Suggested: $15.00"]),
        ("team-seats", ["per seat, per month", "At least 2 seats", "11+ $8.00", "Seats: 5 Buy"]),
        ("multi-currency-course", ["$50.00", "Also in €45.00, £40.00"]),
        ("usage-plan", ["$5.00 per month", "+ $0.0025 per unit of “API calls”", "can't be bought"]),
        ("legacy-free-amount-type", ["Free", "can't be bought"]),
    ],
)
def test_product_pages_tell_the_terms(site: Flask, slug: str, words: list[str]) -> None:
    """Each product's page says its price, trial, benefits and ways to buy."""
    response = site.test_client().get(f"/shop/products/{slug}")
    assert response.status_code == 200
    text = text_of(response.text).replace("&#39;", "'")
    for expected in words:
        assert expected in text


def test_pages_that_are_not_there(site: Flask) -> None:
    """Archived, draft, private and unknown products have no page: a 404 in the shop's layout."""
    client = site.test_client()
    for slug in ("old-product", "draft-product", "private-product", "nope", "../x"):
        response = client.get(f"/shop/products/{slug}")
        assert response.status_code == 404, slug
    assert "Back to the shop" in client.get("/shop/products/nope").text


def test_former_addresses_redirect(reference_polar: LocalPolar, site: Flask) -> None:
    """A renamed product's old address, and its id, lead to its page with a 301."""
    client = site.test_client()
    client.get("/shop/")
    ebook = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
    reference_polar.store.products[ebook]["name"] = "Ebook: Faster APIs"
    get_state(site).catalog.sync()
    for old in ("ebook-fast-apis", ebook, ebook.upper()):
        response = client.get(f"/shop/products/{old}")
        assert response.status_code == 301
        assert response.headers["Location"] == "/shop/products/ebook-faster-apis"


def test_anonymous_pages_are_cacheable(site: Flask) -> None:
    """An anonymous page has an ETag, may be kept, and is answered 304 when unchanged."""
    client = site.test_client()
    for path in ("/shop/", "/shop/products/pro-monthly", "/shop/products/pro-monthly?utm_source=x"):
        first = client.get(path)
        assert first.headers["Cache-Control"] == PUBLIC
        assert "Set-Cookie" not in first.headers
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        assert again.data == b""


def test_a_visitors_page_is_kept_by_nobody(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """A page with a visitor's data is private and no-store; another visitor's has none of it."""
    shop = Storefront()
    who: list[Visitor | None] = [Visitor(email="jane@example.com", name="Jane Doe")]
    shop.visitor(lambda: who[0])
    client = make_site(reference_polar, shop=shop).test_client()
    signed_in = client.get("/shop/products/pro-monthly")
    assert signed_in.headers["Cache-Control"] == "private, no-store"
    assert "ETag" not in signed_in.headers
    assert "customer_email=jane%40example.com" in signed_in.text
    assert "customer_name=Jane" in signed_in.text
    who[0] = None
    anonymous = client.get("/shop/products/pro-monthly")
    assert "jane" not in anonymous.text.lower()
    assert anonymous.headers["Cache-Control"] == PUBLIC
    assert "Cookie" in anonymous.headers["Vary"]


def test_a_host_that_reads_its_session_is_not_cached(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """When the host's layout shows what is in the session, the page is private."""
    own_layout(
        tmp_path,
        "<main>{% for m in get_flashed_messages() %}{{ m }}{% endfor %}"
        "{% block storefront_main %}{% endblock %}</main>",
    )
    app = make_site(reference_polar, SECRET_KEY="x")

    @app.get("/flash")
    def flash_something() -> str:
        session["user"] = "jane"
        flash("Hello Jane")
        return ""

    client = app.test_client()
    client.get("/flash")
    response = client.get("/shop/")
    assert "Hello Jane" in response.text
    assert response.headers["Cache-Control"] == "private, no-store"


def test_a_page_with_a_given_email_is_private(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """A button in the host's layout that names an email makes the page private, too."""
    own_layout(
        tmp_path,
        '{% from "storefront/macros.html" import buy_link %}'
        '{{ buy_link("pro-monthly", email="jane@example.com") }}'
        "{% block storefront_main %}{% endblock %}",
    )
    response = make_site(reference_polar).test_client().get("/shop/")
    assert "jane%40example.com" in response.text
    assert response.headers["Cache-Control"] == "private, no-store"


def test_utm_of_the_page_passes_on(site: Flask) -> None:
    """The UTM parameters of a page's own address go into its buttons, and nothing else does."""
    response = site.test_client().get(
        "/shop/products/ebook-fast-apis?utm_source=a%26b&utm_campaign=x%20y&customer_email=e@x.org"
    )
    links = re.findall(r'href="([^"]*/redirect[^"]*)"', response.text)
    assert links
    for link in links:
        assert link.endswith("/redirect?utm_source=a%26b&amp;utm_campaign=x%20y")


def test_policy_forbids_all_but_our_own(site: Flask) -> None:
    """Our pages send a strict Content-Security-Policy, and hold no inline script or style."""
    response = site.test_client().get("/shop/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http://127.0.0.1:9000" in policy
    # What is said to machines is data, and nothing that runs.
    html = response.text.replace('<script type="application/ld+json">', "")
    for words in ("<script", "<style", " style=", " onclick"):
        assert words not in html


@pytest.mark.parametrize(
    ("setting", "header"), [(False, None), ("default-src 'self'", "default-src 'self'")]
)
def test_policy_by_setting(
    reference_polar: LocalPolar, make_site: SiteMaker, setting: bool | str, header: str | None
) -> None:
    """A site may send a policy of its own, or none."""
    app = make_site(reference_polar, STOREFRONT_CONTENT_SECURITY_POLICY=setting)
    response = app.test_client().get("/shop/")
    assert response.headers.get("Content-Security-Policy") == header


def test_cold_without_polar(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Never read and unreachable: a 503 that says when to come back, in the shop's layout."""
    reference_polar.stop()
    response = make_site(reference_polar).test_client().get("/shop/")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "short break" in response.text


class _Counted(BaseLoader):
    """Notes what is compiled."""

    def __init__(self, loader: BaseLoader) -> None:
        self._loader = loader
        self.names: list[str] = []

    def load(self, environment: Environment, name: str, *more: Any, **others: Any) -> Template:
        self.names.append(name)
        return self._loader.load(environment, name, *more, **others)


def test_many_first_visitors_compile_a_page_once(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """A new process that is asked by many at once does not make each of them wait for all."""
    reference_polar.stop()
    app = make_site(reference_polar)
    assert app.jinja_env.loader is not None
    app.jinja_env.loader = counted = _Counted(app.jinja_env.loader)
    together = threading.Barrier(12)

    def visit(_: int) -> int:
        together.wait()
        return app.test_client().get("/shop/").status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(visit, range(12))) == {503}
    assert Counter(counted.names).most_common(1)[0][1] == 1


def test_hosts_own_error_pages(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A host's handler for 404 also styles ours."""
    app = make_site(reference_polar)
    app.register_error_handler(404, lambda error: ("the host's own page", 404))
    assert app.test_client().get("/shop/products/nope").text == "the host's own page"


def test_a_description_cannot_run_scripts(reference_polar: LocalPolar, site: Flask) -> None:
    """Names, descriptions and benefits are shown as text whatever they hold."""
    ebook = reference_polar.store.products["4d9da0c8-624a-4ab4-b70c-408c28772d94"]
    attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    ebook["name"] = attack
    ebook["description"] = attack + " [x](javascript:alert(1))"
    reference_polar.store.benefits["a9335290-80d7-446f-bbae-a3861212afb6"]["description"] = attack
    get_state(site).catalog.sync()
    slug = next(p.slug for p in get_state(site).catalog.current() if p.name == attack)
    for path in ("/shop/", f"/shop/products/{slug}"):
        html = site.test_client().get(path).text
        assert "<script" not in html.replace('<script type="application/ld+json">', "", 1)
        assert "onerror=alert(1)>" not in html.replace("&gt;", "")
        assert 'href="javascript:' not in html


@pytest.mark.parametrize("prefix", ["/shop", "/a/b", None])
def test_any_prefix(reference_polar: LocalPolar, make_site: SiteMaker, prefix: str | None) -> None:
    """The pages live under any prefix, and their links with them."""
    client = make_site(reference_polar, url_prefix=prefix).test_client()
    page = client.get(f"{prefix or ''}/")
    assert f'href="{prefix or ""}/products/pro-monthly"' in page.text
    style = re.search(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    assert style is not None
    with client.get(style[1]) as stylesheet:
        assert stylesheet.status_code == 200


def test_subdomain(reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path) -> None:
    """The pages live on a subdomain, and buttons elsewhere find them."""
    shop = Storefront()
    app = make_site(reference_polar, shop=shop, pages=False, SERVER_NAME="example.test")
    app.subdomain_matching = True
    app.url_map.host_matching = False
    app.register_blueprint(shop.blueprint, subdomain="shop")
    response = app.test_client().get("/", base_url="http://shop.example.test")
    assert response.status_code == 200


def test_under_another_name(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The blueprint may be registered under another name."""
    shop = Storefront()
    app = make_site(reference_polar, shop=shop, pages=False)
    app.register_blueprint(shop.blueprint, url_prefix="/store", name="boutique")
    assert 'href="/store/products/pro-monthly"' in app.test_client().get("/store/").text


def add_products(polar: LocalPolar, count: int) -> None:
    """Have that many further products for sale."""
    store = polar.store
    template = next(each for each in store.products.values() if each["name"] == "Pro Monthly")
    for number in range(count):
        id_ = f"00000000-0000-4000-8000-{number:012d}"
        store.products[id_] = {**template, "id": id_, "name": f"Numbered {number}"}


def links_of(html: str, rel: str) -> list[str]:
    """The addresses of the links with that relation."""
    return [
        re.sub(r'.*href="([^"]*)".*', r"\1", link)
        for link in re.findall(r"<a [^>]*>", html)
        if f'rel="{rel}"' in link
    ]


def test_a_small_shop_has_one_page(site: Flask) -> None:
    """Where everything is on one page, nothing is said of pages."""
    page = site.test_client().get("/shop/").text
    assert "storefront-paging" not in page
    assert page.count("<article") <= 24


def test_a_large_shop_has_several(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Going on from the first page, one sees every product once, 24 a page."""
    add_products(reference_polar, 60)
    app = make_site(reference_polar)
    client = app.test_client()
    seen: list[str] = []
    address, addresses = "/shop/", []
    while address:
        addresses.append(address)
        html = client.get(address).text
        cards = re.findall(r'<article.*?href="(/shop/products/[^"]+)"', html, re.DOTALL)
        assert len(cards) == 24 or not links_of(html, "next")
        seen += cards
        back = links_of(html, "prev")
        assert back == addresses[-2:-1]
        address = next(iter(links_of(html, "next")), "")
    assert addresses[:2] == ["/shop/", "/shop/?page=2"]
    assert len(seen) == len(set(seen)) == len(get_state(app).catalog.current())
    assert f"Page 2 of {len(addresses)}" in client.get("/shop/?page=2").text


def test_pages_that_the_shop_has_not(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A number out of range is a 404; the first page has one address only."""
    add_products(reference_polar, 30)
    client = make_site(reference_polar).test_client()
    for number in ("0", "-1", "99", "x", "", "1.5", "9" * 5000, "%D9%A2", "2%00"):
        response = client.get(f"/shop/?page={number}")
        assert response.status_code == 404, number
        assert "This page is not here" in response.text
    for query, kept in (
        ("page=1", ""),
        ("page=01&x=y", ""),
        ("utm_source=a%26b&page=1&utm_term=%0d%0aX:y", "?utm_source=a%26b&utm_term=X%3Ay"),
    ):
        response = client.get(f"/shop/?{query}")
        assert response.status_code == 301
        assert response.headers["Location"] == f"/shop/{kept}"


def test_a_campaign_on_the_second_page(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """UTM parameters go into the buttons of every page, wherever they stand in the query."""
    add_products(reference_polar, 30)
    client = make_site(reference_polar).test_client()
    plain = client.get("/shop/?page=2").text
    for query in ("page=2&utm_source=x", "utm_source=x&page=2", "p%61ge=2&utm_source=x"):
        html = client.get(f"/shop/?{query}").text
        assert "/redirect?utm_source=x" in html
        html = html.replace('<input type="hidden" name="utm_source" value="x">', "")
        assert re.sub(r"(\?|&amp;)utm_source=x", "", html) == plain


@pytest.mark.parametrize("choice", ["always", "never"])
def test_a_campaign_stays_from_page_to_page(
    reference_polar: LocalPolar, make_site: SiteMaker, choice: str
) -> None:
    """The form and the links to other pages take it along, and nothing else of a visitor."""
    add_products(reference_polar, 60)
    shop = Storefront()
    who: list[Visitor | None] = [None]
    shop.visitor(lambda: who[0])
    app = make_site(reference_polar, shop=shop, STOREFRONT_PREPARED_PAGES=choice)
    client = app.test_client()
    campaign = {"utm_source": 'a&b "<i>"', "utm_term": "ü +"}
    for visitor in (None, Visitor(email="jane@example.com", discount_code="FREE"), None):
        who[0] = visitor
        for page in ({}, {"page": "2"}):
            plain = client.get("/shop/", query_string=page).text
            assert "utm_" not in plain
            html = client.get("/shop/", query_string={**page, **campaign, "x": "y"}).text
            fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html)
            assert {name: unescape(value) for name, value in fields} == campaign
            around = [*links_of(html, "prev"), *links_of(html, "next")]
            for address, other in zip(around, [1, 3] if page else [2], strict=True):
                query = parse_qs(urlsplit(unescape(address)).query)
                expected = {name: [value] for name, value in campaign.items()}
                assert query == ({"page": [str(other)], **expected} if other > 1 else expected)
                again = client.get(unescape(address))
                assert (again.status_code, "utm_source=a%26b" in again.text) == (200, True)
