"""Slugs, prices and descriptions: what the catalogue makes of what Polar says."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from storefront.catalog.description import MAX_CHARACTERS, render_description, summarize
from storefront.catalog.pricing import (
    Tier,
    describe_discount,
    describe_pricing,
    reduced_amount,
    running_discount,
)
from storefront.catalog.slugs import assign_slugs, remember_old_slugs, slugify
from storefront.polar.models import CheckoutLink, Discount, Product
from storefront.texts import Texts

EN = Texts("en")


def product(number: int = 1, name: str = "Pro", **fields: Any) -> Product:
    return msgspec.convert(
        {
            "id": f"{number:08x}-0000-4000-8000-000000000000",
            "name": name,
            "created_at": f"2026-01-{number:02}T00:00:00Z",
            **fields,
        },
        Product,
    )


def price(**fields: Any) -> dict[str, Any]:
    return {"id": "11111111-1111-4111-8111-111111111111", "price_currency": "usd", **fields}


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Ebook: Fast APIs", "ebook-fast-apis"),
        ("Café für Ärzte, Straße", "cafe-fur-arzte-strasse"),
        ("日本語コース 2", "日本語コース-2"),
        ("  --Hello__World!! ", "hello-world"),
        ("!!!", ""),
        ("x" * 200, "x" * 80),
    ],
)
def test_slugs_are_readable(text: str, slug: str) -> None:
    """A name becomes one readable path segment."""
    assert slugify(text) == slug


def test_two_alike_never_collide() -> None:
    """Of two products of one name the older gets the plain slug, whatever order they come in."""
    one, two, chosen = (
        product(1),
        product(2),
        product(3, "Other", metadata={"slug": "Pro Special"}),
    )
    expected = {one.id: "pro", two.id: "pro-000000", chosen.id: "pro-special"}
    assert assign_slugs([two, chosen, one], {}) == {**expected, two.id: f"pro-{two.id[:6]}"}
    assert assign_slugs([one, two, chosen], {}) == assign_slugs([chosen, two, one], {})


def test_who_has_a_slug_keeps_it() -> None:
    """An older product renamed to a newer one's name does not take its address."""
    older, newer = product(1, "Pro"), product(2, "Pro")
    slugs = assign_slugs([older, newer], {newer.id: "pro", older.id: "basic"})
    assert slugs[newer.id] == "pro"
    assert slugs[older.id] == f"pro-{older.id[:6]}"


def test_nameless_and_hostile_slugs() -> None:
    """A name without letters, or a metadata slug that is no text, still gives an address."""
    assert assign_slugs([product(1, "???")], {}) == {product(1).id: "product-00000001"}
    assert assign_slugs([product(1, metadata={"slug": 7})], {}) == {product(1).id: "pro"}


def test_there_is_always_a_slug_left() -> None:
    """Though others are named after all that a product could be called, it gets an address."""
    first = product(1)
    twin, last = (msgspec.structs.replace(first, id=first.id[:-1] + end) for end in "89")
    others = [
        product(day, metadata={"slug": f"pro-{last.id[:length]}"})
        for day, length in enumerate((6, 12, 18, 30, 36), 2)
    ]
    before = {first.id: "pro", **{each.id: each.metadata["slug"] for each in others}}
    slugs = assign_slugs([first, twin, last, *others], before)
    assert len(set(slugs.values())) == 8
    assert slugs[last.id].startswith(f"pro-{last.id}-")


def test_old_slugs_lead_on_until_reused() -> None:
    """A former slug is remembered over several renames, and forgotten when another takes it."""
    first = remember_old_slugs({"a": "two"}, {"a": "one"}, {})
    assert first == {"one": "a"}
    second = remember_old_slugs({"a": "three"}, {"a": "two"}, first)
    assert second == {"one": "a", "two": "a"}
    assert remember_old_slugs({"a": "three", "b": "one"}, {"a": "three"}, second) == {"two": "a"}


@pytest.mark.parametrize(
    ("fields", "headline"),
    [
        ({"prices": [price(amount_type="fixed", price_amount=2900)]}, "$29.00"),
        ({"prices": [price(amount_type="fixed", price_amount=0)]}, "Free"),
        ({"prices": [price(amount_type="free")]}, "Free"),
        (
            {"prices": [price(price_amount=500, price_currency="jpy")]},
            "¥500",
        ),
        (
            {"recurring_interval": "month", "prices": [price(price_amount=1900)]},
            "$19.00 per month",
        ),
        (
            {"prices": [price(price_amount=1900, recurring_interval="year", type="recurring")]},
            "$19.00 per year",
        ),
        (
            {
                "recurring_interval": "week",
                "recurring_interval_count": 3,
                "prices": [price(price_amount=800)],
            },
            "$8.00 every 3 weeks",
        ),
        ({"prices": [price(amount_type="custom", minimum_amount=500)]}, "Pay what you want"),
        (
            {
                "recurring_interval": "month",
                "prices": [
                    price(
                        amount_type="seat_based",
                        seat_tiers={
                            "tiers": [
                                {"min_seats": 2, "max_seats": 10, "price_per_seat": 1000},
                                {"min_seats": 11, "price_per_seat": 800},
                            ],
                            "minimum_seats": 2,
                        },
                    )
                ],
            },
            "From $8.00 per seat, per month",
        ),
        (
            {
                "prices": [
                    price(
                        amount_type="unit_based",
                        tiers={"type": "graduated", "tiers": [{"unit_amount": "12.5"}]},
                        unit_label={"en": {"=1": "credit", "other": "credits"}},
                    )
                ]
            },
            "$0.125 per credit",
        ),
        (
            {
                "recurring_interval": "month",
                "prices": [
                    price(price_amount=500),
                    price(
                        amount_type="metered_unit",
                        unit_amount="0.250000000000",
                        meter={"id": "m", "name": "API calls"},
                    ),
                ],
            },
            "$5.00 per month + usage",
        ),
        (
            {"prices": [price(amount_type="metered_unit", unit_amount="2")]},
            "Pay for what you use",
        ),
        ({"prices": [price(amount_type="auction")]}, "Price shown at checkout"),
        ({"prices": []}, "Price shown at checkout"),
        ({"prices": [price(price_amount=100, is_archived=True)]}, "Price shown at checkout"),
    ],
)
def test_every_price_is_said_truthfully(fields: dict[str, Any], headline: str) -> None:
    """Each kind of price has its own words, in its currency."""
    assert describe_pricing(product(**fields), EN).headline == headline


def test_price_details() -> None:
    """Minimum, maximum, suggestion, tiers, caps and further currencies are told."""
    custom = describe_pricing(
        product(
            prices=[
                price(
                    amount_type="custom",
                    minimum_amount=500,
                    maximum_amount=50000,
                    preset_amount=1500,
                )
            ]
        ),
        EN,
    )
    assert custom.prices[0].notes == ("From $5.00", "Up to $500.00", "Suggested: $15.00")
    zero = describe_pricing(product(prices=[price(amount_type="custom", minimum_amount=0)]), EN)
    assert zero.prices[0].notes == ("Free is fine too",)
    metered = describe_pricing(
        product(
            recurring_interval="month",
            prices=[
                price(
                    amount_type="metered_unit",
                    unit_amount="0.250000000000",
                    cap_amount=5000,
                    meter={"id": "m", "name": "API calls"},
                )
            ],
        ),
        EN,
    )
    assert str(metered.prices[0]) == "$0.0025 per unit of “API calls”"
    assert metered.prices[0].notes == ("At most $50.00",)
    seats = describe_pricing(
        product(
            prices=[
                price(
                    amount_type="seat_based",
                    seat_tiers={
                        "tiers": [
                            {"min_seats": 2, "max_seats": 10, "price_per_seat": 1000},
                            {"min_seats": 11, "max_seats": None, "price_per_seat": 800},
                        ],
                        "minimum_seats": 2,
                    },
                )
            ]
        ),
        EN,
    )
    assert seats.prices[0].tiers == (
        Tier("2–10", "$10.00"),
        Tier("11+", "$8.00"),
    )
    several = describe_pricing(
        product(
            prices=[
                price(price_amount=5000),
                price(price_amount=4500, price_currency="eur"),
                price(price_amount=4000, price_currency="gbp"),
            ]
        ),
        EN,
    )
    assert several.headline == "$50.00"
    assert several.other_currencies == ("€45.00", "£40.00")


def test_an_amount_that_no_price_has() -> None:
    """A broken answer's amount is shown as it came: it takes no page down."""
    broken = product(prices=[price(price_amount=10**40)])
    assert describe_pricing(broken, EN).headline.endswith("E+38 USD")


def test_trials_and_discounts() -> None:
    """A trial names what follows; a discount says for how long, where that can differ."""
    yearly = product(
        recurring_interval="year",
        trial_interval="day",
        trial_interval_count=14,
        prices=[price(price_amount=19000)],
    )
    once = product(prices=[price(price_amount=2900)])
    assert describe_pricing(yearly, EN).trial == "14 days free, then $190.00 per year"
    percent = Discount(id="d", type="percentage", basis_points=2000)
    fixed = Discount(id="d", type="fixed", amounts={"usd": 500})
    assert describe_discount(percent, once, EN) == "20% off: $23.20 instead of $29.00"
    assert describe_discount(fixed, once, EN) == "$5.00 off: $24.00 instead of $29.00"
    full = Discount(id="d", type="percentage", basis_points=10000)
    assert describe_discount(full, once, EN) == "100% off: Free instead of $29.00"
    odd = product(prices=[price(price_amount=2999)])
    assert describe_discount(percent, odd, EN) == "20% off"
    pay_what_you_want = product(prices=[price(amount_type="custom", minimum_amount=500)])
    assert describe_discount(percent, pay_what_you_want, EN) == "20% off"
    assert describe_discount(percent, yearly, EN) == "20% off the first payment"
    forever = msgspec.structs.replace(fixed, duration="forever")
    assert describe_discount(forever, yearly, EN) == "$5.00 off every payment"
    months = msgspec.structs.replace(percent, duration="repeating", duration_in_months=3)
    assert describe_discount(months, yearly, EN) == "20% off for 3 months"
    other_currency = Discount(id="d", type="fixed", amounts={"eur": 500})
    assert describe_discount(other_currency, once, EN) == ""


def test_a_discount_is_in_the_currency_that_is_shown() -> None:
    """Neither a price of the past nor an older answer's form makes it another, or hides it."""
    moved = product(
        prices=[
            price(price_amount=2500, price_currency="eur", is_archived=True),
            price(price_amount=2900),
        ]
    )
    both = Discount(id="d", type="fixed", amounts={"eur": 400, "usd": 500})
    assert describe_discount(both, moved, EN) == "$5.00 off: $24.00 instead of $29.00"
    older = Discount(id="d", type="fixed", amount=500, currency="USD")
    assert describe_discount(older, moved, EN) == "$5.00 off: $24.00 instead of $29.00"
    bare = Discount(id="d", type="fixed", amount=500)
    assert reduced_amount(2900, "usd", bare) == 2400
    assert reduced_amount(2500, "eur", bare) is None


def test_a_discount_out_of_its_time_is_not_promised() -> None:
    """A preset discount that is over, not begun or used up is not shown."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    day = timedelta(days=1)

    def running(**fields: Any) -> bool:
        link = CheckoutLink(id="l", discount=Discount(id="d", **fields))
        return running_discount(link, now) is not None

    assert running()
    assert running(starts_at=now - day, ends_at=now + day)
    assert not running(starts_at=now + day)
    assert not running(ends_at=now)
    assert not running(max_redemptions=2, redemptions_count=2)


def test_description_is_rendered_and_safe() -> None:
    """Markdown becomes HTML below the page's own heading; scripts and odd addresses do not."""
    html = render_description(
        "# Fast\n\nA **bold** [link](https://example.com) <script>alert(1)</script>\n\n"
        "[x](javascript:alert(1)) [y](data:text/html,x)\n\n![p](https://evil.example/p.png)\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |"
    )
    assert "<h2>Fast</h2>" in html
    assert "<strong>bold</strong>" in html
    assert '<a href="https://example.com" rel="noopener noreferrer">link</a>' in html
    assert '<table tabindex="0">' in html
    for word in ("<script", 'href="javascript:', 'href="data:', "<img", "onerror"):
        assert word not in html


def test_the_parser_is_ready_for_several_threads() -> None:
    """What the parser fills on the way is full before a second thread can see it."""
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
from storefront.catalog.description import render_description

sys.setswitchinterval(1e-6)
source = "[a](https://example.com/%20ü?q=a) <https://example.com/%41> ![b](/c)"
with ThreadPoolExecutor(16) as pool:
    pages = set(pool.map(lambda _: render_description(source), range(200)))
assert len(pages) == 1
from mdurl._decode import decode_cache
from mdurl._encode import encode_cache
from storefront.catalog import markdown
before = {*decode_cache, *encode_cache}
render_description("<mailto:a%20b@example.com> [x](//ü.example/%7Ea 't') ![y](https://z/%zz)")
assert before == {*decode_cache, *encode_cache}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_pictures_of_allowed_hosts_stay() -> None:
    """A description may show pictures of the hosts that the setting names."""
    source = "![a](https://img.example/a.png) ![b](https://other.example/b.png)"
    html = render_description(source, image_hosts=("img.example",))
    assert 'src="https://img.example/a.png"' in html
    assert "other.example" not in html


def test_long_and_nested_descriptions_are_cut() -> None:
    """A description of pathological nesting is cut to a length that renders quickly."""
    assert len(render_description("a" * 100_000)) < MAX_CHARACTERS + 100
    assert render_description(None) == ""


def test_summary_is_plain_text() -> None:
    """The summary has neither markup nor headings, and ends at a word."""
    html = render_description("# Title\n\nTom & *Jerry* <3 " + "word " * 100)
    summary = summarize(html)
    assert summary.startswith("Tom & Jerry <3 word")
    assert summary.endswith("word…")
    assert len(summary) <= 161


def test_a_picture_by_itself_has_room() -> None:
    """A paragraph that is a picture is marked, so that nothing moves when it comes; no other is."""
    picture = "![a](https://img.example/a.png)"
    html = render_description(
        f"{picture}\n\nWords {picture}\n\n<p class='storefront-shown'>",
        image_hosts=["img.example"],
    )
    assert html.count('<p class="storefront-shown"><img ') == 1
    assert html.count("class=") == 1 + html.count("&lt;p class=")
    assert html.count('loading="lazy"') == 2


@pytest.mark.parametrize("locale", ["en", "de", "pt_BR", "tr", "ar", "fa", "zh_Hans_CN"])
def test_durations_are_in_words(locale: str) -> None:
    """No language says a unit by its name in the tables of Unicode."""
    for interval in ("day", "week", "month", "year"):
        for count in (1, 2, 3, 14):
            assert "duration-" not in Texts(locale).duration(interval, count)
