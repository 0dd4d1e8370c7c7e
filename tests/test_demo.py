"""The demo, run as its user runs it: real processes, plain HTTP, no scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import pytest
import requests

from tests.browser_form import Page, browse
from tests.contract.recordings import REFERENCE_STORE
from tests.demo_processes import (
    FLASK,
    GUNICORN,
    GUNICORN_PRELOAD,
    LEAVES_WITHIN_SECONDS,
    PLAIN,
    ROOT,
    Demo,
    copy_demo,
    demo,
    environment,
    free_port,
    is_listening,
    stop,
    wait_until,
)

pytestmark = pytest.mark.alone

DECLINED_CARD = "4000 0000 0000 0002"
#: A product of each kind: its slug, the answers that its checkout needs, and its receipt's words.
KINDS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "free": ("starter-templates", {}, ("Starter Templates", "$0.00")),
    "trial": ("northlight-sync", {}, ("Your trial runs until", "$0.00")),
    "what you want": ("support-the-studio", {"amount": "25.00"}, ("$25.00",)),
    "seats": (
        "pro-for-teams",
        {"seats": "12", "custom_field_data__company": "Acme Inc."},
        ("12", "$96.00"),
    ),
    "units": ("render-credits", {"units": "100"}, ("100", "$50.00")),
    "metered": (
        "northlight-api",
        {"line1": "1 rue Simple", "city": "Paris", "postal_code": "75001"},
        ("Northlight API", "$5.00"),
    ),
    "several currencies": ("quiet-software", {"country": "FR"}, ("79", "Quiet Software")),
    "subscription": ("pro-yearly", {}, ("Pro Yearly", "$120.00")),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """``python app.py``, on ports that are not the usual ones."""
    with demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


def arrive(page: Page, site: str) -> Page:
    """The receipt, once it is there; the local Polar has waited for the payment already."""
    assert page.response.url.startswith(f"{site}/shop/success?checkout_id=")
    assert page.status == 200, page.text
    return page


def open_checkout(site: str, path: str) -> Page:
    """Follow a page's first buy button to the checkout."""
    product = browse(f"{site}{path}")
    assert product.status == 200, product.text
    return product.browse(buy_urls(product)[0])


def buy_urls(page: Page) -> list[str]:
    """Where a page's buy buttons lead."""
    found = re.findall(r'href="(/shop/buy/[^"]*)"', page.html)
    return [urljoin(page.response.url, unescape(url)) for url in found]


def purchase(site: str, slug: str, email: str = "", **answers: str) -> Page:
    """Buy a product, as somebody new; the receipt."""
    email = email or f"{uuid4().hex}@example.com"
    checkout = open_checkout(site, f"/shop/products/{slug}")
    if answers.keys() & {"seats", "units", "amount"}:
        checkout = checkout.submit("update", **answers)
    return arrive(checkout.submit("pay", customer_email=email, **answers), site)


def test_it_says_where_it_is(shop: Demo) -> None:
    """The addresses are printed, as they are, and nothing else is."""
    wait_until(lambda: "Ctrl+C" in shop.printed, 5, "the addresses")
    assert shop.printed.splitlines()[:4] == [
        f"The demo site:   {shop.url}/",
        f"Its shop:        {shop.shop_url}",
        f"The local Polar: {shop.polar_url}/  (no real money moves)",
        "Press Ctrl+C to stop.",
    ]
    assert "Traceback" not in shop.printed


@pytest.mark.parametrize("path", ["/", "/shop/", "/shop/products/northlight"])
def test_its_pages(shop: Demo, path: str) -> None:
    """The front page, the shop and a product are there, with prices and buttons."""
    page = browse(f"{shop.url}{path}")
    assert page.status == 200
    assert "$49.00" in page.text
    assert "Buy Now" in page.links


def test_a_whole_purchase(shop: Demo) -> None:
    """From the product to the receipt, by plain HTTP: a code, a declined card, a good one."""
    checkout = open_checkout(shop.url, "/shop/products/northlight?utm_source=letter")
    assert checkout.response.url.startswith(f"{shop.polar_url}/checkout/polar_c_")
    discounted = checkout.submit("update", discount_code="launch20")
    assert "$39.20" in discounted.text
    declined = discounted.submit(
        "pay", customer_email="mistyped@example.com", card_number=DECLINED_CARD
    )
    assert "Payment declined" in declined.text
    assert declined.fields["customer_email"].value == "mistyped@example.com"

    buyer = {"customer_email": "whole-purchase@example.com"}
    paid = declined.press("pay", **buyer, card_number="4242424242424242")
    assert paid.status_code == 303
    location = paid.headers["Location"]
    assert location.startswith(f"{shop.shop_url}success?checkout_id=")
    assert "customer_session_token=polar_cst_" in location
    session = requests.Session()
    arrived = session.get(location, allow_redirects=False, timeout=20)
    assert arrived.status_code == 303
    assert "customer_session_token" not in arrived.headers["Location"]

    stranger = browse(arrived.headers["Location"], base=location)
    assert "NORTHLIGHT-STUDIO-" not in stranger.html
    receipt = browse(arrived.headers["Location"], session, base=location)
    assert receipt.status == 200
    for words in ("Thank you", "−$9.80", "$39.20", "added by the site's own callback"):
        assert words in receipt.text
    assert re.search(r"NORTHLIGHT-STUDIO-[A-Z]{10}-\d{4}", receipt.text)
    assert "whole-purchase@example.com" in receipt.text
    for secret in ("polar_c_", "polar_cst_"):
        assert secret not in receipt.html
    for secret in ("whole-purchase@example.com", "polar_c_", "polar_cst_"):
        assert secret not in shop.printed


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_product(shop: Demo, kind: str) -> None:
    """Free, with a trial, for an amount of one's own, by the seat, by the unit, by use."""
    slug, answers, expected = KINDS[kind]
    receipt = purchase(shop.url, slug, **answers)
    for words in ("Thank you", *expected):
        assert words in receipt.text


def test_a_buyer_who_comes_back(shop: Demo) -> None:
    """Polar has no token for who is a customer already: the site knows its buyer by itself."""
    for _ in range(2):
        receipt = purchase(shop.url, "starter-templates", email="often@example.com")
        assert "Thank you" in receipt.text
        assert "often@example.com" in receipt.text


def test_a_choice_of_two(shop: Demo) -> None:
    """A link with two products stands on the page of each, and opens on the other one."""
    page = browse(f"{shop.url}/shop/products/pro-yearly")
    choosing = [browse(url) for url in buy_urls(page)]
    choice = next(c for c in choosing if "product_id" in c.fields)
    assert len(choice.fields["product_id"].values) == 2
    receipt = arrive(choice.submit("pay", customer_email="bea@example.com"), shop.url)
    assert "Pro Monthly" in receipt.text


def test_the_site_tells_polar_where_it_is(shop: Demo) -> None:
    """Seen as ``localhost``, buyers come back to ``localhost``."""
    site = f"http://localhost:{shop.port}"
    try:
        requests.get(site, timeout=5)
    except requests.ConnectionError:
        pytest.skip("localhost is not 127.0.0.1 here")
    assert "Thank you" in purchase(site, "starter-templates").text


def test_a_change_in_polar_is_on_the_page(shop: Demo) -> None:
    """The local Polar tells the site of it by webhook, long before the catalogue is too old."""
    browse(f"{shop.url}/shop/")
    polar = shop.polar_url
    headers = {"Authorization": "Bearer polar_oat_local"}
    listed = requests.get(f"{polar}/v1/products/", headers=headers, timeout=10).json()["items"]
    found = next(item for item in listed if item["name"] == "Northlight for Desktop")
    address = f"{polar}/v1/products/{found['id']}"
    try:
        requests.patch(
            address, json={"name": "Southlight for Desktop"}, headers=headers, timeout=10
        )
        wait_until(lambda: "Southlight" in browse(f"{shop.url}/shop/").text, 20, "the new name")
    finally:
        requests.patch(
            address, json={"name": "Northlight for Desktop"}, headers=headers, timeout=10
        )
    wait_until(lambda: "Southlight" not in browse(f"{shop.url}/shop/").text, 20, "the old name")


def test_the_reloader(tmp_path: Path) -> None:
    """``flask run --debug`` picks up a change, and forgets no order over it."""
    with demo(tmp_path, FLASK) as running:
        receipt = purchase(running.url, "starter-templates")
        main = running.folder / "app.py"
        main.write_text(main.read_text().replace("This line was added", "This line was renewed"))

        def is_renewed() -> bool:
            try:
                return "This line was renewed" in receipt.browse(receipt.response.url).text
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                return False  # it is away, or went amid its answer

        wait_until(is_renewed, 15, "the reloaded site shows the order")
        assert "Thank you" in purchase(running.url, "northlight-sync").text


@pytest.mark.parametrize("arguments", [GUNICORN, GUNICORN_PRELOAD], ids=["workers", "preload"])
def test_gunicorn(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Two workers sell through one local Polar, which outlives whichever of them is killed."""
    with demo(tmp_path, arguments) as running:
        receipt = purchase(running.url, "starter-templates")
        workers = _workers(running.process.pid)
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: len(_workers(running.process.pid)) == 2, 10, "a new worker")
            again = _patiently(receipt)
            assert "Thank you" in again.text
        assert "Thank you" in purchase(running.url, "pro-monthly").text


def _workers(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and b"create_app" in command:
            found.append(int(stat.parent.name))
    return found


def _patiently(page: Page) -> Page:
    """The page again, of a site that may be just losing a worker, and with it a connection."""
    for _ in range(20):
        try:
            return page.browse(page.response.url)
        except requests.ConnectionError:
            time.sleep(0.2)
    return page.browse(page.response.url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_behind(tmp_path: Path, number: signal.Signals) -> None:
    """However the site ends, its local Polar ends soon after; and no port stays taken."""
    with demo(tmp_path) as running:
        assert is_listening(running.polar_port)
        stop(running.process, number)
        assert is_listening(running.polar_port), "it waits a little for the site to come back"
        ends = time.monotonic() + LEAVES_WITHIN_SECONDS
        wait_until(lambda: not is_listening(running.polar_port), LEAVES_WITHIN_SECONDS, "it left")
        assert time.monotonic() < ends
    assert "Traceback" not in running.printed


def test_two_sites_on_one_polar(tmp_path: Path) -> None:
    """Each of two sites gets its own buyers back; the end of one is not the end of the other's
    Polar; and one that is to sell something else is told so."""
    with demo(tmp_path / "one") as one:
        shared = {"POLAR_PORT": str(one.polar_port), "TMPDIR": str(one.folder / "tmp")}
        with demo(tmp_path / "two", settings=shared, embedded=False) as two:
            for site in (one, two, one):
                assert "Thank you" in purchase(site.url, "starter-templates").text
            refused = run_demo(tmp_path / "three", **shared, POLAR_SEED=str(REFERENCE_STORE))
            assert refused.returncode != 0
            assert "POLAR_SEED" in refused.stderr
            assert "demo store" in refused.stderr
            stop(two.process, signal.SIGINT)
        time.sleep(4)
        assert "Thank you" in purchase(one.url, "starter-templates").text


def test_a_seed_takes_effect_at_once(tmp_path: Path) -> None:
    """A site started again with another seed, or with an edited one, sells what that says."""
    seed = tmp_path / "seed.json"
    store: dict[str, Any] = json.loads(REFERENCE_STORE.read_text())
    port = str(free_port())
    for name in ("", "Ebook: Fast APIs", "Ebook: Faster APIs"):
        settings = {"POLAR_PORT": port}
        if name:
            text = json.dumps(store).replace("Ebook: Fast APIs", name)
            seed.write_text(text)
            settings["POLAR_SEED"] = str(seed)
        with demo(tmp_path / "site", settings=settings, embedded=False) as running:
            shown = browse(running.shop_url)
            assert (name or "Northlight for Desktop") in shown.text
            assert is_listening(int(port))
    wait_until(lambda: not is_listening(int(port)), LEAVES_WITHIN_SECONDS, "the local Polar left")


def test_the_reference_store(tmp_path: Path) -> None:
    """A store of one's own: every public product has its page, every link is on some page or
    behind a macro, and what is not public has none."""
    store = json.loads(REFERENCE_STORE.read_text())
    with demo(tmp_path, settings={"POLAR_SEED": str(REFERENCE_STORE)}) as running:
        assert running.get("/").status_code == 200
        catalogue = running.get("/shop/").text
        pages = dict.fromkeys(re.findall(r'href="(/shop/products/[^"]+)"', catalogue))
        seen = {path: running.get(path) for path in pages}
        assert {answer.status_code for answer in seen.values()} == {200}
        public = [
            p["name"]
            for p in store["products"]
            if p["visibility"] == "public" and not p["is_archived"]
        ]
        titles = sorted(_heading(answer.text) for answer in seen.values())
        assert titles == sorted(public)
        for answer in seen.values():
            assert re.search(r'class="storefront-price">[^<]*(\d|Free|Pay what)', answer.text)
        everything = unescape("".join(answer.text for answer in seen.values()))
        for link in store["checkout_links"]:
            sold = [p for p in link["products"] if p["visibility"] == "public"]
            if not sold:
                assert link["client_secret"] not in everything
                assert link["id"] not in everything
        assert "Private Product" not in everything + catalogue
        assert "Draft Product" not in everything + catalogue
        _assert_links_are_reachable(running, store)


def _heading(html: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", html)
    assert found
    return unescape(found[1])


def _assert_links_are_reachable(running: Demo, store: dict[str, Any]) -> None:
    """Each link by its id, as the macro takes it."""
    program = (
        "import sys, app\n"
        "site = app.create_app()\n"
        "with site.test_request_context('/'):\n"
        "    for reference in sys.argv[1:]:\n"
        "        print(app.shop.buy_url(reference, via='link'))\n"
    )
    ids = [link["id"] for link in store["checkout_links"]]
    result = subprocess.run(
        [sys.executable, "-c", program, *ids],
        cwd=running.folder,
        env=environment(
            running.folder,
            POLAR_PORT=str(running.polar_port),
            POLAR_SEED=str(REFERENCE_STORE),
        ),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result.stderr
    urls = result.stdout.splitlines()
    secrets = [link["client_secret"] for link in store["checkout_links"]]
    assert [s for s, url in zip(secrets, urls, strict=True) if s not in url] == []
    for url in urls:
        assert urlsplit(url).port == running.polar_port


def run_demo(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start the demo where it can't start; what it said."""
    copy_demo(folder)
    settings = {"PORT": str(free_port()), "POLAR_PORT": str(free_port()), **settings}
    return subprocess.run(
        [sys.executable, *PLAIN],
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=30,
    )


@contextmanager
def somebody_else() -> Iterator[int]:
    """A port on which another program answers, in its own way."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"PORT": "{taken}"}, ["PORT", "{taken}", "make run PORT="]),
        ({"PORT": "http"}, ["PORT", "'http'"]),
        ({"PORT": "70000"}, ["PORT", "'70000'"]),
        ({"POLAR_PORT": "{taken}"}, ["POLAR_PORT", "{taken}", "in use by another program"]),
        ({"POLAR_PORT": "0"}, ["POLAR_PORT", "1 to 65535"]),
        ({"POLAR_SERVER": "sandbox"}, ["POLAR_ACCESS_TOKEN", "sandbox"]),
        ({"POLAR_SERVER": "live"}, ["POLAR_SERVER", "'live'", "production"]),
        ({"POLAR_SEED": "{missing}"}, ["POLAR_SEED", "no such file"]),
        ({"POLAR_SEED": "{broken}"}, ["POLAR_SEED", "no JSON"]),
        ({"POLAR_SEED": "{empty}"}, ["POLAR_SEED", "organization"]),
        ({"TMPDIR": "{crowded}"}, ["POLAR_SERVER", "TMPDIR"]),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, settings: dict[str, str], expected: list[str]
) -> None:
    """One message that names the setting, no traceback, and a status that is not 0."""
    broken, empty = tmp_path / "broken.json", tmp_path / "empty.json"
    (tmp_path / f"storefront-local-polar-{os.getuid()}").write_text("no folder")
    broken.write_text("{")
    empty.write_text("{}")
    with somebody_else() as taken:
        names = {
            "taken": taken,
            "missing": tmp_path / "no",
            "broken": broken,
            "empty": empty,
            "crowded": tmp_path,
        }
        settings = {name: value.format(**names) for name, value in settings.items()}
        result = run_demo(tmp_path / "site", **settings)
        for words in expected:
            assert words.format(**names) in result.stderr
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("The demo can't start. ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_a_local_polar_of_its_own(tmp_path: Path) -> None:
    """One that was started by hand serves a site that has its token, and is left running."""
    port, token = free_port(), "polar_oat_by_hand"
    polar = subprocess.Popen(
        [sys.executable, "-m", "storefront.emulator", "--port", str(port), "--token", token],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_until(lambda: is_listening(port), 15, "the local Polar")
        settings = {"POLAR_SERVER": "local", "POLAR_ACCESS_TOKEN": token, "POLAR_PORT": str(port)}
        with demo(tmp_path / "site", settings=settings, embedded=False) as running:
            checkout = open_checkout(running.url, "/shop/products/starter-templates")
            paid = checkout.press("pay", customer_email="bea@example.com")
            # It can't know where this site is: it was told with --site, or not at all.
            checkout_id = re.search(r"checkout_id=([\w-]+)", paid.headers["Location"])
            assert checkout_id
            neutral = browse(f"{running.shop_url}success?checkout_id={checkout_id[1]}")
            receipt = neutral.submit("", email="bea@example.com")
            assert "Thank you" in receipt.text
        assert polar.poll() is None
    finally:
        stop(polar, signal.SIGINT)
        assert polar.stdout
        printed = polar.stdout.read().decode()
        polar.stdout.close()
    assert f"http://127.0.0.1:{port}" in printed
    assert "Traceback" not in printed


def test_what_make_does(tmp_path: Path) -> None:
    """``make run`` serves app.py and ``make test`` lints, checks types and tests; what was set up
    once is set up again only when the requirements have changed."""
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    assert "-m venv" in _make(tmp_path, "run")
    for name in ("bin/python", "installed-site", "installed-dev"):
        (venv / name).touch()
    run, test = _make(tmp_path, "run"), _make(tmp_path, "test")
    assert run.splitlines()[-1].endswith("python app.py")
    for tool in ("ruff check", "ruff format --check", "mypy", "pytest"):
        assert tool in test
    assert "pip install" not in run + test
    os.utime(venv / "installed-site", (0, 0))
    assert "pip install" in _make(tmp_path, "run")


def _make(folder: Path, target: str) -> str:
    """What ``make`` would do."""
    result = subprocess.run(
        ["make", "-n", target],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
