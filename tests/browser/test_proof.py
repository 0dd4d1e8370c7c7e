"""Side by side: a browser that bought, and one that did not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.driving import GOOD_CARD, Watcher, begin, fill_checkout, history, pay
from tests.browser.staging import Stage

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scripts", [True, False])
def test_only_the_buyer_sees_the_order(browser: Browser, stage: Stage, scripts: bool) -> None:
    """A returning customer by /buy sees keys and copies one; a stranger with the address sees a
    form, and the order once they type its email address."""
    email = f"returning-{scripts}@example.com"
    buyer = browser.new_context(java_script_enabled=scripts)
    if scripts:
        buyer.grant_permissions(["clipboard-read", "clipboard-write"])
    stranger = browser.new_context(java_script_enabled=scripts)
    watcher = Watcher(stranger, stage.url)
    page, other = buyer.new_page(), stranger.new_page()
    for _ in range(2):  # the second time Polar sends no token
        begin(page, stage.shop_url, "northlight")
        fill_checkout(page, card=GOOD_CARD, email=email)
        pay(page)
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert not [url for url in history(page) if "customer_session_token" in url]
    key = page.locator(".storefront-key code").inner_text()
    assert key.startswith("NORTH-")
    copy = page.get_by_role("button", name="Copy")
    if scripts:
        copy.click()
        # Its name says so too, and not only what is seen.
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == key
    else:
        expect(copy).to_have_count(0)

    other.goto(page.url)
    expect(other.get_by_role("heading")).to_have_text("Your purchase")
    assert key not in other.content()
    assert email not in other.content()
    watcher.assert_clean()
    other.get_by_label("Email").fill(email.upper())
    other.get_by_role("button", name="Show my order").click()
    expect(other.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(other.locator(".storefront-key code")).to_have_text(key)
    watcher.assert_clean()
    buyer.close()
    stranger.close()
