"""The pricing table: what it shows of plans, and what paying for a longer time saves."""

from __future__ import annotations

import json
import logging
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string

from app import create_app
from storefront import LinkError, Storefront, UnknownReference, Visitor
from storefront.catalog.plans import common_name, compute_saving
from storefront.emulator import LocalPolar
from storefront.polar.models import Price, Product
from storefront.state import get_state
from tests.conftest import SiteMaker

IMPORT = '{% from "storefront/macros.html" import pricing_table %}'
PAIRS = '{{ pricing_table(["team-seats", "pro-monthly"], yearly=[none, "pro-yearly"]'


def render(app: Flask, template: str, path: str = "/") -> str:
    with app.test_request_context(path):
        return render_template_string(IMPORT + template)


def text_of(html: str) -> str:
    """What a reader without CSS sees, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def product(
    amount: int, interval: str | None, count: int = 1, currency: str = "usd", **price: Any
) -> Product:
    """A subscription at one price."""
    return Product(
        id=f"{interval}-{count}",
        recurring_interval=interval,
        recurring_interval_count=count,
        prices=(Price(id="price", price_amount=amount, price_currency=currency, **price),),
    )


@pytest.mark.parametrize(
    ("short", "long", "percent", "periods"),
    [
        # Two of twelve months, in cents, in yen and in Kuwaiti fils.
        (product(1200, "month"), product(12000, "year"), 16, 2),
        (product(980, "month", currency="jpy"), product(9800, "year", currency="jpy"), 16, 2),
        (product(2500, "month", currency="kwd"), product(27500, "year", currency="kwd"), 8, 1),
        # No whole month; rounded down, a hair below the next percent as well.
        (product(1900, "month"), product(19000, "year"), 16, 2),
        (product(1900, "month"), product(18999, "year"), 16, 0),
        (product(1000, "month"), product(10801, "year"), 9, 0),
        (product(1000, "month"), product(10800, "year"), 10, 0),
        (product(999_999_999, "month"), product(5_999_999_994, "year"), 50, 6),
        # Other lengths: quarters of a year, weeks of days.
        (product(3000, "month", 3), product(9000, "year"), 25, 1),
        (product(100, "day"), product(600, "week"), 14, 1),
        (product(1000, "year"), product(1500, "year", 2), 25, 0),
    ],
)
def test_what_is_saved(short: Product, long: Product, percent: int, periods: int) -> None:
    """Percent are rounded down; periods are said to be free only where they are whole."""
    assert compute_saving(short, long) == (percent, periods)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (product(1000, "month"), product(12000, "year")),
        (product(1000, "month"), product(13000, "year")),
        (product(1000, "month"), product(11990, "year")),  # less than a percent
        (product(1000, "month"), product(9000, "year", currency="eur")),
        (product(1000, "week"), product(9000, "year")),  # a year is no number of weeks
        (product(1000, "month", 2), product(2000, "month", 3)),
        (product(1000, "year"), product(100, "month")),
        (product(1000, "month"), product(9000, None)),
        (product(0, "month"), product(9000, "year")),
        (product(1000, "month"), product(9000, "year", amount_type="seat_based")),
        (product(1000, "month"), product(9000, "year", is_archived=True)),
        (product(1000, "month"), product(9000, "fortnight")),
    ],
)
def test_what_is_not_saved(short: Product, long: Product) -> None:
    """Nothing is promised where nothing is saved, or where it can't be told exactly."""
    assert compute_saving(short, long) is None


def test_usage_is_not_compared() -> None:
    """A price for what was used beside the fixed one depends on the use."""
    metered = Price(id="m", amount_type="metered_unit", unit_amount="1")
    month, year = product(1000, "month"), product(9000, "year")
    both = Product(id="both", recurring_interval="year", prices=(*year.prices, metered))
    assert compute_saving(month, year)
    assert compute_saving(month, both) is None


def test_another_currency_changes_nothing() -> None:
    """What is saved is told of the currency that is shown, which comes first."""
    euro = Price(id="e", price_currency="eur", price_amount=1)
    month, year = product(1000, "month"), product(9000, "year")
    dear = Product(id="d", recurring_interval="year", prices=(*year.prices, euro))
    assert compute_saving(month, dear) == compute_saving(month, year)


@pytest.mark.parametrize(
    ("short", "long", "name"),
    [
        ("Pro Monthly", "Pro Yearly", "Pro"),
        ("Northlight Pro (Monthly)", "Northlight Pro (Yearly)", "Northlight Pro"),
        ("Pro – monthly", "Pro – yearly", "Pro"),
        ("Monthly Pro", "Yearly Pro", "Pro"),
        ("Pro", "Pro", "Pro"),
        ("Monthly", "Yearly", "Monthly"),
        ("- Monthly", "- Yearly", "- Monthly"),
    ],
)
def test_the_name_of_a_plan(short: str, long: str, name: str) -> None:
    """A plan that is sold by the month and by the year is called what both are called."""
    assert common_name(short, long) == name


def test_plans_beside_each_other(site: Flask) -> None:
    """Each plan has its name, its terms, what it brings, and a button for each of its terms."""
    html = render(site, PAIRS + ', highlight="pro-monthly") }}')
    assert html.count("<article") == 2
    team, pro = html.split("<article")[1:]
    assert "storefront-when-both" in team
    assert "storefront-when-short" not in team
    assert "From $8.00 per seat, per month At least 2 seats" in text_of(team)
    assert "storefront-plan-best" in pro
    assert text_of(pro.partition("</h3>")[0].partition(">")[2]) == "Pro Recommended"
    monthly, yearly = re.findall(r'<div class="storefront-terms.*?</div>', pro, re.DOTALL)
    assert "storefront-when-short" in monthly
    assert "storefront-when-long" in yearly
    assert "$19.00 per month Buy Now" in text_of(monthly)
    assert "$190.00 per year 2 months free 14 days free, then $190.00" in text_of(yearly)
    assert "2 months free" not in text_of(monthly)
    assert 'aria-label="Buy Now: Pro Yearly"' in yearly
    assert yearly.count("<a ") == monthly.count("<a ") == 1


def test_the_switch_is_a_field_set(site: Flask) -> None:
    """A legend, and two choices of one name, of which the first is made; no script, no id."""
    html = render(site, PAIRS + ") }}")
    switch = html[html.index("<fieldset") : html.index("</fieldset>")]
    assert "How often to pay" in switch
    assert len(set(re.findall(r'name="(.*?)"', switch))) == 1
    assert re.findall(r'value="(\w+)"( checked)?', switch) == [("short", " checked"), ("long", "")]
    assert "Yearly 2 months free" in text_of(switch)
    for words in ("<script", " style=", " id=", " onclick"):
        assert words not in html
    assert "<fieldset" not in render(site, '{{ pricing_table(["pro-monthly", "team-seats"]) }}')


def test_two_tables_on_a_page(site: Flask) -> None:
    """Their switches are apart, and the same page is the same each time."""
    both = PAIRS + ') }}{{ pricing_table(["pro-monthly"], yearly=["pro-yearly"]) }}'
    html = render(site, both)
    assert len(set(re.findall(r'<input type="radio" name="(.*?)"', html))) == 2
    assert render(site, both) == html


def test_what_each_plan_brings(site: Flask) -> None:
    """The comparison is a table with headings, and says in words what its signs mean."""
    html = render(site, '{{ pricing_table(["ebook-fast-apis", "pro-monthly"]) }}')
    table = html[html.index("<table") : html.index("</table>")]
    assert re.findall(r'scope="(\w+)"', table)[:4] == ["col", "col", "col", "row"]
    rows = [text_of(row) for row in re.findall("<tr>.*?</tr>", table, re.DOTALL)]
    assert rows[0] == "What you get Ebook: Fast APIs Pro Monthly"
    assert "Desktop license key Included Not included" in rows[1:]
    plans = render(site, '{{ pricing_table(["ebook-fast-apis", "pro-monthly"], compare=False) }}')
    assert "<table" not in plans
    assert "Desktop license key" in plans
    same = render(site, '{{ pricing_table(["ebook-fast-apis", "ebook-fast-apis"]) }}')
    assert "<table" not in same


def test_the_buttons_take_what_a_button_takes(site: Flask) -> None:
    """What is said of the purchase goes into every button, whichever is switched on."""
    html = render(
        site,
        PAIRS + ', utm={"source": "a&b"}, email="jane@example.com", label="Start",'
        ' theme="dark", class="mine") }}',
    )
    buttons = re.findall("<a [^>]*redirect[^>]*>[^<]*", html)
    assert len(buttons) == 3
    for button in buttons:
        assert "utm_source=a%26b" in button
        assert "customer_email=jane%40example.com" in button
        assert "theme=dark" in button
        assert 'class="mine"' in button.replace("storefront-button ", "")
        assert button.endswith(">Start")
    by_us = render(site, PAIRS + ', via="redirect") }}')
    assert by_us.count('href="/shop/buy/') == 3


def test_who_visits_is_in_every_button(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A table holds what its visitor brings, as buttons do anywhere."""
    shop = Storefront()
    shop.visitor(lambda: Visitor(email="v@example.com"))
    html = render(make_site(reference_polar, shop=shop), PAIRS + ") }}", "/?utm_source=mail")
    assert html.count("customer_email=v%40example.com") == 3
    assert html.count("utm_source=mail") == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ('["pro-monthly", "nope"]', UnknownReference),
        ('["pro-monthly"], yearly=["nope"]', UnknownReference),
        ('["pro-monthly"], highlight="pro-yearly"', UnknownReference),
        ('["pro-monthly", "team-seats"], yearly=["pro-yearly"]', LinkError),
    ],
)
def test_mistakes(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    caplog: pytest.LogCaptureFixture,
    arguments: str,
    error: type[Exception],
) -> None:
    """In development a mistake raises; in production it costs its column, or itself."""
    template = f"{{{{ pricing_table({arguments}) }}}}"
    with pytest.raises(error):
        render(make_site(reference_polar), template)
    caplog.set_level(logging.ERROR, "storefront")
    html = render(make_site(reference_polar, STOREFRONT_UNKNOWN_REFERENCE="disable"), template)
    assert "Pro Monthly" in html or ">Pro<" in html
    assert "nope" not in html
    assert "A template is mistaken" in caplog.text


def test_nothing_to_show(reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path) -> None:
    """Without a plan, or without a catalogue, a page has no table and stays up."""
    assert render(make_site(reference_polar), "{{ pricing_table([]) }}") == ""
    reference_polar.stop()
    cold = make_site(reference_polar, STOREFRONT_CACHE_DIR=str(tmp_path / "none"))
    assert render(cold, PAIRS + ") }}") == ""


def test_names_and_benefits_are_text(reference_polar: LocalPolar, site: Flask) -> None:
    """Whatever Polar says is shown as text."""
    attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    store = reference_polar.store
    for each in store.products.values():
        each["description"] = attack
        if each["name"].startswith("Pro "):
            each["name"] = f"{attack} {each['name']}"
            each["metadata"] = {**each["metadata"], "slug": each["name"].rsplit(" ", 1)[1].lower()}
    for benefit in store.benefits.values():
        benefit["description"] = attack
    get_state(site).catalog.sync()
    html = render(
        site, '{{ pricing_table(["monthly", "ebook-fast-apis"], yearly=["yearly", none]) }}'
    )
    assert attack.split(">")[1] not in html
    assert html.count("&lt;script&gt;") >= 4


def test_a_table_in_another_language(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Switch, saving and signs are in the words of the shop's language."""
    german = make_site(reference_polar, STOREFRONT_LOCALE="de")
    text = text_of(render(german, PAIRS + ") }}"))
    for words in ("Monatlich", "Jährlich", "2 Monate kostenlos", "pro Jahr"):
        assert words in text
    assert "Monthly " not in text.replace("Pro Monthly", "")


def test_savings_that_differ(reference_polar: LocalPolar, site: Flask) -> None:
    """The switch names the best of them; each plan its own."""
    store = json.loads(json.dumps(reference_polar.store.products))
    monthly = next(p for p in store.values() if p["name"] == "Pro Monthly")
    yearly = next(p for p in store.values() if p["name"] == "Pro Yearly")
    for number, (source, name, amount) in enumerate(
        [(monthly, "Max Monthly", 5000), (yearly, "Max Yearly", 40000)]
    ):
        id_ = f"00000000-0000-4000-8000-{number:012d}"
        copy = json.loads(json.dumps({**source, "id": id_, "name": name, "metadata": {}}))
        copy["prices"] = copy["prices"][:1]
        copy["prices"][0]["price_amount"] = amount
        reference_polar.store.products[id_] = copy
    get_state(site).catalog.sync()
    html = render(
        site,
        '{{ pricing_table(["pro-monthly", "max-monthly"], yearly=["pro-yearly", "max-yearly"]) }}',
    )
    assert "Yearly Save up to 33%" in text_of(html)
    assert "2 months free" in text_of(html)
    assert "4 months free" in text_of(html)


def test_the_demos_page_of_prices(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """With a store of one's own the demo compares its subscriptions."""
    config = {
        "POLAR_SERVER": reference_polar.url,
        "POLAR_ACCESS_TOKEN": next(iter(reference_polar.tokens)),
        "STOREFRONT_CACHE_DIR": str(tmp_path / "cache"),
        "STOREFRONT_PAGE_TIMEOUT_SECONDS": 10,
        "TESTING": True,
    }
    page = create_app(config).test_client().get("/pricing").text
    assert page.count("<article") == 3
