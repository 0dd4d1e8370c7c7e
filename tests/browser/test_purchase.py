"""A purchase clicked through in a browser, from the front page to the receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.driving import (
    BUYER,
    DECLINED_CARD,
    GOOD_CARD,
    Watcher,
    assert_fits,
    begin,
    buy,
    fill_checkout,
    history,
    pay,
    pictures_are_there,
    scroll,
    wait_until,
)
from tests.browser.staging import Stage, staged
from tests.demo_processes import Demo

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("scripts", "theme", "width"),
    [(True, "light", 1280), (True, "dark", 360), (False, "light", 360), (False, "dark", 1280)],
)
def test_a_purchase_is_clicked_through(
    browser: Browser, shop: Demo, scripts: bool, theme: Literal["light", "dark"], width: int
) -> None:
    """Front page, shop, product, checkout, a declined card, a good one, the receipt: no scripts
    needed, nothing blocked, nobody else asked, nothing too wide, and no token left behind."""
    context = browser.new_context(
        java_script_enabled=scripts,
        color_scheme=theme,
        viewport={"width": width, "height": 740},
    )
    watcher = Watcher(context, shop.url, shop.polar_url)
    page = context.new_page()
    page.goto(shop.url)
    assert_fits(page)
    page.get_by_role("link", name="Shop", exact=True).click()
    page.wait_for_url(shop.shop_url)
    assert_fits(page)
    page.get_by_role("link", name="Northlight for Desktop", exact=True).click()
    page.wait_for_url(f"{shop.shop_url}products/northlight")
    assert_fits(page)
    buy(page)
    assert_fits(page)
    # By /buy, not even that it came from this site.
    assert watcher.referers(f"{shop.polar_url}/v1/") == set()

    fill_checkout(page, card=DECLINED_CARD, code="LAUNCH20")
    pay(page)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    assert_fits(page)
    fill_checkout(page, card=GOOD_CARD, email=f"{scripts}-{theme}-{BUYER}")
    pay(page)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()

    assert page.url.startswith(f"{shop.shop_url}success?checkout_id=")
    receipt = page.locator("main")
    for words in ("NORTHLIGHT-STUDIO-", "−$9.80", "$39.20", "added by the site's own callback"):
        expect(receipt).to_contain_text(words)
    expect(receipt).to_contain_text(f"{scripts}-{theme}-{BUYER}")
    assert_fits(page)
    assert not [url for url in history(page) if "token" in url]
    watcher.assert_clean()
    context.close()


def test_the_receipt_comes_by_itself(browser: Browser, tmp_path: Path) -> None:
    """Without scripts the waiting page turns into the receipt when the payment has settled."""
    with staged(tmp_path, settle_seconds=6) as slow:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        secret = begin(page, slow.shop_url, "northlight")
        slow.pay(secret)
        page.goto(slow.success_url(secret))
        expect(page.get_by_role("heading")).to_have_text("Your payment is being confirmed")
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible(timeout=30_000)
        context.close()


def test_a_keyboard_is_enough(browser: Browser, stage: Stage) -> None:
    """The buy button is reached with the Tab key, shows that it has the focus, and opens the
    checkout with Enter."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{stage.shop_url}products/pro-monthly")
    button = page.get_by_role("link", name="Buy Now: Pro Monthly").first
    for _ in range(10):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    else:
        pytest.fail("ten times Tab did not lead to the button")
    outline = button.evaluate("element => getComputedStyle(element).outline")
    assert "solid" in outline
    assert "3px" in outline
    page.keyboard.press("Enter")
    page.wait_for_url("**/checkout/polar_c_*")
    context.close()


@pytest.mark.parametrize("width", [1280, 360])
def test_pictures_move_nothing(browser: Browser, stage: Stage, width: int) -> None:
    """A product's three pictures have their room before they have come."""
    context = browser.new_context(viewport={"width": width, "height": 740})
    context.add_init_script(
        "window.shifted = 0; new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) window.shifted += entry.value;"
        "}).observe({type: 'layout-shift', buffered: true})"
    )
    page = context.new_page()
    page.goto(f"{stage.shop_url}products/northlight")
    assert page.locator(".storefront-pictures img").count() == 3
    scroll(page, 4000)
    wait_until(page, lambda: pictures_are_there(page))
    page.wait_for_timeout(200)
    assert page.evaluate("window.shifted") < 0.02
    context.close()
