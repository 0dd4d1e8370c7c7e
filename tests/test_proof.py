"""Proof of purchase: who sees an order, and what everybody else is told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from flask import Flask
from flask_wtf import CSRFProtect

from storefront import Fulfilment, Receipt, Storefront, Visitor, get_state
from storefront.errors import DatabaseUnavailable
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
from storefront.testing import Fault, ShopPolar
from tests.conftest import SiteMaker
from tests.faults.leaking import leaking
from tests.faults.probing import probes
from tests.purchases import EMAIL, KEY, address, arrive, by_buy, cookies, forget
from tests.services import wait_until


@pytest.fixture
def site(polar: ShopPolar, make_site: SiteMaker) -> Flask:
    """A site that knows its buyers again."""
    return make_site(polar, SECRET_KEY=KEY)


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
        ("storefront_purchases", _changed(sealed, len(sealed) - 2)),
        ("storefront_purchases", sealed.partition(".")[0]),
        ("storefront_purchases", "é" * 40),
        ("storefront_purchases", "." * 100),
        ("storefront_buyer", theirs.seal_buyer(Secret(value.partition(".")[0]))),
        ("storefront_buyer", sealed),
        ("storefront_buyer", value[:-3]),
        ("storefront_buyer", _changed(value, 0)),
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


def _changed(cookie: str, at: int) -> str:
    """With another character there. Of the last one, only two thirds of the bits count."""
    return f"{cookie[:at]}{'B' if cookie[at] == 'A' else 'A'}{cookie[at + 1 :]}"


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


def test_a_visit_that_could_not_be_noted_is_noted_later(
    site: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away for a moment costs no sale: the next visit is noted, and no third."""
    noted: list[str] = []

    def note(id: str) -> None:
        noted.append(id)
        if len(noted) == 1:
            raise DatabaseUnavailable("away")

    monkeypatch.setattr(get_state(site).orders, "saw_visit", note)
    id = str(uuid4())
    for _ in range(3):
        site.test_client().get(f"/shop/success?checkout_id={id}")
    assert noted == [id, id]


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
