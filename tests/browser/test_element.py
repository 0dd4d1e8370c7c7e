"""``<buy-button>`` on a page of another origin, whose policy allows the least that it needs."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import zxingcpp
from axe_playwright_python.sync_playwright import Axe
from flask import Flask, Response
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect

from tests.browser.driving import Watcher, assert_fits, wait_until
from tests.browser.staging import Stage, serving, site_for
from tests.demo_processes import free_port
from tests.test_readme import block

pytestmark = pytest.mark.browser

STYLE = f"""
{block("run: element_room")}
:root {{ color-scheme: light dark }}
body {{ margin: 1rem; font: 1rem/1.5 Georgia, serif;
  background: light-dark(#fff, #16161a); color: light-dark(#222, #ddd) }}
a {{ color: light-dark(#a3003a, #ff8fb0) }}
"""


@dataclass
class Blog:
    """Somebody else's site: one page, and its policy."""

    url: str = ""
    body: str = ""
    policy: str = ""
    style: str = ""
    #: Ends answers that wait.
    go_on: threading.Event = field(default_factory=threading.Event)
    #: What it answers as a shop.
    product: Any = None

    def site(self) -> Flask:
        """The site, which is also a shop that lies, or keeps one waiting."""
        app = Flask("blog")

        @app.get("/")
        def page() -> Response:
            html = (
                '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Blog</title>'
                '<meta name="viewport" content="width=device-width">'
                f'<link rel="stylesheet" href="/page.css"></head><body><main><h1>Blog</h1>'
                f"{self.body}</main></body></html>"
            )
            return Response(html, headers={"Content-Security-Policy": self.policy})

        @app.get("/page.css")
        def style() -> Response:
            return Response(STYLE + self.style, content_type="text/css")

        @app.get("/lies/products/<name>.json")
        def lie(name: str) -> Any:
            return self.product

        @app.get("/slow/products/<name>.json")
        def wait(name: str) -> Any:
            self.go_on.wait(10)
            return self.product

        return app

    def show(self, page: Page, shop: str, pictures: str, body: str) -> None:
        """Open the page with that in it, under a policy that lists what the element needs."""
        self.body = f'<script async src="{shop}embed.js"></script>{body}'
        self.policy = (
            f"default-src 'none'; style-src 'self'; script-src {shop}embed.js; "
            f"connect-src {shop}products/; img-src {pictures}; "
            "base-uri 'none'; require-trusted-types-for 'script'"
        )
        page.goto(self.url)


@pytest.fixture(scope="module")
def blog() -> Iterator[Blog]:
    """A site on a port of its own, which is another origin."""
    found = Blog()
    with serving(found.site(), free_port()) as url:
        found.url = url
        yield found
        found.go_on.set()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that nobody used before."""
    made = browser.new_context(viewport={"width": 900, "height": 800})
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of it."""
    return context.new_page()


def test_a_page_with_a_strict_policy(
    context: BrowserContext, page: Page, blog: Blog, stage: Stage
) -> None:
    """All layouts show name and price; each product is asked for once; nothing is blocked."""
    watcher = Watcher(context, blog.url, stage.shop_url, stage.polar.url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    blog.show(
        page,
        stage.shop_url,
        stage.polar.url,
        '<p><buy-button product="northlight"></buy-button></p>'
        '<p><buy-button product="northlight" label="Get it" accent="#ffd400"></buy-button></p>'
        '<buy-button product="northlight" layout="row"></buy-button>'
        '<buy-button product="northlight" layout="card"></buy-button>'
        '<buy-button product="sticker-sheet" layout="card"></buy-button>',
    )
    names = ["Buy Now Northlight for Desktop $49.00", "Get it Northlight for Desktop $49.00"]
    for name in names:
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    expect(
        page.get_by_role("link", name="Buy Now Northlight for Desktop", exact=True)
    ).to_have_count(2)
    for layout in ("row", "card"):
        box = page.locator(f'buy-button[layout="{layout}"][product="northlight"]')
        expect(box.get_by_text("Northlight for Desktop").first).to_be_visible()
        expect(box.get_by_text("$49.00")).to_be_visible()
    picture = page.locator('buy-button[layout="card"] img').first
    picture.scroll_into_view_if_needed()
    wait_until(page, lambda: picture.evaluate("e => e.complete && e.naturalWidth > 0"))
    unsold = page.locator('buy-button[product="sticker-sheet"]')
    expect(unsold.get_by_text("This can't be bought online yet.")).to_be_visible()
    expect(unsold.get_by_role("link", name="Buy Now")).to_have_count(0)
    accent = page.get_by_role("link", name=names[1], exact=True)
    expect(accent).to_have_css("background-color", "rgb(255, 212, 0)")
    expect(accent).to_have_css("color", "rgb(0, 0, 0)")
    assert sorted(url for url in asked if url.endswith(".json")) == [
        f"{stage.shop_url}products/northlight.json",
        f"{stage.shop_url}products/sticker-sheet.json",
    ]
    assert_fits(page)
    watcher.assert_clean()
    assert watcher.referers(f"{stage.shop_url}products/") == set()


def test_a_click_leads_to_the_checkout(page: Page, blog: Blog, stage: Stage) -> None:
    """By keyboard: the link is focused visibly, and the campaign arrives in the checkout."""
    blog.show(
        page,
        stage.shop_url,
        stage.polar.url,
        '<buy-button product="pro-yearly" utm-source="a blog &amp; more" utm-campaign="Größe">'
        "</buy-button>",
    )
    button = page.locator("buy-button").get_by_role("link")
    expect(button).to_be_visible()
    page.keyboard.press("Tab")
    expect(button).to_be_focused()
    expect(button).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    page.wait_for_url("**/checkout/polar_c_*")
    secret = page.url.partition("?")[0].rpartition("/")[2]
    checkout = stage.polar.services.checkouts.get_by_secret(secret)
    assert checkout.metadata["utm_source"] == "a blog & more"
    assert checkout.metadata["utm_campaign"] == "Größe"
    assert checkout.product["name"] == "Pro Yearly"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_themes(page: Page, blog: Blog, stage: Stage, scheme: Any) -> None:
    """Nothing that axe would complain of; a theme of its own does not follow the page's."""
    page.emulate_media(color_scheme=scheme)
    attributes = ("", 'theme="dark"', 'theme="light"', 'theme="auto"', 'accent="1a7f37"')
    blog.show(
        page,
        stage.shop_url,
        stage.polar.url,
        "".join(
            f'<p><buy-button product="pro-monthly" {each}></buy-button></p>'
            f'<buy-button product="pro-monthly" layout="card" {each}></buy-button>'
            f'<buy-button product="northlight-sync" layout="row" {each}></buy-button>'
            for each in attributes
        )
        + '<buy-button product="sticker-sheet" layout="card"></buy-button>'
        '<buy-button product="nothing"><a href="/">A link of the page</a></buy-button>',
    )
    expect(page.locator("buy-button .button")).to_have_count(15)
    expect(page.get_by_text("This can't be bought")).to_be_visible()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    surfaces = [
        page.locator(f"buy-button[layout=card]{where} .card").evaluate(
            "e => getComputedStyle(e).backgroundColor"
        )
        for where in ('[theme="light"]', '[theme="dark"]', '[theme="auto"]')
    ]
    assert surfaces[0] == "rgb(255, 255, 255)"
    assert surfaces[1] == "rgb(28, 28, 33)"
    assert surfaces[2] == surfaces[scheme == "dark"]
    page.set_viewport_size({"width": 360, "height": 740})
    assert_fits(page)


def test_a_pages_own_style(page: Page, blog: Blog, stage: Stage) -> None:
    """A page styles it as the documentation says; its rules for links do not reach in."""
    blog.style = block("run: element_style")
    body = '<buy-button product="northlight"></buy-button>'
    blog.show(page, stage.shop_url, stage.polar.url, body)
    button = page.locator("buy-button").get_by_role("link")
    expect(button).to_have_css("background-color", "rgb(122, 32, 72)")
    expect(button).to_have_css("color", "rgb(255, 255, 255)")
    expect(button).to_have_css("border-radius", "3px")
    blog.style = ""


def test_what_the_documentation_says(page: Page, blog: Blog, stage: Stage) -> None:
    """The lines to paste make a button, and the lines of script read the products."""
    lines = block("run: element").replace("https://shop.example.com/shop/", stage.shop_url)
    assert f'src="{stage.shop_url}embed.js"' in lines
    blog.show(page, stage.shop_url, stage.polar.url, lines)
    page.get_by_role("link", name="Buy Now Pro Monthly $12.00 per month").click()
    page.wait_for_url("**/checkout/polar_c_*")
    blog.show(page, stage.shop_url, stage.polar.url, "")
    script = block("run: products_json").replace(
        "https://shop.example.com/shop/", f"{stage.shop_url}"
    )
    blog.policy = blog.policy.replace("connect-src ", f"connect-src {stage.shop_url}products.json ")
    page.reload()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate(f"async () => {{ {script} }}")
    url = f"{stage.shop_url}products/northlight"
    assert f"Northlight for Desktop $49.00 {url}" in said


def test_without_scripts(browser: Browser, blog: Blog, stage: Stage) -> None:
    """The link inside is a link like any other."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    blog.show(
        page,
        stage.shop_url,
        stage.polar.url,
        f'<buy-button product="northlight"><a href="{stage.shop_url}buy/northlight">Buy it</a>'
        "</buy-button>",
    )
    page.get_by_role("link", name="Buy it").click()
    page.wait_for_url("**/checkout/polar_c_*")
    context.close()


DEFINED = "() => customElements.get('buy-button') !== undefined"
FALLBACK = '<a href="/elsewhere">Buy it</a>'


def errors_of(page: Page) -> list[str]:
    """What is thrown into the page, from now on."""
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    return thrown


def assert_fallback(page: Page) -> None:
    """The page's own link is all there is to see."""
    expect(page.get_by_role("link", name="Buy it")).to_be_visible()
    expect(page.locator("buy-button .box")).to_have_count(0)


def test_a_shop_that_is_down(page: Page, blog: Blog, tmp_path: Path) -> None:
    """Gone, without a catalogue, or not allowed by the page: its own link stays, and no error."""
    thrown = errors_of(page)
    gone = f"http://127.0.0.1:{free_port()}/shop/"
    body = f'<buy-button product="northlight">{FALLBACK}</buy-button>'
    blog.show(page, gone, "'none'", body)
    assert_fallback(page)
    with serving(site_for(gone.removesuffix("/shop/"), tmp_path), free_port()) as url:
        blog.show(page, f"{url}/shop/", "'none'", body)
        wait_until(page, lambda: page.evaluate(DEFINED))
        page.wait_for_load_state("networkidle")
        assert_fallback(page)
        blog.policy = blog.policy.replace("connect-src", "media-src")
        page.reload()
        wait_until(page, lambda: page.evaluate(DEFINED))
        assert_fallback(page)
    assert thrown == []


@pytest.mark.parametrize(
    "lie",
    [
        {"name": "x", "price": {"headline": "$1"}, "buy_url": "javascript:alert(1)"},
        {"name": "x", "price": {"headline": "$1"}, "buy_url": "data:text/html,x"},
        {"name": "x", "price": {"headline": "$1"}, "buy_url": "/relative"},
        {"name": {"a": 1}, "price": 3, "images": "x"},
        {"name": "x"},
        {},
        [],
        "null",
        "<!doctype html><title>A captive portal</title>",
    ],
)
def test_a_shop_that_lies(page: Page, blog: Blog, stage: Stage, lie: Any) -> None:
    """What is no product shows nothing; an address that is none of the web is never a link."""
    thrown = errors_of(page)
    blog.product = lie
    body = f'<buy-button shop="{blog.url}/lies" product="x" layout="card">{FALLBACK}</buy-button>'
    blog.show(page, stage.shop_url, "'none'", body)
    blog.policy += f"; connect-src {blog.url}/lies/"
    blog.policy = blog.policy.replace(f"connect-src {stage.shop_url}products/; ", "")
    page.reload()
    wait_until(page, lambda: page.evaluate(DEFINED))
    page.wait_for_load_state("networkidle")
    assert_fallback(page)
    assert thrown == []


def test_hostile_words_stay_words(page: Page, blog: Blog, stage: Stage) -> None:
    """Markup in a name or a price is shown as it is, and addresses that are none lead nowhere."""
    blog.product = {
        "name": "<img src=x onerror=alert(1)>",
        "summary": "</style><script>alert(1)</script>",
        "label": "<b>Buy</b>",
        "language": '"><script>',
        "price": {"headline": "{{ 7*7 }}<svg onload=alert(1)>"},
        "url": "javascript:alert(1)",
        "images": [{"url": "javascript:alert(1)"}],
        "buy_url": "https://shop.example/buy/x?a=1#top",
    }
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    body = (
        f'<buy-button shop="{blog.url}/lies/" product="x" layout="card" utm-term="&amp;b=c#d\n">'
        "</buy-button>"
    )
    blog.show(page, stage.shop_url, "'none'", body)
    blog.policy = blog.policy.replace("connect-src ", f"connect-src {blog.url}/lies/ ")
    page.reload()
    expect(page.get_by_text("<img src=x onerror=alert(1)>", exact=True).first).to_be_visible()
    expect(page.get_by_text("<b>Buy</b>")).to_be_visible()
    addresses = page.locator("buy-button").locator("a").evaluate_all("all => all.map(a => a.href)")
    assert addresses == ["https://shop.example/buy/x?a=1&utm_term=%26b%3Dc%23d#top"]
    assert page.locator("buy-button img, buy-button script, buy-button svg").count() == 0
    assert dialogs == []


def test_a_picture_that_the_page_forbids(page: Page, blog: Blog, stage: Stage) -> None:
    """In its place stands the first letter of the name."""
    body = '<buy-button product="northlight" layout="card"></buy-button>'
    blog.show(page, stage.shop_url, "'none'", body)
    expect(page.locator("buy-button .button")).to_be_visible()
    expect(page.locator("buy-button img")).to_have_count(0)
    expect(page.locator("buy-button .picture")).to_have_text("N")


def test_a_slow_shop(page: Page, blog: Blog, stage: Stage) -> None:
    """While it waits the page's own link is there; after eight seconds it stays for good."""
    thrown = errors_of(page)
    blog.product = {"name": "Late", "price": {"headline": "$1"}, "buy_url": "https://x.example/"}
    blog.go_on.clear()
    page.clock.install()
    body = f'<buy-button shop="{blog.url}/slow" product="x">{FALLBACK}</buy-button>'
    blog.show(page, stage.shop_url, "'none'", body)
    blog.policy = blog.policy.replace("connect-src ", f"connect-src {blog.url}/slow/ ")
    with page.expect_request("**/slow/products/x.json"):
        page.reload()
    expect(page.get_by_role("link", name="Buy it")).to_be_visible()
    with page.expect_event("requestfailed"):
        page.clock.fast_forward(8100)
    blog.go_on.set()
    assert_fallback(page)
    assert thrown == []


def test_two_scripts_and_two_shops(
    page: Page, blog: Blog, stage: Stage, plain_stage: Stage
) -> None:
    """The script twice, and another shop's beside it: the first one serves, and both shops sell."""
    thrown = errors_of(page)
    blog.show(
        page,
        stage.shop_url,
        stage.polar.url,
        f'<script src="{stage.shop_url}embed.js"></script>'
        f'<script src="{plain_stage.shop_url}embed.js"></script>'
        '<buy-button product="northlight"></buy-button>'
        f'<buy-button product="northlight" shop="{plain_stage.shop_url}"></buy-button>',
    )
    blog.policy = blog.policy.replace(
        "connect-src ", f"connect-src {plain_stage.shop_url}products/ "
    ).replace("script-src ", f"script-src {plain_stage.shop_url}embed.js ")
    page.reload()
    links = page.locator("buy-button .button")
    expect(links).to_have_count(2)
    addresses = links.evaluate_all("all => all.map(a => a.href)")
    for address, each in zip(addresses, (stage, plain_stage), strict=True):
        told = requests.get(f"{each.shop_url}products/northlight.json", timeout=5).json()
        assert address == told["buy_url"]
    assert thrown == []


def test_elements_that_come_change_and_go(page: Page, blog: Blog, stage: Stage) -> None:
    """Added later, changed, moved and taken away: it shows what its attributes say at last."""
    thrown = errors_of(page)
    blog.show(page, stage.shop_url, stage.polar.url, "<div></div>")
    wait_until(page, lambda: page.evaluate(DEFINED))
    page.evaluate(
        "e = document.createElement('buy-button'); e.setAttribute('product', 'northlight');"
        " document.querySelector('div').append(e)"
    )
    button = page.locator("buy-button").get_by_role("link")
    expect(button).to_have_accessible_name("Buy Now Northlight for Desktop $49.00")
    button.focus()
    page.evaluate("e.setAttribute('label', 'Get it'); e.setAttribute('utm-source', 'x')")
    expect(button).to_have_accessible_name("Get it Northlight for Desktop $49.00")
    expect(button).to_have_attribute("href", re.compile(r"\?utm_source=x$"))
    expect(button).to_be_focused()
    page.evaluate("e.setAttribute('product', 'nothing'); e.setAttribute('product', 'pro-monthly')")
    expect(button).to_have_accessible_name("Get it Pro Monthly $12.00 per month")
    page.evaluate("document.querySelector('h1').after(e); e.setAttribute('layout', 'card')")
    expect(page.locator("buy-button .card")).to_be_visible()
    page.evaluate("e.setAttribute('product', 'nothing')")
    expect(page.locator("buy-button .box")).to_have_count(0)
    page.evaluate("e.setAttribute('product', 'pro-yearly'); e.remove()")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("e.shadowRoot.querySelector('.button')") is None
    page.evaluate("document.querySelector('div').append(e)")
    expect(page.locator("buy-button .button")).to_be_visible()
    page.evaluate("e.setAttribute('product', '\\ud800')")
    expect(page.locator("buy-button .box")).to_have_count(0)
    assert thrown == []


def test_nothing_jumps(page: Page, blog: Blog, stage: Stage) -> None:
    """What stands below an element stays where it is when the product arrives."""
    body = (
        '<p><buy-button product="northlight"><a href="/">Buy it</a></buy-button></p>'
        '<buy-button product="northlight" layout="row"><a href="/">Buy it</a></buy-button>'
        '<buy-button product="pro-monthly" layout="card"><a href="/">Buy it</a></buy-button>'
        "<p>What stands below.</p>"
    )
    blog.show(page, stage.shop_url, stage.polar.url, body)
    expect(page.locator("buy-button .button")).to_have_count(3)
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => { for (const entry of list.getEntries())"
        " window.shift += entry.value }).observe({type: 'layout-shift', buffered: true})"
    )
    page.reload()
    expect(page.locator("buy-button .button")).to_have_count(3)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(200)
    assert page.evaluate("window.shift") < 0.02


def test_a_code_as_a_browser_draws_it(page: Page, stage: Stage) -> None:
    """The SVG of a QR code, drawn by Chromium, is read as the address of the button."""
    address = f"{stage.shop_url}buy/northlight?utm_source=card"
    page.goto(f"{stage.shop_url}qr/northlight.svg?via=redirect&utm_source=card")
    with Image.open(io.BytesIO(page.screenshot())) as image:
        (code,) = zxingcpp.read_barcodes(image.convert("L"))
    assert code.text == address
