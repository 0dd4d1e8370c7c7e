"""``/buy/<reference>``: on to the checkout, filled in, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

from storefront import Storefront, Visitor
from storefront.emulator import LocalPolar
from storefront.errors import LinkError
from storefront.state import get_state
from storefront.testing import ShopPolar
from storefront.web.buy import to_checkout
from tests.conftest import SiteMaker
from tests.purchases import EMAIL, KEY

EBOOK = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
EBOOK_LINK = "polar_cl_HMagtGvqBLrS3r0QHUXTbxsVn4CflrIuT5aDa3IQbPI"
YEARLY = "3a3ea65f-f329-4e34-aac4-1a4939a4a4fa"
PLANS = "7cf4f546-f30a-4c1b-9f6b-f92a792c0463"


def buy(site: Flask, reference: str, query: str = "", **options: Any) -> TestResponse:
    """What the address answers; the reference is quoted as any link would have it."""
    path = f"/shop/buy/{quote(reference, safe='')}"
    return site.test_client().get(f"{path}?{query}" if query else path, **options)


def sent(response: TestResponse) -> dict[str, str]:
    """The query of where it leads."""
    assert response.status_code == 303, response.text
    return dict(parse_qsl(urlsplit(response.headers["Location"]).query))


@pytest.mark.parametrize(
    ("reference", "query"),
    [
        ("ebook-fast-apis", {}),
        (EBOOK, {}),
        (EBOOK.upper(), {}),
        ("Pro plans", {"product_id": "8f2b8cd2-8bc7-4b8b-8f5d-4b2a6f0c6b0e"}),
        (PLANS, {}),
        ("private-product", {}),
    ],
)
def test_every_kind_of_reference(site: Flask, reference: str, query: dict[str, str]) -> None:
    """A slug, an id, a link's id or label, and a private product lead to the button's URL."""
    with site.test_request_context("/"):
        expected = Storefront().buy_url(reference)
    assert buy(site, reference, urlencode(query)).headers["Location"] == expected


def test_what_the_query_says_goes_along(reference_polar: LocalPolar, site: Flask) -> None:
    """Polar's own names are taken from the query, and nothing else is."""
    asked = {
        "customer_email": "jane+x@example.com",
        "customer_name": "Ján Ďuriš & <b>",
        "discount_code": "LAUNCH20",
        "locale": "fr",
        "theme": "dark",
        "reference_id": "r/1",
        "custom_field_data.github-handle": "octocat",
        "custom_field_data.team_size": "s",
        "utm_source": "news letter",
        "utm_term": "a=b",
    }
    others = {"next": "https://evil.example", "url": "//evil.example", "success_url": "x", "a": "b"}
    response = buy(site, "ebook-fast-apis", urlencode({**others, **asked}))
    assert sent(response) == asked
    assert response.headers["Location"].startswith(f"{reference_polar.url}/v1/checkout-links/")


def test_a_product_among_several(site: Flask) -> None:
    """``product_id`` chooses a product of the link; one that is not on it chooses nothing."""
    assert sent(buy(site, "Pro plans", f"product_id={YEARLY}"))["product_id"] == YEARLY
    first = sent(buy(site, "Pro plans"))
    for nothing in (EBOOK, "x", "../", ""):
        assert sent(buy(site, "Pro plans", f"product_id={nothing}")) == first
    assert sent(buy(site, "ebook-fast-apis", f"product_id={YEARLY}")) == {}


def test_an_amount(site: Flask) -> None:
    """A good amount goes along; any other is left to the checkout."""
    assert sent(buy(site, "support-us", "amount=2000")) == {"amount": "2000"}
    for amount in ("20", "-5", "1e3", "x", "99999999999999999999", "2000.0", "%D9%A3", "0x10"):
        assert sent(buy(site, "support-us", f"amount={amount}")) == {}, amount
    assert sent(buy(site, "ebook-fast-apis", "amount=2900")) == {}


def test_values_that_are_no_good_are_left_out(site: Flask) -> None:
    """A value that Polar would stumble over costs the visitor nothing else."""
    bad = {
        "customer_email": "nobody",
        "customer_name": "a\0b",
        "locale": "xx",
        "theme": "pink",
        "reference_id": "a\r\nSet-Cookie: x=1",
        "custom_field_data.team_size": "zzz",
        "custom_field_data.nope": "x",
        "custom_field_data.A B": "x",
        "utm_source": "\r\n",
    }
    assert sent(buy(site, "ebook-fast-apis", urlencode({**bad, "utm_medium": "m"}))) == {
        "utm_medium": "m"
    }
    long = urlencode({"customer_name": "x" * 9000, "discount_code": "D"})
    assert sent(buy(site, "ebook-fast-apis", long)) == {"discount_code": "D"}
    assert sent(buy(site, "ebook-fast-apis", "%FF=%FF&customer_name=%FF&&=&utm_source")) == {
        "customer_name": "\ufffd"
    }


def test_the_visitor_is_not_for_an_address_to_change(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Who is signed in buys for themselves, whatever the link says that they followed."""
    shop = Storefront()
    shop.visitor(lambda: Visitor(email="jane@example.com", reference_id="id-jane", locale="??"))
    site = make_site(reference_polar, shop=shop)
    attack = {"customer_email": "eve@example.com", "reference_id": "id-eve"}
    response = buy(site, "ebook-fast-apis", urlencode({**attack, "locale": "fr"}))
    assert sent(response) == {
        "customer_email": "jane@example.com",
        "reference_id": "id-jane",
        "locale": "fr",
    }


def test_headers(site: Flask) -> None:
    """The redirect is kept by nobody, tells no address on, and is not for search engines."""
    response = buy(site, "ebook-fast-apis", "customer_email=jane@example.com")
    assert dict(response.headers) == {
        "Location": response.headers["Location"],
        "Content-Type": "text/html; charset=utf-8",
        "Content-Length": "0",
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
    head = site.test_client().head("/shop/buy/ebook-fast-apis")
    assert head.status_code == 303
    assert site.test_client().post("/shop/buy/ebook-fast-apis").status_code == 405


def test_what_proves_a_purchase_goes_first(site: Flask) -> None:
    """A reference of the caller's stands before all others; its cookies go with the redirect."""
    with site.test_request_context("/shop/buy/ebook-fast-apis"):
        state = get_state()
        found = state.catalog.current().find("ebook-fast-apis")
        response = to_checkout(
            state,
            found,
            {"reference_id": "asked", "customer_name": "Jane"},
            reference_id="proof",
            cookies=["a=1; Path=/", "b=2"],
        )
        assert response.location is not None
        assert dict(parse_qsl(urlsplit(response.location).query)) == {
            "customer_name": "Jane",
            "reference_id": "proof",
        }
        assert response.headers.getlist("Set-Cookie") == ["a=1; Path=/", "b=2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("X-Sec-Purpose", "prefetch"),
    ],
)
def test_nobody_buys_by_pointing(site: Flask, name: str, value: str) -> None:
    """What is loaded before anybody has clicked begins no checkout, and is kept by nobody."""
    response = buy(site, "ebook-fast-apis", headers={name: value})
    assert response.status_code == 503
    assert "Location" not in response.headers
    assert "Set-Cookie" not in response.headers
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.mimetype == "text/plain"


def test_nothing_to_buy(site: Flask) -> None:
    """An unknown reference, and a product without a link, are 404 pages that say so."""
    unknown = buy(site, "nope")
    assert unknown.status_code == 404
    assert "This product is not here" in unknown.text
    unsold = buy(site, "usage-plan")
    assert unsold.status_code == 404
    assert "can&#39;t be bought online yet" in unsold.text
    for slug in ("old-product", "draft-product", ""):
        assert buy(site, slug).status_code == 404


def test_no_catalogue(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """While nothing was ever read, the shop says so with a 503."""
    reference_polar.stop()
    response = buy(make_site(reference_polar), "ebook-fast-apis")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0


def test_a_label_with_a_slash(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A label may hold whatever the merchant wrote."""
    links = reference_polar.store.live_links()
    link = next(link for link in links if link["label"] == "Pro plans")
    for label in ("Mail 11/26", "50% & more?", "Größe #1", "a;b=c"):
        link["label"] = label
        site = make_site(reference_polar, STOREFRONT_CACHE_DIR=None)
        get_state(site).catalog.sync()
        assert buy(site, label).status_code == 303, label


# --- tricks ------------------------------------------------------------------------------------

HOSTS = ("evil.example", "evil.example%2f", "evil.example:80", "[::1]", "evil。example")
FORMS = (
    *("https://{}", "//{}", "///{}", "\\\\{}", "/\\{}", "https:{}", "http:\\\\{}", "https:///{}"),
    *("https://buy.polar.sh@{}", "https://buy.polar.sh%40{}", "//{}/..;/", "https://{}#x"),
    *("\thttps://{}", " https://{}", "https://{}\r\nLocation: https://{}", "java\nscript://{}"),
    *("@{}", ".{}", "%2f%2f{}", "%5c%5c{}", "/%09/{}", "?https://{}", "#//{}", ";//{}"),
    *("x\r\nSet-Cookie: a=b\r\n{}", "x%0d%0aSet-Cookie:%20a=b%0d%0a{}", "\u2028//{}", "\0//{}"),
    *("data:text/html,{}", "javascript:alert('{}')", "vbscript:{}", "blob:https://{}"),
    *("http://127.0.0.1@{}", "https://{}\\@buy.polar.sh", "https://{}/buy.polar.sh", "ftp://{}"),
    *("<script>//{}</script>", '"><a href=//{}>', "../../{}", "..%2f..%2f{}"),
)
TRICKS = [form.replace("{}", host) for form in FORMS for host in HOSTS]
PARAMETERS = (
    *("product_id", "customer_email", "customer_name", "discount_code", "amount", "locale"),
    *("theme", "reference_id", "custom_field_data.github-handle", "custom_field_data.{}"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"),
    *("next", "url", "return_url", "success_url", "embed_origin", "{}"),
)


def answers(site: Flask, environ: dict[str, Any]) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Status and headers as a server would send them."""
    _, status, headers = run_wsgi_app(site.wsgi_app, environ)
    yield int(status[:3]), list(headers)


def test_there_are_tricks_enough() -> None:
    """What follows tries at least 200 of them."""
    assert len(set(TRICKS)) >= 200


def test_no_reference_leads_elsewhere(site: Flask) -> None:
    """No trick in the path gives anything but a 404, or a way to the site itself."""
    for trick in TRICKS:
        for quoted in (trick, quote(trick, safe="")):
            environ = create_environ("/shop/buy/x", "http://localhost")
            raw = f"/shop/buy/{quoted}"
            environ["PATH_INFO"] = raw.encode("utf-8", "replace").decode("latin-1")
            for status, headers in answers(site, environ):
                assert status in (404, 308), (trick, status)
                for name, value in headers:
                    assert "\r" not in value
                    assert "\n" not in value
                    if name == "Location":  # double slashes in a path are made one
                        assert urlsplit(value).netloc == "localhost"
                        assert urlsplit(value).path.startswith("/shop/buy/")
                    assert name != "Set-Cookie"


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_no_parameter_leads_elsewhere(site: Flask, parameter: str) -> None:
    """Whatever a parameter holds, it is to the link of the catalogue, in one header."""
    target = next(
        link.url
        for link in get_state(site).catalog.current().links.values()
        if EBOOK_LINK in link.url
    )
    for trick in TRICKS:
        for query in (
            urlencode({parameter.replace("{}", trick): trick}),
            f"{parameter.replace('{}', trick)}={trick}",
        ):
            environ = create_environ("/shop/buy/ebook-fast-apis", "http://localhost")
            environ["QUERY_STRING"] = query.encode("utf-8", "replace").decode("latin-1")
            for status, headers in answers(site, environ):
                assert status == 303
                locations = [value for name, value in headers if name == "Location"]
                assert len(locations) == 1
                base, _, sent_query = locations[0].partition("?")
                assert base == target
                assert locations[0].isascii()
                assert locations[0].isprintable()
                assert not set(sent_query) & set(" \"'<>\\#/:@")
                assert {name for name, _ in headers} == {
                    *("Location", "Content-Type", "Content-Length", "Cache-Control"),
                    *("Referrer-Policy", "X-Content-Type-Options", "X-Robots-Tag"),
                }


def test_the_query_of_a_page_leads_nowhere(site: Flask) -> None:
    """The same tricks in a page's own campaign change no target, and write no markup."""
    client = site.test_client()
    for trick in TRICKS:
        page = client.get("/shop/products/ebook-fast-apis", query_string={"utm_source": trick})
        assert "evil.example<" not in page.text
        assert "<script" not in page.text.replace('<script type="application/ld+json">', "", 1)
        for href in page.text.split('href="')[1:]:
            url = href.partition('"')[0]
            ours = ("/shop/", "http://localhost/shop/", "http://127.0.0.1", "https://example.com")
            assert url.startswith(ours), url


# --- buttons that lead here --------------------------------------------------------------------


def test_buttons_by_buy(polar: ShopPolar, make_site: SiteMaker) -> None:
    """They say what the template says and which campaign this is; who buys is told by /buy."""
    shop = Storefront()
    jane = Visitor(email=EMAIL, name="Bea", discount_code="LAUNCH20", locale="fr")
    shop.visitor(lambda: jane)
    site = make_site(polar, shop=shop, SECRET_KEY=KEY, STOREFRONT_BUTTONS="redirect")
    with site.test_request_context("/?utm_source=mail&customer_email=eve@example.com"):
        assert shop.buy_url("northlight") == "/shop/buy/northlight?utm_source=mail"
        assert shop.buy_url("northlight", theme="dark", utm={"source": "x"}) == (
            "/shop/buy/northlight?theme=dark&utm_source=x"
        )
        assert shop.buy_url("northlight", via="link").startswith(polar.url)
        link = shop.catalog.find("plans").offer
        assert link is not None
        assert shop.buy_url("plans").startswith("/shop/buy/plans?product_id=")
        with pytest.raises(LinkError, match="visitor"):
            shop.buy_url("northlight", email="jane@example.com")
        with pytest.raises(LinkError, match="redirect"):
            shop.buy_url("northlight", via="elsewhere")
    page = site.test_client().get("/shop/products/northlight")
    assert EMAIL not in page.text
    assert 'href="/shop/buy/northlight"' in page.text
    sent = parse_qs(urlsplit(site.test_client().get("/shop/buy/northlight").location or "").query)
    assert sent.pop("reference_id")[0].startswith("sf_")
    assert sent == {
        "customer_email": [EMAIL],
        "customer_name": ["Bea"],
        "discount_code": ["LAUNCH20"],
        "locale": ["fr"],
    }


def test_names_that_are_no_path(polar: ShopPolar, make_site: SiteMaker) -> None:
    """A label that would be something else in an address is told by the link's id."""
    link = polar.store.live_links()[0]
    shop = Storefront()
    for label in ("..", "a/../b", "50% & more?", "Größe #1"):
        link["label"] = label
        site = make_site(polar, shop=Storefront(), SECRET_KEY=KEY, STOREFRONT_CACHE_DIR=None)
        get_state(site).catalog.sync()
        with site.test_request_context("/"):
            url = shop.buy_url(label, via="redirect")
        assert urlsplit(url).path == f"/shop/buy/{link['id']}"
        assert site.test_client().get(url).status_code == 303


def test_without_the_pages_buttons_go_straight(
    polar: ShopPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """A site without the shop's pages has no /buy: a mistake in development, logged elsewhere."""
    shop = Storefront()
    site = make_site(polar, shop=shop, pages=False)
    with site.test_request_context("/"):
        with pytest.raises(LinkError, match="blueprint"):
            shop.buy_url("northlight", via="redirect")
        site.testing = False
        assert shop.buy_url("northlight", via="redirect").startswith(polar.url)
    assert "register shop.blueprint" in caplog.text
