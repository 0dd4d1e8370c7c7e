"""The demo site: a small maker's Flask site that sells through the local Polar.

``make run`` starts it; ``flask --app app run --debug`` and ``gunicorn -w 2 'app:create_app()'``
do as well. It uses Storefront as any other site would.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

from flask import Flask, render_template, request
from werkzeug.serving import run_simple

from storefront import (
    CatalogUnavailable,
    ConfigurationError,
    Fulfilment,
    Receipt,
    Storefront,
    Visitor,
)

HERE = Path(__file__).parent
shop = Storefront()
#: The plans of the demo store by the month, and by the year where they are sold so.
PLANS = {"northlight-sync": None, "pro-monthly": "pro-yearly", "pro-for-teams": None}


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """The demo site; ``config`` overrides its settings, and the environment those it leaves out."""
    app = Flask(__name__, instance_path=str(HERE / "instance"))
    app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY", "demo: signs who bought, in play")
    app.config["POLAR_SERVER"] = os.environ.get("POLAR_SERVER") or "local"
    app.config["STOREFRONT_SHOP_NAME"] = "Northlight Studio"
    # By /buy, which knows its buyers again: also those who come back and buy once more.
    app.config["STOREFRONT_BUTTONS"] = os.environ.get("STOREFRONT_BUTTONS") or "redirect"
    app.config.update(config or {})
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    shop.init_app(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    app.add_url_rule("/", "landing", landing)
    app.add_url_rule("/pricing", "pricing", pricing)
    return app


def landing() -> str:
    """The site's own front page, which sells with the macros."""
    try:
        catalog = shop.catalog
    except CatalogUnavailable:
        return render_template("landing.html", hero=None, featured=[], newsletter=False)
    # The demo also opens on a store of your own (POLAR_SEED), whatever that sells.
    on_sale = [product.slug for product in catalog.listed if product.offers]
    labels = {link.label for link in catalog.links.values()}
    return render_template(
        "landing.html",
        hero="pro-monthly" if "pro-monthly" in on_sale else next(iter(on_sale), None),
        featured=on_sale[:3],
        newsletter="newsletter" in labels,
    )


def pricing() -> str:
    """The site's plans beside each other, by one macro."""
    try:
        on_sale = {product.slug: product for product in shop.catalog if product.offers}
    except CatalogUnavailable:
        on_sale = {}
    plans = [slug for slug in PLANS if slug in on_sale]
    if len(plans) < len(PLANS):  # a store of your own
        plans = [slug for slug, product in on_sale.items() if product.is_subscription][:3]
    return render_template(
        "pricing.html",
        plans=plans,
        yearly=[yearly if yearly in on_sale else None for yearly in map(PLANS.get, plans)],
        best="pro-monthly" if "pro-monthly" in plans else None,
    )


@shop.visitor
def signed_in() -> Visitor | None:
    """Stands for a login: ``?as=jane@example.com`` plays who is signed in."""
    email = request.args.get("as")
    return Visitor(email=email) if email else None


@shop.on_order
def deliver(fulfilment: Fulfilment) -> None:
    """What this site does for an order, once: here it only says so in the log."""
    order = fulfilment.order
    logging.getLogger("demo").info("Order %s fulfilled: %s", order.order_id, order.product_name)


@shop.on_success(every_time=True)
def thank(receipt: Receipt) -> dict[str, str]:
    """What this site adds to the page that the buyer comes back to."""
    return {"thanks": f"This line was added by the site's own callback for {receipt.product_name}."}


def main() -> None:
    """Serve the demo on ``PORT`` (5000), its local Polar on ``POLAR_PORT`` (8787)."""
    port = _free_port(os.environ.get("PORT") or "5000")
    try:
        app = create_app()
    except ConfigurationError as error:
        sys.exit(f"The demo can't start. {error}")
    print(f"The demo site:   http://127.0.0.1:{port}/")
    print(f"Its shop:        http://127.0.0.1:{port}/shop/")
    if app.config["POLAR_SERVER"] == "local":
        polar = os.environ.get("POLAR_PORT") or "8787"
        print(f"The local Polar: http://127.0.0.1:{polar}/  (no real money moves)")
    print("Press Ctrl+C to stop.", flush=True)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    run_simple("127.0.0.1", port, app, threaded=True)


def _free_port(value: str) -> int:
    """The port, tried before anything is started and announced."""
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        sys.exit(f"The demo can't start. PORT: {value!r} is no port; give one from 1 to 65535.")
    try:
        socket.create_server(("127.0.0.1", int(value))).close()
    except OSError as error:
        sys.exit(
            f"The demo can't start. PORT: {value} can't be listened on ({error.strerror}). "
            "Give another, as in: make run PORT=5001"
        )
    return int(value)


if __name__ == "__main__":
    main()
