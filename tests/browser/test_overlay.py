"""The checkout over the page: opened, paid, closed, refused; and never in anybody's way."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask, Response, render_template_string
from playwright.sync_api import Browser, Frame, Locator, Page, Route, expect

import storefront
from storefront import csp_directives
from storefront.overlay import POLAR_SCRIPT_URL
from tests.browser.driving import (
    BUYER,
    CHROMIUM,
    DECLINED_CARD,
    GOOD_CARD,
    QUIET,
    Watcher,
    fill_checkout,
    wait_until,
)
from tests.browser.official import SANDBOX, behind_tls, overlay_script, seeing_sandbox
from tests.browser.staging import Stage, serving, site_for, staged
from tests.demo_processes import free_port
from tests.hosted_pages import new_email
from tests.test_readme import block

pytestmark = pytest.mark.browser

PRODUCT = "products/northlight"
EVENTS = ("open", "loaded", "close", "confirmed", "success", "timeout")
SILENCE_MS, TIMEOUT_MS, PATIENCE_MS = 4000, 10_000, 30_000
LINKS = "**/v1/checkout-links/**"
#: A page of a site's own with a policy of its own, and what the shop says that this has to allow.
OWN_PAGE = """<!doctype html><html lang="en"><title>A site</title>
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="{{ storefront.stylesheet_url() }}">
{{ storefront.overlay_script(nonce="abc", seconds=8) }}
{% from "storefront/macros.html" import buy_button, product_card %}
<main><h1>A site</h1>{{ product_card("northlight", overlay=True) }}
{{ buy_button("northlight", "By theme", theme="dark", overlay=True) }}
{{ buy_button("northlight", "As a link", overlay=False) }}</main>"""


@dataclass
class Visit:
    """A page, and what its overlay has told it."""

    page: Page
    stage: Stage
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        return [name for name, _ in self.told]

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog", name="Checkout")

    @property
    def closer(self) -> Locator:
        return self.page.locator(".storefront-overlay button")

    @property
    def button(self) -> Locator:
        return self.page.locator("a[data-polar-checkout]").first

    def go(self, path: str = PRODUCT) -> None:
        self.page.goto(f"{self.stage.shop_url}{path}")

    def click(self) -> None:
        """Open the overlay, with whatever is in it."""
        self.button.click()
        expect(self.dialog).to_be_visible()

    def open(self) -> None:
        """Open the overlay, and wait for the checkout in it."""
        self.click()
        self.wait_for("loaded")

    def play(self, script: str = "say({event: 'loaded'})") -> Frame:
        """Open the overlay on a page that speaks by Polar's package, and does this at once."""
        self.page.route(LINKS, lambda route: _puppet(route, script))
        self.go()
        self.click()
        frame = self.page.frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for(state="attached")
        return self.page.frames[-1]

    def say(self, **message: Any) -> None:
        """Have that page say something."""
        self.page.frames[-1].evaluate("message => say(message)", message)

    def stop_clock(self) -> None:
        """Let time go by only when it is told to, from now on."""
        self.page.clock.pause_at(self.page.evaluate("Date.now()") / 1000 + 1)

    def wait_for_frame(self) -> None:
        """Wait until the overlay knows that what is in its frame has loaded once more."""
        wait_until(self.page, lambda: self.page.evaluate("framesLoaded > 0"))
        self.page.evaluate("framesLoaded = 0")

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait until the overlay has told so; what it told with it."""
        for _ in range(600):
            if self.events.count(event) >= times:
                break
            self.page.wait_for_timeout(25)
        assert self.events.count(event) == times, self.events
        return next(detail for name, detail in self.told[::-1] if name == event)

    def assert_unlocked(self) -> None:
        """The overlay is gone, and the page is as it was before it."""
        expect(self.page.locator("dialog")).to_have_count(0)
        root = self.page.evaluate(
            "[getComputedStyle(document.documentElement).overflowY,"
            " document.documentElement.className.includes('scrolls')]"
        )
        assert root == ["visible", False]


def _puppet(route: Route, script: str) -> None:
    if route.request.url.endswith("/package.js"):
        module = overlay_script().with_name("embed.js")
        route.fulfill(content_type="text/javascript", body=module.read_text(encoding="utf-8"))
        return
    route.fulfill(
        content_type="text/html",
        body="<!doctype html><title>Puppet</title><input aria-label=Card>"
        "<script type=module>import {PolarEmbedCheckout} from './package.js';"
        "const origin = new URLSearchParams(location.search).get('embed_origin');"
        "window.say = (message) => PolarEmbedCheckout.postMessage(message, origin);"
        f"{script}; document.documentElement.dataset.ready = '';</script>",
    )


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo site, whose buttons open the checkout over the page."""
    folder = tmp_path_factory.mktemp("over")
    settings: dict[str, Any] = {"STOREFRONT_OVERLAY": "on", "STOREFRONT_BUTTONS": "link"}
    with staged(folder, settle_seconds=0.2, **settings) as stage:
        yield stage


def note_events(page: Page, told: list[tuple[str, dict[str, Any]]]) -> None:
    """Have a page's overlay events noted, also when it goes elsewhere right after one."""
    page.expose_function("note", lambda name, detail: told.append((name, detail)))
    names = [f"storefront:{name}" for name in EVENTS]
    page.add_init_script(
        f"for (const name of {names}) document.addEventListener(name,"
        " ({detail}) => note(name.slice(11), detail))"
    )


@pytest.fixture
def visit(browser: Browser, over: Stage) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    page = context.new_page()
    found = Visit(page, over)
    note_events(page, found.told)
    # A frame's event comes by the document on its way to the frame.
    page.add_init_script(
        "window.framesLoaded = 0; document.addEventListener('load', ({target}) =>"
        " { framesLoaded += target.localName === 'iframe' }, true)"
    )
    yield found
    context.close()


# --- a purchase --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theme", "path", "settings", "campaign"),
    [
        (
            "light",
            f"/shop/{PRODUCT}?utm_source=letter&utm_campaign=a%26b&as=jane@example.com",
            {"STOREFRONT_OVERLAY": "on", "STOREFRONT_BUTTONS": "link"},
            {"utm_source": "letter", "utm_campaign": "a&b"},
        ),
        ("dark", "/", {}, {"utm_source": "landing", "utm_campaign": "hero"}),
    ],
    ids=["link", "by /buy"],
)
def test_a_purchase_over_the_page(
    browser: Browser,
    tmp_path: Path,
    theme: Literal["light", "dark"],
    path: str,
    settings: dict[str, Any],
    campaign: dict[str, str],
) -> None:
    """Opened in the page's theme, declined, paid: the buyer arrives at the receipt, the site has
    heard of each step, and nothing was blocked by the strict policy of the shop's pages. By /buy,
    as on the demo's front page, also a buyer who is a customer already proves the purchase."""
    with staged(tmp_path, settle_seconds=0.2, **settings) as stage:
        email = new_email()
        if path == "/":
            email = BUYER
            stage.pay(stage.open_checkout("Starter Templates"))
        context = browser.new_context(color_scheme=theme)
        watcher = Watcher(context, stage.url, stage.polar.url)
        visit = Visit(context.new_page(), stage)
        note_events(visit.page, visit.told)
        visit.page.goto(f"{stage.url}{path}")
        visit.open()
        frame = visit.page.frame_locator("iframe[title=Checkout]")
        assert frame.locator("html").get_attribute("data-theme") == theme
        fill_checkout(frame, card=DECLINED_CARD, email=new_email())
        frame.locator("button.pay").click()
        expect(frame.get_by_role("heading", name="Payment declined")).to_be_visible()
        expect(visit.closer).to_be_enabled()
        fill_checkout(frame, card=GOOD_CARD, email=email)
        frame.locator("button.pay").click()
        expect(visit.page.get_by_role("heading", name="Thank you")).to_be_visible()
        assert visit.page.url.startswith(f"{stage.shop_url}success?checkout_id=")
        assert visit.events == ["open", "loaded", "confirmed", "confirmed", "success"]
        detail = visit.told[-1][1]
        assert detail["product"] == ("pro-monthly" if path == "/" else "northlight")
        assert detail["link"] in {link["id"] for link in stage.polar.store.live_links()}
        assert detail["campaign"] == campaign
        assert "@" not in str(visit.told)
        assert "token" not in str(visit.told)
        watcher.assert_clean()
        context.close()


def test_without_scripts_it_is_a_link(browser: Browser, over: Stage) -> None:
    """The button leads to the checkout as it always did."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{over.shop_url}{PRODUCT}")
    page.locator("a[data-polar-checkout]").first.click()
    page.wait_for_url("**/checkout/polar_c_*")
    assert "embed" not in page.url
    context.close()


def test_in_an_older_browser_it_is_a_link(visit: Visit) -> None:
    """What could not be drawn is not opened."""
    visit.page.add_init_script("CSS.supports = () => false")
    visit.go()
    visit.button.click()
    visit.page.wait_for_url("**/checkout/polar_c_*")
    assert "embed" not in visit.page.url
    assert visit.events == []


@pytest.mark.parametrize("how", ["Control", "Meta", "Shift", "Alt", "middle", "target", "handled"])
def test_clicks_that_mean_something_else(visit: Visit, how: str) -> None:
    """A new tab, a download or the site's own idea of a click stays what it is."""
    visit.page.route(LINKS, lambda route: route.fulfill(status=204))
    visit.go()
    if how == "target":
        visit.button.evaluate("button => button.target = '_blank'")
    if how == "handled":
        visit.button.evaluate("button => button.onclick = () => false")
    if how == "middle":
        visit.button.click(button="middle")
    elif how in ("target", "handled"):
        visit.button.click()
    else:
        visit.button.click(modifiers=[how])  # type: ignore[list-item]
    visit.page.wait_for_timeout(100)
    assert visit.events == []
    visit.assert_unlocked()


def test_two_clicks_open_one(visit: Visit) -> None:
    """A double click, and a script that clicks again, begin one checkout."""
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.go()
    visit.button.dblclick()
    visit.wait_for("loaded")
    visit.button.evaluate("button => button.click()")
    assert visit.page.locator("dialog").count() == 1
    assert len([url for url in asked if "/redirect" in url]) == 1
    assert visit.events == ["open", "loaded"]


def test_buttons_that_come_later(visit: Visit) -> None:
    """What is put into the page afterwards opens too; links elsewhere never do."""
    visit.go()
    visit.button.evaluate(
        "button => { const copy = document.createElement('p'); copy.innerHTML = button.outerHTML;"
        " button.closest('main').replaceChildren(copy); }"
    )
    visit.page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend',"
        " '<a id=evil href=\"http://evil.invalid/\" data-polar-checkout>Buy</a>')"
    )
    visit.open()
    visit.page.keyboard.press("Shift+Tab")
    visit.closer.press("Enter")
    visit.wait_for("close")
    with visit.page.expect_request("http://evil.invalid/") as asked:
        visit.page.locator("#evil").click()
    assert asked.value.frame == visit.page.main_frame
    assert visit.events == ["open", "loaded", "close"]


def test_the_example_for_analytics(visit: Visit) -> None:
    """What the documentation shows counts who opens a checkout, by product and campaign."""
    visit.page.add_init_script(
        "window.counted = []; window.plausible = (...what) => counted.push(what)"
    )
    visit.page.add_init_script(block("run: overlay_events"))
    visit.page.route(LINKS, lambda route: None)
    visit.go(f"{PRODUCT}?utm_source=letter")
    visit.click()
    counted = {"props": {"product": "northlight", "utm_source": "letter"}}
    assert visit.page.evaluate("counted") == [["Checkout open", counted]]


# --- when it can't be had ----------------------------------------------------------------------


def _assert_at_the_link(visit: Visit) -> None:
    """The page has gone to the checkout, and no overlay is left."""
    visit.page.wait_for_url("**/checkout/polar_c_*")
    assert "embed" not in visit.page.url
    assert visit.events == ["open", "timeout"]


def _embedded(then: Callable[[Route], None]) -> Callable[[Route], None]:
    return lambda route: then(route) if "embed=true" in route.request.url else route.continue_()


@pytest.mark.parametrize("why", ["host", "network", "silence", "hanging"])
def test_a_frame_that_is_refused(visit: Visit, why: str) -> None:
    """An embed host that is not listed, no network, a page that says nothing, and one that never
    comes: the buyer arrives at the checkout all the same."""
    organization = visit.stage.polar.store.organization
    hosts = organization["embed_hosts"]
    wait = TIMEOUT_MS if why == "hanging" else SILENCE_MS
    if why == "host":
        organization["embed_hosts"] = ["shop.example.com"]
    elif why == "network":
        visit.page.route(LINKS, _embedded(lambda route: route.abort()))
    elif why == "silence":
        visit.page.route(LINKS, _embedded(lambda route: route.fulfill(body="<p>An error.")))
    else:
        visit.page.route(LINKS, _embedded(lambda route: None))
    try:
        visit.page.clock.install()
        visit.go()
        visit.stop_clock()
        visit.click()
        if why != "hanging":
            visit.wait_for_frame()
        visit.page.clock.run_for(wait - 1)
        assert visit.events == ["open"]
        visit.page.clock.run_for(1)
        _assert_at_the_link(visit)
    finally:
        organization["embed_hosts"] = hosts


def test_a_policy_that_forbids_the_frame(browser: Browser, tmp_path: Path) -> None:
    """Where the site's own policy has no place for the frame, the link is followed at once."""
    policy = "default-src 'self'; frame-src 'self'"
    settings: dict[str, Any] = {"STOREFRONT_OVERLAY": "on", "STOREFRONT_BUTTONS": "link"}
    with staged(tmp_path, STOREFRONT_CONTENT_SECURITY_POLICY=policy, **settings) as stage:
        context = browser.new_context()
        visit = Visit(context.new_page(), stage)
        note_events(visit.page, visit.told)
        visit.go()
        visit.button.click()
        _assert_at_the_link(visit)
        context.close()


def test_leaving_before_it_comes(visit: Visit) -> None:
    """While the checkout opens the page says so, and Escape closes it."""
    visit.page.route(LINKS, lambda route: None)
    visit.go()
    visit.click()
    expect(visit.dialog.get_by_role("status")).to_have_text("The checkout is opening…")
    visit.page.keyboard.press("Escape")
    visit.assert_unlocked()
    assert visit.events == ["open", "close"]


# --- closing, and not closing ------------------------------------------------------------------


def test_a_keyboard_is_enough(visit: Visit) -> None:
    """Enter opens, the focus moves into the frame and never onto the page behind; the button
    before the frame closes, and the focus comes back."""
    visit.go()
    visit.button.focus()
    visit.page.keyboard.press("Enter")
    visit.wait_for("loaded")
    focused = (
        "document.activeElement.closest('dialog, body').tagName + document.activeElement.tagName"
    )
    assert visit.page.evaluate(focused) == "DIALOGIFRAME"
    seen = set()
    for _ in range(30):
        visit.page.keyboard.press("Tab")
        seen.add(visit.page.evaluate(focused))
    assert seen <= {"DIALOGIFRAME", "DIALOGBUTTON", "BODYBODY"}
    visit.closer.focus()
    expect(visit.closer).to_be_in_viewport()
    assert visit.closer.evaluate("b => getComputedStyle(b.parentElement).opacity") == "1"
    visit.page.keyboard.press("Enter")
    visit.wait_for("close")
    visit.assert_unlocked()
    assert visit.button.evaluate("button => button === document.activeElement")


def test_the_checkouts_own_button_closes(visit: Visit) -> None:
    """What the page in the frame offers to close it does so, and the page can be used again."""
    visit.go()
    visit.open()
    visit.page.frame_locator("iframe").get_by_role("button", name="Close the checkout").click()
    visit.wait_for("close")
    visit.assert_unlocked()


def test_a_payment_on_its_way_is_not_closed(visit: Visit) -> None:
    """After ``confirmed`` neither Escape, the close button nor the frame closes; ``loaded``, as
    after a payment that failed, gives the way out back."""
    visit.play()
    visit.wait_for("loaded")
    visit.say(event="confirmed")
    visit.wait_for("confirmed")
    expect(visit.closer).to_be_disabled()
    visit.say(event="close")
    visit.page.locator("dialog").evaluate("dialog => dialog.focus()")
    for _ in range(4):
        visit.page.keyboard.press("Escape")
    visit.page.locator("dialog").evaluate("dialog => dialog.close()")
    visit.page.wait_for_timeout(100)
    assert visit.page.locator("dialog:modal").count() == 1
    visit.say(event="loaded")
    expect(visit.closer).to_be_enabled()
    visit.say(event="close")
    visit.wait_for("close")
    visit.assert_unlocked()
    assert visit.events == ["open", "loaded", "confirmed", "close"]


def test_nobody_is_locked_in(visit: Visit) -> None:
    """A payment of which nothing more is heard can be left after half a minute, with a word that
    it is safe."""
    visit.page.clock.install()
    visit.play()
    visit.wait_for("loaded")
    visit.stop_clock()
    visit.say(event="confirmed")
    visit.wait_for("confirmed")
    visit.page.clock.run_for(PATIENCE_MS - 1)
    expect(visit.closer).to_be_disabled()
    visit.page.clock.run_for(1)
    expect(visit.dialog.get_by_role("status")).to_contain_text("Your purchase is safe")
    visit.closer.click()
    visit.wait_for("close")
    visit.assert_unlocked()


def test_a_frame_that_falls_silent_can_be_left(visit: Visit) -> None:
    """When the frame goes to a page that says nothing, a button to close shows over it."""
    visit.page.clock.install()
    frame = visit.play()
    visit.wait_for("loaded")
    expect(visit.closer.locator("..")).to_have_css("opacity", "0")
    visit.wait_for_frame()
    visit.stop_clock()
    # Later than what it said when it came.
    visit.page.clock.run_for(1500)
    frame.evaluate("location.assign('about:blank')")
    visit.wait_for_frame()
    visit.page.clock.run_for(SILENCE_MS)
    expect(visit.closer.locator("..")).to_have_css("opacity", "1")
    visit.closer.click()
    visit.assert_unlocked()


def test_a_purchase_that_stays_in_the_frame(visit: Visit) -> None:
    """Without a success URL of the site's, Polar's thanks are in the frame, and can be closed."""
    visit.play()
    visit.wait_for("loaded")
    visit.say(event="confirmed")
    visit.say(event="success", successURL="https://polar.sh/checkout/x", redirect=False)
    visit.wait_for("success")
    expect(visit.closer.locator("..")).to_have_css("opacity", "1")
    assert visit.page.url == f"{visit.stage.shop_url}{PRODUCT}"
    visit.closer.click()
    assert visit.wait_for("close")["product"] == "northlight"


@pytest.mark.parametrize(
    "url", ["javascript:document.title='no'", "data:text/html,no", "", None, {"a": 1}]
)
def test_it_goes_to_web_addresses_only(visit: Visit, url: object) -> None:
    """A success that leads to something else leads nowhere, and can be closed."""
    visit.play()
    visit.wait_for("loaded")
    visit.say(event="success", successURL=url, redirect=True)
    visit.wait_for("success")
    visit.closer.click()
    visit.wait_for("close")
    assert visit.page.url == f"{visit.stage.shop_url}{PRODUCT}"
    assert visit.page.title() != "no"


def test_nobody_else_is_listened_to(browser: Browser, over: Stage) -> None:
    """Messages of the page itself, of another frame, of another type, and of the checkout's frame
    once another site is in it, change nothing."""
    # Nor does the policy of the page keep that other site out.
    context = browser.new_context(bypass_csp=True)
    visit = Visit(context.new_page(), over)
    note_events(visit.page, visit.told)
    close = {"type": "POLAR_CHECKOUT", "event": "close"}
    frame = visit.play("")
    visit.page.evaluate("message => postMessage(message, '*')", close)
    body = "<script>parent.postMessage({type: 'POLAR_CHECKOUT', event: 'close'}, '*')</script>"
    other = f"{over.polar.url}/other"
    visit.page.route(other, lambda route: route.fulfill(content_type="text/html", body=body))
    with visit.page.expect_response(other):
        visit.page.evaluate(
            "url => { const other = document.createElement('iframe'); other.src = url;"
            " document.body.append(other); }",
            other,
        )
    for message in ("null", "'POLAR_CHECKOUT'", "[]", "{event: 'close'}", "{type: 'POLAR'}"):
        frame.evaluate(f"parent.postMessage({message}, '*')")
    frame.evaluate("say({event: 'loaded'})")
    visit.wait_for("loaded")
    visit.page.route(
        "http://elsewhere.invalid/", lambda route: route.fulfill(content_type="text/html", body="")
    )
    frame.goto("http://elsewhere.invalid/")
    frame.evaluate("message => parent.postMessage(message, '*')", close)
    visit.page.wait_for_timeout(200)
    assert visit.events == ["open", "loaded"]
    expect(visit.dialog).to_be_visible()
    context.close()


# --- the page behind ---------------------------------------------------------------------------


@pytest.mark.parametrize("height", [400, 4000], ids=["scrolls", "fits"])
def test_the_page_behind_stays_where_it_is(browser: Browser, over: Stage, height: int) -> None:
    """While it is open nothing scrolls and nothing moves, scroll bar or none; afterwards all is as
    before, also when the page is kept and shown again."""
    with browser.browser_type.launch(
        executable_path=CHROMIUM, args=[*QUIET], ignore_default_args=["--hide-scrollbars"]
    ) as with_bars:
        page = with_bars.new_page(viewport={"width": 800, "height": height})
        visit = Visit(page, over)
        note_events(page, visit.told)
        page.route(LINKS, lambda route: _puppet(route, "say({event: 'loaded'})"))
        visit.go()
        bar = page.evaluate("innerWidth - document.documentElement.clientWidth")
        assert (bar > 0) is (height == 400)
        page.evaluate("document.querySelector('a[data-polar-checkout]').scrollIntoView()")
        where = "[scrollY, ...['main', 'h1', 'header'].flatMap((each) => {"
        where += " const { x, y, width } = document.querySelector(each).getBoundingClientRect();"
        where += " return [x, y, width]; })]"
        # Lengths in vw leave the room of the bar out, some of them not before.
        before = pytest.approx(page.evaluate(where), abs=1)
        visit.open()
        overflow = "getComputedStyle(document.documentElement).overflowY"
        assert page.evaluate(overflow) == "hidden"
        assert page.evaluate(where) == before
        page.mouse.wheel(0, 500)
        page.wait_for_timeout(100)
        assert page.evaluate(where) == before
        page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
        visit.assert_unlocked()
        assert page.evaluate(where) == before
        assert visit.events == ["open", "loaded"]


def test_a_page_that_is_swapped_away(visit: Visit) -> None:
    """When a script takes the dialog out of the page, nothing stays locked, nothing goes
    elsewhere later, and the next click opens anew."""
    visit.page.clock.install()
    visit.page.route(LINKS, lambda route: None)
    visit.go()
    visit.click()
    visit.page.evaluate("document.body.replaceWith(document.body.cloneNode(true))")
    # The copy of the dialog is deaf: it must not be seen.
    expect(visit.page.locator("dialog")).to_have_count(1)
    expect(visit.dialog).to_be_hidden()
    visit.page.evaluate("document.querySelector('dialog').remove()")
    visit.assert_unlocked()
    visit.page.clock.run_for(TIMEOUT_MS + 100)
    assert visit.events == ["open"]
    visit.click()
    assert visit.events == ["open", "open"]


def test_nobody_is_shut_out(visit: Visit) -> None:
    """axe finds nothing in either theme: while it opens, with the checkout in it, and with the
    button to close over it; and who wants no motion sees none."""
    # A look takes longer than a page is waited for.
    visit.page.add_init_script(
        "const real = setTimeout; window.setTimeout = (what, wait) => real(what, 20 * wait);"
    )
    visit.page.set_viewport_size({"width": 360, "height": 740})
    visit.play("")
    for message in (None, "loaded", "success"):
        if message is not None:
            visit.say(event=message, redirect=False)
            visit.wait_for(message)
        visit.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        _assert_accessible(visit.page, {"iframes": False})
        visit.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        _assert_accessible(visit.page, {"iframes": False, "runOnly": ["color-contrast"]})
    assert visit.dialog.evaluate("d => d.getAnimations({subtree: true}).length") == 0


def _assert_accessible(page: Page, options: dict[str, Any]) -> None:
    results = Axe().run(page, options=options)
    assert results.violations_count == 0, results.generate_report()


# --- on a site of one's own, and by Polar's own script -----------------------------------------


@dataclass
class Own:
    """A site with a strict policy of its own that sells on a page of its own."""

    stage: Stage
    policy: str


def _own_site(stage: Stage, folder: Path, **settings: Any) -> tuple[Flask, dict[str, list[str]]]:
    patient = {"STOREFRONT_PAGE_TIMEOUT_SECONDS": 20, **settings}
    app = site_for(stage.polar.url, folder, plain=True, **patient)
    app.add_url_rule("/own", "own", lambda: render_template_string(OWN_PAGE))
    with app.test_request_context():
        return app, csp_directives(overlay=True)


def _serve_policy(app: Flask, policy: str) -> None:
    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", policy)
        return response


def test_a_site_with_a_strict_policy(browser: Browser, over: Stage, tmp_path: Path) -> None:
    """What ``csp_directives`` says is enough for stylesheet, pictures, button and overlay, on a
    page that allows nothing else; its buttons say whether they open over it, and how dark."""
    app, directives = _own_site(over, tmp_path)
    _serve_policy(app, "; ".join(["default-src 'none'", *_written(directives)]))
    with serving(app, free_port()) as url:
        context = browser.new_context(color_scheme="light")
        watcher = Watcher(context, url, over.polar.url)
        visit = Visit(context.new_page(), over)
        note_events(visit.page, visit.told)
        visit.page.goto(f"{url}/own")
        visit.open()
        assert visit.page.locator("script").evaluate("script => script.nonce") == "abc"
        frame = visit.page.frame_locator("iframe")
        assert frame.locator("html").get_attribute("data-theme") == "light"
        frame.get_by_role("button", name="Close the checkout").click()
        visit.wait_for("close")
        visit.page.get_by_role("link", name="By theme").click()
        visit.wait_for("loaded", times=2)
        assert frame.locator("html").get_attribute("data-theme") == "dark"
        frame.get_by_role("button", name="Close the checkout").click()
        visit.wait_for("close", times=2)
        watcher.assert_clean()
        visit.page.get_by_role("link", name="As a link").click()
        visit.page.wait_for_url("**/checkout/polar_c_*")
        context.close()


def _written(directives: dict[str, list[str]]) -> list[str]:
    return [f"{name} {' '.join(sources)}" for name, sources in directives.items()]


def test_polars_own_script(browser: Browser, over: Stage, tmp_path: Path) -> None:
    """Chosen by the setting, Polar's script is taken from where it is pinned, by its hash, and
    opens our buttons under the policy that is told, with nothing blocked."""
    app, directives = _own_site(over, tmp_path, STOREFRONT_OVERLAY="polar")
    policy = "; ".join(["default-src 'none'", *_written(directives)])
    # The script listens to Polar's own hosts only: the local Polar plays one of them.
    _serve_policy(app, policy.replace(f"frame-src 'self' {over.polar.url}", f"frame-src {SANDBOX}"))
    (tmp_path / "tls").mkdir()
    with (
        serving(app, free_port()) as url,
        behind_tls(over.polar, tmp_path / "tls") as port,
        seeing_sandbox(browser, port) as found,
    ):
        context = found.new_context(ignore_https_errors=True)
        watcher = Watcher(context, url, over.polar.url, SANDBOX, POLAR_SCRIPT_URL)
        context.route(
            POLAR_SCRIPT_URL,
            lambda route: route.fulfill(
                content_type="text/javascript",
                headers={"Access-Control-Allow-Origin": "*"},
                body=overlay_script().read_text(encoding="utf-8"),
            ),
        )
        page = context.new_page()
        page.goto(f"{url}/own")
        for name in ("Buy Now", "By theme"):
            button = page.get_by_role("link", name=name).first
            button.evaluate("(b, to) => b.href = b.href.replace(/^http:..[^/]+/, to)", SANDBOX)
            button.click()
            frame = page.frame_locator("iframe")
            dark = "dark" if name == "By theme" else None
            expect(frame.get_by_label("Email")).to_be_visible()
            assert frame.locator("html").get_attribute("data-theme") == dark
            assert (
                page.locator("body.polar-no-scroll").evaluate(
                    "body => getComputedStyle(body).overflowY"
                )
                == "hidden"
            )
            frame.get_by_role("button", name="Close the checkout").click()
            expect(page.locator("iframe")).to_have_count(0)
        watcher.assert_clean()
        context.close()


def test_it_is_small() -> None:
    """Below six kilobytes, compressed."""
    script = Path(storefront.__file__).parent / "static/storefront/overlay.js"
    assert len(gzip.compress(script.read_bytes(), 9)) < 6000
