"""The product page and the pricing table in Chromium: by keyboard, and without scripts."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from storefront.emulator import LocalPolar
from storefront.emulator.demo.objects import benefit
from tests.browser.driving import (
    Watcher,
    assert_fits,
    pictures_are_there,
    scroll,
    wait_until,
)
from tests.browser.staging import Stage, staged

pytestmark = pytest.mark.browser

#: Everything that may stand in a description, and every kind of benefit.
DESCRIPTION = """
## A heading

Text with `code` and a [link](https://example.com), and a verylongword{long}.

| A table | that is | much | wider | than | a telephone | by | far |
| --- | --- | --- | --- | --- | --- | --- | --- |
| {long} | 2 | 3 | 4 | 5 | 6 | 7 | 8 |

```
{long} {long}
```

1. One
   - and another

> Said by somebody
""".replace("{long}", "x" * 70)
KINDS = (
    "custom",
    "license_keys",
    "downloadables",
    "github_repository",
    "discord",
    "meter_credit",
    "feature_flag",
    "slack_shared_channel",
    "a_kind_of_tomorrow",
)
#: Notes what moves after it was shown.
SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo, with a product that has everything there is."""
    with staged(tmp_path_factory.mktemp("full"), stock=_fill) as stage:
        yield stage


def _fill(polar: LocalPolar) -> None:
    course = next(p for p in polar.store.products.values() if p["name"].startswith("Quiet"))
    course["description"] = DESCRIPTION
    course["benefits"] = [
        benefit(kind, kind, f"What {kind} brings", {}, visibility="public") for kind in KINDS
    ]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Pages of their own contexts: ``open_page(address, width=1280, scripts=True)``."""
    contexts = []

    def open_(address: str, *, width: int = 1280, scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 740}, java_script_enabled=scripts
        )
        contexts.append(context)
        if scripts:
            context.add_init_script(SHIFTS)
        page = context.new_page()
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()


def in_view(page: Page) -> str:
    """Which picture is in the frame, where scripts may be off."""
    frame = page.locator(".storefront-pictures").bounding_box()
    assert frame is not None
    for number in range(1, 4):
        box = page.locator(f"#picture-{number}").bounding_box()
        assert box is not None
        if abs(box["x"] - frame["x"]) < 2:
            return f"picture-{number}"
    return ""


def wait_for(page: Page, picture: str) -> None:
    """Wait until that picture is in the frame."""
    wait_until(page, lambda: in_view(page) == picture)


def _late(route: Route) -> None:
    time.sleep(0.1)
    route.continue_()


def test_pictures_by_keyboard(open_page: Callable[..., Page], stage: Stage) -> None:
    """Arrows and links show the pictures; the one that is shown is marked; nothing else moves."""
    page = open_page(f"{stage.shop_url}products/northlight")
    links = page.locator(".storefront-thumbs a")
    page.locator(".storefront-pictures").focus()
    page.keyboard.press("ArrowRight")
    wait_for(page, "picture-2")
    page.locator('.storefront-thumbs a[aria-current="true"][href="#picture-2"]').wait_for()
    links.nth(2).focus()
    page.keyboard.press("Enter")
    wait_for(page, "picture-3")
    page.locator('.storefront-thumbs a[aria-current="true"][href="#picture-3"]').wait_for()
    assert links.and_(page.locator("[aria-current]")).count() == 1
    assert page.url.endswith("/northlight"), "the Back button leaves the page"
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("window.shifted") == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_pictures_without_scripts(open_page: Callable[..., Page], stage: Stage, width: int) -> None:
    """The small pictures are links to the large ones, which do not move the page."""
    page = open_page(f"{stage.shop_url}products/northlight", width=width, scripts=False)
    before = page.locator("h1").bounding_box()
    page.locator(".storefront-thumbs a").nth(1).press("Enter")
    wait_for(page, "picture-2")
    assert page.url.endswith("#picture-2")
    assert page.locator("h1").bounding_box() == before


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_moves(open_page: Callable[..., Page], stage: Stage, width: int) -> None:
    """With slow pictures, a product page and the plans are at once as they will be."""
    page = open_page("about:blank", width=width)
    page.route("**/assets/**", _late)
    for path in ("shop/products/northlight", "shop/products/northlight-api", "pricing"):
        page.goto(f"{stage.url}/{path}")
        scroll(page, 2000)
        wait_until(page, lambda: pictures_are_there(page))
        page.wait_for_timeout(100)
        assert page.evaluate("window.shifted") == 0, path
        assert_fits(page)


def test_the_button_comes_early(open_page: Callable[..., Page], stage: Stage) -> None:
    """On a telephone the button is on the first screen of a product with a picture."""
    page = open_page(f"{stage.shop_url}products/pro-monthly", width=360)
    box = page.locator(".storefront-buy .storefront-button").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 740


def test_the_panel_stays(open_page: Callable[..., Page], stage: Stage) -> None:
    """On a wide screen price and button stay beside a long description."""
    page = open_page(f"{stage.shop_url}products/quiet-software")
    scroll(page, 900)
    assert page.evaluate("scrollY") > 500
    box = page.locator(".storefront-buy .storefront-button").bounding_box()
    assert box is not None
    assert 0 <= box["y"] <= 740


@pytest.mark.parametrize("scripts", [True, False])
def test_the_switch(open_page: Callable[..., Page], stage: Stage, scripts: bool) -> None:
    """An arrow key switches all plans to the other terms and back, without a script as well."""
    page = open_page(f"{stage.url}/pricing", scripts=scripts)
    pro = page.locator(".storefront-plan-best")
    assert pro.get_by_text("per month").first.is_visible()
    assert not pro.get_by_text("per year").is_visible()
    page.get_by_role("radio", name="Monthly").press("ArrowRight")
    expect(page.get_by_role("radio", name="Yearly 2 months free")).to_be_checked()
    expect(pro.get_by_text("per year")).to_be_visible()
    expect(pro.get_by_role("link", name="Buy Now: Pro Yearly")).to_be_visible()
    assert not pro.get_by_role("link", name="Buy Now: Pro Monthly").is_visible()
    assert page.get_by_text("14 days free, then").is_visible(), "a plan without other terms stays"
    page.get_by_role("radio", name="Yearly").press("ArrowLeft")
    expect(pro.get_by_text("per year")).to_be_hidden()
    assert pro.get_by_role("link", name="Buy Now: Pro Monthly").is_visible()


def test_a_comparison_for_each_screen(open_page: Callable[..., Page], stage: Stage) -> None:
    """A table where there is room; where there is none, each plan says what it brings."""
    page = open_page(f"{stage.url}/pricing")
    table = page.get_by_role("table", name="What each plan brings")
    assert table.get_by_role("columnheader", name="Pro for Teams").is_visible()
    row = table.get_by_role("row", name="Roles and single sign-on")
    assert [cell.inner_text().strip() for cell in row.get_by_role("cell").all()] == [
        "Not included",
        "Not included",
        "Included",
    ]
    page.set_viewport_size({"width": 360, "height": 740})
    expect(table).to_be_hidden()
    expect(page.get_by_role("listitem").get_by_text("Roles and single sign-on")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "locale"),
    [
        ("pricing", "en"),
        ("pricing", "ar"),
        ("shop/products/quiet-software", "en"),
        ("shop/products/quiet-software", "ar"),
    ],
)
def test_everything_at_once(
    browser: Browser, full: Stage, tmp_path: Path, path: str, locale: str
) -> None:
    """A product with everything and the plans: for axe, in both themes, narrow and wide, in
    either direction, without a word from the console."""
    # A change of theme has to be over when axe measures colours.
    context = browser.new_context(reduced_motion="reduce")
    watcher = Watcher(context, full.url, full.polar.url)
    page = context.new_page()
    page.goto(f"{full.url}/{path}")
    if locale == "ar":
        page.evaluate("document.documentElement.dir = 'rtl'")
    for width, theme in ((360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        assert_fits(page)
        found = Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    watcher.assert_clean()
    context.close()


def test_it_is_light(stage: Stage) -> None:
    """Styles and scripts of a product page are at most 20 KB together, as they are sent."""
    page = requests.get(f"{stage.shop_url}products/northlight", timeout=10).text
    addresses = [
        piece.split('"')[0]
        for start in ('rel="stylesheet" href="', '<script src="')
        for piece in page.split(start)[1:]
    ]
    ours = [address for address in addresses if "/_storefront/" in address]
    assert any("storefront.css" in address for address in ours)
    assert any("storefront.js" in address for address in ours)
    sizes = {
        address: len(gzip.compress(requests.get(f"{stage.url}{address}", timeout=10).content))
        for address in ours
    }
    assert sum(sizes.values()) <= 20_000, sizes
