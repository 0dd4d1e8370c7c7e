"""What a buyer who proved to be one gets: the order, its benefits, the invoice, the portal."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask

from storefront import Storefront, Visitor, get_state
from storefront.emulator.app import Token
from storefront.emulator.demo import demo_store
from storefront.testing import ShopPolar, local_polar
from tests.conftest import SiteMaker
from tests.purchases import EMAIL, KEY, address, arrive, by_buy, cookies, forget


@pytest.fixture
def site(polar: ShopPolar, make_site: SiteMaker) -> Flask:
    """A site that knows its buyers again."""
    return make_site(polar, SECRET_KEY=KEY)


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
    get_state(site).catalog.sync()
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
