"""The local Polar's hosted pages in Chromium: who can use them, and on what screens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from tests.hosted_pages import link_url, new_email

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def polar() -> Iterator[LocalPolar]:
    store = demo_store()
    for link in store["checkout_links"]:
        link["success_url"] = None
    with LocalPolar(Store(store), settle_seconds=0.05) as running:
        yield running


def _wrong(page: Page, polar: LocalPolar) -> None:
    page.goto(link_url(polar, "Pro for Teams"))
    page.select_option("#country", "US")
    page.fill("#seats", "1")
    page.click(".pay")
    expect(page.get_by_role("alert")).to_be_visible()


def _declined(page: Page, polar: LocalPolar) -> None:
    page.goto(link_url(polar, "Northlight for Desktop"))
    page.fill("#customer_email", new_email())
    page.fill("#card_number", "4000 0000 0000 0002")
    page.click(".pay")
    expect(page.get_by_role("heading", name="Payment declined")).to_be_visible()


def _thanks(page: Page, polar: LocalPolar) -> None:
    page.goto(link_url(polar, "Pro Monthly"))
    page.fill("#customer_email", new_email())
    page.click(".pay")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def _portal(page: Page, polar: LocalPolar) -> None:
    _thanks(page, polar)
    page.click("text=See your orders")
    expect(page.get_by_role("heading", name="Your orders")).to_be_visible()


STEPS: dict[str, Callable[[Page, LocalPolar], object]] = {
    "index": lambda page, polar: page.goto(polar.url),
    "choice": lambda page, polar: page.goto(link_url(polar, "Pro Monthly", label="plans")),
    "units": lambda page, polar: page.goto(link_url(polar, "Render Credits")),
    "wrong": _wrong,
    "declined": _declined,
    "thanks": _thanks,
    "portal": _portal,
    "nothing": lambda page, polar: page.goto(f"{polar.url}/checkout/none"),
}


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
@pytest.mark.parametrize("step", STEPS)
def test_pages_are_accessible_and_fit(
    polar: LocalPolar, browser: Browser, step: str, width: int, scheme: str
) -> None:
    """axe finds nothing to object to, and nothing sticks out sideways."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    STEPS[step](page, polar)
    page.wait_for_load_state()
    violations = Axe().run(page).response["violations"]
    assert [(item["id"], item["nodes"][0]["html"]) for item in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_a_purchase_with_the_keyboard_alone(polar: LocalPolar, browser: Browser) -> None:
    """Without a script, an American address appears when asked for, and Enter pays."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(link_url(polar, "Quiet Software: the Course"))
    page.fill("#customer_email", new_email())
    assert not page.locator("#line1").is_visible()
    page.select_option("#country", "US")
    for name in ("line1", "city", "state"):
        page.fill(f"#{name}", "Springfield")
    page.fill("#postal_code", "62701")
    page.press("#postal_code", "Enter")
    page.wait_for_url("**/confirmation")
    expect(page.locator("h1")).to_have_text("Thank you")
    context.close()
