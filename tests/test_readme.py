"""Every block of code in the documentation is run, or checked for what it names."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask, Response, render_template_string
from markupsafe import escape

import storefront.catalog
from storefront import Storefront, get_state
from storefront.emulator import LocalPolar
from storefront.emulator.__main__ import _parser, _store
from storefront.emulator.events import EVENTS as POLARS_EVENTS
from storefront.polar.webhooks import EVENTS
from storefront.settings import NAMES, Settings
from storefront.signals import send, subscription_updated
from storefront.testing import ShopPolar, local_polar
from storefront.urls import success_url
from tests.conftest import SiteMaker
from tests.demo_processes import free_port
from tests.faults.prove import PROOFS
from tests.test_success import open_checkout, pay

ROOT = Path(storefront.__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What a machine may find in ``make run``'s environment.
MAKE_VARIABLES = {"PORT", "POLAR_PORT", "POLAR_SEED"}


class Block(NamedTuple):
    """A block of code; ``marker`` is the HTML comment before it: ``run: site``."""

    page: str
    line: int
    language: str
    marker: str
    text: str


def blocks() -> Iterator[Block]:
    """All blocks of the documentation."""
    fence = re.compile(
        r"(?:^ *<!-- (?P<marker>.*?) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n"
        r"(?P<text>.*?)^ *```$",
        re.MULTILINE | re.DOTALL,
    )
    for path in PAGES:
        source = path.read_text(encoding="utf-8")
        assert source.count("```") == 2 * len(fence.findall(source)), path
        for found in fence.finditer(source):
            text = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
            line = source.count("\n", 0, found.start()) + 1
            marker = found["marker"] or found["language"]
            yield Block(path.name, line, found["language"], marker, text)


BLOCKS = list(blocks())
#: The markers that the tests below run; without a marker, a block goes by its language.
RUN = {
    "run: site",
    "run: macros",
    "run: pricing",
    "run: buy_url",
    "run: visitor",
    "run: on_success",
    "run: on_order",
    "run: on_refund",
    "run: orders_test",
    "run: css",
    "run: theme",
    "run: cache",
    "run: policy",
    "run: csp_directives",
    "run: overlay",
    "run: overlay_events",  # by browser/test_overlay.py
    "run: lane",
    "run: patiently",
    "run: local",
    "run: success_url",
    "run: signals",
    "run: webhook_events",
    "run: picture",
    "run: card",
    "run: embed_code",
    "run: element",  # these four by browser/test_element.py
    "run: element_room",
    "run: element_style",
    "run: products_json",
    "run: robots",  # by test_feeds.py
    "file: templates/storefront/layout.html",
    "file: links.yaml",  # these two by test_cli_docs.py
    "console",
    "sh",
}
SHELL = [block for block in BLOCKS if block.language == "sh"]
COMMANDS = sorted({line for block in SHELL for line in block.text.splitlines() if line.strip()})


def block(marker: str) -> str:
    """The one block with that marker."""
    found = [block.text for block in BLOCKS if block.marker == marker]
    assert len(found) == 1, marker
    return found[0]


def test_no_block_goes_unrun() -> None:
    """Each block of the documentation has a test, and each test its block."""
    assert {block.marker for block in BLOCKS} == RUN


# The site in one file


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_gone(port: int) -> None:
    """The local Polar leaves a few seconds after its last site."""
    ends = time.monotonic() + 20
    while listens(port) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not listens(port), "a local Polar was left behind"


class Home(NamedTuple):
    """Where ``myshop.py`` is, with the environment to run it in."""

    path: Path
    environment: dict[str, str]
    polar_port: int


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The README's site, written to a folder; at the end its local Polar has to be gone."""
    path = tmp_path_factory.mktemp("myshop")
    (path / "myshop.py").write_text(block("run: site"), encoding="utf-8")
    port = free_port()
    yield Home(path, {**os.environ, "POLAR_PORT": str(port)}, port)
    wait_until_gone(port)


def test_the_site_fits_in_twenty_lines() -> None:
    """The README's site has at most twenty lines of code."""
    assert len([line for line in block("run: site").splitlines() if line]) <= 20


@pytest.mark.alone
def test_the_site_sells(home: Home) -> None:
    """The README's site, served as the README says, sells a product and stops when told."""
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "myshop", "run", "--port", str(port)]
    with subprocess.Popen(command, cwd=home.path, env=home.environment) as server:
        try:
            front = fetch(f"http://127.0.0.1:{port}/")
            shop = fetch(f"http://127.0.0.1:{port}/shop/")
            page = fetch(f"http://127.0.0.1:{port}/shop/products/northlight")
            thanks = buy(page, f"http://127.0.0.1:{home.polar_port}")
        finally:
            server.terminate()
            server.wait(10)
    assert server.returncode == -signal.SIGTERM
    assert 'href="/shop/products/northlight"' in front
    assert "Northlight for Desktop" in shop
    assert "Thank you" in thanks


def buy(page: str, polar_url: str) -> str:
    """What the success page says to who pays for what the page's first button sells."""
    link = re.search(r'class="storefront-button[^"]*" href="([^"]+)"', page)
    assert link is not None
    opened = requests.get(link[1].replace("&amp;", "&"), timeout=5)
    assert opened.url.startswith(f"{polar_url}/checkout/")
    secret = re.search("polar_cl_[A-Za-z0-9]+", link[1])
    assert secret is not None
    order = {"link": secret[0], "email": "jane@example.com"}
    paid = requests.post(f"{polar_url}/local/purchases", json=order, timeout=5).json()
    (purchase,) = paid["purchases"]
    proof = {"customer_session_token": purchase["customer_session_token"]}
    with requests.Session() as browser:
        return browser.get(purchase["success_url"], params=proof, timeout=10).text


def fetch(url: str) -> str:
    """The page at the address, once a server is there."""
    ends = time.monotonic() + 30
    while True:
        try:
            answer = requests.get(url, timeout=10)
        except requests.ConnectionError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            assert answer.status_code == 200
            return answer.text


# Shell


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_can_be_given(command: str, home: Home) -> None:
    """Each line for a shell names what is there: targets, options, commands, settings, files."""
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, value = words.pop(0).partition("=")
        assert name in MAKE_VARIABLES
        assert name != "POLAR_SEED" or (ROOT / value).is_file()
    match words:
        case ["make", target]:
            subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)
        case ["make", "prove", proof]:
            start = proof.removeprefix("PROOF=")
            assert any(name.startswith(start) for name in PROOFS)
        case ["export", assignment]:
            assert assignment.partition("=")[0] in NAMES
        case ["pip", "install", "."]:
            assert (ROOT / "pyproject.toml").is_file()  # done by test_packaging.py
        case ["python", "-m", "storefront.emulator", *options]:
            parsed = _parser().parse_args(options)
            assert _store(ROOT / parsed.seed, parsed.site).products
        case ["flask", "--app", "myshop", "run", *options]:
            _run(home, "flask", "--app", "myshop", "run", *options, "--help")
        case ["flask", *options] if "orders" in options:
            assert re.search(r"orders?\b|Order", _run(home, "flask", *options))
        case ["flask", *options, "db", "upgrade"]:
            assert "the tables" in _run(home, "flask", *options, "db", "upgrade")
        case ["flask", *options]:
            assert re.match(r"Read \d+ products", _run(home, "flask", *options))
        case ["curl", "-X", "POST", "-H", "Content-Type: application/json", "-d", body, url]:
            with LocalPolar(_store(None, "http://127.0.0.1:5000/shop")) as polar:
                address = polar.url + urlsplit(url).path
                assert requests.post(address, json=json.loads(body), timeout=5).ok
        case ["gunicorn", *options]:
            _run(home, "gunicorn", "--check-config", *options)
        case _:
            pytest.fail(f"nothing checks {command!r}")


def _run(home: Home, module: str, *options: str) -> str:
    command = [sys.executable, "-m", module, *options]
    done = subprocess.run(
        command, cwd=home.path, env=home.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "text", [block.text for block in SHELL if "export" in block.text], ids=["live", "local"]
)
def test_exported_settings_suffice(text: str) -> None:
    """With the variables that a block exports, the settings are complete."""
    environment = dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))
    assert Settings.from_mapping({}, environment).server.name == environment["POLAR_SERVER"]


def test_the_success_url_is_ours() -> None:
    """The success URL in the README is the one that the success page understands."""
    app = Flask("site")
    app.register_blueprint(Storefront().blueprint, url_prefix="/shop")
    with app.test_request_context(base_url="https://example.com/"):
        assert success_url() == block("run: success_url").strip()


# Python


def run(marker: str, **names: Any) -> dict[str, Any]:
    """Run a block with these names in reach; what it leaves behind."""
    exec(compile(block(marker), marker, "exec"), names)  # noqa: S102
    return names


def test_buy_url(site: Flask) -> None:
    """The example of ``buy_url`` gives the URL of a link, filled in."""
    shop = Storefront()
    with site.test_request_context():
        url = run("run: buy_url", shop=shop)["url"]
        link = shop.catalog.find("pro-monthly").offer
    assert link is not None
    query = "?customer_email=jane%40example.com&utm_source=newsletter"
    assert url == link.link.url + query


def test_visitor(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The example of ``@shop.visitor`` fills in the checkout of who is signed in."""
    shop = Storefront()
    run("run: visitor", shop=shop)
    client = make_site(reference_polar, shop=shop, SECRET_KEY="x").test_client()
    assert "customer_email" not in client.get("/shop/products/pro-monthly").text
    with client.session_transaction() as kept:
        kept.update(email="jane@example.com", user_id="user-1")
    page = client.get("/shop/products/pro-monthly")
    assert "customer_email=jane%40example.com&amp;reference_id=user-1" in page.text
    assert page.headers["Cache-Control"] == "private, no-store"


def test_on_success(reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path) -> None:
    """The examples of the two functions: one is given the order, the other words to the page."""
    shop = Storefront()
    sent: list[str] = []
    run("run: on_success", shop=shop, send_key=lambda order, key: sent.append(key))
    templates = tmp_path / "templates" / "storefront"
    templates.mkdir(parents=True)
    (templates / "layout.html").write_text("{{ thanks }}{% block storefront_main %}{% endblock %}")
    app = make_site(reference_polar, shop=shop, SECRET_KEY="x")
    with app.test_request_context():
        offer = shop.catalog.find("ebook-fast-apis").offer
    assert offer is not None
    checkout = open_checkout(reference_polar, offer.link.client_secret)
    address = pay(reference_polar, checkout)
    for is_first in (True, False):
        page = app.test_client().get(address, follow_redirects=True)
        assert ("is on its way to you." in page.text) == is_first
    give_up = time.monotonic() + 30
    while not sent and time.monotonic() < give_up:
        time.sleep(0.05)
    assert sent == [f"order-{order_id}" for order_id in reference_polar.store.orders]


def test_orders(make_site: SiteMaker) -> None:
    """The examples of the guide: a row for an order, none after its refund, and how to test it."""
    shop = Storefront()
    run("run: on_refund", **run("run: on_order", shop=shop))
    made: list[tuple[Flask, ShopPolar]] = []

    def create_app(**settings: Any) -> Flask:
        app = make_site(made_polar[0], shop=shop, **settings)
        with get_state(app).database.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE accounts (order_id TEXT, plan TEXT)")
        return app

    def accounts(app: Flask) -> int | None:
        with get_state(app).database.reading() as connection:
            return connection.exec_driver_sql("SELECT count(*) FROM accounts").scalar()

    made_polar: list[ShopPolar] = []

    @contextmanager
    def kept() -> Iterator[ShopPolar]:
        with local_polar() as polar:
            made_polar.append(polar)
            yield polar
            app = names["app"]
            made.append((app, polar))
            assert accounts(app) == 1
            polar.refund(next(iter(polar.store.orders)))
            names["command"].invoke(args=["storefront", "orders", "reconcile"])
            assert accounts(app) == 0

    names: dict[str, Any] = {"local_polar": kept, "create_app": create_app}
    exec(compile(block("run: orders_test"), "orders_test", "exec"), names)  # noqa: S102
    assert made


class _NoRedis:
    """A Redis client whose server is not there."""

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError("Connection refused")


def test_a_shared_cache(
    reference_polar: LocalPolar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The example of a shared cache is accepted, and the shop opens while Redis is stopped."""
    import types

    redis = types.ModuleType("redis")
    redis.from_url = lambda url, **options: _NoRedis()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "redis", redis)
    app = Flask("site", instance_path=str(tmp_path))
    app.config.update(POLAR_SERVER=reference_polar.url, POLAR_ACCESS_TOKEN="polar_oat_local")
    app.config.update(TESTING=True, STOREFRONT_PAGE_TIMEOUT_SECONDS=10)
    shop = run("run: cache", app=app)["shop"]
    app.register_blueprint(shop.blueprint)
    assert "$29.00" in app.test_client().get("/").text
    assert not (tmp_path / "storefront-cache").exists()


def test_the_events_of_webhooks() -> None:
    """The events that an endpoint is to have are those that are acted on, and there are such."""
    assert tuple(block("run: webhook_events").split()) == EVENTS
    assert set(EVENTS) <= set(POLARS_EVENTS)


def test_signals(site: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """The receiver of the page is called with what it takes."""
    space: dict[str, Any] = {}
    exec(block("run: signals"), space)  # noqa: S102
    with site.app_context():
        send(subscription_updated, event=None, type="subscription.canceled")
    assert "subscription.canceled" in caplog.messages


def test_a_policy_of_ones_own(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The example of a policy is sent as it is."""
    app = Flask("settings")
    run("run: policy", app=app)
    policy = app.config["STOREFRONT_CONTENT_SECURITY_POLICY"]
    site = make_site(reference_polar, STOREFRONT_CONTENT_SECURITY_POLICY=policy)
    assert site.test_client().get("/shop/").headers["Content-Security-Policy"] == policy


def test_a_policy_for_pages_of_ones_own(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The example allows the shop's buttons on the site's own pages; the shop's have their own."""
    app = make_site(reference_polar, STOREFRONT_OVERLAY="on")
    app.add_url_rule("/own", "own", lambda: "")
    run("run: csp_directives", app=app, Response=Response)
    own = app.test_client().get("/own").headers["Content-Security-Policy"]
    assert f"frame-src 'self' {reference_polar.url}" in own
    shops = app.test_client().get("/shop/").headers.getlist("Content-Security-Policy")
    assert ["frame-ancestors" in policy for policy in shops] == [True]


def test_an_overlay_for_one_button(site: Flask) -> None:
    """The example has the script, and a button that it opens."""
    with site.test_request_context():
        page = render_template_string(block("run: overlay"))
    assert page.count("<script src=") == 1
    assert "overlay.js" in page
    assert page.count("data-polar-checkout ") == 1


def test_a_card(site: Flask) -> None:
    """The frame of the example has the code of the card that it shows, and there is one."""
    html = " ".join(block("run: card").split())
    address = html.partition('src="')[2].partition('"')[0].replace("&amp;", "&")
    look = ("--kind", "iframe", "--layout", "row", "--utm-source", "blog")
    where = ("--site", "https://shop.example.com")
    printed = site.test_cli_runner().invoke(
        args=["storefront", "embed-code", "pro-monthly", *look, *where]
    )
    assert printed.output.strip().replace(' frameborder="0"', "") == html
    assert site.test_client().get(address).status_code == 200


def test_code_for_the_merchant_alone(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The function of the example lets nobody else see the page with the code."""
    app = make_site(reference_polar, SECRET_KEY="k")
    run("run: embed_code", app=app)
    client = app.test_client()
    assert client.get("/shop/embed-code/pro-monthly").status_code == 404
    with client.session_transaction() as session:
        session["is_merchant"] = True
    assert client.get("/shop/embed-code/pro-monthly").status_code == 200


def test_patience(reference_polar: LocalPolar, site: Flask) -> None:
    """The example of a patient client reads all orders."""
    with site.app_context():
        assert run("run: patiently")["orders"] == []


def test_the_fast_lane(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The example puts the lane before the site: Flask gets to see the first request only."""
    shop = Storefront()
    app = make_site(reference_polar, shop=shop)
    seen: list[str] = []
    flask = app.wsgi_app

    def watched(environ: Any, start_response: Any) -> Any:
        seen.append(environ["PATH_INFO"])
        return flask(environ, start_response)

    app.wsgi_app = watched  # type: ignore[method-assign]
    run("run: lane", app=app, shop=shop)
    pages = [app.test_client(use_cookies=False).get("/shop/").data for _ in range(3)]
    assert pages == [pages[0]] * 3
    assert seen == ["/shop/"]


def test_a_local_polar_in_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The example of a test runs, in the repository's folder."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("flask.Flask.auto_find_instance_path", lambda self: str(tmp_path))
    run("run: local")


# Templates and styles


def test_macros(site: Flask) -> None:
    """The example of the macros shows a price, a button, a link and a card."""
    with site.test_request_context():
        page = render_template_string(block("run: macros"))
    assert '<p>Pro is <span class="storefront-price">$19.00 per month</span>.</p>' in page
    assert page.count("/redirect?") == 3
    assert "utm_source=landing" in page
    assert "discount_code=WELCOME" in page
    assert str(escape("From $8.00 per seat, per month")) in page
    assert "Yearly <b>2 months free</b>" in page


def test_the_pricing_table(site: Flask) -> None:
    """The example of a pricing table has the plan that stands out, and its campaign."""
    with site.test_request_context():
        page = render_template_string(block("run: pricing"))
    assert page.count("<article") == 2
    assert "storefront-plan-best" in page
    assert page.count("utm_source=pricing") == 3


def test_a_layout_of_ones_own(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """The example of a layout puts every page into the site's base template."""
    marker = "file: templates/storefront/layout.html"
    file = tmp_path / marker.removeprefix("file: ")
    file.parent.mkdir(parents=True)
    file.write_text(block(marker), encoding="utf-8")
    base = "<head><title>{% block title %}{% endblock %}</title>{% block head %}{% endblock %}"
    base += "</head><body>{% block content %}{% endblock %}</body>"
    (tmp_path / "templates" / "base.html").write_text(base, encoding="utf-8")
    page = make_site(reference_polar).test_client().get("/shop/products/pro-monthly").text
    head, _, body = page.partition("</head>")
    assert "<title>Pro Monthly</title>" in head
    assert "storefront.css" in head
    assert "<h1>Pro Monthly</h1>" in body


@pytest.mark.parametrize("marker", ["run: css", "run: theme"])
def test_custom_properties(marker: str) -> None:
    """The examples of a theme set properties that the stylesheet uses, where it sets them."""
    css = Path(storefront.__file__).parent / "static" / "storefront" / "storefront.css"
    source = css.read_text(encoding="utf-8")
    example = block(marker)
    for name in re.findall(r"(--[\w-]+):", example):
        assert f"var({name})" in source
    assert f":where({example.partition(' {')[0]})" in source


def test_the_picture_shows_what_is_there() -> None:
    """The classes in the picture of the data's way exist."""
    for name in re.findall(r"\b(?:Snapshot|Catalog)\b", block("run: picture")):
        assert hasattr(storefront.catalog, name)
