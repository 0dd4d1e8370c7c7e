"""Every page there is, looked over: by axe, in both themes, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route

from storefront.orders.proof import Seals, new_nonce
from tests.browser.driving import (
    DECLINED_CARD,
    GOOD_CARD,
    assert_fits,
    begin,
    fill_checkout,
    pay,
)
from tests.browser.staging import SECRET_KEY, Stage, serving, site_for, staged
from tests.demo_processes import free_port
from tests.test_pages import add_products

pytestmark = pytest.mark.browser

LinkOpener = Callable[[Stage], str]
PRODUCTS = (
    "northlight",
    "pro-monthly",
    "northlight-sync",
    "pro-for-teams",
    "quiet-software",
    "field-notes-a-zine",
    "starter-templates",
    "render-credits",
    "northlight-api",
    "sticker-sheet",
)


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One page to see all others in."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@contextmanager
def staying(page: Page) -> Iterator[None]:
    """A page that goes on by itself stays: there is nothing where it would go. Then it is left."""

    def stay(route: Route) -> None:
        if route.request.is_navigation_request():
            route.fulfill(status=204)
        else:
            route.continue_()

    page.route("**/*", stay)
    try:
        yield
    finally:
        page.unroute("**/*")
        page.goto("about:blank")


def look_over(page: Page) -> None:
    """No violation of accessibility in either theme, and nothing wider than the window."""
    page.wait_for_load_state()
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 360, "height": 740})
    assert_fits(page)
    _assert_accessible(page, {})
    page.set_viewport_size({"width": 1280, "height": 800})
    assert_fits(page)
    _assert_accessible(page, {})
    # Of the rest, a theme changes nothing.
    page.emulate_media(color_scheme="dark")
    _assert_accessible(page, {"runOnly": ["color-contrast"]})


def _assert_accessible(page: Page, options: dict[str, Any]) -> None:
    results = Axe().run(page, options=options)
    assert results.violations_count == 0, f"{page.url}\n{results.generate_report()}"


@pytest.mark.parametrize(
    "path",
    ["", "shop/", "shop/products/no-such-thing", *(f"shop/products/{slug}" for slug in PRODUCTS)],
)
def test_what_the_shop_shows(page: Page, stage: Stage, path: str) -> None:
    """The front page, the catalogue, each kind of product, and a product that is not there."""
    answer = page.goto(f"{stage.url}/{path}")
    assert answer is not None
    assert answer.status == (404 if "no-such" in path else 200)
    look_over(page)


@pytest.mark.parametrize("path", ["", "products/northlight", "products/pro-for-teams", "nothing"])
def test_a_shop_in_no_design_but_its_own(page: Page, plain_stage: Stage, path: str) -> None:
    """The shop's own layout, for sites that have none."""
    page.goto(f"{plain_stage.shop_url}{path.replace('nothing', 'products/nothing')}")
    look_over(page)


@pytest.mark.parametrize("plain", [False, True])
def test_a_large_shop(page: Page, tmp_path: Path, plain: bool) -> None:
    """The first, a middle and the last page of a catalogue, by their links; and one too far."""
    with staged(tmp_path, plain=plain, stock=partial(add_products, count=50)) as stage:
        page.goto(stage.shop_url)
        look_over(page)
        for number in (2, 3):
            page.get_by_role("link", name="Next page").click()
            page.get_by_text(f"Page {number} of 3").wait_for()
            look_over(page)
        page.get_by_role("link", name="Previous page").click()
        page.wait_for_url("**/shop/?page=2")
        page.goto(f"{stage.shop_url}?page=4")
        look_over(page)


@pytest.mark.parametrize("where", ["demo", "plain"])
@pytest.mark.parametrize("status", ["succeeded", "open", "expired", "failed", "confirmed", "none"])
def test_what_became_of_a_purchase(
    page: Page, stage: Stage, plain_stage: Stage, where: str, status: str
) -> None:
    """The success page in each state, for its buyer; and for who has proved nothing."""
    on = stage if where == "demo" else plain_stage
    secret = begin(page, on.shop_url, "northlight", "?discount_code=LAUNCH20")
    if status == "succeeded":
        on.pay(secret)
    elif status != "none":
        on.set_status(secret, status)
    page.goto(on.success_url(secret) if status != "none" else f"{on.shop_url}success")
    with staying(page) if status == "confirmed" else nullcontext():
        look_over(page)
    if status == "none":
        page.get_by_label("Email").fill("somebody@example.com")
        page.get_by_role("button", name="Show my order").click()
        page.get_by_role("alert").wait_for()
        look_over(page)


@pytest.mark.parametrize("path", ["", "success?checkout_id=9f1a8a3c-0a53-4dd9-9e3e-0f4f3c0a9b11"])
@pytest.mark.parametrize("plain", [False, True])
def test_polar_out_of_reach(page: Page, tmp_path: Path, path: str, plain: bool) -> None:
    """A shop that never read its catalogue, and a success page that can't ask."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    with serving(site_for(nowhere, tmp_path, plain=plain), free_port()) as url:
        cookie = Seals([SECRET_KEY]).seal_buyer(new_nonce())
        page.context.add_cookies(
            [{"name": "storefront_buyer", "value": cookie, "url": f"{url}/shop/"}]
        )
        answer = page.goto(f"{url}/shop/{path}")
        assert answer is not None
        assert answer.status == 503
        with staying(page):
            look_over(page)


@pytest.mark.parametrize(
    "label",
    ["website", "plans", "teams", "Field Notes, a zine", "Render Credits", "Northlight API"],
)
def test_the_checkout_of_each_kind(page: Page, stage: Stage, label: str) -> None:
    """The local Polar's checkout as it opens, and with everything left out that it asks for."""
    page.goto(f"{stage.polar.url}/checkout/{stage.open_checkout(label)}")
    look_over(page)
    pay(page)
    page.get_by_role("alert").wait_for()
    look_over(page)


def test_a_declined_payment(page: Page, stage: Stage) -> None:
    """The checkout with a discount, after the bank has said no."""
    page.goto(f"{stage.polar.url}/checkout/{stage.open_checkout('website')}")
    fill_checkout(page, card=DECLINED_CARD, code="LAUNCH20")
    look_over(page)
    pay(page)
    page.get_by_text("Payment declined").wait_for()
    look_over(page)


def test_polars_own_thanks(page: Page, stage: Stage) -> None:
    """The confirmation of a link that leads nowhere else, and the portal of who bought."""
    secret = stage.open_checkout("website")
    checkout = stage.polar.services.checkouts.get_by_secret(secret)
    checkout.success_url = None
    page.goto(f"{stage.polar.url}/checkout/{secret}")
    fill_checkout(page, card=GOOD_CARD, email="new@example.com")
    pay(page)
    page.wait_for_url("**/confirmation*")
    look_over(page)
    token = checkout.customer_session_token
    page.goto(f"{stage.polar.url}/portal?customer_session_token={token}")
    look_over(page)


@pytest.mark.parametrize("path", ["", "portal", "checkout/polar_c_nothing"])
def test_polars_other_pages(page: Page, stage: Stage, path: str) -> None:
    """The local Polar's front page, the closed portal, and a checkout that is not there."""
    page.goto(f"{stage.polar.url}/{path}")
    look_over(page)


def test_a_checkout_that_has_ended(page: Page, stage: Stage) -> None:
    """One that has expired says so."""
    secret = stage.open_checkout("website")
    stage.set_status(secret, "expired")
    page.goto(f"{stage.polar.url}/checkout/{secret}")
    look_over(page)


def test_a_checkout_that_is_settling(page: Page, tmp_path: Path) -> None:
    """Polar's own waiting page."""
    with staged(tmp_path, settle_seconds=60) as slow:
        secret = slow.open_checkout("website")
        slow.pay(secret)
        page.goto(f"{slow.polar.url}/checkout/{secret}")
        with staying(page):
            look_over(page)
