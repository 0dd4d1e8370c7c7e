"""Polar's own overlay script, unaltered, on a page of another origin: it opens the local Polar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from flask import Flask, Response, render_template_string, request
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from tests.browser.driving import DECLINED_CARD, GOOD_CARD
from tests.browser.official import SANDBOX, behind_tls, overlay_script, seeing_sandbox
from tests.browser.staging import serving
from tests.demo_processes import free_port
from tests.hosted_pages import link_url, new_email

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def blog() -> Iterator[str]:
    """A page elsewhere that has the script; gives its origin."""
    script = overlay_script().read_bytes()

    app = Flask("blog")

    @app.get("/embed.js")
    def embed() -> Response:
        return Response(script, content_type="text/javascript")

    @app.get("/")
    @app.get("/success")
    def page() -> str:
        return render_template_string(
            "<!doctype html><title>A blog</title><script src=/embed.js data-auto-init></script>"
            '<a href="{{ link }}" data-polar-checkout data-polar-checkout-theme="dark">Buy</a>',
            link=request.args.get("link", ""),
        )

    with serving(app, free_port()) as url:
        yield url


@pytest.fixture(scope="module")
def polar(blog: str) -> Iterator[LocalPolar]:
    """Leads buyers back to the blog, but for those of one product."""
    with LocalPolar(Store(demo_store(blog)), settle_seconds=0.2) as running:
        store = running.store
        for link in store.live_links():
            if store.link_products(link)[0]["name"] == "Starter Templates":
                link["success_url"] = None
        store.organization["embed_hosts"] = [blog.partition("://")[2]]
        yield running


@pytest.fixture(scope="module")
def context(
    browser: Browser, polar: LocalPolar, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    with (
        behind_tls(polar, tmp_path_factory.mktemp("tls")) as port,
        seeing_sandbox(browser, port) as found,
    ):
        yield found.new_context(ignore_https_errors=True)


@dataclass
class Visit:
    """A page of the blog, and what has been told to it, and by whom."""

    page: Page
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    @property
    def events(self) -> list[str]:
        return [message["event"] for _, message in self.told]

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait until that event has come so often; gives its last message."""
        for _ in range(200):
            if self.events.count(event) >= times:
                break
            self.page.wait_for_timeout(50)
        assert self.events.count(event) == times, self.events
        return next(message for _, message in self.told[::-1] if message["event"] == event)

    def pay(self, card: str) -> None:
        self.frame.get_by_label("Email").fill(new_email())
        self.frame.get_by_label("Card number").fill(card)
        self.frame.locator("button.pay").click()


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Visit]:
    page = context.new_page()
    found = Visit(page)
    page.expose_function("note", lambda told: found.told.append(tuple(json.loads(told))))
    page.add_init_script(
        "if (parent === self) addEventListener('message',"
        " ({origin, data}) => note(JSON.stringify([origin, data])))"
    )
    yield found
    page.close()


def _open(visit: Visit, blog: str, polar: LocalPolar, product: str) -> None:
    link = link_url(polar, product).replace(polar.url, SANDBOX)
    visit.page.goto(f"{blog}/?link={link}")
    visit.page.get_by_text("Buy").click()
    visit.wait_for("loaded")


def test_a_purchase_leads_the_page_to_the_success_url(
    visit: Visit, blog: str, polar: LocalPolar
) -> None:
    """The checkout opens over the page, is paid in its frame, and the page goes on."""
    _open(visit, blog, polar, "Northlight for Desktop")
    expect(visit.page.locator(".polar-loader-spinner")).to_have_count(0)
    assert visit.frame.locator("html").get_attribute("data-theme") == "dark"
    visit.pay(GOOD_CARD)
    success = visit.wait_for("success")
    assert visit.events == ["loaded", "confirmed", "success"]
    assert {origin for origin, _ in visit.told} == {SANDBOX}
    assert success["redirect"] is True
    assert success["successURL"].startswith(f"{blog}/success?checkout_id=")
    visit.page.wait_for_url(success["successURL"])
    expect(visit.page.locator("iframe")).to_have_count(0)


def test_the_close_button_closes_the_overlay(visit: Visit, blog: str, polar: LocalPolar) -> None:
    """The frame goes, and the page can be scrolled again."""
    _open(visit, blog, polar, "Northlight for Desktop")
    visit.frame.get_by_role("button", name="Close the checkout").click()
    visit.wait_for("close")
    visit.page.locator("iframe").wait_for(state="detached")
    expect(visit.page.locator("body.polar-no-scroll")).to_have_count(0)


def test_without_a_success_url_the_thanks_are_in_the_frame(
    visit: Visit, blog: str, polar: LocalPolar
) -> None:
    """The page is told so, stays where it is, and the overlay can be closed."""
    _open(visit, blog, polar, "Starter Templates")
    visit.frame.get_by_label("Email").fill(new_email())
    visit.frame.locator("button.pay").click()
    assert visit.wait_for("success")["redirect"] is False
    expect(visit.frame.get_by_role("heading", name="Thank you")).to_be_visible()
    visit.frame.get_by_role("button", name="Close the checkout").click()
    visit.page.locator("iframe").wait_for(state="detached")
    assert visit.page.url.startswith(f"{blog}/?link=")


def test_a_declined_payment_shows_the_checkout_again(
    visit: Visit, blog: str, polar: LocalPolar
) -> None:
    """After `confirmed` the checkout is back, with the reason; a good card pays then."""
    _open(visit, blog, polar, "Northlight for Desktop")
    visit.pay(DECLINED_CARD)
    visit.wait_for("loaded", times=2)
    assert visit.events == ["loaded", "confirmed", "loaded"]
    expect(visit.frame.get_by_role("heading", name="Payment declined")).to_be_visible()
    visit.pay(GOOD_CARD)
    visit.wait_for("success")


def test_another_page_may_not_have_the_checkout(visit: Visit, blog: str, polar: LocalPolar) -> None:
    """Where the organization lists its pages, no other gets the checkout into its frame."""
    hosts, polar.store.organization["embed_hosts"] = (
        polar.store.organization["embed_hosts"],
        ["shop.example.com"],
    )
    try:
        link = link_url(polar, "Starter Templates").replace(polar.url, SANDBOX)
        visit.page.goto(f"{blog}/?link={link}")
        with visit.page.expect_response(f"{SANDBOX}/**") as answer:
            visit.page.get_by_text("Buy").click()
        assert answer.value.status == 403
        # Asked for once more: of a frame that shows an error instead, the body may never come.
        told = requests.get(answer.value.url.replace(SANDBOX, polar.url), timeout=5).json()
        assert told["error"] == "EmbedHostNotAllowed"
        assert visit.told == []
    finally:
        polar.store.organization["embed_hosts"] = hosts
