"""What a product's page is made of: pictures, prices, benefits, and the ways to buy it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask, render_template_string

from storefront.catalog.catalog import BenefitText
from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from storefront.state import get_state
from tests.conftest import SiteMaker

KINDS = (
    "license_keys",
    "downloadables",
    "github_repository",
    "discord",
    "slack_shared_channel",
    "meter_credit",
    "feature_flag",
)


@pytest.fixture
def demo_site(make_site: SiteMaker) -> Any:
    """A site that sells the demo store: ``demo_site(change)`` lets one change it before."""
    running = []

    def make(change: Any = None) -> Flask:
        store = demo_store("http://localhost/shop")
        if change is not None:
            change({product["name"]: product for product in store["products"]})
        polar = LocalPolar(Store(store), settle_seconds=0)
        running.append(polar)
        polar.start()
        return make_site(polar)

    yield make
    for polar in running:
        polar.stop()


def page_of(site: Flask, slug: str) -> str:
    response = site.test_client().get(f"/shop/products/{slug}")
    assert response.status_code == 200
    return response.text


def part(html: str, class_: str) -> str:
    """The markup from an element of that class on."""
    return html[html.index(f'class="{class_}"') :]


def text_of(html: str) -> str:
    """What a reader sees, in one line."""
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def test_several_pictures(demo_site: Any) -> None:
    """The first comes at once, the others when they are looked at; each has a small one."""
    html = page_of(demo_site(), "northlight")
    pictures = re.findall("<img [^>]*>", part(html, "storefront-gallery"))
    large, small = pictures[:3], pictures[3:6]
    assert [re.findall('id="(.*?)"', tag) for tag in large] == [
        ["picture-1"],
        ["picture-2"],
        ["picture-3"],
    ]
    assert ['fetchpriority="high"' in tag for tag in large] == [True, False, False]
    assert ['loading="lazy"' in tag for tag in pictures] == [False] + [True] * 5
    for tag in pictures:
        assert re.search(r' width="\d+" height="\d+"', tag)
        assert re.search(r' alt="[^"]+"', tag)
    assert re.findall('href="#(.*?)"', html) == ["picture-1", "picture-2", "picture-3"]
    assert [re.findall('src="(.*?)"', tag) for tag in large] == [
        re.findall('src="(.*?)"', tag) for tag in small
    ]
    assert "storefront.js" in html


def test_one_picture_and_none(demo_site: Any) -> None:
    """One picture needs neither small ones nor a script; without any there is the initial."""
    site = demo_site()
    html = page_of(site, "pro-monthly")
    assert html.count("<img ") == 1
    assert "storefront-thumbs" not in html
    assert "storefront.js" not in html
    assert 'tabindex="0"' not in html
    bare = page_of(site, "sticker-sheet")
    assert "<img " not in bare
    assert bare.count("<h1") == html.count("<h1") == 1
    assert "storefront-details" not in bare


def test_where_one_is(demo_site: Any) -> None:
    """The way back to the shop, and the product's own name, marked as the page."""
    html = page_of(demo_site(), "northlight")
    crumbs = part(html, "storefront-crumbs").partition("</nav>")[0]
    assert '<a href="/shop/">Shop</a>' in crumbs
    assert '<li aria-current="page">Northlight for Desktop</li>' in crumbs


def test_ways_to_buy(demo_site: Any) -> None:
    """Links that differ in their terms, and the other products of links that have several."""
    site = demo_site()
    html = page_of(site, "pro-monthly")
    ways, _, others = part(html, "storefront-panel").partition("Or choose instead")
    assert "Other ways to buy" in ways
    assert "30 days free, then $12.00 per month" in text_of(ways)
    others = others.partition("</ul>")[0]
    assert text_of(others) == "Pro Yearly $120.00 per year Buy Now"
    assert '<a href="/shop/products/pro-yearly">' in others
    assert 'aria-label="Buy Now: Pro Yearly"' in others
    assert "product_id=" in others
    kit = part(page_of(site, "northlight"), "storefront-panel").partition("Or choose instead")[2]
    assert re.findall(r'">([^<]+)</a>\s*<span class="storefront-note">', kit) == [
        "Quiet Software: the Course",
        "Field Notes, a zine",
    ]


def test_what_cannot_be_bought(demo_site: Any) -> None:
    """A product without a link says so, and has no button."""
    panel = part(page_of(demo_site(), "sticker-sheet"), "storefront-panel").partition("</main")[0]
    assert "can't be bought online yet" in panel.replace("&#39;", "'")
    assert "storefront-button" not in panel


def test_prices_of_every_kind(demo_site: Any) -> None:
    """Usage stands below what is fixed, tiers in a table, and other currencies in a line."""
    site = demo_site()
    assert "$5.00 per month + $0.0025 per unit of" in text_of(page_of(site, "northlight-api"))
    table = part(page_of(site, "pro-for-teams"), "storefront-tiers").partition("</table>")[0]
    assert re.findall(r"<th scope=\"row\">(.*?)</th><td>(.*?)</td>", table) == [
        ("2\N{EN DASH}10", "$10.00"),
        ("11\N{EN DASH}50", "$8.00"),
        ("51+", "$6.00"),
    ]
    assert "Also in €75.00, £65.00" in text_of(page_of(site, "quiet-software"))


def test_each_kind_of_benefit_has_its_sign(site: Flask) -> None:
    """A sign for each kind that Polar has, a check mark for the others; none is read aloud."""
    template = '{% from "storefront/macros.html" import benefit_icon %}{{ benefit_icon(kind) }}'
    with site.test_request_context():
        signs = [
            render_template_string(template, kind=kind)
            for kind in (*KINDS, "custom", "of tomorrow", '"><script>')
        ]
    assert len(set(signs)) == len(KINDS) + 1
    assert signs[-1] == signs[-2] == signs[-3]
    for sign in signs:
        assert sign.count("<svg") == 1
        assert 'aria-hidden="true"' in sign
        assert " style=" not in sign


def test_benefits_are_words_beside_a_sign(demo_site: Any) -> None:
    """What one gets stands in words, in Polar's order."""
    site = demo_site()
    html = page_of(site, "northlight").partition("storefront-gets")[2].partition("</section>")[0]
    expected = get_state(site).catalog.current().find("northlight").product.benefits
    assert isinstance(expected[0], BenefitText)
    assert re.findall("</svg><span>(.*?)</span>", html) == [each.text for each in expected]


def test_the_page_is_the_same_each_time(demo_site: Any) -> None:
    """Every product's page comes out the same, so that it is prepared once."""
    site = demo_site()
    client = site.test_client()
    for product in get_state(site).catalog.current():
        first, second = (client.get(f"/shop/products/{product.slug}") for _ in range(2))
        assert first.headers["ETag"] == second.headers["ETag"]
        assert first.data == second.data
    shelf = get_state(site).prepared["shelf"]
    assert len(list(shelf.pages.items())) >= len(get_state(site).catalog.current())


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", 'https://x"onerror=a']
)
def test_a_picture_of_a_hostile_address(demo_site: Any, address: str) -> None:
    """What is no address of the web is no picture, and none gets out of its attribute."""

    def change(products: dict[str, Any]) -> None:
        products["Northlight for Desktop"]["medias"][1]["public_url"] = address

    html = page_of(demo_site(change), "northlight")
    assert "javascript:" not in html
    assert "data:text" not in html
    assert '"onerror' not in html
