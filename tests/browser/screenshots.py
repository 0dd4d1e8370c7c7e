"""``python -m tests.browser.screenshots FOLDER [NAME …]``: pictures of all pages, for people.

Each page is taken at 360, 768 and 1280 pixels, in light and in dark, and from right to left. With
names only the pages whose names contain one of them are taken: ``catalogue success``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin
from uuid import uuid4

from playwright.sync_api import Browser, Page

from tests.browser.crowd import crowd
from tests.browser.driving import (
    BUYER,
    DECLINED_CARD,
    GOOD_CARD,
    begin,
    chromium,
    fill_checkout,
    pay,
)
from tests.browser.staging import Stage, serving, site_for, staged
from tests.browser.views import LARGE_VIEWS, VIEWS
from tests.demo_processes import free_port

WIDTHS = (360, 768, 1280)
Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Sites:
    """What there is to look at. Of each the address of its shop matters."""

    #: The demo, a shop without a design of its own, and one with many products.
    demo: Stage
    plain: Stage
    large: Stage
    #: One whose payments take an hour, and one that never could read its catalogue.
    waiting: Stage
    closed_url: str


class Camera:
    """Takes the pages whose names are wanted."""

    def __init__(self, page: Page, folder: Path, ending: str, wanted: Sequence[str]) -> None:
        self.page = page
        self._folder = folder
        self._ending = ending
        self._wanted = wanted

    def wants(self, *names: str) -> bool:
        """Whether any of them is to be taken."""
        return not self._wanted or any(part in name for part in self._wanted for name in names)

    def take(self, name: str, address: str | None = None) -> None:
        """The page at that address, or the one that is open."""
        if self.wants(name):
            if address is not None:
                self.page.goto(address)
            _load_pictures(self.page)
            path = self._folder / f"{name}-{self._ending}.png"
            self.page.screenshot(path=path, full_page=True)


def main() -> int:
    """Serve the sites and take every picture."""
    if len(sys.argv) < 2:
        print("Give the folder for the pictures.", file=sys.stderr)
        return 2
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        with _sites(Path(scratch, "ltr")) as sites:
            for theme in ("light", "dark"):
                _take_all(browser, sites, folder, theme, wanted)
        with _sites(Path(scratch, "rtl"), STOREFRONT_LOCALE="ar") as sites:
            _take_all(browser, sites, folder, "light", wanted, direction="rtl")
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}/")
    return 0


@contextmanager
def _sites(folder: Path, **settings: Any) -> Iterator[Sites]:
    nowhere = f"http://127.0.0.1:{free_port()}"
    closed = site_for(nowhere, folder / "closed", plain=True, **settings)
    with (
        staged(folder / "demo", **settings) as demo,
        staged(folder / "plain", plain=True, **settings) as plain,
        staged(folder / "large", plain=True, stock=crowd, **settings) as large,
        staged(folder / "waiting", settle_seconds=3600, plain=True, **settings) as waiting,
        serving(closed, free_port()) as closed_url,
    ):
        yield Sites(demo, plain, large, waiting, f"{closed_url}/shop/")


def _take_all(
    browser: Browser,
    sites: Sites,
    folder: Path,
    theme: Theme,
    wanted: Sequence[str],
    direction: str = "",
) -> None:
    for width in WIDTHS:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        camera = Camera(context.new_page(), folder, f"{width}-{direction or theme}", wanted)
        for name, path in VIEWS.items():
            camera.take(name, f"{sites.plain.shop_url}{path}")
        for name, path in LARGE_VIEWS.items():
            camera.take(name, f"{sites.large.shop_url}{path}")
        camera.take("unavailable", sites.closed_url)
        _take_purchases(sites, camera)
        if not direction:
            # The demo's own pages know one direction.
            _take_demo(sites.demo, camera)
        context.close()


def _take_purchases(sites: Sites, camera: Camera) -> None:
    page = camera.page
    plain, waiting = sites.plain, sites.waiting
    for state in ("succeeded", "open", "expired", "failed", "waiting"):
        if not camera.wants(f"success-{state}"):
            continue
        stage = waiting if state == "waiting" else plain
        secret = begin(page, stage.shop_url, "northlight", "?discount_code=LAUNCH20")
        if state in ("succeeded", "waiting"):
            stage.pay(secret)
        else:
            stage.set_status(secret, state)
        camera.take(f"success-{state}", stage.success_url(secret))
        if state == "succeeded":
            page.emulate_media(media="print")
            camera.take("success-succeeded-printed")
            page.emulate_media(media="screen")
        page.goto("about:blank")  # a waiting page would go on asking


def _take_demo(shop: Stage, camera: Camera) -> None:
    page = camera.page
    for name, path in (
        ("demo-landing", ""),
        ("demo-pricing", "pricing"),
        ("demo-catalogue", "shop/"),
        ("demo-product", "shop/products/northlight"),
    ):
        camera.take(name, f"{shop.url}/{path}")
    camera.take("polar", shop.polar.url)
    if not camera.wants("checkout", "checkout-errors", "checkout-declined", "demo-success"):
        return
    page.goto(f"{shop.shop_url}products/northlight")
    button = page.locator("a.storefront-button").first
    page.goto(urljoin(page.url, button.get_attribute("href") or ""))
    camera.take("checkout")
    pay(page)
    camera.take("checkout-errors")
    fill_checkout(page, card=DECLINED_CARD, code="LAUNCH20")
    pay(page)
    page.get_by_text("Payment declined").wait_for()
    camera.take("checkout-declined")
    fill_checkout(page, card=GOOD_CARD, email=f"{uuid4().hex[:8]}-{BUYER}")
    pay(page)
    page.wait_for_url(f"{shop.shop_url}success?*")
    page.get_by_role("heading", name="Thank you").wait_for()
    camera.take("demo-success")


def _load_pictures(page: Page) -> None:
    """Those further down load when they are looked at."""
    page.evaluate(
        """async () => {
          const pictures = [...document.images];
          pictures.forEach((picture) => { picture.loading = "eager"; });
          await Promise.all(pictures.map((picture) => picture.decode().catch(() => null)));
        }"""
    )


if __name__ == "__main__":
    sys.exit(main())
