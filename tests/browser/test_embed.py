"""The cards on pages of another origin, in Chromium: strict, quiet, and leading to the checkout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from flask import Flask, Response
from playwright.sync_api import Browser, Page, expect

from storefront.embeds import SIZES, frame
from tests.browser.driving import Watcher, assert_fits, wait_until
from tests.browser.staging import Stage, serving, site_for
from tests.browser.test_pages import _assert_accessible, look_over
from tests.demo_processes import free_port

pytestmark = pytest.mark.browser

CHECKOUT = "**/checkout/polar_c_*"
#: What WordPress does for a card of strangers: it makes room, and follows a link on their host.
AS_WORDPRESS = """
<script>
addEventListener("message", (event) => {
  const frame = document.querySelector("iframe");
  const { message, value, secret } = event.data;
  if (event.source !== frame.contentWindow || secret !== "abcdefghij") return;
  if (message === "height") frame.height = Math.max(200, value);
  const target = message === "link" ? new URL(value) : null;
  if (target && target.host === new URL(frame.src).host && document.activeElement === frame)
    top.location.href = target.href;
});
</script>"""
_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""


class Blog:
    """A site of somebody else's, on an origin of its own."""

    def __init__(self) -> None:
        self.body = ""
        self.policy = ""
        self.url = ""
        self.app = Flask("blog")
        self.app.add_url_rule("/", "post", self._post)

    def _post(self) -> Response:
        html = f"<!doctype html><html lang=en><title>A post</title><h1>A post</h1>{self.body}"
        response = Response(html)
        if self.policy:
            response.headers["Content-Security-Policy"] = self.policy
        return response

    def show(self, page: Page, body: str, policy: str = "") -> None:
        """Have a browser look at a post."""
        self.body, self.policy = body, policy
        page.goto(self.url)


@pytest.fixture(scope="module")
def blog() -> Iterator[Blog]:
    """A site of somebody else's."""
    found = Blog()
    with serving(found.app, free_port()) as url:
        found.url = f"{url}/"
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A browser that nobody has used."""
    context = browser.new_context()
    context.add_init_script(_SHIFTS)
    yield context.new_page()
    context.close()


def card(stage: Stage, reference: str = "northlight", more: str = "", **look: Any) -> str:
    """The code of a card, as the shop gives it to paste."""
    address = f"{stage.shop_url}embed/{reference}{'?' if look else ''}{urlencode(look)}{more}"
    return str(frame(address, "A card", SIZES[look.get("layout", "card")]))


def checkout_at(stage: Stage, url: str) -> Any:
    """The checkout that a browser is at."""
    secret = urlsplit(url).path.rpartition("/")[2]
    return stage.polar.services.checkouts.get_by_secret(secret)


def _deny_frames(response: Response) -> Response:
    response.headers["X-Frame-Options"] = "DENY"
    return response


def only_frames_of(stage: Stage) -> str:
    """A policy that lets a page show the shop's frames, and nothing else at all."""
    return f"default-src 'none'; frame-src {stage.url}"


def test_on_a_strict_page(page: Page, blog: Blog, plain_stage: Stage) -> None:
    """Every layout is whole, with picture and colours; nothing moves, and nothing is kept."""
    looks = [
        {"layout": layout, "theme": theme, "accent": "ffd400"}
        for layout in SIZES
        for theme in ("light", "dark")
    ]
    body = "".join(card(plain_stage, "pro-for-teams", **look) for look in looks)
    blog.show(page, body.replace(' loading="lazy"', ""), only_frames_of(plain_stage))
    frames = [each for each in page.frames if each != page.main_frame]
    assert len(frames) == len(looks)
    for each, look in zip(frames, looks, strict=True):
        each.wait_for_load_state()
        inside = each.evaluate(
            """() => {
              const root = document.documentElement;
              const button = document.querySelector(".button");
              const picture = document.querySelector("img");
              const box = button.getBoundingClientRect();
              return {
                fits: root.scrollHeight <= innerHeight && root.scrollWidth <= innerWidth,
                whole: box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth,
                colour: getComputedStyle(button).backgroundColor,
                on: getComputedStyle(button).color,
                surface: getComputedStyle(root).backgroundColor,
                picture: !picture || picture.naturalWidth > 0,
                cookie: document.cookie,
              };
            }"""
        )
        assert inside == {
            "fits": True,
            "whole": True,
            "colour": "rgb(255, 212, 0)",
            "on": "rgb(0, 0, 0)",
            "surface": "rgb(28, 28, 33)" if look["theme"] == "dark" else "rgb(255, 255, 255)",
            "picture": True,
            "cookie": "",
        }, look
        assert each.evaluate("window.shift") == 0
    assert page.evaluate("window.shift") == 0
    assert page.context.cookies() == []


@pytest.mark.parametrize(
    "sandbox",
    [None, "allow-top-navigation-by-user-activation", "allow-scripts allow-top-navigation"],
)
def test_buying(page: Page, blog: Blog, plain_stage: Stage, sandbox: str | None) -> None:
    """Buy Now leads the whole window to the checkout, with the campaign; Back comes back."""
    code = card(plain_stage, utm_source="blog")
    if sandbox is not None:
        code = code.replace("<iframe", f'<iframe sandbox="{sandbox}"')
    blog.show(page, code, only_frames_of(plain_stage))
    page.frame_locator("iframe").get_by_role("link", name="Buy Now").click()
    page.wait_for_url(CHECKOUT)
    assert page.frames == [page.main_frame]
    checkout = checkout_at(plain_stage, page.url)
    assert checkout.metadata["utm_source"] == "blog"
    page.go_back()
    page.wait_for_url(blog.url)


def test_without_scripts(browser: Browser, blog: Blog, plain_stage: Stage) -> None:
    """The card needs none."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    blog.show(page, card(plain_stage, layout="row"))
    page.frame_locator("iframe").get_by_role("link", name="Buy Now").click()
    page.wait_for_url(CHECKOUT)
    context.close()


def test_in_wordpress(page: Page, blog: Blog, plain_stage: Stage) -> None:
    """In a frame that may open nothing, the page around it is asked to lead on, and does."""
    code = card(plain_stage, more="#?secret=abcdefghij", layout="card", utm_source="wp")
    blog.show(page, code.replace("<iframe", '<iframe sandbox="allow-scripts"') + AS_WORDPRESS)
    expect(page.locator("iframe")).not_to_have_attribute("height", "372")
    page.frame_locator("iframe").get_by_role("link", name="Buy Now").click()
    page.wait_for_url(CHECKOUT)
    checkout = checkout_at(plain_stage, page.url)
    assert checkout.metadata["utm_source"] == "wp"


@pytest.mark.parametrize("layout", list(SIZES))
def test_how_high_it_would_like_to_be(
    page: Page, blog: Blog, plain_stage: Stage, layout: str
) -> None:
    """The card tells the page around it, once; at that height it fits and asks for no other."""
    listener = """
    <script>
    window.told = [];
    addEventListener("message", (event) => {
      if (event.data.type !== "storefront:embed") return;
      told.push([event.origin, event.data.height]);
      document.querySelector("iframe").height = event.data.height;
    });
    </script>"""
    blog.show(page, listener + card(plain_stage, layout=layout))
    wait_until(page, lambda: page.evaluate("told.length > 0"))
    inner = page.frames[1]
    inner.wait_for_load_state()
    page.wait_for_timeout(150)  # for whatever it might still say
    told = page.evaluate("told")
    assert len({height for _, height in told[-2:]}) == 1
    assert {origin for origin, _ in told} == {plain_stage.url}
    assert inner.evaluate("document.documentElement.scrollHeight <= innerHeight")
    if layout == "card":
        ratio = inner.evaluate(
            "(p => p.offsetWidth / p.offsetHeight)(document.querySelector('.picture'))"
        )
        assert ratio == pytest.approx(1.5, abs=0.03)


def test_sites_that_may_not_frame_it(
    page: Page, blog: Blog, plain_stage: Stage, tmp_path: Path
) -> None:
    """Chromium shows the card on the sites of the setting, and on no others.

    A header that the site puts on all its responses against frames makes no difference.
    """
    for allowed, shown in (("https://other.example.com", False), (blog.url, True)):
        app = site_for(
            plain_stage.polar.url,
            tmp_path,
            plain=True,
            STOREFRONT_EMBED_ANCESTORS=allowed,
            STOREFRONT_PAGE_TIMEOUT_SECONDS=20,
        )
        app.after_request(_deny_frames)
        with serving(app, free_port()) as url:
            blog.show(page, f'<iframe src="{url}/shop/embed/northlight" title="x"></iframe>')
            inner = page.frames[1]
            inner.wait_for_load_state()
            assert (inner.locator("a.button").count() == 1) is shown
            assert inner.url.startswith(url if shown else "chrome-error:")


@pytest.mark.parametrize("layout", list(SIZES))
def test_accessible(page: Page, plain_stage: Stage, layout: str) -> None:
    """In both themes, by the reader's choice and by the query's; with and without a button."""
    width, height = SIZES[layout]
    page.set_viewport_size({"width": width, "height": height})
    for reference, scheme, theme in (
        ("northlight", "light", "auto"),
        ("northlight", "dark", "auto"),
        ("northlight", "light", "dark"),
        ("sticker-sheet", "light", "auto"),
        ("no-such-thing", "dark", "auto"),
    ):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"{plain_stage.shop_url}embed/{reference}?layout={layout}&theme={theme}")
        assert_fits(page)
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        _assert_accessible(page, {})


def test_the_page_with_the_code(browser: Browser, stage: Stage, plain_stage: Stage) -> None:
    """It shows the card under the policy of the shop, and copies; in any design."""
    for on in (stage, plain_stage):
        context = browser.new_context()
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        watcher = Watcher(context, on.url, on.polar.url)
        page = context.new_page()
        # It is left soon: what it shows has come by then.
        page.goto(f"{on.shop_url}embed-code/northlight", wait_until="networkidle")
        page.get_by_label("Layout").select_option("row")
        page.get_by_label("Colour of the button").fill("#7a2048")
        page.get_by_label("utm_source").fill("blog")
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_url("**accent=%237a2048**")
        shown = page.frame_locator("iframe").get_by_role("link", name="Buy Now")
        shown.wait_for()
        page.locator("button[data-storefront-copy=storefront-iframe]").click()
        page.get_by_text("Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert "accent=7a2048&amp;layout=row&amp;utm_source=blog" in copied
        watcher.assert_clean()
        if on is plain_stage:
            look_over(page)
        context.close()


def test_code_runs_from_left_to_right(browser: Browser, plain_stage: Stage, tmp_path: Path) -> None:
    """Also where one reads from the right; and the picture of a code keeps its shape."""
    settings = {"STOREFRONT_LOCALE": "ar", "STOREFRONT_PAGE_TIMEOUT_SECONDS": 20}
    app = site_for(plain_stage.polar.url, tmp_path, plain=True, **settings)
    with serving(app, free_port()) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{url}/shop/embed-code/northlight")
        for code in page.locator(".storefront-code pre").all():
            begins = code.evaluate(
                "pre => pre.firstChild.getClientRects()[0].left - pre.getBoundingClientRect().left"
            )
            assert begins < 30
        box = page.locator(".storefront-shown > img").bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (160, 160)
        page.close()


def test_the_frame_of_oembed(page: Page, blog: Blog, plain_stage: Stage) -> None:
    """What a site gets that asks for the address of a product works as it is."""
    query = urlencode({"url": f"{plain_stage.shop_url}products/northlight", "maxheight": 200})
    answer = requests.get(f"{plain_stage.shop_url}oembed?{query}", timeout=5).json()
    blog.show(page, answer["html"], only_frames_of(plain_stage))
    page.frame_locator("iframe").get_by_role("link", name="Buy Now").click()
    page.wait_for_url(CHECKOUT)
