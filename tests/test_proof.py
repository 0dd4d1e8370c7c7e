"""Proof of purchase: who sees an order, and what everybody else is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect
from werkzeug.test import TestResponse

from storefront import Fulfilment, Receipt, Storefront, Visitor, get_state
from storefront.emulator.app import Token
from storefront.emulator.demo import demo_store
from storefront.errors import LinkError
from storefront.orders.proof import (
    LASTS_SECONDS,
    Limit,
    Proof,
    Recent,
    Seals,
    Standing,
    commitment,
    new_nonce,
)
from storefront.polar import Checkout
from storefront.secret import Secret
from storefront.testing import Fault, Purchase, ShopPolar, local_polar
from tests.conftest import SiteMaker
from tests.faults.leaking import leaking
from tests.faults.probing import probes
from tests.services import wait_until

EMAIL = "canary-bea@example.com"
KEY = "canary-secret-key"


@pytest.fixture
def polar() -> Iterator[ShopPolar]:
    """The demo store; payments settle, and benefits are granted, at once."""
    with local_polar() as running:
        yield running


@pytest.fixture
def site(polar: ShopPolar, make_site: SiteMaker) -> Flask:
    """A site that knows its buyers again."""
    return make_site(polar, SECRET_KEY=KEY)


def address(bought: Purchase) -> str:
    """The success page of a purchase, as it stays in the browser."""
    return f"/shop/success?checkout_id={bought.checkout_id}"


def by_buy(polar: ShopPolar, client: FlaskClient, **options: Any) -> Purchase:
    """Somebody follows the shop's own way to the checkout, and pays."""
    options.setdefault("email", EMAIL)
    reference = options.pop("reference", "northlight")
    query = options.pop("asked", "")
    response = client.get(f"/shop/buy/{reference}{query}")
    return polar.purchase(response.headers["Location"], **options)


def arrive(client: FlaskClient, bought: Purchase) -> TestResponse:
    """The buyer is sent back by Polar, with the token."""
    token = bought.customer_session_token
    return client.get(f"{address(bought)}&customer_session_token={token}")


def forget(site: Flask) -> None:
    """Some seconds later: Polar's answers are not remembered any more."""
    get_state(site).proofs.checkouts = Recent(2)
    get_state(site).proofs.pages = Recent(2)


def cookies(response: TestResponse) -> dict[str, str]:
    """What is planted: the value of each cookie with its attributes."""
    planted = response.headers.getlist("Set-Cookie")
    return {each.partition("=")[0]: each.partition("=")[2] for each in planted}


# --- the four proofs ---------------------------------------------------------------------------


def test_who_came_by_buy_sees_the_order(polar: ShopPolar, site: Flask) -> None:
    """A returning customer, for whom Polar sends no token, is known by the cookie of /buy."""
    polar.purchase("northlight", email=EMAIL)
    client, stranger = site.test_client(), site.test_client()
    bought = by_buy(polar, client)
    assert bought.customer_session_token is None
    for _ in range(2):
        page = client.get(address(bought))
        assert page.status_code == 200
        for words in ("Thank you", EMAIL, "canary-bea", "Main Street", "NORTH-", "Download "):
            assert words in page.text, words
        forget(site)
    assert "Thank you" not in stranger.get(address(bought)).text


def test_only_the_hash_of_the_number_is_seen(polar: ShopPolar, site: Flask) -> None:
    """The checkout is told the hash; the number stays in a cookie for the shop's pages only."""
    client = site.test_client()
    response = client.get("/shop/buy/northlight", base_url="https://localhost")
    cookie = cookies(response)["storefront_buyer"]
    value, *attributes = cookie.split("; ")
    assert attributes == ["Max-Age=2592000", "Path=/shop/", "Secure", "HttpOnly", "SameSite=Lax"]
    nonce = Secret(value.partition(".")[0])
    told = parse_qs(urlsplit(response.headers["Location"]).query)["reference_id"]
    assert told == [commitment(nonce)]
    assert nonce.reveal() not in response.headers["Location"]
    again = client.get("/shop/buy/pro-monthly", base_url="https://localhost")
    assert cookies(again) == {}
    assert told == parse_qs(urlsplit(again.headers["Location"]).query)["reference_id"]
    assert "Secure" not in cookies(site.test_client().get("/shop/buy/northlight"))[
        "storefront_buyer"
    ].split("; ")


def test_the_token_of_a_new_customer_is_taken_and_hidden(polar: ShopPolar, site: Flask) -> None:
    """By a straight link: the token proves it, leaves the address, and is in no cookie."""
    client = site.test_client()
    bought = polar.purchase("northlight", email=EMAIL)
    token = str(bought.customer_session_token)
    response = arrive(client, bought)
    assert response.status_code == 303
    assert response.headers["Location"] == address(bought)
    assert response.data == b""
    assert token not in str(response.headers)
    planted = cookies(response)["storefront_purchases"]
    assert "Path=/shop/; HttpOnly; SameSite=Lax" in planted
    assert bought.checkout_id not in planted
    page = client.get(address(bought))
    assert EMAIL in page.text
    assert "NORTH-" in page.text
    assert token not in page.text
    assert polar.requests.by_path().get("POST /v1/customer-sessions/", 0) == 0, (
        "the buyer's own session serves"
    )


def test_a_token_of_somebody_else_proves_nothing(polar: ShopPolar, site: Flask) -> None:
    """It has to be the session of the checkout's own customer; junk costs Polar one look."""
    bought = polar.purchase("northlight", email=EMAIL)
    other = polar.purchase("northlight", email="eve@example.com")
    neutral = site.test_client().get("/shop/success").data
    for token in (other.customer_session_token, "polar_cst_junk", "x" * 5000, "a/b\r\nc: d", ""):
        client = site.test_client()
        response = client.get(
            "/shop/success",
            query_string={"checkout_id": bought.checkout_id, "customer_session_token": token},
        )
        assert response.status_code == 303
        assert cookies(response) == {}
        assert client.get(address(bought)).data == neutral


def test_who_is_signed_in_sees_what_is_theirs(polar: ShopPolar, make_site: SiteMaker) -> None:
    """The visitor's external id is the checkout's: as long as they are signed in, and no longer."""
    shop, who = Storefront(), {"id": "user-1"}
    shop.visitor(lambda: Visitor(external_id=who["id"]))
    site = make_site(polar, shop=shop, SECRET_KEY=KEY)
    client = site.test_client()
    bought = polar.purchase("northlight", email=EMAIL)
    stored = polar.store.checkouts[bought.checkout_id]
    stored.customer_external_id = "user-1"
    page = client.get(address(bought))
    assert "Thank you" in page.text
    assert cookies(page) == {}
    for other in ("user-2", "", None):
        who["id"] = other  # type: ignore[assignment]
        assert "Thank you" not in client.get(address(bought)).text


def test_the_email_of_the_order_shows_it(polar: ShopPolar, site: Flask) -> None:
    """A straight link, a returning customer: the form takes the address in any case of letters."""
    polar.purchase("northlight", email=EMAIL)
    bought = polar.purchase("northlight", email=EMAIL)
    client = site.test_client()
    assert 'type="email"' in client.get(address(bought)).text
    wrong = client.post(address(bought), data={"email": "eve@example.com"})
    assert (wrong.status_code, cookies(wrong)) == (422, {})
    nothing = site.test_client().post(f"/shop/success?checkout_id={uuid4()}", data={"email": EMAIL})
    assert (nothing.status_code, nothing.data) == (422, wrong.data)
    right = client.post(address(bought), data={"email": f"  {EMAIL.upper()} "})
    assert (right.status_code, right.headers["Location"]) == (303, address(bought))
    assert "Thank you" in client.get(address(bought)).text


def test_emails_can_not_be_tried_for_ever(polar: ShopPolar, site: Flask) -> None:
    """Ten attempts a checkout; then the answer is the same for the right address and for no id."""
    bought = polar.purchase("northlight", email=EMAIL)
    ids = (bought.checkout_id, str(uuid4()))
    answers = []
    for id in ids:
        client = site.test_client()
        for number in range(10):
            tried = client.post(
                f"/shop/success?checkout_id={id}", data={"email": f"{number}@example.com"}
            )
            assert tried.status_code == 422
        last = client.post(f"/shop/success?checkout_id={id}", data={"email": EMAIL})
        answers.append((last.status_code, last.data, sorted(last.headers)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 429


def test_a_client_can_not_try_many_checkouts(polar: ShopPolar, site: Flask) -> None:
    """Thirty attempts a client, whatever they are for; another client goes on."""
    for _ in range(30):
        tried = site.test_client().post(f"/shop/success?checkout_id={uuid4()}", data={"email": "a"})
        assert tried.status_code == 422
    bought = polar.purchase("northlight", email=EMAIL)
    for client_address, status in (("127.0.0.1", 429), ("127.0.0.2", 303)):
        tried = site.test_client().post(
            address(bought),
            data={"email": EMAIL},
            environ_overrides={"REMOTE_ADDR": client_address},
        )
        assert tried.status_code == status


def test_a_network_of_ipv6_is_one_client(site: Flask) -> None:
    """Whoever is given a network may take each attempt from another of its addresses."""
    answers = []
    for host in (*range(31), 1 << 64):
        address = str(IPv6Address("2001:db8::") + host)
        tried = site.test_client().post(
            f"/shop/success?checkout_id={uuid4()}",
            data={"email": "a"},
            environ_overrides={"REMOTE_ADDR": address},
        )
        answers.append(tried.status_code)
    assert answers == [422] * 30 + [429, 422]


def test_a_checkout_can_not_be_made_forgotten(site: Flask) -> None:
    """Whoever has many addresses tries a checkout ten times an hour, whatever they try beside."""
    proofs = get_state(site).proofs

    def attempts(ids: Iterable[str]) -> list[int]:
        return [
            site.test_client()
            .post(
                f"/shop/success?checkout_id={id}",
                data={"email": "a"},
                environ_overrides={"REMOTE_ADDR": f"10.0.{number // 250}.{number % 250}"},
            )
            .status_code
            for number, id in enumerate(ids)
        ]

    proofs.emails = Limit(10, 3600, keys=60)
    id = str(uuid4())
    assert attempts([id] * 11) == [422] * 10 + [429]
    attempts(str(uuid4()) for _ in range(100))
    proofs.lookups = Limit(60, 60)
    assert attempts([id]) == [429]


# --- buttons by /buy ---------------------------------------------------------------------------


def test_buttons_by_buy(polar: ShopPolar, make_site: SiteMaker) -> None:
    """They say what the template says and which campaign this is; who buys is told by /buy."""
    shop = Storefront()
    jane = Visitor(email=EMAIL, name="Bea", discount_code="LAUNCH20", locale="fr")
    shop.visitor(lambda: jane)
    site = make_site(polar, shop=shop, SECRET_KEY=KEY, STOREFRONT_BUTTONS="redirect")
    with site.test_request_context("/?utm_source=mail&customer_email=eve@example.com"):
        assert shop.buy_url("northlight") == "/shop/buy/northlight?utm_source=mail"
        assert shop.buy_url("northlight", theme="dark", utm={"source": "x"}) == (
            "/shop/buy/northlight?theme=dark&utm_source=x"
        )
        assert shop.buy_url("northlight", via="link").startswith(polar.url)
        link = shop.catalog.find("plans").offer
        assert link is not None
        assert shop.buy_url("plans").startswith("/shop/buy/plans?product_id=")
        with pytest.raises(LinkError, match="visitor"):
            shop.buy_url("northlight", email="jane@example.com")
        with pytest.raises(LinkError, match="redirect"):
            shop.buy_url("northlight", via="elsewhere")
    page = site.test_client().get("/shop/products/northlight")
    assert EMAIL not in page.text
    assert 'href="/shop/buy/northlight"' in page.text
    sent = parse_qs(urlsplit(site.test_client().get("/shop/buy/northlight").location or "").query)
    assert sent.pop("reference_id")[0].startswith("sf_")
    assert sent == {
        "customer_email": [EMAIL],
        "customer_name": ["Bea"],
        "discount_code": ["LAUNCH20"],
        "locale": ["fr"],
    }


def test_names_that_are_no_path(polar: ShopPolar, make_site: SiteMaker) -> None:
    """A label that would be something else in an address is told by the link's id."""
    link = polar.store.live_links()[0]
    shop = Storefront()
    for label in ("..", "a/../b", "50% & more?", "Größe #1"):
        link["label"] = label
        site = make_site(polar, shop=Storefront(), SECRET_KEY=KEY, STOREFRONT_CACHE_DIR=None)
        get_state(site).catalog.sync()
        with site.test_request_context("/"):
            url = shop.buy_url(label, via="redirect")
        assert urlsplit(url).path == f"/shop/buy/{link['id']}"
        assert site.test_client().get(url).status_code == 303


def test_without_the_pages_buttons_go_straight(
    polar: ShopPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """A site without the shop's pages has no /buy: a mistake in development, logged elsewhere."""
    shop = Storefront()
    site = make_site(polar, shop=shop, pages=False)
    with site.test_request_context("/"):
        with pytest.raises(LinkError, match="blueprint"):
            shop.buy_url("northlight", via="redirect")
        site.testing = False
        assert shop.buy_url("northlight", via="redirect").startswith(polar.url)
    assert "register shop.blueprint" in caplog.text


# --- attacks -----------------------------------------------------------------------------------


def test_a_proof_is_for_one_checkout(polar: ShopPolar, site: Flask) -> None:
    """What proves one purchase shows no other."""
    client = site.test_client()
    mine = polar.purchase("northlight", email="eve@example.com")
    theirs = polar.purchase("northlight", email=EMAIL)
    arrive(client, mine)
    assert "Thank you" in client.get(address(mine)).text
    neutral = site.test_client().get("/shop/success").data
    assert client.get(address(theirs)).data == neutral
    invoice = client.get(f"/shop/success/invoice?checkout_id={theirs.checkout_id}")
    assert invoice.headers["Location"] == address(theirs)
    assert client.get(f"/shop/portal?checkout_id={theirs.checkout_id}").status_code == 404


def test_cookies_that_are_not_ours(polar: ShopPolar, site: Flask) -> None:
    """Of another key, another purpose, changed, cut or made up: they prove nothing."""
    client = site.test_client()
    bought = by_buy(polar, client)
    good = client.get_cookie("storefront_buyer", path="/shop/")
    assert good is not None
    checkout = bought.checkout_id
    purchases = {checkout: Proof(Standing.CUSTOMER, int(datetime.now(UTC).timestamp()))}
    sealed = Seals([KEY]).seal_purchases(purchases)
    theirs = Seals(["another app's"])
    value = good.value
    forged = [
        ("storefront_purchases", theirs.seal_purchases(purchases)),
        ("storefront_purchases", value),
        ("storefront_purchases", sealed[:-1] + ("A" if sealed[-1] != "A" else "B")),
        ("storefront_purchases", sealed.partition(".")[0]),
        ("storefront_purchases", "é" * 40),
        ("storefront_purchases", "." * 100),
        ("storefront_buyer", theirs.seal_buyer(Secret(value.partition(".")[0]))),
        ("storefront_buyer", sealed),
        ("storefront_buyer", value[:-3]),
        ("storefront_buyer", "A" + value[1:]),
        ("storefront_buyer", commitment(Secret(value.partition(".")[0]))),
    ]
    neutral = site.test_client().get("/shop/success").data
    for name, cookie in forged:
        other = site.test_client(use_cookies=False)
        page = other.get(address(bought), headers={"Cookie": f"{name}={cookie}"})
        assert page.data == neutral, (name, cookie)
    page = site.test_client(use_cookies=False).get(
        address(bought), headers={"Cookie": f"storefront_purchases={sealed}"}
    )
    assert "Thank you" in page.text


def test_a_commitment_can_not_be_brought(polar: ShopPolar, site: Flask) -> None:
    """Whoever sends a visitor to /buy with a commitment of their own gets no proof by it."""
    attacker, victim = site.test_client(), site.test_client()
    told = parse_qs(urlsplit(attacker.get("/shop/buy/northlight").headers["Location"]).query)
    own = told["reference_id"][0]
    bought = by_buy(polar, victim, asked=f"?reference_id={own}")
    assert "Thank you" in victim.get(address(bought)).text
    assert "Thank you" not in attacker.get(address(bought)).text


@pytest.mark.parametrize("by", ["visitor", "query"])
def test_a_reference_of_the_site_is_kept(polar: ShopPolar, make_site: SiteMaker, by: str) -> None:
    """Then the cookie is no proof, and the email address is."""
    shop = Storefront()
    if by == "visitor":
        shop.visitor(lambda: Visitor(reference_id="cart-7"))
    client = make_site(polar, shop=shop, SECRET_KEY=KEY).test_client()
    bought = by_buy(polar, client, asked="?reference_id=cart-7" if by == "query" else "")
    assert polar.store.checkouts[bought.checkout_id].metadata["reference_id"] == "cart-7"
    assert "Thank you" not in client.get(address(bought)).text
    client.post(address(bought), data={"email": EMAIL})
    assert "Thank you" in client.get(address(bought)).text


def test_making_a_purchase_is_not_being_the_customer(polar: ShopPolar, site: Flask) -> None:
    """Who types somebody else's address at the checkout is not let into that one's portal."""
    victim = polar.purchase("northlight", email=EMAIL, name="Bea Canary")
    attacker = site.test_client()
    bought = by_buy(polar, attacker, reference="starter-templates", name="Eve")
    assert bought.customer_id == victim.customer_id
    page = attacker.get(address(bought))
    assert "Thank you" in page.text
    assert "Bea Canary" not in page.text
    sent = attacker.get("/shop/portal").headers["Location"]
    assert sent == f"{polar.url}/northlight-studio/portal"
    attacker.post(address(bought), data={"email": EMAIL})
    assert attacker.get("/shop/portal").headers["Location"] == sent


def test_another_site_can_not_post_the_form(polar: ShopPolar, site: Flask) -> None:
    """A page elsewhere can't have a visitor's browser remember a purchase of its maker."""
    bought = polar.purchase("northlight", email="eve@example.com")
    for where, status in (("cross-site", 200), ("same-site", 200), ("same-origin", 303)):
        sent = site.test_client().post(
            address(bought),
            data={"email": "eve@example.com"},
            headers={"Sec-Fetch-Site": where},
        )
        assert sent.status_code == status


def test_csrf_protection_of_the_site(polar: ShopPolar, make_site: SiteMaker) -> None:
    """The form works beside Flask-WTF's protection, which would want a token in it."""
    site = make_site(polar, SECRET_KEY=KEY)
    CSRFProtect(site)
    bought = polar.purchase("northlight", email=EMAIL)
    client = site.test_client()
    client.get("/shop/")
    assert client.post(address(bought), data={"email": EMAIL}).status_code == 303


# --- everybody else ----------------------------------------------------------------------------


def test_all_probes_look_the_same(polar: ShopPolar, site: Flask, tmp_path: Path) -> None:
    """Paid, open, expired, foreign, unknown and malformed ids: the same bytes and headers."""
    figure = probes(site, polar, count=300)
    assert figure.kept, figure


def test_probing_costs_polar_next_to_nothing(polar: ShopPolar, site: Flask) -> None:
    """Without anything that may prove something nobody is asked; with a cookie, 60 a minute."""
    client = site.test_client()
    client.get("/shop/buy/northlight")
    before = polar.requests.count()
    for _ in range(100):
        site.test_client().get(f"/shop/success?checkout_id={uuid4()}")
    assert polar.requests.count() == before
    for number in range(100):
        host = f"10.0.0.{number % 5}"
        client.get(f"/shop/success?checkout_id={uuid4()}", environ_overrides={"REMOTE_ADDR": host})
    assert polar.requests.count() == before + 60


@pytest.mark.parametrize("by", ["", "&customer_session_token=polar_cst_guessed"])
def test_who_probes_takes_no_look_up_from_buyers(polar: ShopPolar, site: Flask, by: str) -> None:
    """A client has twenty a minute that prove nothing; what others are told does not hang on it."""
    client = site.test_client()
    client.get("/shop/buy/northlight")
    before = polar.requests.count()
    for _ in range(100):
        client.get(f"/shop/success?checkout_id={uuid4()}{by}")
    assert polar.requests.count() == before + 20
    buyer = site.test_client()
    bought = by_buy(polar, buyer)
    elsewhere = {"REMOTE_ADDR": "10.0.0.1"}
    assert "Thank you" in buyer.get(address(bought), environ_overrides=elsewhere).text


def test_an_outage_uses_up_no_look_ups(polar: ShopPolar, site: Flask) -> None:
    """A page that asks again by itself while Polar is away asks until it is back."""
    client = site.test_client()
    bought = by_buy(polar, client)
    polar.faults.set("status", 503)
    assert {client.get(address(bought)).status_code for _ in range(100)} == {503}


def test_answers_are_remembered_for_a_moment(polar: ShopPolar, site: Flask) -> None:
    """Fifty reloads at once ask Polar as often as one."""
    client = site.test_client()
    bought = by_buy(polar, client)
    client.get(address(bought))
    before = polar.requests.count()
    for _ in range(49):
        assert "Thank you" in client.get(address(bought)).text
    assert polar.requests.count() <= before + 8


def test_an_unproven_visit_has_the_order_fulfilled(polar: ShopPolar, make_site: SiteMaker) -> None:
    """Without webhooks and without proof: that somebody came back is enough to look."""
    shop = Storefront()
    done: list[str] = []

    @shop.on_order
    def deliver(fulfilment: Fulfilment) -> None:
        done.append(fulfilment.order.order_id)

    site = make_site(polar, shop=shop, SECRET_KEY=KEY)
    get_state(site).orders.ledger._began_at = datetime(2020, 1, 1, tzinfo=UTC)
    bought = polar.purchase("northlight", email=EMAIL)
    client = site.test_client()
    for _ in range(3):
        client.get(address(bought))
        client.get(f"/shop/success?checkout_id={uuid4()}")
    wait_until(lambda: bool(done), "the order is fulfilled")
    assert done == [bought.order_id]


def test_on_success_is_for_the_buyer(polar: ShopPolar, make_site: SiteMaker) -> None:
    """The page's callback does not run for a stranger, and once for the buyer."""
    shop = Storefront()
    seen: list[Receipt] = []
    shop.on_success(seen.append)
    site = make_site(polar, shop=shop, SECRET_KEY=KEY)
    client = site.test_client()
    bought = by_buy(polar, client)
    site.test_client().get(address(bought))
    assert seen == []
    for _ in range(50):
        client.get(address(bought))
    assert [receipt.order_id for receipt in seen] == [bought.order_id]


def test_without_a_key_nobody_proves_anything(
    polar: ShopPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """No SECRET_KEY: buttons still sell, no order is shown, and the log says once what to set."""
    site = make_site(polar)
    client = site.test_client()
    bought = by_buy(polar, client)
    assert "reference_id" not in polar.store.checkouts[bought.checkout_id].metadata
    arrive(client, bought)
    page = client.get(address(bought))
    assert "<form" not in page.text
    assert "Thank you" not in page.text
    assert client.post(address(bought), data={"email": EMAIL}).data == page.data
    errors = [r.message for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert errors[0].startswith("SECRET_KEY is not set")


# --- what the buyer gets -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "options", "words"),
    [
        ("starter-templates", {}, ["$0.00"]),
        ("northlight-sync", {}, ["Your trial runs until"]),
        ("northlight", {"discount_code": "FREE100"}, ["−$49.00", "$0.00"]),
    ],
)
def test_orders_of_nothing(
    polar: ShopPolar, site: Flask, reference: str, options: dict[str, Any], words: list[str]
) -> None:
    """Free, with a trial, with a full discount: orders like any other, shown to their buyer."""
    if "discount_code" in options:
        discount = next(iter(polar.store.discounts.values()))
        discount.update(type="percentage", basis_points=10_000, code="FREE100")
    client = site.test_client()
    bought = by_buy(polar, client, reference=reference, **options)
    page = client.get(address(bought))
    for each in words:
        assert each in page.text, each
    assert "Thank you" not in site.test_client().get(address(bought)).text


def test_declined_then_paid(polar: ShopPolar, site: Flask) -> None:
    """A new buyer whose first card was declined comes back without a token, and is known."""
    client = site.test_client()
    link = client.get("/shop/buy/northlight").headers["Location"]
    opened = requests.get(link, allow_redirects=False, timeout=5)
    secret = urlsplit(opened.headers["Location"]).path.rpartition("/")[2]
    where = f"{polar.url}/v1/checkouts/client/{secret}"
    body = {
        "customer_email": EMAIL,
        "customer_billing_address": {"country": "FR"},
    }
    for token in ("ctoken_card_declined", "ctoken_card_ok"):
        answer = requests.post(
            f"{where}/confirm", json={**body, "confirmation_token_id": token}, timeout=5
        )
        checkout_id = answer.json()["id"]
        page = client.get(f"/shop/success?checkout_id={checkout_id}")
        forget(site)
    assert "Thank you" in page.text


def test_benefits_that_come_later(make_site: SiteMaker) -> None:
    """What is granted some moments after the order is waited for, without JavaScript."""
    with local_polar(grant_seconds=3600) as polar:
        client = make_site(polar, SECRET_KEY=KEY).test_client()
        bought = by_buy(polar, client)
        page = client.get(address(bought))
        assert "Thank you" in page.text
        assert "More is being prepared" in page.text
        assert page.headers["Refresh"].startswith("2; url=/shop/success?checkout_id=")
        last = client.get(f"{address(bought)}&asked=7")
        assert "Refresh" not in last.headers


def test_a_token_that_may_not_open_sessions(
    make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """The receipt is there without keys, and the log names the scope once."""
    scopes = frozenset({"products:read", "checkout_links:read", "checkouts:read", "orders:read"})
    with local_polar(tokens={"polar_oat_all": Token(), "polar_oat_few": Token(scopes)}) as polar:
        site = make_site(polar, SECRET_KEY=KEY, POLAR_ACCESS_TOKEN="polar_oat_few")
        client = site.test_client()
        bought = by_buy(polar, client)
        for _ in range(2):
            page = client.get(address(bought))
            assert "Thank you" in page.text
            assert "Licence key for three computers" in page.text
            assert "NORTH-" not in page.text
            forget(site)
    said = [r.message for r in caplog.records if "customer_sessions:write" in r.message]
    assert len(said) == 1


def test_a_refund_shows(polar: ShopPolar, site: Flask) -> None:
    """An order that was paid back says so, and what was taken back is not offered."""
    client = site.test_client()
    bought = by_buy(polar, client)
    polar.refund(str(bought.order_id), revoke_benefits=True)
    page = client.get(address(bought))
    assert "Refunded: $49.00" in page.text
    assert "NORTH-" not in page.text
    assert "Refresh" not in page.headers


def test_a_renewal_changes_nothing(polar: ShopPolar, site: Flask) -> None:
    """The page of the first purchase stays that of the first order."""
    client = site.test_client()
    bought = by_buy(polar, client, reference="pro-yearly")
    polar.renew(str(bought.subscription_id))
    first = polar.store.orders[str(bought.order_id)]
    assert first["invoice_number"] in client.get(address(bought)).text


def test_the_invoice(polar: ShopPolar, site: Flask) -> None:
    """It is asked for, waited for, and led to; a stranger is led back to the neutral page."""
    client = site.test_client()
    bought = by_buy(polar, client)
    where = f"/shop/success/invoice?checkout_id={bought.checkout_id}"
    sent = client.get(where)
    assert sent.status_code == 303
    assert sent.headers["Location"].startswith(f"{polar.url}/")
    assert (sent.headers["Referrer-Policy"], sent.data) == ("no-referrer", b"")
    assert requests.get(sent.headers["Location"], timeout=5).content.startswith(b"%PDF")
    assert site.test_client().get(where).headers["Location"] == address(bought)
    assert site.test_client().get("/shop/success/invoice").headers["Location"] == "/shop/success"


def test_an_invoice_that_is_not_drawn_up_yet(polar: ShopPolar, make_site: SiteMaker) -> None:
    """The page says so and asks again, with a button for it, until it leads to the invoice."""
    site = make_site(polar, SECRET_KEY=KEY, STOREFRONT_PAGE_TIMEOUT_SECONDS=1)
    client = site.test_client()
    bought = by_buy(polar, client)
    where = f"/shop/success/invoice?checkout_id={bought.checkout_id}"
    with polar.faults.during("status", 404, path="/v1/orders/*/invoice", method="GET"):
        page = client.get(where)
    again = f"{where}&asked=1"
    assert page.status_code == 200
    assert "being drawn up" in page.text
    assert page.headers["Refresh"] == f"2; url={again}"
    assert f'href="{again.replace("&", "&amp;")}">Look again</a>' in page.text
    assert address(bought) in page.text
    assert client.get(again).headers["Location"].startswith(f"{polar.url}/")


def test_an_invoice_that_polar_does_not_draw_up(polar: ShopPolar, site: Flask) -> None:
    """Where Polar lacks something for it the page says what to do, and does not ask again."""
    client = site.test_client()
    bought = by_buy(polar, client)
    where = f"/shop/success/invoice?checkout_id={bought.checkout_id}"
    polar.faults.set("status", 422, path="/v1/orders/*/invoice", method="POST")
    page = client.get(where)
    assert page.status_code == 404
    assert "customer portal" in page.text
    assert "Refresh" not in page.headers
    polar.faults.set("status", 503, path="/v1/orders/*/invoice")
    assert client.get(where).status_code == 503


def test_a_benefit_that_needs_the_buyer(make_site: SiteMaker) -> None:
    """What waits for an account elsewhere is told as such, beside what could be granted."""
    seed = demo_store("http://localhost/shop")
    sold = next(each for each in seed["products"] if each["metadata"].get("slug") == "northlight")
    sold["benefits"][1].update(type="discord", description="The chat", properties={})
    with local_polar(seed) as polar:
        client = make_site(polar, SECRET_KEY=KEY).test_client()
        page = client.get(address(by_buy(polar, client)))
    assert "NORTH-" in page.text
    told = page.text.partition("The chat")[2]
    assert "needs a step from you, in the customer portal" in told
    assert "Download " not in page.text


@pytest.mark.parametrize("path", ["benefit-grants", "license-keys", "downloadables", "*"])
def test_benefits_that_can_not_be_read(polar: ShopPolar, site: Flask, path: str) -> None:
    """The receipt is there all the same, and what could be read; later the rest."""
    client = site.test_client()
    bought = by_buy(polar, client)
    with polar.faults.during("status", 500, path=f"/v1/customer-portal/{path}*"):
        page = client.get(address(bought))
    assert page.status_code == 200
    for words in ("Thank you", "$49.00", EMAIL, "Licence key for three computers"):
        assert words in page.text, words
    assert ("NORTH-" in page.text) == (path == "downloadables")
    assert ("Download " in page.text) == (path == "license-keys")
    forget(site)
    page = client.get(address(bought))
    assert "NORTH-" in page.text
    assert "Download " in page.text


def test_what_a_subscription_grants(polar: ShopPolar, site: Flask) -> None:
    """Keys of a product that renews belong to the subscription, and are on the receipt."""
    client = site.test_client()
    bought = by_buy(polar, client, reference="pro-monthly")
    assert bought.subscription_id is not None
    page = client.get(address(bought))
    assert "What you got" in page.text
    assert 'id="storefront-key-1"' in page.text


def test_the_form_while_polar_is_down(polar: ShopPolar, site: Flask) -> None:
    """Who types the right address is asked to try again later, and then sees the order."""
    client = site.test_client()
    bought = polar.purchase("northlight", email=EMAIL)
    with polar.faults.during("status", 503):
        page = client.post(address(bought), data={"email": EMAIL})
    assert page.status_code == 503
    assert EMAIL not in page.text
    assert cookies(page) == {}
    assert 'name="email"' in page.text
    forget(site)
    assert client.post(address(bought), data={"email": EMAIL}).status_code == 303
    assert EMAIL in client.get(address(bought)).text


def test_an_outage_uses_up_no_attempts(polar: ShopPolar, site: Flask) -> None:
    """Who types the right address again and again while Polar is away is not shut out for it."""
    bought = polar.purchase("northlight", email=EMAIL)
    polar.faults.set("status", 503)
    client = site.test_client()
    answers = {client.post(address(bought), data={"email": EMAIL}).status_code for _ in range(40)}
    assert answers == {503}


# --- the portal --------------------------------------------------------------------------------


def test_the_portal_of_a_customer(polar: ShopPolar, site: Flask) -> None:
    """Who brought Polar's own session is sent in, by a header of a page that nobody keeps."""
    client = site.test_client()
    bought = polar.purchase("northlight", email=EMAIL)
    arrive(client, bought)
    for where in ("/shop/portal", f"/shop/portal?checkout_id={bought.checkout_id}"):
        sent = client.get(where)
        assert sent.status_code == 303
        assert "customer_session_token=" in sent.headers["Location"]
        assert sent.data == b""
        assert sent.headers["Cache-Control"] == "private, no-store"
        assert sent.headers["Referrer-Policy"] == "no-referrer"
        opened = requests.get(sent.headers["Location"], timeout=5)
        assert EMAIL in opened.text


def test_the_portal_of_who_is_signed_in(polar: ShopPolar, make_site: SiteMaker) -> None:
    """By the site's own id; one that Polar does not know leads nowhere."""
    shop, who = Storefront(), {"id": "user-1"}
    shop.visitor(lambda: Visitor(external_id=who["id"]))
    client = make_site(polar, shop=shop, SECRET_KEY=KEY).test_client()
    bought = polar.purchase("northlight", email=EMAIL)
    customer = {**polar.store.customers[bought.customer_id], "external_id": "user-1"}
    polar.store.add_customer(customer)
    sent = client.get("/shop/portal")
    assert "customer_session_token=" in sent.headers["Location"]
    who["id"] = "user-2"
    assert client.get("/shop/portal").status_code == 404


def test_the_portal_for_nobody_else(polar: ShopPolar, site: Flask) -> None:
    """Strangers get one 404, whatever the address says."""
    bought = polar.purchase("northlight", email=EMAIL)
    pages = {
        site.test_client().get(f"/shop/portal{query}").data
        for query in ("", "?checkout_id=x", f"?checkout_id={bought.checkout_id}")
    }
    assert len(pages) == 1
    assert site.test_client().get("/shop/portal").status_code == 404


# --- the cookies, by themselves ----------------------------------------------------------------


def test_old_keys_still_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in SECRET_KEY_FALLBACKS opens what it sealed; what is old is sealed anew or refused."""
    nonce = new_nonce()
    old = Seals(["old"]).seal_buyer(nonce)
    opened = Seals(["old", "new"]).open_buyer(old)
    assert opened is not None
    assert (opened.nonce, opened.is_old) == (nonce, False)
    assert Seals(["new"]).open_buyer(old) is None
    clock = datetime.now(UTC).timestamp()
    monkeypatch.setattr("time.time", lambda: clock + 2 * 86400)
    later = Seals(["old"]).open_buyer(old)
    assert later is not None
    monkeypatch.setattr("time.time", lambda: clock + LASTS_SECONDS + 10)
    assert Seals(["old"]).open_buyer(old) is None


def test_the_clocks_of_machines_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one has sealed another opens that is behind, by minutes and not by hours."""
    seals, now = Seals(["k"]), datetime.now(UTC).timestamp()
    id, nonce = str(uuid4()), new_nonce()
    buyer = seals.seal_buyer(nonce)
    purchases = seals.seal_purchases({id: Proof(Standing.CUSTOMER, int(now))})
    monkeypatch.setattr("time.time", lambda: now - 200)
    opened = seals.open_buyer(buyer)
    assert opened is not None
    assert (opened.nonce, opened.is_old) == (nonce, False)
    assert list(seals.open_purchases(purchases)) == [id]
    monkeypatch.setattr("time.time", lambda: now - 3600)
    assert seals.open_buyer(buyer) is None
    assert seals.open_purchases(purchases) == {}


def test_a_customer_is_one_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """After that the same cookie says only who bought; ten purchases are remembered, 30 days."""
    seals = Seals(["k"])
    now = int(datetime.now(UTC).timestamp())
    ids = [str(uuid4()) for _ in range(12)]
    cookie = seals.seal_purchases({id: Proof(Standing.CUSTOMER, now) for id in ids})
    assert len(cookie) < 400
    assert list(seals.open_purchases(cookie)) == ids[2:]
    assert seals.open_purchases(cookie)[ids[-1]].standing is Standing.CUSTOMER
    monkeypatch.setattr("time.time", lambda: now + 3700.0)
    assert seals.open_purchases(cookie)[ids[-1]].standing is Standing.BUYER
    monkeypatch.setattr("time.time", lambda: now + LASTS_SECONDS + 1.0)
    assert seals.open_purchases(cookie) == {}


def test_limits_are_bounded_and_end() -> None:
    """So many a key and time; the memory has a size; what turned out well is given back."""
    clock = [0.0]
    limit = Limit(2, 10, keys=3, clock=lambda: clock[0])
    assert [limit.take("a") for _ in range(3)] == [True, True, False]
    limit.give_back("a")
    assert limit.take("a")
    clock[0] = 11
    assert limit.take("a")
    for key in "bcd":
        assert limit.take(key)
    assert limit.take("a"), "the oldest of four keys was forgotten"
    recent: Recent[str, int] = Recent(2, most=2, clock=lambda: clock[0])
    for number, key in enumerate("xyz"):
        recent.put(key, number)
    assert [recent.get(key) for key in "xyz"] == [None, 1, 2]
    clock[0] = 14
    assert recent.get("z") is None


def test_reprs_say_nothing() -> None:
    """What may stand in a traceback with locals tells of nobody."""
    checkout = Checkout(
        id="1", customer_email=EMAIL, customer_name="Bea", client_secret="polar_c_x"
    )
    assert repr(checkout) == "Checkout(id='1', status='open')"
    buyer = Seals(["k"]).open_buyer(Seals(["k"]).seal_buyer(Secret("n" * 32)))
    assert "nnnn" not in repr(buyer)


def test_nothing_leaks(tmp_path: Path) -> None:
    """Tokens, secrets and the buyer's address are in no log, page, file, cookie or traceback."""
    figure = leaking(tmp_path, failures=("nothing", "callback", "template", Fault("status", 503)))
    assert figure.kept, figure
