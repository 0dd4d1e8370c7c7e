"""Looking for products by words, kind and price."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import unescape
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask.testing import FlaskClient

from storefront.catalog import Catalog, Search, Snapshot
from storefront.catalog.records import encode_product
from storefront.emulator import LocalPolar
from storefront.polar.models import Price, Product, SeatTier, SeatTiers, UnitTier, UnitTiers
from storefront.texts import Texts
from tests.conftest import SiteMaker
from tests.test_pages import add_products, links_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def fixed(amount: int, currency: str = "usd") -> Price:
    return Price(id="p", amount_type="fixed", price_amount=amount, price_currency=currency)


def catalog_of(*products: Product) -> Catalog:
    """A catalogue of those products; the last one is the newest."""
    numbered = {
        f"{number:08d}": encode_product(_with_id(product, f"{number:08d}"))
        for number, product in enumerate(products)
    }
    return Catalog(Snapshot.of(numbered, {}, read_at=NOW), Texts("en"), image_hosts=())


def _with_id(product: Product, id_: str) -> Product:
    from msgspec.structs import replace

    return replace(product, id=id_)


def named(name: str, description: str | None = None, **fields: object) -> Product:
    given: dict[str, object] = {"prices": (fixed(1000),), **fields}
    return Product(id="", name=name, description=description, **given)  # type: ignore[arg-type]


def names(found: Sequence[object]) -> list[str]:
    return [getattr(product, "name", "") for product in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("crème", ["Creme Brulee", "CRÈME"]),
        ("CREME", ["Creme Brulee", "CRÈME"]),
        ("creme brulee", ["Creme Brulee"]),
        ("brulee creme", ["Creme Brulee"]),
        ("rule", ["Creme Brulee"]),
        ("strasse", ["Straße"]),
        ("STRASSE", ["Straße"]),
        ("smorrebrod", ["Smørrebrød"]),
        ("\u05e9\u05dc\u05d5\u05dd", ["\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd"]),
        ("本", ["日本語の本"]),
        ("ｆｕｌｌ", ["Full-width"]),
        ("bold", ["With Markdown"]),
        ("label", ["With Markdown"]),
        ("example.com", []),
        ("name of both", []),
    ],
)
def test_words_are_found(words: str, expected: list[str]) -> None:
    """All words have to be there, in any order, as parts of words, without case and accents."""
    catalog = catalog_of(
        named("CRÈME"),
        named("Creme Brulee"),
        named("Straße"),
        named("Smørrebrød"),
        named("\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd"),
        named("日本語の本"),
        named("Full-width"),
        named("With Markdown", "Some **bo**ld *bold* [label](https://example.com/x)."),
        named("The name"),
        named("Both"),
    )
    assert names(catalog.search(Search(words))) == expected


def test_a_name_counts_more_than_a_description() -> None:
    """First the names that begin with the words, then those that have them, then descriptions; of
    equal ones the newest."""
    catalog = catalog_of(
        named("Other", "For your pro camera"),
        named("Improved"),
        named("Camera for a pro"),
        named("Pro camera"),
        named("Something", "pro"),
        named("Promise"),
    )
    assert names(catalog.search(Search("pro"))) == [
        *("Promise", "Pro camera", "Camera for a pro", "Improved", "Something", "Other"),
    ]
    assert names(catalog.search(Search("pro", sort="newest"))) == [
        *("Promise", "Something", "Pro camera", "Camera for a pro", "Improved", "Other"),
    ]


def test_only_what_has_a_page_is_found() -> None:
    """Private products, archived ones and drafts are not found, by words or by kind."""
    catalog = catalog_of(
        named("Seen"),
        named("Seen private", visibility="private"),
        named("Seen archived", is_archived=True),
        named("Seen draft", visibility="draft", prices=(Price(id="p", amount_type="free"),)),
    )
    assert names(catalog.search(Search("seen"))) == ["Seen"]
    assert names(catalog.search(Search(kind="one-time"))) == ["Seen"]
    assert names(catalog.search(Search(most=5000))) == ["Seen"]
    assert catalog.facets.kinds == ("one-time",)


KINDS = {
    "one-time": ["Book", "Tips", "Credits"],
    "subscription": ["Monthly", "Old monthly", "Free plan", "Seats", "Metered"],
    "free": ["Free plan", "Sample"],
    "pay-what-you-want": ["Tips"],
    "per-seat": ["Seats"],
    "usage": ["Metered"],
}


def many_kinds() -> Catalog:
    seats = SeatTiers(tiers=(SeatTier(price_per_seat=900), SeatTier(price_per_seat=700)))
    units = UnitTiers(tiers=(UnitTier(unit_amount="250.5"), UnitTier(unit_amount="99.9")))
    free = Price(id="p", amount_type="free")
    return catalog_of(
        named(
            "Metered",
            prices=(Price(id="p", amount_type="metered_unit", unit_amount="0.5"),),
            recurring_interval="month",
        ),
        named("Credits", prices=(Price(id="p", amount_type="unit_based", tiers=units),)),
        named(
            "Seats",
            prices=(Price(id="p", amount_type="seat_based", seat_tiers=seats),),
            recurring_interval="month",
        ),
        named("Sample", prices=(fixed(0),)),
        named("Free plan", prices=(free,), recurring_interval="month"),
        named("Old monthly", prices=(Price(id="p", price_amount=500, recurring_interval="month"),)),
        named("Monthly", prices=(fixed(1900),), recurring_interval="month"),
        named("Tips", prices=(Price(id="p", amount_type="custom", minimum_amount=300),)),
        named("Book", prices=(fixed(2900), fixed(1, "eur"))),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_told_apart_by_kind(kind: str) -> None:
    """Each kind has its products, the newest first."""
    catalog = many_kinds()
    assert sorted(names(catalog.search(Search(kind=kind)))) == sorted(KINDS[kind])
    assert catalog.facets.kinds == tuple(KINDS)


def test_products_are_sorted_by_price() -> None:
    """By the least that each costs; what has no price stands at the end, either way."""
    catalog = many_kinds()
    rising = ["Sample", "Credits", "Tips", "Old monthly", "Seats", "Monthly", "Book", "Metered"]
    found = names(catalog.search(Search(sort="price")))
    assert [name for name in found if name != "Free plan"] == rising
    falling = names(catalog.search(Search(sort="price-desc")))
    assert falling[0] == "Book"
    assert falling[-1] == "Metered"


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (None, 300, {"Sample", "Free plan", "Credits", "Tips"}),
        (300, 700, {"Tips", "Old monthly", "Seats"}),
        (1901, None, {"Book"}),
        (None, 0, {"Sample", "Free plan"}),
        (3000, 10**12, set()),
    ],
)
def test_products_are_limited_by_price(
    least: int | None, most: int | None, expected: set[str]
) -> None:
    """Both ends belong to the range; what has no price is in none."""
    assert set(names(many_kinds().search(Search(least=least, most=most)))) == expected


def test_prices_of_another_currency_are_not_compared() -> None:
    """What most products are sold in counts; others stand last, and in no range."""
    catalog = catalog_of(
        named("Yen", prices=(fixed(500, "jpy"),)),
        named("Dollar"),
        named("Dollars", prices=(fixed(5000),)),
    )
    assert catalog.facets.currency == "usd"
    assert names(catalog.search(Search(sort="price"))) == ["Dollar", "Dollars", "Yen"]
    assert names(catalog.search(Search(most=100_000))) == ["Dollars", "Dollar"]


def test_prices_are_parted_at_round_amounts() -> None:
    """The ranges to choose from have about equally many products; equal prices have none."""
    assert catalog_of(*(named("x") for _ in range(20))).facets.bounds == ()
    spread = catalog_of(
        *(named("x", prices=(fixed(amount * 100 - 1),)) for amount in range(1, 101))
    )
    assert spread.facets.bounds == (2500, 5000, 7500)


def test_absurd_prices_are_taken() -> None:
    """Prices that no shop has neither fail nor come first."""
    units = UnitTiers(tiers=(UnitTier(unit_amount="NaN"), UnitTier(unit_amount="1e99")))
    catalog = catalog_of(
        named("Huge", prices=(fixed(9 * 10**18),)),
        named("Below nothing", prices=(fixed(-5, "not a currency"),)),
        named("No number", prices=(Price(id="p", amount_type="unit_based", tiers=units),)),
        named("Plain"),
    )
    assert names(catalog.search(Search(sort="price")))[:2] == ["Plain", "Huge"]
    assert names(catalog.search(Search(most=10**12))) == ["Plain"]


def test_a_changed_product_is_found_anew() -> None:
    """The next catalogue finds what has changed, and has made anew only that chunk's words."""
    products = {
        f"{n:08d}": encode_product(_with_id(named(f"Thing {n}"), f"{n:08d}")) for n in range(3000)
    }
    first = Snapshot.of(products, {}, read_at=NOW)
    catalog = Catalog(first, Texts("en"), image_hosts=())
    assert names(catalog.search(Search("thing 1234"))) == ["Thing 1234"]
    changed = encode_product(_with_id(named("Thing 1234", "is a marvel"), "00001234"))
    second = first.with_changes({"00001234": changed}, {}, read_at=NOW)
    assert names(Catalog(second, Texts("en"), image_hosts=()).search(Search("marvel"))) == [
        "Thing 1234"
    ]
    assert names(catalog.search(Search("marvel"))) == []
    texts = [
        {id(chunk.product_facts().texts[0].content) for chunk in each.product_chunks}
        for each in (first, second)
    ]
    assert len(texts[1] - texts[0]) == 1
    assert len(texts[1] & texts[0]) > 5


def test_the_next_catalogue_is_ready_to_be_searched_where_the_last_one_was() -> None:
    """Words are gathered before anybody asks the new one, but for a shop that is never searched."""
    products = {
        f"{n:08d}": encode_product(_with_id(named(f"Thing {n}"), f"{n:08d}")) for n in range(700)
    }
    changed = encode_product(_with_id(named("Thing 5", "is a marvel"), "00000005"))

    def words_after(*searches: Search) -> list[int]:
        first = Snapshot.of(products, {}, read_at=NOW)
        catalog = Catalog(first, Texts("en"), image_hosts=())
        for search in searches:
            catalog.search(search)
        second = first.with_changes({"00000005": changed}, {}, read_at=NOW)
        Catalog(second, Texts("en"), image_hosts=(), previous=catalog)
        return [len(chunk.product_facts().texts) for chunk in second.product_chunks]

    assert set(words_after()) == set(words_after(Search(kind="one-time"))) == {0}
    assert set(words_after(Search("thing"))) == {1}


def test_first_searches_at_once_gather_the_words_once() -> None:
    """Of many that come together one gathers the words, and all find the same."""
    products = {
        f"{n:08d}": encode_product(_with_id(named(f"Thing {n}", "a marvel"), f"{n:08d}"))
        for n in range(2000)
    }
    snapshot = Snapshot.of(products, {}, read_at=NOW)
    catalog = Catalog(snapshot, Texts("en"), image_hosts=())
    together = threading.Barrier(8)

    def search(number: int) -> int:
        together.wait(10)
        return len(catalog.search(Search(f"marvel thing {number}")))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(search, range(1990, 1998))) == [1] * 8
    assert {len(chunk.product_facts().texts) for chunk in snapshot.product_chunks} == {1}


def shop_client(polar: LocalPolar, make_site: SiteMaker, **settings: object) -> FlaskClient:
    """A shop of some forty products."""
    add_products(polar, 30)
    return make_site(polar, **settings).test_client()


def cards_of(html: str) -> list[str]:
    return re.findall(r'<article.*?href="/shop/products/([^"]+)"', html, re.DOTALL)


def test_results_are_pages_like_others(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """24 a page with an honest count; the links between pages keep what was asked and what the
    visitor brought; caches may keep them, and search engines may not."""
    client = shop_client(reference_polar, make_site)
    address = "/shop/?q=numbered&kind=subscription&utm_source=mail"
    first = client.get(address)
    assert first.status_code == 200
    assert "30 products" in first.text
    assert len(cards_of(first.text)) == 24
    assert "/redirect?utm_source=mail" in client.get("/shop/?q=ebook&utm_source=mail").text
    assert '<meta name="robots" content="noindex' in first.text
    assert first.headers["Cache-Control"].startswith("public")
    assert client.get(address, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    (following,) = links_of(first.text, "next")
    query = parse_qs(urlsplit(unescape(following)).query)
    assert query == {
        "q": ["numbered"],
        "kind": ["subscription"],
        "page": ["2"],
        "utm_source": ["mail"],
    }
    second = client.get(unescape(following)).text
    assert len(cards_of(second)) == 6
    assert not set(cards_of(second)) & set(cards_of(first.text))
    assert client.get(f"{address}&page=3").status_code == 404
    whole = client.get("/shop/").text
    assert len(cards_of(whole)) == 24
    assert "noindex" not in whole


def test_a_form_leads_to_one_address(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """What a form sends, and any other spelling, is redirected to the one address of a page."""
    client = shop_client(reference_polar, make_site)
    for query, kept in (
        ("q=&kind=&price=&sort=", ""),
        ("q=%20%20&utm_source=x&fbclid=1", "?utm_source=x"),
        ("q=+pro++monthly+&kind=&price=&sort=", "?q=pro+monthly"),
        ("q=pro&kind=no-such&price=9-1&sort=newest", "?q=pro&sort=newest"),
        ("sort=newest&page=2", "?page=2"),
        ("price=0-02000", "?price=-2000"),
        ("price=5-x", ""),
        ("price=-", ""),
        ("q=%00%0d%0aX-A:%20b%f0%28", "?q=X-A%3A+b%EF%BF%BD%28"),
        ("q=" + "a" * 5000, "?q=" + "a" * 100),
        ("q=a&page=1", "?q=a"),
        ("%71=+a", "?q=a"),
        ("q=%E2%80%8B", ""),
    ):
        response = client.get(f"/shop/?{query}")
        assert response.status_code in (301, 302), query
        assert response.headers["Location"] == f"/shop/{kept}", query
        assert client.get(response.headers["Location"]).status_code == 200


@pytest.mark.parametrize("words", ["<script>x</script>", '"><img src=x>', "' onx='", "}}{{7*7}}"])
def test_words_are_shown_as_words(
    reference_polar: LocalPolar, make_site: SiteMaker, words: str
) -> None:
    """What was asked is shown again, as text and nothing else; and there is a way back."""
    page = shop_client(reference_polar, make_site).get(f"/shop/?q={quote(words)}").text
    assert words not in page.replace("{{7*7}}", "") or words.startswith("}")
    assert f"“{words}”" in unescape(page)
    assert "Nothing was found" in page
    assert 'href="/shop/">Show everything' in page
    assert len(cards_of(page)) == 3


def test_each_filter_can_be_taken_away(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """What the products shown have in common is said, and each has a link without it."""
    page = (
        shop_client(reference_polar, make_site)
        .get("/shop/?q=numbered&kind=subscription&price=100-99900&utm_term=x")
        .text
    )
    links = re.findall(r'href="([^"]*)" rel="nofollow"><span class="storefront-hidden">', page)
    assert [unescape(link) for link in links] == [
        "/shop/?kind=subscription&price=100-99900&utm_term=x",
        "/shop/?q=numbered&price=100-99900&utm_term=x",
        "/shop/?q=numbered&kind=subscription&utm_term=x",
    ]
    assert '<option value="100-99900" selected>$1.00 to $999.00</option>' in page
    assert '<option value="subscription" selected>' in page
    assert '<input type="hidden" name="utm_term" value="x">' in page


def test_a_small_shop_has_no_form(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """What is seen at a glance needs no search; an address that asks is answered all the same."""
    store = reference_polar.store
    keep = [id_ for id_, each in store.products.items() if each["visibility"] == "public"][:5]
    for id_, each in store.products.items():
        each["is_archived"] = id_ not in keep
    client = make_site(reference_polar).test_client()
    assert 'role="search"' not in client.get("/shop/").text
    assert 'role="search"' in client.get("/shop/?q=nothing-like-it").text


def test_results_are_not_mistaken_for_the_catalogue(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """With pages that are kept ready, and in the fast lane, each query gets its own answer."""
    add_products(reference_polar, 30)
    from storefront import Storefront

    shop = Storefront()
    app = make_site(
        reference_polar,
        shop=shop,
        STOREFRONT_PREPARED_PAGES="always",
        TEMPLATES_AUTO_RELOAD=False,
    )
    app.wsgi_app = shop.fast_lane(app.wsgi_app)  # type: ignore[method-assign,assignment]
    client = app.test_client()
    for _ in range(3):
        plain = client.get("/shop/").text
        found = client.get("/shop/?q=ebook").text
        assert len(cards_of(plain)) == 24
        assert cards_of(found) == ["ebook-fast-apis"]
        assert len(cards_of(client.get("/shop/?page=2").text)) > 1
