"""A browser, and what a buyer does in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FrameLocator,
    Page,
    Request,
    sync_playwright,
)

#: Debian's; Playwright's own browsers are never downloaded.
CHROMIUM = shutil.which("chromium")
GOOD_CARD = "4242 4242 4242 4242"
DECLINED_CARD = "4000 0000 0000 0002"
BUYER = "bea@example.com"
QUIET = (
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
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def buy(page: Page) -> None:
    """Press the buy button of a product's page, and arrive at the checkout."""
    page.locator("a.storefront-button").first.click()
    page.wait_for_url("**/checkout/polar_c_*")


def begin(page: Page, shop_url: str, reference: str, query: str = "") -> str:
    """Go by the shop's own address to a new checkout; its client secret."""
    page.goto(f"{shop_url}buy/{reference}{query}")
    page.wait_for_url("**/checkout/polar_c_*")
    return urlsplit(page.url).path.rpartition("/")[2]


def fill_checkout(
    page: Page | FrameLocator, *, card: str, code: str = "", email: str = BUYER
) -> None:
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


class Watcher:
    """Notes what a context's pages do that they should not."""

    def __init__(self, context: BrowserContext, *origins: str) -> None:
        self._origins = origins
        self._complaints: list[str] = []
        self._requests: list[Request] = []
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        context.on("console", self._console)
        context.on("weberror", lambda error: self._complaints.append(str(error.error)))
        context.on("requestfailed", self._failed)
        context.on("request", lambda request: self._requests.append(request))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)

    def _failed(self, request: Request) -> None:
        # A picture that was still on its way when the page was left is not asked for any more;
        # nor is the icon of the page, which is "other".
        left = request.failure == "net::ERR_ABORTED"
        if left and request.resource_type in ("image", "other"):
            return
        self._complaints.append(f"{request.method} {request.url}: {request.failure}")

    def assert_clean(self) -> None:
        """Nothing was complained of, and nobody else was asked for anything."""
        assert not self._complaints, "\n".join(self._complaints)
        strangers = [r.url for r in self._requests if not r.url.startswith(self._origins)]
        assert not strangers, "\n".join(strangers)

    def referers(self, origin: str) -> set[str]:
        """Where requests to an origin said they came from."""
        told = (r.all_headers().get("referer") for r in self._requests if r.url.startswith(origin))
        return {referer for referer in told if referer is not None}


def assert_fits(page: Page) -> None:
    """Nothing is wider than the window."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window, f"{page.url} is {wide} px wide in a window of {window} px"


def scroll(page: Page, pixels: int) -> None:
    """Turn the wheel, and wait until the page has gone as far as that or it can go."""
    # A page that was not drawn yet does not hear the wheel.
    page.evaluate("async () => { for (const _ of '123') await new Promise(requestAnimationFrame) }")
    page.mouse.move(100, 100)
    page.mouse.wheel(0, pixels)
    far = "[scrollY + 2, document.documentElement.scrollHeight - innerHeight]"

    def is_there() -> bool:
        reached, most = page.evaluate(far)
        return bool(reached > min(pixels, most))

    wait_until(page, is_there)


def pictures_are_there(page: Page) -> bool:
    """Whether all pictures that can be seen have come."""
    found: bool = page.evaluate(
        "[...document.images].every((picture) => {"
        " const { top, bottom } = picture.getBoundingClientRect();"
        " return bottom < 0 || top > innerHeight || (picture.complete && picture.naturalWidth);"
        "})"
    )
    return found


def wait_until(page: Page, is_so: Callable[[], object]) -> None:
    """Have the page go on until that is so.

    Playwright's ``wait_for_function`` does not do: what is not so at once it asks for again by
    ``eval``, which the policy of the shop's pages forbids.
    """
    for _ in range(1000):
        if is_so():
            return
        page.wait_for_timeout(10)
    raise AssertionError(f"{page.url} does not come to it")


def history(page: Page) -> list[str]:
    """The addresses that the Back button goes through."""
    session = page.context.new_cdp_session(page)
    entries = session.send("Page.getNavigationHistory")["entries"]
    session.detach()
    return [entry["url"] for entry in entries]
