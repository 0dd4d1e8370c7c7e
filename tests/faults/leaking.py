"""S4: no token, secret or customer's address in what a site logs, keeps, raises and sends."""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from unittest import mock
from uuid import uuid4

from flask import Flask, got_request_exception
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from storefront import Receipt, Storefront, get_state
from storefront.emulator.app import Token
from storefront.testing import Fault, Purchase, ShopPolar, local_polar
from tests.faults.harness import Figure
from tests.webhook_posts import body, signed

EMAIL: Final = "canary-of-the-buyer@example.com"
ACCESS: Final = "polar_oat_canaryoftheaccess"
WEBHOOK: Final = "whsec_canaryofthewebhook"
#: What may go wrong at Polar, and at the site itself.
FAILURES: Final[tuple[Fault | str, ...]] = (
    *(Fault("status", code) for code in (400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504)),
    *(Fault(kind) for kind in ("hang", "drip-headers", "drip-body", "garbage", "not-http")),
    *(Fault(kind) for kind in ("truncated", "endless", "reset")),
    Fault("latency", 30),
    Fault("bomb", 10),
    *("callback", "template", "database", "nothing"),
)


class _Sinks(logging.Handler):
    """Where something may end up, and what did."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: dict[str, list[str]] = {}
        #: How often the buyer's address was where it belongs.
        self.control = 0

    def put(self, sink: str, text: str) -> None:
        """Keep what came out somewhere."""
        self.texts.setdefault(sink, []).append(text)

    def emit(self, record: logging.LogRecord) -> None:
        """A line of a log, and its traceback as an error reporter would make it."""
        name = record.name.partition(".")[0]
        self.put(f"log of {name}", record.getMessage())
        self.put(f"arguments of {name}'s log", repr(record.args))
        if record.exc_info and record.exc_info[1]:
            self.trace("a logged traceback", record.exc_info[1], record.exc_info[2])

    def trace(self, sink: str, error: BaseException, tb: TracebackType | None) -> None:
        """A traceback with the values of all variables."""
        whole = traceback.TracebackException(type(error), error, tb, capture_locals=True)
        self.put(sink, "".join(whole.format()))

    def page(self, who: str, response: TestResponse, *, own: bool = False) -> None:
        """What somebody was sent; ``own`` is a page that its buyer may see."""
        for name, value in response.headers:
            if name == "Location" and "/portal?" in value:
                continue  # the one place where they have to stand
            self.put(f"{who}: header {name}", value)
        if own:
            self.control += EMAIL in response.text
        else:
            self.put(f"{who}: body", response.text)


def leaking(folder: Path, *, failures: Sequence[Fault | str] = FAILURES) -> Figure:
    """Sell, show and fail in so many ways, and look for the canaries everywhere."""
    sinks, secrets = _Sinks(), {ACCESS, WEBHOOK, EMAIL, "polar_mst_", "polar_cst_"}
    root = logging.getLogger()
    level = root.level
    root.addHandler(sinks)
    root.setLevel(logging.DEBUG)
    loud = [logging.getLogger(name) for name in ("storefront", "urllib3", "werkzeug", "requests")]
    levels = [each.level for each in loud]
    for each in loud:
        each.setLevel(logging.DEBUG)
    try:
        with local_polar(tokens={ACCESS: Token()}) as polar:
            for number, failure in enumerate(failures):
                _try(folder / str(number), polar, failure, sinks)
    finally:
        root.removeHandler(sinks)
        root.setLevel(level)
        for each, before in zip(loud, levels, strict=True):
            each.setLevel(before)
    for path in folder.rglob("*"):
        if path.is_file():
            where = path.relative_to(folder).parts[-1]
            sinks.put(f"file {where}", path.read_bytes().decode("latin-1"))
    found = {
        f"{secret} in {sink}"
        for sink, texts in sinks.texts.items()
        for secret in secrets
        if any(secret in text for text in texts)
    }
    count = len(sinks.texts)
    return Figure(
        f"S4: {len(found)} canaries found in {count} sinks under {len(failures)} failures"
        f", {sinks.control} times on the buyer's own page"
        + "".join(f"\n  {each}" for each in sorted(found)),
        "0 found in at least 30, and some on that page",
        kept=not found and count >= 30 and sinks.control > 0,
    )


def _try(folder: Path, polar: ShopPolar, failure: Fault | str, sinks: _Sinks) -> None:
    site = _site(folder, polar, failure)
    client = site.test_client()
    email = EMAIL.replace("canary", f"{uuid4().hex}-canary")
    bought = polar.purchase(client.get("/shop/buy/northlight").headers["Location"], email=email)
    with got_request_exception.connected_to(
        lambda sender, exception, **_: sinks.trace(
            "an unhandled traceback", exception, exception.__traceback__
        ),
        site,
    ):
        with _failing(polar, failure):
            for act in _acts(bought, email):
                with contextlib.suppress(LookupError):
                    act(client, sinks)
        get_state(site).proofs.checkouts.forget(bought.checkout_id)
        get_state(site).proofs.pages.forget(bought.checkout_id)
        other = site.test_client()
        for act in _acts(bought, email):
            with contextlib.suppress(LookupError):
                act(other, sinks)
    state = get_state(site)
    for name in ("settings", "client", "orders", "proofs"):
        sinks.put(f"repr of {name}", repr(getattr(state, name)))
    for cookie in ("storefront_buyer", "storefront_purchases"):
        kept = client.get_cookie(cookie, path="/shop/")
        sinks.put(f"cookie {cookie}", str(kept))


def _acts(bought: Purchase, email: str) -> Iterator[Callable[[FlaskClient, _Sinks], None]]:
    """What a buyer, Polar and strangers do."""
    clean = f"/shop/success?checkout_id={bought.checkout_id}"
    token = bought.customer_session_token

    def get(who: str, path: str, *, own: bool = False) -> Callable[[FlaskClient, _Sinks], None]:
        return lambda client, sinks: sinks.page(who, client.get(path), own=own)

    yield get("arriving", f"{clean}&customer_session_token={token}")
    yield get("buyer", clean, own=True)
    yield get("invoice", clean.replace("success", "success/invoice"))
    yield get("portal", "/shop/portal")
    yield get("shop", "/shop/")
    yield lambda client, sinks: sinks.page("stranger", client.application.test_client().get(clean))
    yield lambda client, sinks: sinks.page(
        "form", client.application.test_client().post(clean, data={"email": email})
    )

    def tell(client: FlaskClient, sinks: _Sinks) -> None:
        content = body()
        headers = signed(content, secret=WEBHOOK)
        sinks.page("webhook", client.post("/shop/webhooks", data=content, headers=headers))
        sinks.page("forgery", client.post("/shop/webhooks", data=b"{}", headers=headers))

    yield tell


@contextlib.contextmanager
def _failing(polar: ShopPolar, failure: Fault | str) -> Iterator[None]:
    if isinstance(failure, str):
        yield
        return
    polar.faults.add(failure)
    try:
        yield
    finally:
        polar.faults.clear()


def _site(folder: Path, polar: ShopPolar, failure: Fault | str) -> Flask:
    app = Flask("leaking", root_path=str(folder), instance_path=str(folder / "instance"))
    settings: dict[str, Any] = {
        "POLAR_SERVER": polar.url,
        "SECRET_KEY": "of the leaking",
        "STOREFRONT_PAGE_TIMEOUT_SECONDS": 0.5,
        "TESTING": True,
    }
    if failure == "database":
        settings["STOREFRONT_DATABASE_URL"] = "postgresql://somebody:geheim@127.0.0.1:1/shop"
    app.config.update(settings)
    # Flask hands all of app.config to each template: secrets are given as the guide says.
    secrets = {"POLAR_ACCESS_TOKEN": ACCESS, "POLAR_WEBHOOK_SECRET": WEBHOOK}
    with mock.patch.dict(os.environ, secrets):
        shop = Storefront(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    get_state(app).catalog.sync()
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @shop.on_success(every_time=True)
    def fail(receipt: Receipt) -> None:
        if failure == "callback":
            raise LookupError("no key left")

    if failure == "template":
        folder.joinpath("templates/storefront").mkdir(parents=True)
        page = folder / "templates/storefront/success.html"
        page.write_text("{{ outcome.receipt.customer.email.nothing() }}")
    return app
