"""The local Polar's hosted pages, used as plain HTML over real HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from storefront.emulator.records import Checkout
from tests.browser_form import Page, browse

SITE = "http://127.0.0.1:5000/shop"
_numbers = itertools.count()


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


def _email() -> str:
    return f"buyer{next(_numbers)}@example.com"


def _link(polar: LocalPolar, product: str, **wanted: Any) -> dict[str, Any]:
    """A link of the demo that begins with that product."""
    for link in polar.store.links.values():
        first = polar.store.products[link["product_ids"][0]]
        if first["name"] == product and all(link[key] == value for key, value in wanted.items()):
            return link
    raise LookupError(product)


def _open(polar: LocalPolar, product: str, query: str = "", **wanted: Any) -> Page:
    link = _link(polar, product, **wanted)
    return browse(f"{polar.url}/v1/checkout-links/{link['client_secret']}/redirect{query}")


def _checkout(polar: LocalPolar, page: Page) -> Checkout:
    secret = urlsplit(page.response.url).path.split("/")[2]
    return polar.store.checkouts[polar.store.checkout_ids[secret]]


def _order(polar: LocalPolar, checkout: Checkout) -> dict[str, Any]:
    return next(o for o in polar.store.orders.values() if o["checkout_id"] == checkout.id)


PURCHASES: dict[str, tuple[dict[str, str], str, int]] = {
    "Northlight for Desktop": ({}, "Pay $49.00", 4900),
    "Pro Monthly": ({}, "Subscribe for $12.00", 1200),
    "Pro Yearly": ({}, "Subscribe for $120.00", 12000),
    "Northlight Sync": ({}, "Start free trial", 0),
    "Pro for Teams": ({"custom_field_data__company": "Acme"}, "Subscribe for $20.00", 2000),
    "Quiet Software: the Course": ({}, "Pay $79.00", 7900),
    "Field Notes, a zine": ({"amount": "0"}, "Pay $5.00", 0),
    "Support the Studio": ({"amount": "12.50"}, "Pay $15.00", 1250),
    "Starter Templates": ({}, "Get for free", 0),
    "Render Credits": ({}, "Pay $5.00", 500),
    "Northlight API": (
        {"line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA"},
        "Subscribe for $5.00",
        500,
    ),
    "The Quarterly Letter": ({"custom_field_data__first-issue": "3"}, "Subscribe for $18.00", 1800),
    "Northlight Agency Edition": ({}, "Pay $399.00", 39900),
}


@pytest.mark.parametrize("product", PURCHASES)
def test_everything_in_the_demo_can_be_bought(polar: LocalPolar, product: str) -> None:
    """Each product is bought by filling in its form, and leads back into the shop."""
    answers, button, paid = PURCHASES[product]
    page = _open(polar, product)
    assert button in page.text
    response = page.press("pay", customer_email=_email(), **answers)
    assert response.status_code == 303, Page(response, requests.Session()).text
    checkout = _checkout(polar, page)
    token = checkout.customer_session_token
    assert response.headers["Location"] == (
        f"{SITE}/success?checkout_id={checkout.id}&customer_session_token={token}"
    )
    assert checkout.status == "succeeded"
    assert _order(polar, checkout)["total_amount"] == paid


def test_every_linked_product_is_bought_above(polar: LocalPolar) -> None:
    """The list of purchases leaves out nothing that has a link."""
    linked = {item for link in polar.store.links.values() for item in link["product_ids"]}
    assert {polar.store.products[item]["name"] for item in linked} == set(PURCHASES)


def test_a_declined_card_can_be_replaced(polar: LocalPolar) -> None:
    """After a declined payment the same page takes another card."""
    page = _open(polar, "Northlight for Desktop")
    declined = page.submit("pay", customer_email=_email(), card_number="4000 0000 0000 0002")
    assert "Payment declined" in declined.text
    assert "4000 0000 0000 0002" not in [item.value for item in declined.fields.values()]
    assert _checkout(polar, page).status == "open"
    assert declined.press("pay").headers["Location"].startswith(f"{SITE}/success?")
    assert _checkout(polar, page).status == "succeeded"


def test_a_discount_code_is_applied_and_removed(polar: LocalPolar) -> None:
    """A code lowers the total and says its name; removing it restores the price."""
    page = _open(polar, "Northlight for Desktop", label="website")
    reduced = page.submit("update", discount_code="launch20", customer_email="jane@example.com")
    assert "Launch week (20% off)" in reduced.text
    assert "-$9.80" in reduced.text
    assert "Pay $39.20" in reduced.text
    assert reduced.fields["customer_email"].value == "jane@example.com"
    restored = reduced.submit("remove-discount")
    assert "Launch week" not in restored.text
    assert "Pay $49.00" in restored.text


def test_an_unknown_code_is_said_beside_its_field(polar: LocalPolar) -> None:
    """A code that does not exist leaves the price and what was typed as they were."""
    page = _open(polar, "Northlight for Desktop", label="website")
    refused = page.submit("update", discount_code="NOPE", customer_name="Jane")
    assert refused.status == 422
    assert refused.text.count("There is no such code for this purchase.") == 2
    assert refused.fields["discount_code"].value == "NOPE"
    assert refused.fields["customer_name"].value == "Jane"
    assert "Pay $49.00" in refused.text


def test_a_preset_discount_is_there_from_the_start(polar: LocalPolar) -> None:
    """The conference link comes with its discount."""
    page = _open(polar, "Northlight for Desktop", label="conference")
    assert "Pay $39.20" in page.text


def test_no_code_where_none_is_allowed(polar: LocalPolar) -> None:
    """A link without codes does not ask for one."""
    assert "discount_code" not in _open(polar, "The Quarterly Letter").fields


def test_a_full_discount_needs_no_card(polar: LocalPolar) -> None:
    """With everything taken off, one-time products are free and ask for no card."""
    page = _open(polar, "Northlight for Desktop").submit("update", discount_code="FREE100")
    assert "Get for free" in page.text
    assert "card_number" not in page.fields
    assert page.press("pay", customer_email=_email()).status_code == 303


def test_a_product_is_chosen_among_several(polar: LocalPolar) -> None:
    """Choosing another product changes the price, and that is what is bought."""
    page = _open(polar, "Pro Monthly", label="plans")
    yearly = page.fields["product_id"].values[1]
    chosen = page.submit("update", product_id=yearly)
    assert "Subscribe for $120.00" in chosen.text
    assert chosen.press("pay", customer_email=_email()).status_code == 303
    assert _checkout(polar, page).product["name"] == "Pro Yearly"


def test_nobody_pays_for_what_they_were_not_shown(polar: LocalPolar) -> None:
    """Paying right after a change first shows what that comes to."""
    page = _open(polar, "Pro Monthly", label="plans")
    yearly = page.fields["product_id"].values[1]
    shown = page.submit("pay", customer_email=_email(), product_id=yearly)
    assert "What you pay has changed: $120.00 is due today." in shown.text
    assert _checkout(polar, page).status == "open"
    assert shown.press("pay").status_code == 303


@pytest.mark.parametrize(
    ("product", "name", "count", "sums"),
    [
        ("Pro for Teams", "seats", "20", ["Pro for Teams, 20 seats", "$160.00 per month"]),
        ("Render Credits", "units", "150", ["Render Credits, 150 credits", "Pay $70.00"]),
    ],
)
def test_quantities_change_the_price(
    polar: LocalPolar, product: str, name: str, count: str, sums: list[str]
) -> None:
    """Seats are priced by volume, units range by range."""
    page = _open(polar, product).submit("update", **{name: count})
    assert all(words in page.text for words in sums)


@pytest.mark.parametrize(
    ("product", "name", "value", "message"),
    [
        ("Pro for Teams", "seats", "1", "Enter a number of seats: at least 2."),
        ("Pro for Teams", "seats", "x", "Enter a number of seats: at least 2."),
        ("Render Credits", "units", "9", "Enter a number of credits: at least 10."),
        (
            "Support the Studio",
            "amount",
            "2.99",
            "Enter an amount of at least $3.00 and no more than $500.00.",
        ),
        (
            "Support the Studio",
            "amount",
            "1e9999",
            "Enter an amount of at least $3.00 and no more than $500.00.",
        ),
        ("Field Notes, a zine", "amount", "-1", "Enter an amount of at least $0.00."),
    ],
)
def test_what_is_out_of_range_is_said_beside_its_field(
    polar: LocalPolar, product: str, name: str, value: str, message: str
) -> None:
    """Quantities and amounts say what they take; the typed value stays."""
    page = _open(polar, product).submit("update", **{name: value})
    assert page.status == 422
    assert page.text.count(message) == 2
    assert page.fields[name].value == value


def test_a_locked_number_of_seats_is_not_asked(polar: LocalPolar) -> None:
    """A link for five seats sells five."""
    page = _open(polar, "Pro for Teams", seats=5)
    assert "seats" not in page.fields
    assert "Pro for Teams, 5 seats" in page.text


def test_the_problems_lead_to_their_fields(polar: LocalPolar) -> None:
    """Everything missing is listed in the page's order, each entry linked to its field."""
    page = _open(polar, "Pro for Teams", seats=None)
    wrong = page.submit("pay", country="US", card_number="1234", card_expiry="01/20", card_cvc="")
    assert wrong.status == 422
    problems = {text: href for text, href in wrong.links.items() if href.startswith("#")}
    assert list(problems.values()) == [
        "#customer_email",
        "#custom_field_data-company",
        "#line1",
        "#city",
        "#state",
        "#postal_code",
        "#card_number",
        "#card_expiry",
        "#card_cvc",
    ]
    assert {href[1:] for href in problems.values()} <= wrong.ids
    assert "1234" not in str(_checkout(polar, page))


def test_an_american_gives_a_whole_address(polar: LocalPolar) -> None:
    """With a full address a purchase from the United States goes through."""
    page = _open(polar, "Quiet Software: the Course")
    response = page.press(
        "pay",
        customer_email=_email(),
        country="US",
        line1="1 Main St",
        city="Springfield",
        state="IL",
        postal_code="62701",
    )
    assert response.status_code == 303


@pytest.mark.parametrize(
    ("product", "answers", "message"),
    [
        ("Pro for Teams", {"custom_field_data__company": "A"}, "“Company” takes 2 to 80"),
        ("Pro for Teams", {"custom_field_data__start-date": "soon"}, "does not fit “First day"),
        (
            "The Quarterly Letter",
            {"custom_field_data__first-issue": "13"},
            "takes a whole number: at least 1, at most 12.",
        ),
        (
            "Northlight for Desktop",
            {"custom_field_data__operating-system": "amiga"},
            "does not fit “Operating system”",
        ),
    ],
)
def test_custom_fields_say_what_they_take(
    polar: LocalPolar, product: str, answers: dict[str, str], message: str
) -> None:
    """A custom field that was filled in wrongly says so."""
    page = _open(polar, product, "?customer_email=jane@example.com").submit("pay", **answers)
    assert page.status == 422
    assert message in page.text


def test_custom_fields_are_kept(polar: LocalPolar) -> None:
    """Answers to custom fields stand in the checkout."""
    page = _open(polar, "Northlight for Desktop")
    answers = {
        "custom_field_data__name-on-licence": "Jane",
        "custom_field_data__operating-system": "linux",
        "custom_field_data__studio-news": "true",
    }
    again = page.submit("update", **answers)
    assert _checkout(polar, page).custom_field_data == {
        "name-on-licence": "Jane",
        "operating-system": "linux",
        "studio-news": True,
    }
    assert again.fields["custom_field_data.studio-news"].value == "true"


def test_a_trial_says_what_comes_after(polar: LocalPolar) -> None:
    """A trial shows nothing due today, and the price and day of the first payment."""
    page = _open(polar, "Northlight Sync")
    assert "Due today $0.00" in page.text
    assert "14 days free, then $6.00 per month" in page.text
    assert "First payment on" in page.text


def test_a_repeating_discount_says_how_long(polar: LocalPolar) -> None:
    """Half off for three months is said as that."""
    page = _open(polar, "Pro Monthly", label="monthly").submit("update", discount_code="FIRST3")
    assert "Renews at $6.00 per month for 3 months, then $12.00 per month" in page.text


def test_usage_is_said(polar: LocalPolar) -> None:
    """Metered prices are named beside the fixed one."""
    assert "$0.0025 per unit of “API calls”, at most $500.00" in _open(polar, "Northlight API").text


def test_a_known_customer_gets_no_session(polar: LocalPolar) -> None:
    """Whoever has bought before is sent on without a session token."""
    email = _email()
    first = _open(polar, "Starter Templates").press("pay", customer_email=email)
    assert "customer_session_token" in first.headers["Location"]
    page = _open(polar, "Starter Templates")
    second = page.press("pay", customer_email=email.upper())
    assert second.headers["Location"] == f"{SITE}/success?checkout_id={_checkout(polar, page).id}"


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
    page = _open(polar, "Starter Templates")
    checkout = _checkout(polar, page)
    checkout.success_url = success_url
    location = page.press("pay", customer_email=_email()).headers["Location"]
    token = f"customer_session_token={checkout.customer_session_token}"
    assert location == (before + token + after).replace("ID", checkout.id)


def test_without_a_success_url_polar_says_thanks(polar: LocalPolar) -> None:
    """A link that leads nowhere ends on Polar's own page, with the way to the orders."""
    page = _open(polar, "Quiet Software: the Course")
    _checkout(polar, page).success_url = None
    email = _email()
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
    page = _open(polar, "Starter Templates")
    location = page.press("pay", customer_email=_email()).headers["Location"]
    assert page.press("pay").headers["Location"] == location
    again = requests.get(page.response.url, allow_redirects=False, timeout=5)
    assert (again.status_code, again.headers["Location"]) == (303, location)


def test_a_confirmation_before_the_purchase_is_the_checkout(polar: LocalPolar) -> None:
    """The thanks are not said before anything was bought."""
    page = _open(polar, "Starter Templates")
    early = browse(f"{page.response.url}/confirmation")
    assert early.response.url == page.response.url


def test_a_slow_payment_is_waited_for() -> None:
    """A page that is opened while the payment settles waits, and looks again by itself."""
    with LocalPolar(Store(demo_store(SITE)), settle_seconds=60) as polar:
        page = _open(polar, "Quiet Software: the Course")
        checkout = _checkout(polar, page)
        url = f"{polar.url}/v1/checkouts/client/{checkout.client_secret}/confirm"
        body = {
            "customer_email": _email(),
            "customer_billing_address": {"country": "FR"},
            "confirmation_token_id": "ctoken_x",
        }
        requests.post(url, json=body, timeout=5)
        waiting = browse(page.response.url)
        assert "Your payment is on its way" in waiting.text
        assert waiting.response.headers["Refresh"] == "1"


def test_an_expired_checkout_says_so() -> None:
    """After its 24 hours a checkout is gone, and leads back to the shop."""
    clock = Clock()
    with LocalPolar(Store(demo_store(SITE), clock=clock), settle_seconds=0) as polar:
        page = _open(polar, "Pro Monthly")
        clock.ahead = timedelta(hours=25)
        late = page.submit("pay", customer_email=_email())
        assert late.status == 410
        assert "This checkout has expired" in late.text
        assert f"{SITE}/" in late.links.values()


def test_a_failed_checkout_says_so(polar: LocalPolar) -> None:
    """A checkout that failed for good cannot be paid any more."""
    page = _open(polar, "Pro Monthly")
    _checkout(polar, page).status = "failed"
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


def test_the_portal_of_a_session_made_by_the_shop(polar: LocalPolar) -> None:
    """The address that the API gives for a customer shows their orders and subscriptions."""
    email = _email()
    _open(polar, "Northlight Sync").press("pay", customer_email=email)
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


def test_the_index_shows_the_way(polar: LocalPolar) -> None:
    """The front page names the store, the cards, the codes and every link."""
    page = browse(polar.url)
    for words in ("Northlight Studio", "4242 4242 4242 4242", "LAUNCH20", f"{polar.url}/v1"):
        assert words in page.text
    assert page.html.count("/redirect") == len(polar.store.links)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_the_address(polar: LocalPolar, theme: str) -> None:
    """A theme in the address stays through a form that is sent; nonsense is ignored."""
    page = _open(polar, "Starter Templates", f"?theme={theme}")
    assert f'data-theme="{theme}"' in page.html
    wrong = page.submit("pay")
    assert wrong.status == 422
    assert f'data-theme="{theme}"' in wrong.html
    assert "data-theme" not in _open(polar, "Starter Templates", '?theme="><b>').html


def test_pages_are_private_and_run_nothing(polar: LocalPolar) -> None:
    """No page is stored, indexed, framed by strangers, or able to run a script."""
    page = _open(polar, "Starter Templates")
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
    page = _open(polar, "Starter Templates", f"?embed=true&embed_origin={origin}")
    policy = page.response.headers["Content-Security-Policy"]
    assert policy.endswith(f"frame-ancestors {origin}")
    assert 'formtarget="_top"' in page.html


def test_strings_of_buyers_and_sellers_stay_strings(polar: LocalPolar) -> None:
    """Nothing that anybody typed becomes markup, nor a link that runs."""
    evil = "\"><script>alert(1)</script>'{{7*7}}"
    page = _open(polar, "Northlight for Desktop", f"?customer_name={evil}&discount_code={evil}")
    checkout = _checkout(polar, page)
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
    page = _open(polar, "Starter Templates")
    head = requests.head(page.response.url, timeout=5)
    assert (head.status_code, head.content) == (200, b"")


def test_the_tokens_of_a_purchase_open_its_orders_only(polar: LocalPolar) -> None:
    """The session in the success URL is the buyer's own."""
    response = _open(polar, "Starter Templates").press("pay", customer_email=_email())
    query = parse_qs(urlsplit(response.headers["Location"]).query)
    me = requests.get(
        f"{polar.url}/v1/customer-portal/customers/me",
        headers={"Authorization": f"Bearer {query['customer_session_token'][0]}"},
        timeout=5,
    ).json()
    checkout = polar.store.checkouts[query["checkout_id"][0]]
    assert me["id"] == checkout.customer_id
