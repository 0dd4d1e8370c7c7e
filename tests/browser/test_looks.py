"""How the shop's pages look and load: for everybody, in every direction, and quickly."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, Route, expect

from tests.browser.crowd import crowd
from tests.browser.driving import assert_fits, begin, pictures_are_there, scroll, wait_until
from tests.browser.staging import Stage, staged
from tests.browser.test_pages import _assert_accessible, look_over
from tests.browser.views import LARGE_VIEWS, VIEWS

pytestmark = pytest.mark.browser

#: Of a product's page: CSS and JavaScript together, gzipped, in bytes.
CODE_BYTES = 20 * 1024
#: Of a product's page, gzipped, in bytes.
HTML_BYTES = 10 * 1024
MOST_REQUESTS_BESIDES_PICTURES = 5
MOST_ELEMENTS = {"product": 400, "catalogue": 900}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A shop of some forty products, some of them hard to show."""
    with staged(tmp_path_factory.mktemp("large"), plain=True, stock=crowd) as found:
        yield found


@pytest.fixture(scope="module")
def rtl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The hard ones, from right to left."""
    folder = tmp_path_factory.mktemp("rtl")
    hard = partial(crowd, hard_only=True)
    with staged(folder, plain=True, stock=hard, STOREFRONT_LOCALE="ar") as found:
        yield found


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One page to see all others in."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def make_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes contexts, and closes them."""
    made: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        made.append(browser.new_context(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.mark.parametrize("name", ["large-catalogue", "large-long-name", "nothing-found"])
def test_pages_are_for_everybody(page: Page, large: Stage, name: str) -> None:
    """axe objects to nothing, in either theme, and nothing is too wide: also where names are
    long, pictures missing and prices absurd."""
    _open(page, large, name)
    look_over(page)


@pytest.mark.parametrize("name", ["large-long-name", *VIEWS])
def test_pages_are_for_everybody_from_right_to_left(page: Page, rtl: Stage, name: str) -> None:
    """axe objects to nothing, and nothing is too wide, where one reads from the right."""
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 360, "height": 740})
    _open(page, rtl, name)
    assert page.locator("html").get_attribute("dir") == "rtl"
    assert_fits(page)
    assert page.evaluate("scrollX") == 0
    _assert_accessible(page, {})


def _open(page: Page, stage: Stage, name: str) -> None:
    answer = page.goto(f"{stage.shop_url}{(VIEWS | LARGE_VIEWS)[name]}")
    assert answer is not None
    assert answer.status == (404 if "not-found" in name else 200)


def test_cards_begin_where_one_begins_to_read(page: Page, large: Stage, rtl: Stage) -> None:
    """Names begin at the same edge, whatever language they are in; the button is at the other."""
    page.set_viewport_size({"width": 1280, "height": 800})
    for stage, at_left in ((large, True), (rtl, False)):
        page.goto(f"{stage.shop_url}?q=quoted")
        card = page.locator(".storefront-card").first
        price = card.locator(".storefront-price").bounding_box()
        button = card.locator(".storefront-button").bounding_box()
        assert price is not None
        assert button is not None
        assert (price["x"] < button["x"]) == at_left
        page.goto(stage.shop_url)
        aligned = page.locator(".storefront-card-name").evaluate_all(
            "names => names.map((name) => { const range = document.createRange();"
            " range.selectNodeContents(name); const words = range.getClientRects()[0];"
            " const room = name.getBoundingClientRect();"
            " return [words.left - room.left, room.right - words.right]; })"
        )
        assert len(aligned) > 20
        assert all((left if at_left else right) < 2 for left, right in aligned)


def test_a_description_has_its_own_direction(page: Page, rtl: Stage) -> None:
    """English on a page that is read from the right has its full stop at its end, and a number
    before its unit; and yet begins where all else does."""
    page.set_viewport_size({"width": 1280, "height": 800})
    edges = (
        "element => { const text = element.lastChild; const at = (from) => {"
        " const range = document.createRange(); range.setStart(text, from);"
        " range.setEnd(text, from + 1); return range.getBoundingClientRect().right; };"
        " return [at(0), at(text.length - 2), at(text.length - 1),"
        " element.getBoundingClientRect().right]; }"
    )
    _open(page, rtl, "large-long-name")
    _, letter, stop, _ = page.locator(".storefront-description p").first.evaluate(edges)
    assert letter < stop
    _open(page, rtl, "product-quiet-software")
    length = page.locator(".storefront-description td", has_text="40 min")
    number, _, end, edge = length.evaluate(edges)
    assert number < end
    assert end == pytest.approx(edge, abs=2)


SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const moved = entry.sources.map(({ node }) => node && node.outerHTML || "");
    window.shifts.push([entry.value, moved.join().slice(0, 200)]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("width", [360, 1280])
def test_slow_pictures_move_nothing(
    make_context: Callable[..., BrowserContext], large: Stage, width: int
) -> None:
    """Pictures that come long after the page have had their room from the beginning."""
    context = make_context(viewport={"width": width, "height": 740})
    context.add_init_script(SHIFTS)
    held: list[Route] = []
    context.route("**/assets/**", lambda route: held.append(route))
    page = context.new_page()

    def let_one_come() -> bool:
        if held:
            held.pop(0).continue_()
            return False
        return pictures_are_there(page)

    for path in ("", "products/northlight", "?q=pro", "products/no-picture"):
        page.goto(f"{large.shop_url}{path}", wait_until="domcontentloaded")
        scroll(page, 3000)
        if "no-picture" not in path:
            wait_until(page, lambda: held)
        wait_until(page, let_one_come)
        while held:
            held.pop(0).continue_()
        page.wait_for_timeout(100)
        assert page.evaluate("window.shifts") == [], path


def test_a_product_page_keeps_to_its_budget(
    make_context: Callable[..., BrowserContext], plain_stage: Stage
) -> None:
    """Little code, few requests, nobody else asked, nothing that blocks but one stylesheet."""
    page = make_context(viewport={"width": 360, "height": 740}).new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(f"{plain_stage.shop_url}products/northlight", wait_until="networkidle")
    kinds = {answer: answer.request.resource_type for answer in answers}
    code = [a for a in answers if kinds[a] in ("script", "stylesheet")]
    assert sum(len(gzip.compress(a.body(), 6)) for a in code) <= CODE_BYTES
    (document,) = (a for a in answers if kinds[a] == "document")
    assert len(gzip.compress(document.body(), 6)) <= HTML_BYTES
    others = [a.url for a in answers if kinds[a] != "image"]
    assert len(others) <= MOST_REQUESTS_BESIDES_PICTURES, others
    assert not [kind for kind in kinds.values() if kind == "font"]
    assert not [url for url in others if not url.startswith(plain_stage.url)]
    assert sum(kind == "stylesheet" for kind in kinds.values()) == 1
    blocking = page.locator(
        "script[src]:not([defer]):not([async]):not([type=module]),"
        " script:not([src]):not([type='application/ld+json'])"
    )
    assert blocking.count() == 0
    assert page.context.cookies() == []


@pytest.mark.parametrize(("what", "path"), [("product", "products/northlight"), ("catalogue", "")])
def test_pages_are_light_to_lay_out(page: Page, large: Stage, what: str, path: str) -> None:
    """Few elements; each picture has its size, those that are seen at first are asked for at
    once, the first of them before others, and those further down when they are needed."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{large.shop_url}{path}")
    assert page.evaluate("document.querySelectorAll('*').length") <= MOST_ELEMENTS[what]
    pictures = page.locator("img").evaluate_all(
        "all => all.map((i) => ({top: i.getBoundingClientRect().top, lazy: i.loading === 'lazy',"
        " sized: Boolean(i.width && i.height && i.getAttribute('width') &&"
        " i.getAttribute('height')), first: i.fetchPriority === 'high',"
        " thumb: i.clientWidth < 150}))"
    )
    assert pictures
    assert all(picture["sized"] for picture in pictures)
    assert [picture["first"] for picture in pictures].count(True) == 1
    assert pictures[0]["first"]
    assert not pictures[0]["lazy"]
    assert all(picture["lazy"] for picture in pictures if picture["top"] > 800)
    seen = [picture for picture in pictures if picture["top"] < 400 and not picture["thumb"]]
    if what == "catalogue":
        assert not [picture for picture in seen if picture["lazy"]]


def test_the_catalogue_is_searched_without_scripts(
    make_context: Callable[..., BrowserContext], large: Stage
) -> None:
    """Typing, choosing and a button are enough; the address is short, pages go on and the campaign
    with them, each filter can be taken away again, and nothing found leads back."""
    page = make_context(java_script_enabled=False).new_page()
    campaign = "utm_source=mail"
    page.goto(f"{large.shop_url}?{campaign}")
    page.get_by_role("searchbox", name="Search the shop").fill("small tool")
    page.get_by_role("searchbox").press("Enter")
    expect(page).to_have_url(f"{large.shop_url}?q=small+tool&{campaign}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Results for “small tool”")
    expect(page.get_by_text("23 products")).to_be_visible()
    page.get_by_label("Kind", exact=True).select_option("One-time purchases")
    page.get_by_label("Order", exact=True).select_option("Highest price first")
    page.get_by_role("button", name="Search").click()
    chosen = f"kind=one-time&sort=price-desc&{campaign}"
    expect(page).to_have_url(f"{large.shop_url}?q=small+tool&{chosen}")
    expect(page.locator(".storefront-card .storefront-price").first).to_have_text("$142.00")
    page.get_by_role("link", name="small tool").click()
    expect(page).to_have_url(f"{large.shop_url}?{chosen}")
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(f"{large.shop_url}?{chosen.replace('&utm', '&page=2&utm')}")
    page.get_by_role("searchbox").fill("no such thing")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nothing was found")).to_be_visible()
    page.get_by_role("link", name="Show everything").click()
    expect(page).to_have_url(f"{large.shop_url}?{campaign}")
    expect(page.locator(".storefront-card")).to_have_count(24)
    page.locator(".storefront-card .storefront-button").first.click()
    page.wait_for_url("**/checkout/polar_c_*")


def test_a_receipt_prints_on_a_page(
    make_context: Callable[..., BrowserContext], plain_stage: Stage
) -> None:
    """On paper it is dark on white, whatever the theme, one page, and without buttons."""
    page = make_context(color_scheme="dark").new_page()
    secret = begin(page, plain_stage.shop_url, "northlight", "?discount_code=LAUNCH20")
    plain_stage.pay(secret)
    page.goto(plain_stage.success_url(secret))
    page.get_by_role("heading", name="Thank you").wait_for()
    paper = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", paper)) == 1
    page.emulate_media(media="print")
    for selector in (".storefront-sign", ".storefront-button", "text=Back to the shop"):
        expect(page.locator(selector).first).to_be_hidden()
    expect(page.get_by_text("$39.20")).to_be_visible()
    assert page.locator("h1").evaluate("h1 => getComputedStyle(h1).color") == "rgb(27, 27, 31)"


def test_nothing_turns_where_motion_is_unwanted(
    make_context: Callable[..., BrowserContext], plain_stage: Stage
) -> None:
    """Who asks their system for less motion sees none."""
    for reduced, animation in (("reduce", "none"), ("no-preference", "storefront-turn")):
        page = make_context(reduced_motion=reduced).new_page()
        secret = begin(page, plain_stage.shop_url, "northlight")
        plain_stage.set_status(secret, "confirmed")
        page.goto(plain_stage.success_url(secret))
        waiting = page.locator(".storefront-waiting")
        assert waiting.evaluate("it => getComputedStyle(it).animationName") == animation
        page.goto("about:blank")


def test_nothing_fades_in(make_context: Callable[..., BrowserContext], large: Stage) -> None:
    """A page that loads has its colours at once, and does not come to them."""
    context = make_context(color_scheme="dark")
    context.add_init_script(
        "window.faded = []; document.addEventListener('transitionrun',"
        " ({propertyName}) => faded.push(propertyName))"
    )
    page = context.new_page()
    for path in ("", "products/northlight", "", "?q=tool"):
        page.goto(f"{large.shop_url}{path}")
        # Two frames on, whatever was to begin has begun.
        page.evaluate(
            "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
        )
        assert page.evaluate("faded") == [], path


@pytest.mark.parametrize("path", ["", "products/northlight"])
@pytest.mark.parametrize(
    "how", ["flex", "flex; flex-direction: column; align-items: center", "grid"]
)
def test_pages_have_room_in_any_frame(
    make_context: Callable[..., BrowserContext], large: Stage, path: str, how: str
) -> None:
    """A site may centre what stands in its frame: the shop is as wide as there is room."""
    page = make_context(bypass_csp=True, viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{large.shop_url}{path}")
    page.add_style_tag(content=f"main {{ display: {how}; justify-items: center }}")
    box = page.locator(".storefront").first.bounding_box()
    assert box is not None
    assert box["width"] > 900
    assert_fits(page)


THEME = """
:root {
  --storefront-accent: rgb(120, 20, 60);
  --storefront-on-accent: rgb(255, 250, 240);
  --storefront-ground: rgb(250, 240, 230);
  --storefront-surface: rgb(255, 255, 250);
  --storefront-text: rgb(40, 10, 20);
  --storefront-soft: rgb(240, 220, 210);
  --storefront-radius: 0px;
  --storefront-font: Georgia, serif;
  --storefront-size: 20px;
  --storefront-space: 24px;
  --storefront-picture-ratio: 1 / 1;
}
"""


def test_ten_lines_make_another_shop_of_it(
    make_context: Callable[..., BrowserContext], large: Stage, tmp_path: Path
) -> None:
    """Colours, corners, type and spacing come from the custom properties alone."""
    page = make_context(bypass_csp=True, color_scheme="light").new_page()
    page.goto(large.shop_url)
    page.add_style_tag(content=THEME)

    def style(selector: str, name: str) -> str:
        found: str = page.locator(selector).first.evaluate(
            "(element, name) => getComputedStyle(element)[name]", name
        )
        return found

    assert style(".storefront-card .storefront-button", "backgroundColor") == "rgb(120, 20, 60)"
    assert style(".storefront-card .storefront-button", "color") == "rgb(255, 250, 240)"
    assert style(".storefront-card .storefront-button", "borderRadius") == "0px"
    assert style(".storefront-card", "borderRadius") == "0px"
    assert style(".storefront-card", "backgroundColor") == "rgb(255, 255, 250)"
    page.locator(".storefront-card .storefront-button").first.evaluate(
        "button => button.outerHTML = '<button class=storefront-button disabled>Buy</button>'"
    )
    assert style(".storefront-button:disabled", "backgroundColor") == "rgb(240, 220, 210)"
    assert style(".storefront-card-name", "color") == "rgb(40, 10, 20)"
    assert style("body", "backgroundColor") == "rgb(250, 240, 230)"
    assert style(".storefront", "fontFamily") == "Georgia, serif"
    assert style(".storefront", "fontSize") == "20px"
    assert style(".storefront-paging", "marginTop") == "60px"
    box = page.locator(".storefront-card .storefront-picture").first.bounding_box()
    assert box is not None
    assert abs(box["width"] - box["height"]) < 1
