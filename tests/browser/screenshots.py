"""``python -m tests.browser.screenshots FOLDER``: pictures of the demo, for people to look at."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Page

from tests.browser.driving import (
    BUYER,
    DECLINED_CARD,
    GOOD_CARD,
    begin,
    buy,
    chromium,
    fill_checkout,
    pay,
)
from tests.browser.staging import Stage, staged
from tests.demo_processes import Demo, demo

WIDTHS = {"wide": 1280, "narrow": 360}
PRODUCTS = ("northlight", "pro-monthly", "quiet-software", "pro-for-teams", "northlight-api")


def main() -> int:
    """Serve the demo and take every picture."""
    if len(sys.argv) != 2:
        print("Give the folder for the pictures.", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        demo(Path(scratch, "demo")) as shop,
        staged(Path(scratch), settle_seconds=3600) as waiting,
        staged(Path(scratch), plain=True) as plain,
    ):
        for theme in ("light", "dark"):
            _take_all(shop, waiting, plain, folder, theme)
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}/")
    return 0


def _take_all(shop: Demo, waiting: Stage, plain: Stage, folder: Path, theme: str) -> None:
    with chromium() as browser:
        for name, width in WIDTHS.items():
            context = browser.new_context(
                viewport={"width": width, "height": 800},
                color_scheme="dark" if theme == "dark" else "light",
            )
            page = context.new_page()

            def take(what: str, page: Page = page, ending: str = f"{name}-{theme}") -> None:
                _load_pictures(page)
                page.screenshot(path=folder / f"{what}-{ending}.png", full_page=True)

            _take(shop, page, take)
            _take_states(waiting, page, take)
            page.goto(plain.shop_url)
            take("plain-catalogue")
            page.goto(f"{plain.shop_url}products/northlight")
            take("plain-product")
            context.close()


def _take(shop: Demo, page: Page, take: Callable[[str], None]) -> None:
    page.goto(shop.url)
    take("landing")
    page.goto(shop.shop_url)
    take("catalogue")
    for slug in PRODUCTS:
        page.goto(f"{shop.shop_url}products/{slug}")
        take(f"product-{slug}")
    page.goto(f"{shop.shop_url}products/no-such-thing")
    take("not-found")
    page.goto(f"{shop.shop_url}success")
    take("success-neutral")
    page.get_by_label("Email").fill("somebody@example.com")
    page.get_by_role("button", name="Show my order").click()
    page.get_by_role("alert").wait_for()
    take("success-no-match")
    page.goto(shop.polar_url)
    take("polar")

    page.goto(f"{shop.shop_url}products/northlight")
    buy(page)
    take("checkout")
    pay(page)
    take("checkout-errors")
    fill_checkout(page, card=DECLINED_CARD, code="LAUNCH20")
    pay(page)
    page.get_by_text("Payment declined").wait_for()
    take("checkout-declined")
    fill_checkout(page, card=GOOD_CARD, email=f"{uuid4().hex[:8]}-{BUYER}")
    pay(page)
    page.wait_for_url(f"{shop.shop_url}success?*")
    page.get_by_role("heading", name="Thank you").wait_for()
    take("success")


def _take_states(stage: Stage, page: Page, take: Callable[[str], None]) -> None:
    paid, expired = (begin(page, stage.shop_url, "northlight") for _ in range(2))
    stage.pay(paid)
    stage.set_status(expired, "expired")
    for name, secret in (("waiting", paid), ("expired", expired)):
        page.goto(stage.success_url(secret))
        take(f"success-{name}")
    page.goto(f"{stage.polar.url}/checkout/{expired}")
    take("checkout-expired")


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
