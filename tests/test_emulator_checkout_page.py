"""The local Polar's checkout page: what can be bought on it, and what its fields take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from tests.browser_form import Page
from tests.hosted_pages import SITE, checkout_of, new_email, open_link, order_of


@pytest.fixture(scope="module")
def polar() -> Iterator[LocalPolar]:
    with LocalPolar(Store(demo_store(SITE)), settle_seconds=0.05) as running:
        yield running


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
    page = open_link(polar, product)
    assert button in page.text
    response = page.press("pay", customer_email=new_email(), **answers)
    assert response.status_code == 303, Page(response, requests.Session()).text
    checkout = checkout_of(polar, page)
    token = checkout.customer_session_token
    assert response.headers["Location"] == (
        f"{SITE}/success?checkout_id={checkout.id}&customer_session_token={token}"
    )
    assert checkout.status == "succeeded"
    assert order_of(polar, checkout)["total_amount"] == paid


def test_every_linked_product_is_bought_above(polar: LocalPolar) -> None:
    """The list of purchases leaves out nothing that has a link."""
    linked = {item for link in polar.store.links.values() for item in link["product_ids"]}
    assert {polar.store.products[item]["name"] for item in linked} == set(PURCHASES)


def test_a_declined_card_can_be_replaced(polar: LocalPolar) -> None:
    """After a declined payment the same page takes another card."""
    page = open_link(polar, "Northlight for Desktop")
    declined = page.submit("pay", customer_email=new_email(), card_number="4000 0000 0000 0002")
    assert "Payment declined" in declined.text
    assert "4000 0000 0000 0002" not in [item.value for item in declined.fields.values()]
    assert checkout_of(polar, page).status == "open"
    assert declined.press("pay").headers["Location"].startswith(f"{SITE}/success?")
    assert checkout_of(polar, page).status == "succeeded"


def test_a_discount_code_is_applied_and_removed(polar: LocalPolar) -> None:
    """A code lowers the total and says its name; removing it restores the price."""
    page = open_link(polar, "Northlight for Desktop", label="website")
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
    page = open_link(polar, "Northlight for Desktop", label="website")
    refused = page.submit("update", discount_code="NOPE", customer_name="Jane")
    assert refused.status == 422
    assert refused.text.count("There is no such code for this purchase.") == 2
    assert refused.fields["discount_code"].value == "NOPE"
    assert refused.fields["customer_name"].value == "Jane"
    assert "Pay $49.00" in refused.text


def test_a_preset_discount_is_there_from_the_start(polar: LocalPolar) -> None:
    """The conference link comes with its discount."""
    page = open_link(polar, "Northlight for Desktop", label="conference")
    assert "Pay $39.20" in page.text


def test_no_code_where_none_is_allowed(polar: LocalPolar) -> None:
    """A link without codes does not ask for one."""
    assert "discount_code" not in open_link(polar, "The Quarterly Letter").fields


def test_a_full_discount_needs_no_card(polar: LocalPolar) -> None:
    """With everything taken off, one-time products are free and ask for no card."""
    page = open_link(polar, "Northlight for Desktop").submit("update", discount_code="FREE100")
    assert "Get for free" in page.text
    assert "card_number" not in page.fields
    assert page.press("pay", customer_email=new_email()).status_code == 303


def test_a_product_is_chosen_among_several(polar: LocalPolar) -> None:
    """Choosing another product changes the price, and that is what is bought."""
    page = open_link(polar, "Pro Monthly", label="plans")
    yearly = page.fields["product_id"].values[1]
    chosen = page.submit("update", product_id=yearly)
    assert "Subscribe for $120.00" in chosen.text
    assert chosen.press("pay", customer_email=new_email()).status_code == 303
    assert checkout_of(polar, page).product["name"] == "Pro Yearly"


def test_nobody_pays_for_what_they_were_not_shown(polar: LocalPolar) -> None:
    """Paying right after a change first shows what that comes to."""
    page = open_link(polar, "Pro Monthly", label="plans")
    yearly = page.fields["product_id"].values[1]
    shown = page.submit("pay", customer_email=new_email(), product_id=yearly)
    assert "What you pay has changed: $120.00 is due today." in shown.text
    assert checkout_of(polar, page).status == "open"
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
    page = open_link(polar, product).submit("update", **{name: count})
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
    page = open_link(polar, product).submit("update", **{name: value})
    assert page.status == 422
    assert page.text.count(message) == 2
    assert page.fields[name].value == value


def test_a_locked_number_of_seats_is_not_asked(polar: LocalPolar) -> None:
    """A link for five seats sells five."""
    page = open_link(polar, "Pro for Teams", seats=5)
    assert "seats" not in page.fields
    assert "Pro for Teams, 5 seats" in page.text


def test_the_problems_lead_to_their_fields(polar: LocalPolar) -> None:
    """Everything missing is listed in the page's order, each entry linked to its field."""
    page = open_link(polar, "Pro for Teams", seats=None)
    number = "1234567890123"  # not by chance in any id
    wrong = page.submit("pay", country="US", card_number=number, card_expiry="01/20", card_cvc="")
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
    assert number not in str(checkout_of(polar, page))


def test_an_american_gives_a_whole_address(polar: LocalPolar) -> None:
    """With a full address a purchase from the United States goes through."""
    page = open_link(polar, "Quiet Software: the Course")
    response = page.press(
        "pay",
        customer_email=new_email(),
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
    page = open_link(polar, product, "?customer_email=jane@example.com").submit("pay", **answers)
    assert page.status == 422
    assert message in page.text


def test_custom_fields_are_kept(polar: LocalPolar) -> None:
    """Answers to custom fields stand in the checkout."""
    page = open_link(polar, "Northlight for Desktop")
    answers = {
        "custom_field_data__name-on-licence": "Jane",
        "custom_field_data__operating-system": "linux",
        "custom_field_data__studio-news": "true",
    }
    again = page.submit("update", **answers)
    assert checkout_of(polar, page).custom_field_data == {
        "name-on-licence": "Jane",
        "operating-system": "linux",
        "studio-news": True,
    }
    assert again.fields["custom_field_data.studio-news"].value == "true"


def test_a_trial_says_what_comes_after(polar: LocalPolar) -> None:
    """A trial shows nothing due today, and the price and day of the first payment."""
    page = open_link(polar, "Northlight Sync")
    assert "Due today $0.00" in page.text
    assert "14 days free, then $6.00 per month" in page.text
    assert "First payment on" in page.text


def test_a_repeating_discount_says_how_long(polar: LocalPolar) -> None:
    """Half off for three months is said as that."""
    page = open_link(polar, "Pro Monthly", label="monthly").submit("update", discount_code="FIRST3")
    assert "Renews at $6.00 per month for 3 months, then $12.00 per month" in page.text


def test_usage_is_said(polar: LocalPolar) -> None:
    """Metered prices are named beside the fixed one."""
    assert (
        "$0.0025 per unit of “API calls”, at most $500.00"
        in open_link(polar, "Northlight API").text
    )
