"""The local Polar's hosted pages: where they lead, and what they keep to themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from tests.browser_form import browse
from tests.hosted_pages import SITE, checkout_of, new_email, open_link, order_of


class Clock:
    """The time, which can be moved on."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def polar() -> Iterator[LocalPolar]:
    with LocalPolar(Store(demo_store(SITE)), settle_seconds=0.05) as running:
        yield running


def test_a_known_customer_gets_no_session(polar: LocalPolar) -> None:
    """Whoever has bought before is sent on without a session token."""
    email = new_email()
    first = open_link(polar, "Starter Templates").press("pay", customer_email=email)
    assert "customer_session_token" in first.headers["Location"]
    page = open_link(polar, "Starter Templates")
    second = page.press("pay", customer_email=email.upper())
    assert second.headers["Location"] == f"{SITE}/success?checkout_id={checkout_of(polar, page).id}"


@pytest.mark.parametrize(
    ("success_url", "before", "after"),
    [
        ("https://shop.example/thanks", "https://shop.example/thanks?", ""),
        ("https://shop.example/thanks?", "https://shop.example/thanks?", ""),
        ("https://shop.example/a?b=1", "https://shop.example/a?b=1&", ""),
        ("https://shop.example/a?b=1#part", "https://shop.example/a?b=1&", "#part"),
        ("https://shop.example/a#part?x", "https://shop.example/a?", "#part?x"),
        (
            "https://shop.example/{CHECKOUT_ID}#{CHECKOUT_ID}",
            "https://shop.example/ID?",
            "#ID",
        ),
    ],
)
def test_the_session_goes_before_the_fragment(
    polar: LocalPolar, success_url: str, before: str, after: str
) -> None:
    """The session token is added to any success URL as a query parameter."""
    page = open_link(polar, "Starter Templates")
    checkout = checkout_of(polar, page)
    checkout.success_url = success_url
    location = page.press("pay", customer_email=new_email()).headers["Location"]
    token = f"customer_session_token={checkout.customer_session_token}"
    assert location == token.join(part.replace("ID", checkout.id) for part in (before, after))


def test_without_a_success_url_polar_says_thanks(polar: LocalPolar) -> None:
    """A link that leads nowhere ends on Polar's own page, with the way to the orders."""
    page = open_link(polar, "Quiet Software: the Course")
    checkout_of(polar, page).success_url = None
    email = new_email()
    thanks = page.submit("pay", customer_email=email)
    assert thanks.response.url == f"{page.response.url.split('?')[0]}/confirmation"
    assert "Thank you" in thanks.text
    assert email in thanks.text
    assert "Paid today $79.00" in thanks.text
    portal = browse(thanks.links["See your orders"], base=thanks.response.url)
    assert f"Signed in as {email}" in portal.text
    assert "Quiet Software: the Course" in portal.text


def test_a_paid_checkout_leads_on(polar: LocalPolar) -> None:
    """Coming back to a checkout that is paid goes to where it led, by form or by address."""
    page = open_link(polar, "Starter Templates")
    location = page.press("pay", customer_email=new_email()).headers["Location"]
    assert page.press("pay").headers["Location"] == location
    again = requests.get(page.response.url, allow_redirects=False, timeout=5)
    assert (again.status_code, again.headers["Location"]) == (303, location)


def test_a_confirmation_before_the_purchase_is_thecheckout_of(polar: LocalPolar) -> None:
    """The thanks are not said before anything was bought."""
    page = open_link(polar, "Starter Templates")
    early = browse(f"{page.response.url}/confirmation")
    assert early.response.url == page.response.url


def test_a_slow_payment_is_waited_for() -> None:
    """A page that is opened while the payment settles waits, and looks again by itself."""
    with LocalPolar(Store(demo_store(SITE)), settle_seconds=60) as polar:
        page = open_link(polar, "Quiet Software: the Course")
        checkout = checkout_of(polar, page)
        url = f"{polar.url}/v1/checkouts/client/{checkout.client_secret}/confirm"
        body = {
            "customer_email": new_email(),
            "customer_billing_address": {"country": "FR"},
            "confirmation_token_id": "ctoken_x",
        }
        requests.post(url, json=body, timeout=5)
        waiting = browse(page.response.url)
        assert "Your payment is on its way" in waiting.text
        own = page.response.url.removeprefix(polar.url)
        assert waiting.response.headers["Refresh"] == f"1; url={own}"


def test_an_expired_checkout_says_so() -> None:
    """After its 24 hours a checkout is gone, and leads back to the shop."""
    clock = Clock()
    with LocalPolar(Store(demo_store(SITE), clock=clock), settle_seconds=0) as polar:
        page = open_link(polar, "Pro Monthly")
        clock.ahead = timedelta(hours=25)
        late = page.submit("pay", customer_email=new_email())
        assert late.status == 410
        assert "This checkout has expired" in late.text
        assert f"{SITE}/" in late.links.values()


def test_a_failed_checkout_says_so(polar: LocalPolar) -> None:
    """A checkout that failed for good cannot be paid any more."""
    page = open_link(polar, "Pro Monthly")
    checkout_of(polar, page).status = "failed"
    failed = browse(page.response.url)
    assert (failed.status, "This payment failed" in failed.text) == (410, True)


@pytest.mark.parametrize(
    "path", ["/checkout/polar_c_none", "/checkout/polar_c_none/confirmation", "/other/portal"]
)
def test_an_unknown_address_has_a_page(polar: LocalPolar, path: str) -> None:
    """Nothing there is said in the look of the other pages."""
    page = browse(polar.url + path)
    assert (page.status, "There is nothing here" in page.text) == (404, True)


def test_a_portal_link_that_is_over(polar: LocalPolar) -> None:
    """The portal stays shut without a session."""
    page = browse(f"{polar.url}/portal?customer_session_token=polar_cst_none")
    assert (page.status, "no longer good" in page.text) == (401, True)


def test_the_portal_asks_who_comes_without_a_session(
    polar: LocalPolar, caplog: pytest.LogCaptureFixture
) -> None:
    """A code is sent to a customer's address, here to the log, and lets in once."""
    email = new_email()
    open_link(polar, "Northlight Sync").press("pay", customer_email=email)
    portal = f"{polar.url}/{polar.store.organization['slug']}/portal"
    form = browse(portal)
    assert (form.status, "Sign in" in form.text) == (200, True)

    def post(**fields: str) -> requests.Response:
        return requests.post(portal, data=fields, allow_redirects=False, timeout=5)

    for address in ("nobody@example.com", email):
        sent = post(action="send", email=address)
        assert sent.status_code == 200
        assert "a code was sent" in sent.text
    (line,) = [each for each in caplog.messages if "customer portal" in each]
    code = line.partition(": ")[2].partition(" ")[0]
    assert line == f"A code for the customer portal: {code} for {email}"
    for wrong in (("nobody@example.com", code), (email, "x"), (email, "")):
        answer = post(action="enter", email=wrong[0], code=wrong[1])
        assert (answer.status_code, "not the code" in answer.text) == (422, True)
    let_in = post(action="enter", email=email, code=f" {code} ")
    assert let_in.status_code == 303
    assert "Northlight Sync" in browse(let_in.headers["Location"]).text
    assert post(action="enter", email=email, code=code).status_code == 422


def test_the_portal_of_a_session_made_by_the_shop(polar: LocalPolar) -> None:
    """The address that the API gives for a customer shows their orders and subscriptions."""
    email = new_email()
    open_link(polar, "Northlight Sync").press("pay", customer_email=email)
    customer = polar.services.customers.by_email(email)
    assert customer is not None
    answer = requests.post(
        f"{polar.url}/v1/customer-sessions/",
        json={"customer_id": customer["id"], "return_url": f"{SITE}/"},
        headers=polar.headers,
        timeout=5,
    ).json()
    portal = browse(answer["customer_portal_url"])
    assert "Northlight Sync" in portal.text
    assert "On trial, next payment on" in portal.text
    assert portal.links["Back to the shop"] == f"{SITE}/"


def test_the_portal_shows_what_was_granted(polar: LocalPolar) -> None:
    """Key, files and what was given back stand with the order, until they are taken back."""
    email = new_email()
    open_link(polar, "Northlight for Desktop").press("pay", customer_email=email)
    customer = polar.services.customers.by_email(email)
    assert customer is not None
    (order,) = polar.services.orders.of_customer(customer["id"])
    token = polar.services.customers.open_session(customer["id"]).token
    address = f"{polar.url}/portal?customer_session_token={token}"
    portal = browse(address)
    (key,) = polar.store.license_keys_of[customer["id"]]
    assert key["key"] in portal.text
    installer = requests.get(portal.links["Northlight-macOS.dmg"], timeout=5)
    assert installer.text.startswith("Northlight-macOS.dmg")
    polar.services.refunds.create(order["id"], revoke_benefits=True)
    after = browse(address)
    assert "$49.00 refunded" in after.text
    assert key["key"] not in after.text


def test_the_index_shows_the_way(polar: LocalPolar) -> None:
    """The front page names the store, the cards, the codes and every link."""
    page = browse(polar.url)
    for words in ("Northlight Studio", "4242 4242 4242 4242", "LAUNCH20", f"{polar.url}/v1"):
        assert words in page.text
    assert page.html.count("/redirect") == len(polar.store.links)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_the_address(polar: LocalPolar, theme: str) -> None:
    """A theme in the address stays through a form that is sent; nonsense is ignored."""
    page = open_link(polar, "Starter Templates", f"?theme={theme}")
    assert f'data-theme="{theme}"' in page.html
    wrong = page.submit("pay")
    assert wrong.status == 422
    assert f'data-theme="{theme}"' in wrong.html
    assert "data-theme" not in open_link(polar, "Starter Templates", '?theme="><b>').html


def test_pages_are_private_and_run_nothing(polar: LocalPolar) -> None:
    """No page is stored, indexed, framed by strangers, or able to run a script."""
    page = open_link(polar, "Starter Templates")
    headers = page.response.headers
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["X-Robots-Tag"] == "noindex"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in page.html
    assert " style=" not in page.html


def test_the_embedding_site_may_frame_the_checkout(polar: LocalPolar) -> None:
    """Embedded, the page lets that one site frame it, and pays in the whole window."""
    origin = "http://127.0.0.1:5000"
    page = open_link(polar, "Starter Templates", f"?embed=true&embed_origin={origin}")
    policy = page.response.headers["Content-Security-Policy"]
    assert policy.endswith(f"frame-ancestors {origin}")
    assert 'formtarget="_top"' in page.html


def test_strings_of_buyers_and_sellers_stay_strings(polar: LocalPolar) -> None:
    """Nothing that anybody typed becomes markup, nor a link that runs."""
    evil = "\"><script>alert(1)</script>'{{7*7}}"
    page = open_link(polar, "Northlight for Desktop", f"?customer_name={evil}&discount_code={evil}")
    checkout = checkout_of(polar, page)
    checkout.return_url = "javascript:alert(1)"
    checkout.product = {**checkout.product, "name": evil}
    answers = {"customer_email": evil, "discount_code": evil, "line1": evil}
    pages = [browse(page.response.url), page.submit("pay", **answers)]
    assert pages[1].status == 422
    for shown in pages:
        assert "<script" not in shown.html
        assert "javascript:" not in shown.html
        assert "49" not in shown.fields["customer_name"].value
        assert shown.fields["customer_name"].value == evil


def test_a_head_request_is_answered(polar: LocalPolar) -> None:
    """Probes by HEAD get the page's headers and no body."""
    page = open_link(polar, "Starter Templates")
    head = requests.head(page.response.url, timeout=5)
    assert (head.status_code, head.content) == (200, b"")


def test_the_tokens_of_a_purchase_open_its_orders_only(polar: LocalPolar) -> None:
    """The session in the success URL is the buyer's own."""
    response = open_link(polar, "Starter Templates").press("pay", customer_email=new_email())
    query = parse_qs(urlsplit(response.headers["Location"]).query)
    me = requests.get(
        f"{polar.url}/v1/customer-portal/customers/me",
        headers={"Authorization": f"Bearer {query['customer_session_token'][0]}"},
        timeout=5,
    ).json()
    checkout = polar.store.checkouts[query["checkout_id"][0]]
    assert me["id"] == checkout.customer_id


def test_an_invoice_that_was_asked_for_is_a_pdf(polar: LocalPolar) -> None:
    """The address that the API gives for an invoice leads to one page of PDF."""
    page = open_link(polar, "Quiet Software: the Course")
    page.press("pay", customer_email=new_email(), customer_name="Jöe (Acme) \\ Ω")
    order = order_of(polar, checkout_of(polar, page))
    url = f"{polar.url}/v1/orders/{order['id']}/invoice"
    early = requests.get(f"{polar.url}/assets/invoices/{order['id']}.pdf", timeout=5)
    assert early.status_code == 404
    assert requests.post(url, headers=polar.headers, timeout=5).status_code == 202
    time.sleep(0.1)
    address = requests.get(url, headers=polar.headers, timeout=5).json()["url"]
    invoice = requests.get(address, timeout=5)
    assert invoice.headers["Content-Type"] == "application/pdf"
    assert invoice.content.startswith(b"%PDF-1.4")
    assert b"(J\xf6e \\(Acme\\) \\\\ ?)" in invoice.content
    assert b"($79.00)" in invoice.content
