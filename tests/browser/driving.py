"""A browser, and what a buyer does in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

#: Debian's; Playwright's own browsers are never downloaded.
CHROMIUM = shutil.which("chromium")
GOOD_CARD = "4242 4242 4242 4242"
DECLINED_CARD = "4000 0000 0000 0002"
BUYER = "bea@example.com"
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, calling home to nobody."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


def buy(page: Page) -> None:
    """Press the buy button of a product's page, and arrive at the checkout."""
    page.locator("a.storefront-button").first.click()
    page.wait_for_url("**/checkout/polar_c_*")


def fill_checkout(page: Page, *, card: str, code: str = "", email: str = BUYER) -> None:
    """What a buyer types into the checkout; a code is applied first, as its own step."""
    if code:
        page.get_by_label("Discount code").fill(code)
        page.get_by_role("button", name="Apply").click()
        page.get_by_role("button", name="Remove").wait_for()
    page.get_by_label("Email").fill(email)
    page.get_by_label("Country").select_option("FR")
    page.get_by_label("Card number").fill(card)
    page.get_by_label("Expires").fill("12 / 34")
    page.get_by_label("CVC").fill("123")


def pay(page: Page) -> None:
    """Press the button that pays."""
    page.locator("button.pay").click()
