"""Sites served in this process, so that a test can put a purchase into any state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit

import requests
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from app import create_app
from storefront import Storefront
from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from tests.demo_processes import free_port

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: What the sites sign their cookies with.
SECRET_KEY = "of the stage"
#: Where a request keeps what it was answered.
_ANSWER = "tests.answer"


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """Close the answer, which Werkzeug leaves open when a browser goes while it is sent."""
        close = getattr((environ or {}).get(_ANSWER), "close", None)
        if close is not None:
            close()

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(app: Flask, port: int) -> Iterator[str]:
    """An app on a port of this machine; gives its origin."""

    def noted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = environ[_ANSWER] = app(environ, start_response)
        return answer

    server = make_server("127.0.0.1", port, noted, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Stage:
    """A site and the local Polar that it sells through."""

    url: str
    polar: LocalPolar

    @property
    def shop_url(self) -> str:
        return f"{self.url}/shop/"

    def open_checkout(self, label: str, query: str = "") -> str:
        """The client secret of a new checkout of the link with that label (or product name)."""
        store = self.polar.store
        secret = next(
            link["client_secret"]
            for link in store.live_links()
            if label in (link["label"], store.link_products(link)[0]["name"])
        )
        opened = requests.get(
            f"{self.polar.url}/v1/checkout-links/{secret}/redirect{query}",
            allow_redirects=False,
            timeout=5,
        )
        return urlsplit(opened.headers["Location"]).path.rsplit("/", 1)[1]

    def pay(self, secret: str) -> None:
        """What the button of the checkout does."""
        answer = requests.post(
            f"{self.polar.url}/v1/checkouts/client/{secret}/confirm",
            json={
                "customer_email": "bea@example.com",
                "customer_billing_address": {"country": "FR"},
                "confirmation_token_id": "ctoken_card_ok",
            },
            timeout=5,
        )
        assert answer.status_code == 200, answer.text

    def success_url(self, secret: str) -> str:
        """Where the buyer of a checkout arrives."""
        return f"{self.shop_url}success?checkout_id={self.polar.store.checkout_ids[secret]}"

    def set_status(self, secret: str, status: Any) -> None:
        """Have a checkout end otherwise than it would here."""
        self.polar.services.checkouts.get_by_secret(secret).status = status


@contextmanager
def staged(
    folder: Path,
    *,
    settle_seconds: float = 0,
    plain: bool = False,
    stock: Callable[[LocalPolar], object] | None = None,
    **settings: Any,
) -> Iterator[Stage]:
    """The demo site, or with ``plain`` one without a design of its own, on the demo store.

    ``stock`` changes the store before the site is there, which reads the catalogue on its own.
    """
    # Two browsers share a machine of two cores.
    settings = {"STOREFRONT_PAGE_TIMEOUT_SECONDS": 20, **settings}
    port = free_port()
    shop_url = f"http://127.0.0.1:{port}/shop"
    with LocalPolar(Store(demo_store(shop_url)), settle_seconds=settle_seconds) as polar:
        if stock is not None:
            stock(polar)
        with serving(site_for(polar.url, folder, plain=plain, **settings), port) as url:
            yield Stage(url, polar)


def site_for(polar_url: str, folder: Path, *, plain: bool = False, **settings: Any) -> Flask:
    """The demo site, or a plain one, selling what that Polar sells."""
    config = {
        "POLAR_SERVER": polar_url,
        "POLAR_ACCESS_TOKEN": "polar_oat_local",
        "STOREFRONT_CACHE_DIR": str(folder / "cache"),
        "SECRET_KEY": SECRET_KEY,
        **settings,
    }
    if not plain:
        with patch("app.HERE", folder):  # each has an instance folder of its own
            return create_app(config)
    app = Flask("plain", root_path=str(folder), instance_path=str(folder / "instance"))
    app.config.update(config)
    # Browsers ask each new site for it once, and complain when it is not there.
    app.add_url_rule("/favicon.ico", "icon", lambda: ("", 204))
    shop = Storefront(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    return app
