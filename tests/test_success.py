"""The success page: what became of a purchase, and the site's own callback."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from storefront import Receipt, Storefront, get_state
from storefront.emulator import LocalPolar, Store
from tests.conftest import SiteMaker
from tests.contract.recordings import REFERENCE_STORE, load

FREE = "polar_cl_F8JcTS3Q1TmFWPyL1PGUpAXIRo7KfjrTqwphB3mwOOg"
EBOOK = "polar_cl_HMagtGvqBLrS3r0QHUXTbxsVn4CflrIuT5aDa3IQbPI"
TRIAL = "polar_cl_4QDCsI0KYAfRJdDvQPj49Ua9EfT5CSpF4nPrJ2LbZJP"
SEATS = "polar_cl_Jmk0OhJiTU3DxRjvWm8aDvoWpBCycHhZ7PU1l0mCbOs"
BUYER = {
    "customer_email": "buyer@example.com",
    "customer_name": "Bea Buyer",
    "customer_billing_address": {"country": "FR"},
}


def open_checkout(polar: LocalPolar, secret: str, query: str = "") -> dict[str, Any]:
    """What following a buy button does, without the page."""
    opened = requests.get(
        f"{polar.url}/v1/checkout-links/{secret}/redirect{query}", allow_redirects=False, timeout=5
    )
    client_secret = urlsplit(opened.headers["Location"]).path.rsplit("/", 1)[1]
    answer: dict[str, Any] = requests.get(
        f"{polar.url}/v1/checkouts/client/{client_secret}", timeout=5
    ).json()
    return answer


def begin(polar: LocalPolar, client: FlaskClient, secret: str, query: str = "") -> dict[str, Any]:
    """What following a buy button by way of the shop's own address does."""
    link = next(link for link in polar.store.live_links() if link["client_secret"] == secret)
    address = client.get(f"/shop/buy/{link['id']}{query}").headers["Location"]
    return open_checkout(polar, secret, "?" + urlsplit(address).query)


def soon(site: Flask, checkout: dict[str, Any]) -> None:
    """Some seconds later: Polar's last answers are not remembered any more."""
    proofs = get_state(site).proofs
    proofs.checkouts.forget(checkout["id"])
    proofs.pages.forget(checkout["id"])


def pay(polar: LocalPolar, checkout: dict[str, Any], token: str = "ctoken_card_ok") -> str:
    """What the Pay button does; where the buyer is sent, with what Polar adds for who is new."""
    answer = requests.post(
        f"{polar.url}/v1/checkouts/client/{checkout['client_secret']}/confirm",
        json={**BUYER, "confirmation_token_id": token},
        timeout=5,
    )
    assert answer.status_code == 200, answer.text
    session = answer.json()["customer_session_token"]
    return f"/shop/success?checkout_id={checkout['id']}&customer_session_token={session}"


@pytest.fixture
def site(reference_polar: LocalPolar, make_site: SiteMaker) -> Flask:
    """A site that sells the reference store, and knows its buyers again."""
    return make_site(reference_polar, SECRET_KEY="x")


def test_a_paid_order_is_shown(reference_polar: LocalPolar, site: Flask) -> None:
    """Number, items, discount, tax, total, who bought, and what they got."""
    client = site.test_client()
    checkout = begin(reference_polar, client, EBOOK, "?discount_code=LAUNCH20&utm_source=mail")
    pay(reference_polar, checkout)
    response = client.get(f"/shop/success?checkout_id={checkout['id']}")
    assert response.status_code == 200
    order = next(iter(reference_polar.store.orders.values()))
    for words in (
        "Thank you",
        order["invoice_number"],
        "Ebook: Fast APIs",
        "$29.00",
        "$5.80",
        "$23.20",
        "Desktop license key",
        "buyer@example.com",
        "Bea Buyer",
    ):
        assert words in response.text, words
    for secret in ("polar_c", "polar_oat", order["customer_id"]):
        assert secret not in response.text
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Robots-Tag"] == "noindex"
    assert "Refresh" not in response.headers


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (FREE, ["$0.00", "Private Discord invite"]),
        (TRIAL, ["Your trial runs until", "the first payment is taken then", "$0.00"]),
        (SEATS, ["Seats: 5", "$50.00"]),
    ],
)
def test_every_kind_of_order(
    reference_polar: LocalPolar, site: Flask, secret: str, words: list[str]
) -> None:
    """Free, trial and seat orders are receipts like any other."""
    client = site.test_client()
    checkout = open_checkout(reference_polar, secret)
    text = client.get(pay(reference_polar, checkout), follow_redirects=True).text
    for expected in words:
        assert expected in text


def test_the_callback_gets_the_receipt(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """@shop.on_success runs for a paid order, with amounts as integers and the buyer."""
    shop = Storefront()
    seen: list[Receipt] = []
    shop.on_success(seen.append)
    client = make_site(reference_polar, shop=shop, SECRET_KEY="x").test_client()
    checkout = open_checkout(reference_polar, EBOOK, "?discount_code=LAUNCH20&reference_id=r-1")
    address = pay(reference_polar, checkout)
    client.get(f"/shop/success?checkout_id={checkout['id']}")
    assert seen == []
    client.get(address, follow_redirects=True)
    receipt = seen[0]
    assert (receipt.subtotal, receipt.discount, receipt.tax, receipt.total) == (2900, 580, 0, 2320)
    assert receipt.currency == "usd"
    assert receipt.checkout_id == checkout["id"]
    assert receipt.metadata == {"reference_id": "r-1"}
    assert receipt.ordered_at.tzinfo is not None
    assert receipt.customer is not None
    assert receipt.customer.email == "buyer@example.com"
    assert "buyer@example.com" not in repr(receipt)
    client.get(f"/shop/success?checkout_id={checkout['id']}")
    assert len(seen) == 1, "a page that is loaded again goes without"


def test_the_page_needs_no_database(
    reference_polar: LocalPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """When the sale can't be noted the buyer sees the receipt all the same, and the log says so."""
    shop = Storefront()
    seen: list[Receipt] = []
    shop.on_success(seen.append)
    url = "postgresql://somebody:geheim@127.0.0.1:1/shop"
    client = make_site(
        reference_polar, shop=shop, SECRET_KEY="x", STOREFRONT_DATABASE_URL=url
    ).test_client()
    checkout = open_checkout(reference_polar, EBOOK)
    page = client.get(pay(reference_polar, checkout), follow_redirects=True)
    assert "Thank you" in page.text
    assert (page.status_code, seen) == (200, [])
    assert "can't be noted now" in caplog.text
    assert "geheim" not in caplog.text


def test_what_the_callback_may_return(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Any
) -> None:
    """Nothing, extra values for the template, or a response of its own."""
    templates = tmp_path / "templates" / "storefront"
    templates.mkdir(parents=True)
    (templates / "layout.html").write_text(
        "<main>{% block storefront_main %}{% endblock %} extra={{ extra }}"
        " customer={{ outcome.receipt.customer.email }}</main>"
    )
    shop = Storefront()
    answers: list[Any] = [None, {"extra": "yes"}, ("own", 201), "text"]
    shop.on_success(every_time=True)(lambda receipt: answers[0])
    client = make_site(reference_polar, shop=shop, SECRET_KEY="x").test_client()
    checkout = begin(reference_polar, client, FREE)
    pay(reference_polar, checkout)
    address = f"/shop/success?checkout_id={checkout['id']}"
    assert "extra= customer=buyer@example.com" in client.get(address).text
    answers.pop(0)
    assert "extra=yes customer=buyer@example.com" in client.get(address).text
    answers.pop(0)
    own = client.get(address)
    assert (own.text, own.status_code) == ("own", 201)
    assert own.headers["Cache-Control"] == "private, no-store"
    answers.pop(0)
    assert client.get(address).text == "text"


def test_a_failing_callback_costs_no_receipt(
    reference_polar: LocalPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """In production the buyer sees the receipt and the log the error, which says nothing of them;
    in development it raises."""
    shop = Storefront()

    @shop.on_success(every_time=True)
    def fail(receipt: Receipt) -> None:
        assert receipt.customer is not None
        raise LookupError(f"no key left for {receipt.customer.email}")

    app = make_site(reference_polar, shop=shop, SECRET_KEY="x", STOREFRONT_SYNC_ON_START=False)
    client = app.test_client()
    checkout = begin(reference_polar, client, FREE)
    pay(reference_polar, checkout)
    address = f"/shop/success?checkout_id={checkout['id']}"
    with pytest.raises(LookupError):
        client.get(address)
    app.testing = False
    assert "Thank you" in client.get(address).text
    assert "no key left for …" in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_the_session_token_leaves_the_address(reference_polar: LocalPolar, site: Flask) -> None:
    """The token is taken out by a redirect before anything is shown; the other values stay."""
    client = site.test_client()
    response = client.get(
        "/shop/success?checkout_id=x%26y&customer_session_token=polar_cst_canary&a=1&a=2&_external=1"
    )
    assert response.status_code == 303
    location = response.headers["Location"]
    assert urlsplit(location).path == "/shop/success"
    assert not urlsplit(location).netloc
    assert parse_qs(urlsplit(location).query) == {
        "checkout_id": ["x&y"],
        "a": ["1", "2"],
        "_external": ["1"],
    }
    assert "canary" not in str(response.headers) + response.text
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?checkout_id=",
        "?checkout_id=nope",
        "?checkout_id={CHECKOUT_ID}",
        "?checkout_id=%7BCHECKOUT_ID%7D",
        "?checkout_id=../../orders",
        "?checkout_id=2112d285-effb-45ae-a1c4-2d6d696ceb0b",
        "?checkout_id=11111111-1111-1111-1111-111111111111",
    ],
)
def test_ids_that_lead_nowhere(site: Flask, query: str) -> None:
    """An unknown id, one that is none, and an address without one give the same friendly page."""
    response = site.test_client().get(f"/shop/success{query}")
    assert response.status_code == 200
    assert response.text == site.test_client().get("/shop/success").text
    assert "If you have just bought something: thank you!" in response.text
    assert "Back to the shop" in response.text


def test_an_open_checkout(reference_polar: LocalPolar, site: Flask) -> None:
    """A buyer who did not pay is told so."""
    client = site.test_client()
    checkout = begin(reference_polar, client, EBOOK)
    response = client.get(f"/shop/success?checkout_id={checkout['id']}")
    assert "not paid yet" in response.text
    assert "Refresh" not in response.headers


def test_a_declined_then_paid_checkout(reference_polar: LocalPolar, site: Flask) -> None:
    """A declined payment leaves the checkout open; paid with another card it is an order."""
    client = site.test_client()
    checkout = begin(reference_polar, client, EBOOK)
    pay(reference_polar, checkout, "ctoken_card_declined")
    assert "not paid yet" in client.get(f"/shop/success?checkout_id={checkout['id']}").text
    pay(reference_polar, checkout)
    assert "not paid yet" in client.get(f"/shop/success?checkout_id={checkout['id']}").text
    soon(site, checkout)
    assert "Thank you" in client.get(f"/shop/success?checkout_id={checkout['id']}").text


def test_waiting_is_polite(make_site: SiteMaker) -> None:
    """A confirmed checkout refreshes itself with growing pauses, also without JavaScript."""
    with LocalPolar(Store(json.loads(REFERENCE_STORE.read_text())), settle_seconds=600) as polar:
        client = make_site(polar, SECRET_KEY="x").test_client()
        checkout = begin(polar, client, EBOOK)
        pay(polar, checkout)
        address = f"/shop/success?checkout_id={checkout['id']}"
        pauses = []
        for _ in range(9):
            response = client.get(address)
            assert response.status_code == 200
            assert "being confirmed" in response.text
            pause, _, target = response.headers["Refresh"].partition("; url=")
            pauses.append(int(pause))
            address = target
        assert pauses == [2, 2, 3, 5, 8, 13, 20, 30, 30]
        assert "takes longer than usual" in response.text
        for odd in ("-5", "abc", "99999999999999999999"):
            assert client.get(f"{address}&asked={odd}").status_code == 200


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        ("checkouts_get_expired_status", "has expired"),
        ("checkouts_get_open_but_past_expires_at", "has expired"),
        ("checkouts_get_failed_status", "did not go through"),
        ("checkouts_get_confirmed_status", "being confirmed"),
    ],
)
def test_recorded_ends(
    reference_polar: LocalPolar, site: Flask, recording: str, words: str
) -> None:
    """Expired, failed and confirmed checkouts, as recorded, are told for what they are."""
    body = next(r.body for r in load() if r.name == recording)
    client = site.test_client()
    checkout = begin(reference_polar, client, FREE)
    stored = reference_polar.services.checkouts.get_by_secret(checkout["client_secret"])
    stored.status = body["status"]
    if recording == "checkouts_get_open_but_past_expires_at":
        stored.expires_at = stored.created_at
    assert words in client.get(f"/shop/success?checkout_id={checkout['id']}").text


def test_polar_out_of_reach(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """When Polar can't be asked the buyer is told that the purchase is safe, and it asks again."""
    app = make_site(reference_polar, SECRET_KEY="x", STOREFRONT_PAGE_TIMEOUT_SECONDS=1)
    get_state(app).catalog.sync()
    client = app.test_client()
    begin(reference_polar, client, FREE)
    reference_polar.stop()
    response = client.get(f"/shop/success?checkout_id={uuid4()}")
    assert response.status_code == 503
    assert "your purchase is safe" in response.text
    assert response.headers["Refresh"].startswith("2; url=/shop/success?checkout_id=")
    assert response.headers["Retry-After"] == "2"
