"""Sitemaps, the Atom feed and Google's feed: valid by their schemas, and only what is listed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import feedparser
import pytest
from flask import Flask
from lxml import etree

from storefront.emulator import LocalPolar
from storefront.state import get_state
from storefront.texts import Texts
from storefront.web.feeds import (
    MOST_ENTRIES,
    MOST_URLS,
    PRODUCTS_PER_FEED,
    URLS_PER_SITEMAP,
    Listing,
    google_price,
    make_atom_feed,
    make_google_feed,
    make_sitemap,
    make_sitemap_index,
)
from storefront.web.metadata import Site
from tests.conftest import SiteMaker
from tests.test_metadata import FIXED, HOSTILE, METERED, NOW, PAGE, SEATS, SITE, discount, shop_of
from tests.test_pages import PUBLIC, add_products
from tests.test_readme import block

SCHEMAS = Path(__file__).parent / "schemas"
NAMESPACES = {
    "s": "http://www.sitemaps.org/schemas/sitemap/0.9",
    "image": "http://www.google.com/schemas/sitemap-image/1.1",
    "a": "http://www.w3.org/2005/Atom",
    "g": "http://base.google.com/ns/1.0",
}
PICTURE = {"medias": [{"public_url": "https://files.example.com/a.png"}]}
HIDDEN = ("private-product", "draft-product", "old-product", "soon-archived")
#: Each document, and the schema that it has to keep.
DOCUMENTS = {
    "/shop/sitemap.xml": "sitemap",
    "/shop/sitemap-1.xml": "sitemap",
    "/shop/feed.atom": "atom",
    "/shop/feed/google.xml": "google",
}


def validated(document: bytes, schema: str) -> Any:
    """The document's root, once it keeps the schema."""
    root = etree.fromstring(document)
    relax = etree.RelaxNG(etree.parse(SCHEMAS / f"{schema}.rng"))
    assert relax.validate(root), relax.error_log
    return root


def values(root: Any, path: str) -> list[str]:
    """The texts and attributes at a path."""
    return [str(getattr(each, "text", each)) for each in root.xpath(path, namespaces=NAMESPACES)]


@pytest.mark.parametrize(("path", "schema"), DOCUMENTS.items())
def test_documents_are_valid_and_cacheable(site: Flask, path: str, schema: str) -> None:
    """Each keeps its schema, may be kept by caches, and is not sent twice; HEAD has no body."""
    client = site.test_client()
    answer = client.get(path)
    assert answer.status_code == 200
    validated(answer.data, schema)
    kind = "atom+xml" if schema == "atom" else "xml"
    assert answer.headers["Content-Type"] == f"application/{kind}; charset=utf-8"
    assert answer.headers["Cache-Control"] == PUBLIC
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for condition in (
        {"If-None-Match": answer.headers["ETag"]},
        {"If-Modified-Since": answer.headers["Last-Modified"]},
    ):
        again = client.get(path, headers=condition)
        assert (again.status_code, again.data) == (304, b"")
    head = client.head(path)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["ETag"] == answer.headers["ETag"]
    for name in HIDDEN:
        assert name not in answer.text


def test_documents_change_with_the_catalogue(reference_polar: LocalPolar, site: Flask) -> None:
    """A product that was renamed is in all of them by its new name, and has another ETag."""
    client = site.test_client()
    before = {path: client.get(path).headers["ETag"] for path in DOCUMENTS}
    ebook = reference_polar.store.products["4d9da0c8-624a-4ab4-b70c-408c28772d94"]
    ebook["name"] = "Ebook: Slow APIs"
    get_state(site).catalog.sync()
    for path, etag in before.items():
        answer = client.get(path)
        assert "ebook-slow-apis" in answer.text
        assert answer.headers["ETag"] != etag


def test_the_sitemap_has_every_listed_page(site: Flask) -> None:
    """The catalogue and each listed product, with its last change and its pictures."""
    root = validated(site.test_client().get("/shop/sitemap.xml").data, "sitemap")
    listed = list(get_state(site).catalog.current())
    assert values(root, "s:url/s:loc") == [
        "http://localhost/shop/",
        *(f"http://localhost/shop/products/{product.slug}" for product in listed),
    ]
    assert values(root, "s:url[s:loc[contains(., 'every-3-weeks')]]/s:lastmod") == [
        "2026-11-22T04:13:55+00:00"
    ]
    [picture] = values(root, "s:url/image:image/image:loc")
    assert picture.endswith("/cover.png")


def test_a_large_shop_has_several_sitemaps(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """The first address lists the others, which together have each page once; feeds as well."""
    add_products(reference_polar, URLS_PER_SITEMAP)
    app = make_site(reference_polar, STOREFRONT_PAGE_TIMEOUT_SECONDS=60)
    client = app.test_client()
    index = validated(client.get("/shop/sitemap.xml").data, "sitemap")
    parts = values(index, "s:sitemap/s:loc")
    assert parts == [f"http://localhost/shop/sitemap-{number}.xml" for number in (1, 2)]
    found = [
        loc
        for part in parts
        for loc in values(validated(client.get(part).data, "sitemap"), "s:url/s:loc")
    ]
    assert len(found) == len(set(found)) == 1 + len(get_state(app).catalog.current())
    last = len(found) // PRODUCTS_PER_FEED + 1
    titles = [
        values(
            validated(client.get(f"/shop/feed/google-{number}.xml").data, "google"), "//item/title"
        )
        for number in (1, last)
    ]
    assert titles == [[], ["Ebook: Fast APIs"]]
    for path in ("sitemap-0", "sitemap-3", "sitemap-999999999999", f"feed/google-{last + 1}"):
        assert client.get(f"/shop/{path}.xml").status_code == 404


def test_sitemaps_keep_their_bounds() -> None:
    """A sitemap of ours is far below what one may be, and has no address that is too long."""
    long = "https://files.example.com/" + "x" * 2100
    listing = Listing(PAGE, NOW, (long, "https://files.example.com/ü.png"))
    root = validated(make_sitemap([listing]), "sitemap")
    assert values(root, "//image:loc") == ["https://files.example.com/%C3%BC.png"]
    assert URLS_PER_SITEMAP < MOST_URLS
    pictures = tuple(f"https://files.example.com/{number:0100}.png" for number in range(20))
    one = make_sitemap([Listing(f"{PAGE}{'x' * 80}", NOW, pictures)])
    assert len(one) * URLS_PER_SITEMAP < 50_000_000


def test_an_index_is_valid() -> None:
    """So is a list of sitemaps by itself."""
    assert validated(make_sitemap_index([PAGE], NOW), "sitemap").tag.endswith("sitemapindex")


def test_a_feed_reader_reads_the_feed(site: Flask) -> None:
    """The newest come first, each with an id that stays, its price and its description."""
    answer = site.test_client().get("/shop/feed.atom")
    feed = feedparser.parse(answer.data, response_headers={"content-type": answer.content_type})
    assert not feed.bozo
    assert feed.version == "atom10"
    assert feed.feed.title == feed.feed.author == "Shop"
    assert feed.feed.link == "http://localhost/shop/"
    assert feed.feed.updated == max(entry.updated for entry in feed.entries)
    assert [entry.published for entry in feed.entries] == sorted(
        (entry.published for entry in feed.entries), reverse=True
    )
    listed = {product.id: product for product in get_state(site).catalog.current()}
    assert {UUID(entry.id) for entry in feed.entries} == {UUID(id_) for id_ in listed}
    [ebook] = [entry for entry in feed.entries if entry.title == "Ebook: Fast APIs"]
    assert ebook.link == "http://localhost/shop/products/ebook-fast-apis"
    assert "<p>$29.00</p>" in ebook.content[0].value
    assert "<strong>" in ebook.content[0].value
    again = site.test_client().get("/shop/feed.atom", base_url="https://localhost").data
    assert feedparser.parse(again).feed.id == feed.feed.id


def test_the_feed_ends_somewhere(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A large shop's feed has the newest fifty."""
    add_products(reference_polar, 60)
    feed = make_site(reference_polar).test_client().get("/shop/feed.atom").data
    assert len(validated(feed, "atom").findall("a:entry", NAMESPACES)) == MOST_ENTRIES


def test_an_empty_shop_has_valid_documents() -> None:
    """Nothing for sale is no mistake; a feed of nothing is valid as well."""
    validated(make_atom_feed([], SITE, NOW), "atom")
    validated(make_google_feed([], SITE), "google")
    validated(make_sitemap([Listing(SITE.catalog_url, NOW)]), "sitemap")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_words(text: str) -> None:
    """Whatever a name holds, the documents are XML, and hold what XML can have of it."""
    catalog = shop_of(FIXED, link={}, name=f"N{text}", description=text, **PICTURE)
    product = catalog.listed[0]
    site = Site(f"Shop {text}"[:70], SITE.catalog_url, SITE.feed_url, SITE.texts)
    kept = "".join(c for c in product.name if c >= " " and c != "\ufffe")
    atom = validated(make_atom_feed([(product, PAGE)], site, NOW), "atom")
    assert values(atom, "a:entry/a:title") == [kept]
    assert "<script" not in values(atom, "a:entry/a:content")[0]
    google = validated(make_google_feed([(product, PAGE)], site), "google")
    assert values(google, "//item/title") == [kept]


def item(*prices: dict[str, Any], locale: str = "en", **fields: Any) -> dict[str, list[str]]:
    """What Google's feed says of the only product, by attribute; empty when it is not in it."""
    catalog = shop_of(*prices, **{"link": {}, **PICTURE, **fields})
    site = Site("Acme", SITE.catalog_url, SITE.feed_url, Texts(locale))
    root = validated(make_google_feed([(catalog.listed[0], PAGE)], site), "google")
    said: dict[str, list[str]] = {}
    for each in root.iterfind("channel/item/*"):
        said.setdefault(etree.QName(each).localname, []).append(each.text)
    assert bool(said) == (google_price(catalog.listed[0]) is not None)
    return said


def test_google_gets_what_is_paid_once() -> None:
    """All that Google wants of a product, and its pictures in their order."""
    medias = [{"public_url": f"https://files.example.com/{number}.png"} for number in range(14)]
    said = item(FIXED, medias=medias, description="# All\n\nLearn **fast**.\n\n- one\n- two")
    assert said.pop("additional_image_link") == [m["public_url"] for m in medias[1:11]]
    assert said == {
        "id": ["11111111-1111-4111-8111-111111111111"],
        "title": ["It"],
        "description": ["All Learn fast. one two"],
        "link": [PAGE],
        "image_link": ["https://files.example.com/0.png"],
        "price": ["29.00 USD"],
        "availability": ["in_stock"],
        "condition": ["new"],
        "brand": ["Acme"],
        "identifier_exists": ["no"],
    }


@pytest.mark.parametrize(
    ("fields", "locale", "title"),
    [
        ({"recurring_interval": "year"}, "en", "It (1 year subscription)"),
        (
            {"recurring_interval": "month", "recurring_interval_count": 24},
            "de",
            "It (2 Jahre im Abonnement)",
        ),
        ({"recurring_interval": "year"}, "fr", "It (abonnement de 1\N{NO-BREAK SPACE}an)"),
    ],
)
def test_google_gets_subscriptions_of_whole_years(
    fields: dict[str, Any], locale: str, title: str
) -> None:
    """Software that is paid for by the year says so in its title, as Google asks."""
    said = item(FIXED, locale=locale, **fields)
    assert (said["title"], said["price"]) == ([title], ["29.00 USD"])


def test_google_gets_the_reduced_price() -> None:
    """A discount that runs on the button's link is a sale; the price is still told."""
    said = item({**FIXED, "price_currency": "jpy"}, link=discount(basis_points=1000))
    assert (said["price"], said["sale_price"]) == (["2900 JPY"], ["2610 JPY"])


@pytest.mark.parametrize(
    ("duration", "sale"),
    [("forever", ["23.20 USD"]), ("once", None), ("repeating", None)],
)
def test_google_gets_the_price_that_the_page_tells(duration: str, sale: list[str] | None) -> None:
    """Of a subscription, a sale is what lowers all payments: the first ones alone are no price."""
    link = discount(basis_points=2000, duration=duration, duration_in_months=12)
    said = item(FIXED, recurring_interval="year", link=link)
    assert (said["price"], said.get("sale_price")) == (["29.00 USD"], sale)


@pytest.mark.parametrize(
    ("prices", "fields"),
    [
        pytest.param([{"amount_type": "free"}], {}, id="free"),
        pytest.param([{**FIXED, "price_amount": 0}], {}, id="nothing"),
        pytest.param([{"amount_type": "custom", "minimum_amount": 500}], {}, id="what you want"),
        pytest.param([SEATS], {}, id="seats"),
        pytest.param([METERED], {"recurring_interval": "month"}, id="use"),
        pytest.param([FIXED, METERED], {"recurring_interval": "year"}, id="yearly and use"),
        pytest.param([FIXED], {"recurring_interval": "month"}, id="monthly"),
        pytest.param([FIXED], {"recurring_interval": "week"}, id="weekly"),
        pytest.param([FIXED], {"link": None}, id="not to be bought"),
        pytest.param([FIXED], {"medias": []}, id="no picture"),
        pytest.param([FIXED], {"link": discount(basis_points=10000)}, id="free for now"),
        pytest.param([FIXED], {"link": discount(basis_points=333)}, id="to be rounded"),
    ],
)
def test_google_gets_nothing_that_it_refuses(
    prices: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    """What Google's rules for products have no place for is left out."""
    assert item(*prices, **fields) == {}


def test_long_words_are_cut() -> None:
    """Google's bounds hold, and the word that a subscription needs is kept."""
    said = item(FIXED, name="x" * 300, description="word " * 3000, recurring_interval="year")
    assert len(said["title"][0]) == 150
    assert said["title"][0].endswith("x (1 year subscription)")
    assert 4900 < len(said["description"][0]) <= 5000


def test_the_schemas_tell_wrong_from_right(site: Flask) -> None:
    """A control: what is broken on purpose does not pass."""
    client = site.test_client()
    breaks: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
        "/shop/sitemap.xml": (
            lambda body: body.replace(b"<loc>http", b"<loc>javascript"),
            lambda body: body.replace(b"+00:00</lastmod>", b"</lastmod>"),
        ),
        "/shop/feed.atom": (
            lambda body: body.replace(b"<updated>", b"<changed>").replace(
                b"</updated>", b"</changed>"
            ),
            lambda body: body.replace(b"<id>urn:uuid:", b"<id>"),
        ),
        "/shop/feed/google.xml": (
            lambda body: body.replace(b"29.00 USD", b"29,00 USD"),
            lambda body: body.replace(b"29.00 USD", b"0.00 USD"),
            lambda body: body.replace(b"in_stock", b"in stock"),
        ),
    }
    for path, spoilers in breaks.items():
        body = client.get(path).data
        for spoil in spoilers:
            with pytest.raises(AssertionError):
                validated(spoil(body), DOCUMENTS[path])


def test_a_shop_that_was_never_read_says_so(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Without a catalogue there is a 503 that says when to come again, and no empty sitemap."""
    reference_polar.stop()
    app = make_site(reference_polar, STOREFRONT_PAGE_TIMEOUT_SECONDS=0.2)
    for path in DOCUMENTS:
        answer = app.test_client().get(path)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0


def test_robots_are_told_of_the_sitemap(site: Flask) -> None:
    """The route that the documentation shows leads to the sitemap."""
    exec(block("run: robots"), {"app": site})  # noqa: S102  it is our documentation
    robots = site.test_client().get("/robots.txt")
    assert robots.mimetype == "text/plain"
    [url] = [line[9:] for line in robots.text.splitlines() if line.startswith("Sitemap: ")]
    assert site.test_client().get(url).status_code == 200


def test_times_are_told_in_utc() -> None:
    """A change is told to the second, with its zone."""
    moment = datetime(2026, 11, 22, 9, 30, 1, 999, tzinfo=UTC)
    root = validated(make_sitemap([Listing(PAGE, moment)]), "sitemap")
    assert values(root, "//s:lastmod") == ["2026-11-22T09:30:01+00:00"]
