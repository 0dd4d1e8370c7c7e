"""Cards for other sites: one for everybody, in nobody's name, and made to be framed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask, Response, session
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from storefront import ConfigurationError, Storefront, Visitor
from storefront.colours import read_colour, text_on
from storefront.embeds import Look, read_look
from storefront.emulator import LocalPolar
from storefront.links import UTM_NAMES
from storefront.settings import Settings
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.demo_processes import free_port
from tests.test_fast_lane import Lane
from tests.test_pages import PUBLIC
from tests.test_prepared import is_prepared, lasting_headers, own_layout

CARD = "/shop/embed/pro-monthly"


def policy(response: TestResponse) -> dict[str, str]:
    """The directives of a response's Content Security Policy."""
    parts = response.headers["Content-Security-Policy"].split("; ")
    return {name: sources for name, _, sources in (part.partition(" ") for part in parts)}


def link_of(html: str) -> str:
    """Where the card's button leads."""
    found = re.search(r'<a class="button" href="([^"]*)"', html)
    assert found
    return found[1].replace("&amp;", "&")


def test_a_card(site: Flask) -> None:
    """It has name, price and button, and both its links lead the whole window."""
    response = site.test_client().get(CARD)
    assert response.status_code == 200
    html = response.text
    assert "Pro Monthly</a></h1>" in html
    assert "$19.00 per month" in html
    assert link_of(html).startswith("http")
    assert html.count("<a ") == html.count('target="_top"') == 2
    assert "style=" not in html
    assert "<style" not in html
    assert re.findall(r"<script[^>]*>([^<]*)</script>", html) == [""]


@pytest.mark.parametrize("reference", ["pro-monthly", "Pro%20plans", "by id"])
def test_what_has_a_card(site: Flask, reference: str) -> None:
    """A product has one by slug and id, and a link by its label."""
    with site.test_request_context():
        products = {product.slug: product for product in get_state().catalog.current()}
    address = reference if reference != "by id" else products["pro-monthly"].id
    response = site.test_client().get(f"/shop/embed/{address}")
    assert response.status_code == 200
    assert "Pro " in response.text


def test_what_has_none(site: Flask) -> None:
    """Private, archived, draft and unknown things get one small card that says so."""
    with site.test_request_context():
        catalog = get_state().catalog.current()
        assert not catalog.find("private-product").product.listed
    client = site.test_client()
    bodies = set()
    for name in ("private-product", "old-product", "draft-product", "nope", "../x", "%3Cb%3E"):
        response = client.get(f"/shop/embed/{name}")
        assert response.status_code == 404, name
        assert policy(response)["frame-ancestors"] == "*"
        assert response.headers["Cache-Control"] == "no-store"
        bodies.add(response.text)
    assert len(bodies) == 1
    assert "This product is not available." in bodies.pop()


def test_a_product_that_nobody_sells(site: Flask) -> None:
    """Its card says so, in each layout, and has no button."""
    client = site.test_client()
    for layout in ("card", "row", "button"):
        response = client.get(f"/shop/embed/usage-plan?layout={layout}")
        assert response.status_code == 200
        assert 'class="button"' not in response.text
        assert ("can&#39;t be bought" in response.text) is (layout != "button")


def test_polar_out_of_reach(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A shop that has never read its catalogue shows a card that says so, in the frame."""
    app = make_site(
        reference_polar,
        POLAR_SERVER=f"http://127.0.0.1:{free_port()}",
        STOREFRONT_PAGE_TIMEOUT_SECONDS=0.2,
    )
    response = app.test_client().get(CARD)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert policy(response)["frame-ancestors"] == "*"
    assert "can&#39;t be reached" in response.text


# --- its look ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "look"),
    [
        ({}, Look()),
        ({"theme": "dark", "layout": "row", "accent": "#1F4ED8"}, Look("dark", "1f4ed8", "row")),
        (
            {"theme": "light", "layout": "button", "accent": "0a9"},
            Look("light", "00aa99", "button"),
        ),
        ({"theme": "auto", "layout": "card"}, Look()),
        ({"theme": "Dark", "layout": "list", "accent": "red"}, Look()),
        ({"accent": "1f4ed8;}body{"}, Look()),
        ({"accent": "1f4ed8\n"}, Look()),
        ({"accent": "##123"}, Look()),
        ({"accent": "\u0661\u0662\u0663"}, Look()),
    ],
)
def test_looks(query: dict[str, str], look: Look) -> None:
    """What is one of the choices counts, and all else is as if nothing had been said."""
    assert read_look(query) == look
    assert read_look(dict(part.split("=") for part in look.query.split("&") if part)) == look


@given(st.text(max_size=12) | st.from_regex(r"\A#?[0-9a-fA-F]{3,6}\Z"))
def test_colours(text: str) -> None:
    """A colour is six hexadecimal digits, or none; what is written on it has a contrast of 4.5."""
    colour = read_colour(text)
    if colour is None:
        return
    assert re.fullmatch("[0-9a-f]{6}", colour)

    def luminance(digits: str) -> float:
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(colour), luminance(text_on(colour))))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_colour_is_a_stylesheet(site: Flask) -> None:
    """A card with an accent links to a stylesheet of that colour, which is kept for good."""
    client = site.test_client()
    html = client.get(f"{CARD}?accent=%23FFD400").text
    address = re.findall(r'<link rel="stylesheet" href="([^"]*)"', html)[1]
    sheet = client.get(address)
    assert sheet.mimetype == "text/css"
    assert sheet.text == ":root{--accent:#ffd400;--on-accent:#000000}\n"
    assert "immutable" in sheet.headers["Cache-Control"]
    assert client.get("/shop/embed-accent/red.css").status_code == 404
    assert client.get("/shop/embed-accent/FFD400.css").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "x=<script>",
        'theme="><script>alert(1)</script>',
        "accent=red;background:url(//evil.example)",
        "layout=../../x",
        "url=https://evil.example&next=https://evil.example&image=https://evil.example",
        "customer_email=a@example.com&discount_code=FREE&amount=1&reference_id=x",
    ],
)
def test_a_query_can_do_nothing_else(site: Flask, query: str) -> None:
    """Whatever else a query says, the card is the plain one, byte for byte."""
    client = site.test_client()
    plain = client.get(CARD)
    other = client.get(CARD, query_string=query)
    assert other.data == plain.data
    assert lasting_headers(other) == lasting_headers(plain)


def test_the_campaign_is_taken_along(site: Flask) -> None:
    """``utm_…`` of the card's address goes into its button, and into nothing else of the card."""
    client = site.test_client()
    html = client.get(f"{CARD}?utm_source=blog&utm_term=a%20%22b").text
    assert link_of(html).endswith("?utm_source=blog&utm_term=a%20%22b")
    assert html.count("utm_source") == 2
    assert 'data-here="/shop/buy/pro-monthly?utm_source=blog&amp;utm_term=a%20%22b"' in html


def test_buttons_by_the_shops_own_address(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """With ``STOREFRONT_BUTTONS=redirect`` the card leads by ``/buy`` as all buttons do."""
    app = make_site(reference_polar, STOREFRONT_BUTTONS="redirect")
    html = app.test_client().get(f"{CARD}?utm_source=blog").text
    assert link_of(html) == "/shop/buy/pro-monthly?utm_source=blog"


# --- for everybody -------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["auto", "always", "never"])
def test_nobody_is_asked_who_it_is(
    reference_polar: LocalPolar, make_site: SiteMaker, choice: str
) -> None:
    """A card is the same for who is signed in; the function that tells is not even called."""
    shop = Storefront()
    asked: list[str] = []

    @shop.visitor
    def signed_in() -> Visitor:
        asked.append("card")
        return Visitor(email="jane@example.com", reference_id="r1")

    app = make_site(reference_polar, shop=shop, STOREFRONT_PREPARED_PAGES=choice)
    client = app.test_client(use_cookies=False)
    for query in ("", "?utm_source=blog", "?layout=row", ""):
        response = client.get(CARD + query, headers={"Cookie": "session=x"})
        assert "jane" not in response.text
        assert "r1" not in link_of(response.text)
        assert response.headers["Cache-Control"] == PUBLIC
        assert "Cookie" not in response.headers.get("Vary", "")
    assert asked == []
    assert "jane" in client.get("/shop/products/pro-monthly").text


@pytest.mark.parametrize("choice", ["auto", "never"])
def test_no_cookie_is_ever_set(
    reference_polar: LocalPolar, make_site: SiteMaker, choice: str
) -> None:
    """Not even one of the site's own that it renews with each request."""
    app = make_site(reference_polar, SECRET_KEY="k", STOREFRONT_PREPARED_PAGES=choice)

    @app.before_request
    def renew() -> None:
        session["seen"] = True
        session.permanent = True

    @app.after_request
    def plant(response: Response) -> Response:
        response.set_cookie("tracking", "1")
        return response

    client = app.test_client(use_cookies=False)
    for path in (
        CARD,
        f"{CARD}?utm_source=x",
        "/shop/embed/nope",
        "/shop/embed-accent/ffd400.css",
        "/shop/oembed?url=http://localhost/shop/products/pro-monthly",
    ):
        response = client.get(path)
        assert "Set-Cookie" not in response.headers, path
    assert "tracking" in client.get("/shop/").headers["Set-Cookie"]


@pytest.mark.parametrize("layout", ["", "?layout=row&theme=dark&accent=ffd400"])
def test_caching(site: Flask, layout: str) -> None:
    """Anybody may keep a card; who has it is told so by ETag and by date."""
    client = site.test_client()
    response = client.get(CARD + layout)
    assert response.headers["Cache-Control"] == PUBLIC
    assert response.headers["X-Robots-Tag"] == "noindex"
    for header in (
        {"If-None-Match": response.headers["ETag"]},
        {"If-Modified-Since": response.headers["Last-Modified"]},
    ):
        again = client.get(CARD + layout, headers=header)
        assert again.status_code == 304
        assert again.data == b""
        assert policy(again) == policy(response)
    packed = client.get(CARD + layout, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert client.head(CARD + layout).data == b""


# --- who may frame it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "ancestors"),
    [
        (None, "*"),
        ("*", "*"),
        ("https://blog.example.com", "'self' https://blog.example.com"),
        (
            ["https://*.example.com", "HTTP://localhost:8080/"],
            "'self' https://*.example.com http://localhost:8080",
        ),
        ("https://a.example, https://b.example:*", "'self' https://a.example https://b.example:*"),
    ],
)
def test_who_may_frame_a_card(
    reference_polar: LocalPolar, make_site: SiteMaker, setting: Any, ancestors: str
) -> None:
    """The policy says so, and is the card's own whatever the one of the pages is."""
    for own in (True, False, "default-src 'self'"):
        app = make_site(
            reference_polar,
            STOREFRONT_EMBED_ANCESTORS=setting,
            STOREFRONT_CONTENT_SECURITY_POLICY=own,
        )
        response = app.test_client().get(CARD)
        said = policy(response)
        assert said["frame-ancestors"] == ancestors
        assert said["default-src"] == "'none'"
        assert said["script-src"] == said["style-src"] == "'self'"
        assert said["img-src"].startswith("'self'")
        assert "X-Frame-Options" not in response.headers
        page = app.test_client().get("/shop/")
        assert "'self' https" not in page.headers.get("Content-Security-Policy", "")


def test_a_shop_without_cards(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """With ``none`` there is no card, no oEmbed and no code, and no page speaks of any."""
    app = make_site(reference_polar, STOREFRONT_EMBED_ANCESTORS="none")
    client = app.test_client()
    for path in (
        CARD,
        "/shop/oembed?url=http://localhost/shop/products/pro-monthly",
        "/shop/embed-code/pro-monthly",
    ):
        assert client.get(path).status_code == 404
    assert "oembed" not in client.get("/shop/products/pro-monthly").text


@pytest.mark.parametrize(
    "value",
    [
        *("blog.example.com", "https://", "https://a.example/path", "ftp://a.example", "'self'"),
        *("https://a.example; script-src *", "https://a.example\r\nX: y", "* https://a.example"),
        *(["https://a.example", "none"], [], 5, "https://a*.example", "https://a.example:99999999"),
    ],
)
def test_wrong_ancestors(value: Any) -> None:
    """What is no origin stops the site at its start."""
    config = {"POLAR_SERVER": "local", "STOREFRONT_EMBED_ANCESTORS": value}
    with pytest.raises(ConfigurationError, match="STOREFRONT_EMBED_ANCESTORS"):
        Settings.from_mapping(config, {})


# --- kept ready ----------------------------------------------------------------------------------


def test_cards_are_prepared(site: Flask) -> None:
    """Each look is rendered once, in whatever order its query is written; junk makes no other."""
    client = site.test_client()
    for query in ("", "?layout=row", "?accent=ffd400&layout=row&theme=dark", "?utm_source=x"):
        assert is_prepared(site, client, CARD + query), query
    shelf = get_state(site).prepared["shelf"]
    assert len(shelf.others) == 3
    for query in (
        "?theme=dark&layout=row&accent=FFD400",
        "?theme=dark&x=1&accent=%23fd4&accent=ffd400&layout=row",
        "?theme=no&layout=card&accent=zz&y=2",
        *(f"?junk={number}" for number in range(50)),
    ):
        client.get(CARD + query)
    assert len(shelf.others) == 4
    assert len(shelf.pages) == 0


def test_prepared_is_rendered(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A card that was kept ready is the rendered one, byte for byte."""
    ready, rendered = (
        make_site(reference_polar, STOREFRONT_PREPARED_PAGES=choice).test_client()
        for choice in ("always", "never")
    )
    campaign = urlencode({"utm_source": 'a"<b>&c', "utm_medium": "ü", "utm_x": "y"})
    for name in ("pro-monthly", "ebook-fast-apis", "Pro plans", "usage-plan"):
        for query in ("", "layout=row", "layout=button&theme=dark", f"accent=123&{campaign}"):
            path = f"/shop/embed/{name}?{query}"
            for _ in range(2):
                assert ready.get(path).data == rendered.get(path).data


def test_a_layout_of_the_sites_own_changes_no_card(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """Cards are not made with it: they are kept for everybody, also for those with a cookie."""
    own_layout(tmp_path)
    app = make_site(reference_polar)
    client = app.test_client(use_cookies=False)
    cookie = {"headers": {"Cookie": "a=b"}}
    assert is_prepared(app, client, CARD, **cookie)
    assert not is_prepared(app, client, "/shop/", **cookie)


def test_a_card_of_the_sites_own(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """A template in place of ours is used, and given only to requests like everybody's."""
    own_layout(tmp_path)
    own = tmp_path / "templates" / "storefront" / "embed.html"
    own.write_text("{{ product.name }}: {{ storefront.button(reference).url }}")
    app = make_site(reference_polar)
    client = app.test_client(use_cookies=False)
    assert client.get(CARD).text.startswith("Pro Monthly: http")
    assert is_prepared(app, client, CARD)
    assert not is_prepared(app, client, CARD, headers={"Cookie": "a=b"})
    assert "utm_source=x" in client.get(f"{CARD}?utm_source=x").text


def test_a_card_that_reads_the_session(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """A template of the site's that does so makes it private."""
    own_layout(tmp_path)
    own = tmp_path / "templates" / "storefront" / "embed.html"
    own.write_text("{{ session.get('name') }}")
    app = make_site(reference_polar, SECRET_KEY="k")
    assert app.test_client().get(CARD).headers["Cache-Control"] == "private, no-store"


def test_the_fast_lane(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """It answers cards, their 304s and their looks, but no campaign and no junk."""
    shop = Storefront()
    shop.visitor(lambda: Visitor(email="jane@example.com"))
    lane = Lane(make_site(reference_polar, shop=shop), shop)
    for query in ("", "?accent=ffd400&layout=row&theme=dark"):
        first = lane.get(CARD + query)
        assert lane.is_answered(CARD + query)
        assert lane.get(CARD + query).data == first.data
        assert lasting_headers(lane.get(CARD + query)) == lasting_headers(first)
        assert lane.is_answered(CARD + query, headers={"If-None-Match": first.headers["ETag"]})
    for query in ("?utm_source=x", "?junk=1", "?theme=dark&layout=row"):
        lane.get(CARD + query)
        assert not lane.is_answered(CARD + query)
    lane.get("/shop/embed/nope")
    assert not lane.is_answered("/shop/embed/nope")


# --- the code to paste ---------------------------------------------------------------------------


@pytest.fixture
def code(site: Flask) -> str:
    """The page with the code, for a look and a campaign."""
    query = {"theme": "dark", "accent": "#ffd400", "layout": "row", "utm_source": '"<i>&b'}
    response = site.test_client().get("/shop/embed-code/pro-monthly", query_string=query)
    assert response.status_code == 200
    assert response.headers["X-Robots-Tag"] == "noindex"
    assert policy(response)["frame-src"] == "'self'"
    return response.text


def test_the_page_with_the_code(code: str) -> None:
    """Each kind of code stands there as text, with look and campaign, and the frame is shown."""
    card = (
        "http://localhost/shop/embed/pro-monthly?accent=ffd400&amp;layout=row&amp;theme=dark"
        "&amp;utm_source=%22%3Ci%3E%26b"
    )
    assert f'<iframe src="{card}" width="480" height="144" title="Pro Monthly"' in code
    assert f"&lt;iframe src=&#34;{card.replace('&', '&amp;')}&#34;" in code
    for kind in ("iframe", "element", "link", "email", "markdown", "qr"):
        assert f'<code id="storefront-{kind}"' in code
    assert "style=" not in code.replace("style=&#34;", "")
    assert "<i>" not in code
    assert 'value="#ffd400"' in code
    assert '<option value="dark" selected>' in code


def test_code_for_a_campaign_that_is_too_long(
    site: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """An address that anybody may write takes no page down, and is no mistake of the site's."""
    query = dict.fromkeys(UTM_NAMES, "\N{GRINNING FACE}" * 500) | {"utm_term": "short"}
    response = site.test_client().get("/shop/embed-code/pro-monthly", query_string=query)
    assert response.status_code == 200
    link = re.search(r'id="storefront-link"[^>]*>&lt;a href=&#34;(.*?)&#34;', response.text)
    assert link
    assert "utm_term=short" in link[1]
    assert len(link[1]) < 8100
    assert not caplog.records


def test_code_for_what_there_is(site: Flask) -> None:
    """Of what can't be bought there are the cards alone, and of what is not listed nothing."""
    client = site.test_client()
    unsold = client.get("/shop/embed-code/usage-plan").text
    assert re.findall(r'<code id="storefront-(\w+)"', unsold) == ["iframe", "element"]
    for name in ("private-product", "nope"):
        assert client.get(f"/shop/embed-code/{name}").status_code == 404


def test_the_code_names_nobody(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Who is signed in while the code is copied does not go into it."""
    shop = Storefront()
    shop.visitor(lambda: Visitor(email="jane@example.com", discount_code="FREE"))
    client = make_site(reference_polar, shop=shop).test_client()
    html = client.get("/shop/embed-code/pro-monthly").text
    assert "jane" not in html
    assert "FREE" not in html
