"""Snapshots: records in chunks, put together again only from what is whole; and what is read of
them."""

from __future__ import annotations

import operator
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from storefront.catalog import Catalog, Snapshot
from storefront.catalog.index import ForeignBytes
from storefront.catalog.records import (
    decode_link,
    decode_product,
    encode_link,
    encode_product,
)
from storefront.catalog.snapshot import SCHEMA, name_of
from storefront.errors import UnknownReference
from storefront.polar import CheckoutLink, Discount, Product
from storefront.polar.models import Media, Price
from storefront.texts import Texts

MOMENT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
TEXTS = Texts("en")


def id_of(number: int, kind: str = "p") -> str:
    """An id like Polar's."""
    digits = f"{random.Random(f'{kind}{number}').getrandbits(128):032x}"  # noqa: S311
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def product(number: int, name: str | None = None, **fields: Any) -> Product:
    """A product with a price."""
    return Product(
        id=id_of(number),
        name=f"Product {number}" if name is None else name,
        prices=(Price(id=id_of(number, "price"), price_amount=1900),),
        created_at=MOMENT + timedelta(seconds=number),
        **fields,
    )


def link(number: int, *products: Product, **fields: Any) -> CheckoutLink:
    """A link that sells the products."""
    return CheckoutLink(
        id=id_of(number, "l"),
        url=f"https://buy.polar.sh/polar_cl_{number}",
        products=products,
        created_at=MOMENT + timedelta(seconds=number),
        **fields,
    )


def products(*some: Product) -> dict[str, bytes]:
    """Records by id."""
    return {each.id: encode_product(each) for each in some}


def links(*some: CheckoutLink) -> dict[str, bytes]:
    """Records by id."""
    return {each.id: encode_link(each) for each in some}


def shop(count: int) -> Snapshot:
    """So many products, with a link each."""
    some = [product(number) for number in range(count)]
    sold = [link(number, each, label=f"Link {number}") for number, each in enumerate(some)]
    return Snapshot.of(products(*some), links(*sold), read_at=MOMENT, previous=None)


def catalog(snapshot: Snapshot, **more: Any) -> Catalog:
    """The catalogue of a snapshot, in English."""
    return Catalog(snapshot, TEXTS, image_hosts=(), **more)


def pieces(snapshot: Snapshot) -> dict[str, bytes]:
    """The chunks' contents, by name."""
    return {chunk.name.hash: chunk.content for chunk in snapshot.chunks()}


def assembled(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """The snapshot after a journey, on which its manifest's fields may change."""
    manifest = msgspec.json.decode(snapshot.manifest())
    return Snapshot.assemble(
        msgspec.json.encode({**manifest, **changes}), lambda names: pieces(snapshot)
    )


# Records and chunks


def test_records_are_what_was_read() -> None:
    """A product and a link come out of their records as they went in; what is default is short."""
    one = product(1, description="Wörter, 日本語, \u2028 and \\ \" '", metadata={"slug": "é"})
    assert decode_product(encode_product(one)) == one
    discount = Discount(id="d", basis_points=1000, type="percentage", ends_at=MOMENT)
    sold = link(1, one, product(2), discount=discount, label="Ärzte\n& Söhne")
    bare, ids = decode_link(encode_link(sold))
    assert ids == (id_of(1), id_of(2))
    assert bare == msgspec.structs.replace(sold, products=())
    assert b"\n" not in encode_link(sold)
    assert len(encode_product(product(1))) < 200


def test_a_snapshot_gives_its_records_again() -> None:
    """Records stand in the order that they came in, and are found by their ids."""
    snapshot = shop(700)
    assert (snapshot.products, snapshot.links) == (700, 700)
    assert list(snapshot.product_records) == [id_of(number) for number in range(700)]
    assert snapshot.product_records[id_of(650)] == encode_product(product(650))
    assert snapshot.link_records[id_of(5, "l")] == encode_link(link(5, product(5), label="Link 5"))
    assert snapshot.slugs()[id_of(8)] == "product-8"
    assert "nobody" not in snapshot.product_records
    assert len(snapshot.link_records) == 700


def test_a_change_leaves_other_chunks_alone() -> None:
    """One product more, less or different changes one chunk, or the two around it."""
    records = products(*(product(number) for number in range(3000)))
    before = Snapshot.of(records, {}, read_at=MOMENT)
    assert len(before.product_chunks) > 5
    less = {id_: record for id_, record in records.items() if id_ != id_of(1500)}
    more = {**records, id_of(3000): encode_product(product(3000))}
    other = {**records, id_of(700): encode_product(product(700, description="Other"))}
    for changed in (less, more, other):
        after = Snapshot.of(changed, {}, read_at=MOMENT, previous=before)
        assert len(pieces(after).keys() - pieces(before).keys()) == 1
        kept = [chunk for chunk in after.product_chunks if chunk in before.product_chunks]
        assert len(kept) >= len(before.product_chunks) - 2


def test_the_same_read_again_is_the_same_snapshot() -> None:
    """What did not change is kept as it is, and neither a swap nor the least change is missed."""
    before = shop(700)
    records, sold = dict(before.product_records), dict(before.link_records)
    later = MOMENT + timedelta(minutes=5)
    again = Snapshot.of(records, sold, read_at=later, previous=before)
    assert again.version == before.version
    assert all(map(operator.is_, again.chunks(), before.chunks()))
    assert (again.read_at, again.changed_at, again.serial > before.serial) == (later, MOMENT, True)
    swapped = dict(reversed(records.items()))
    renamed = records | products(product(5, "Other"))
    relabelled = sold | links(link(5, product(5), label="Other"))
    for some_products, some_links in (
        (swapped, sold),
        (renamed, sold),
        (records, relabelled),
        (records, dict(reversed(sold.items()))),
        (dict(list(records.items())[:-1]), sold),
    ):
        after = Snapshot.of(some_products, some_links, read_at=later, previous=before)
        assert (dict(after.product_records), dict(after.link_records)) == (
            some_products,
            some_links,
        )
        assert after.version != before.version
        assert after.changed_at == later


@pytest.mark.parametrize("seed", range(8))
def test_changes_are_what_a_whole_reading_would_be(seed: int) -> None:
    """Records changed, added and removed one by one give what reading everything gives."""
    chance = random.Random(seed)  # noqa: S311
    sold = {number: product(number) for number in range(900)}
    offers = {number: link(number, sold[number]) for number in range(900)}
    snapshot = Snapshot.of(
        products(*sold.values()), links(*offers.values()), read_at=MOMENT, previous=None
    )
    for step in range(6):
        number = chance.randrange(900)
        changed: dict[str, bytes | None] = {}
        changed_links: dict[str, bytes | None] = {}
        match chance.choice(["describe", "rename", "add", "remove", "link", "unlink"]):
            case "describe" if number in sold:
                sold[number] = product(number, description=f"Step {step}")
                changed = dict(products(sold[number]))
            case "rename" if number in sold:
                sold[number] = product(number, f"Renamed {step}")
                changed = dict(products(sold[number]))
            case "add":
                number = 900 + step
                sold[number] = product(number)
                changed = dict(products(sold[number]))
            case "remove" if number in sold:
                changed = {sold.pop(number).id: None}
            case "link":
                offers[1000 + step] = link(1000 + step, product(number))
                changed_links = dict(links(offers[1000 + step]))
            case "unlink" if number in offers:
                changed_links = {offers.pop(number).id: None}
        previous = snapshot
        snapshot = snapshot.with_changes(changed, changed_links, read_at=MOMENT)
        whole = Snapshot.of(
            products(*sold.values()), links(*offers.values()), read_at=MOMENT, previous=previous
        )
        assert snapshot.version == whole.version
        assert snapshot.serial == previous.serial + 1
        touched = len(changed) + len(changed_links)
        assert sum(snapshot.since(previous)) == touched
        unlike = previous.ids_unlike(snapshot)
        assert unlike == (frozenset(changed), frozenset(changed_links))


def test_a_serial_grows_whatever_the_clock_says() -> None:
    """A snapshot that is read later counts as newer when the clock went back, and forth."""
    first = shop(3)
    back = first.with_changes({}, {}, read_at=MOMENT - timedelta(days=3))
    assert back.serial == first.serial + 1
    assert back.version == first.version
    assert back.changed_at == first.changed_at
    ahead = back.with_changes(products(product(1, "Other")), {}, read_at=MOMENT + timedelta(days=3))
    assert ahead.serial > back.serial + 1
    assert ahead.changed_at == MOMENT + timedelta(days=3)
    assert first.after(ahead).serial == ahead.serial + 1


def test_a_journey_changes_nothing() -> None:
    """What is put together of manifest and chunks is what it was, and keeps the chunks it knows."""
    snapshot = shop(600)
    again = assembled(snapshot)
    assert again.manifest() == snapshot.manifest()
    assert again.version == snapshot.version
    changed = snapshot.with_changes(products(product(7, description="x")), {}, read_at=MOMENT)
    asked: list[str] = []

    def fetch(names: Any) -> Mapping[str, bytes]:
        asked.extend(names)
        return pieces(changed)

    after = Snapshot.assemble(changed.manifest(), fetch, known=again)
    assert len(asked) == 1
    assert (
        sum(a is b for a in after.chunks() for b in again.chunks()) == len(list(again.chunks())) - 1
    )


def test_what_is_not_whole_is_refused() -> None:
    """A piece that is missing, altered, of the other kind or of another release is not used."""
    snapshot = shop(5)
    chunk, links_chunk = snapshot.product_chunks[0], snapshot.link_chunks[0]
    manifest = msgspec.json.decode(snapshot.manifest())
    for fetched in (
        {},
        {**pieces(snapshot), chunk.name.hash: chunk.content.replace(b"1900", b"0001")},
        {**pieces(snapshot), chunk.name.hash: links_chunk.content},
    ):
        with pytest.raises(ForeignBytes):
            Snapshot.assemble(snapshot.manifest(), lambda names, found=fetched: found)  # type: ignore[misc]
    damages: list[dict[str, Any]] = [
        {"schema": SCHEMA + 1},
        {"serial": 0},
        {"serial": 2**63},
        {"version": "0" * 16},
        {"read_at": "2026-11-22T08:00:00"},
        {"products": []},
        {"products": manifest["products"] * 2},
        {"old_slugs": {"a": "b"}},
        {"links": manifest["products"]},
    ]
    for changes in damages:
        with pytest.raises(ForeignBytes):
            assembled(snapshot, **changes)
    for garbage in (b"", b"null", b"[" * 100_000, b"\x80\x04.", b'{"schema":1}'):
        with pytest.raises(ForeignBytes):
            Snapshot.assemble(garbage, lambda names: {})


@pytest.mark.parametrize(
    "line",
    [
        b"null",
        b"{}",
        b'["slug"]',
        b'["slug",{}]',
        b'["slug",{"id":7}]',
        b'["slug",{"id":"a","prices":[{"id":"p","price_amount":"much"}]}]',
        b'["slug",{"id":"a"}]\n',
        b"\xff",
        b'["slug",' + b"[" * 100_000,
    ],
)
def test_what_hashes_right_and_is_no_product_is_refused(line: bytes) -> None:
    """A chunk made by somebody else, with a manifest to go with it, makes no catalogue."""
    good = Snapshot.of(products(product(1)), {}, read_at=MOMENT)
    content = good.product_chunks[0].content + b"\n" + line
    made = Snapshot(
        serial=1,
        read_at=MOMENT,
        changed_at=MOMENT,
        products=[type(good.product_chunks[0]).of(content.split(b"\n"))],
        links=(),
        old_slugs={},
    )
    travelled = Snapshot.assemble(made.manifest(), lambda names: {name_of(content): content})
    with pytest.raises(ForeignBytes):
        catalog(travelled)


# The catalogue


def test_nothing_for_sale() -> None:
    """An empty organization is a catalogue too."""
    empty = catalog(Snapshot.of({}, {}, read_at=MOMENT))
    assert (len(empty), list(empty.listed), dict(empty.links)) == (0, [], {})
    assert empty.image_origins == ()
    with pytest.raises(UnknownReference, match=r"The catalogue is empty\."):
        empty.find("anything")


def test_names_of_all_kinds() -> None:
    """Products of one name, of other scripts and of none have addresses of their own."""
    some = [
        product(1, "Twin"),
        product(2, "Twin"),
        product(3, "日本語"),
        product(4, "Ünïcode 🎉"),
        product(5, ""),
        product(6, "???"),
    ]
    shown = catalog(Snapshot.of(products(*some), {}, read_at=MOMENT))
    slugs = [each.slug for each in reversed(list(shown))]
    assert slugs == [
        "twin",
        f"twin-{id_of(2)[:6]}",
        "日本語",
        "unicode",
        f"product-{id_of(5)[:8]}",
        f"product-{id_of(6)[:8]}",
    ]
    for each, slug in zip(some, slugs, strict=True):
        found = shown.find(slug)
        assert (found.product.id, found.offer) == (each.id, None)
        assert shown.page(slug) is found.product


def test_links_that_sell_nothing_are_not_there() -> None:
    """Without products, with archived ones only or at an odd address, a link can't be opened."""
    good, archived, draft = product(1), product(2, is_archived=True), product(3, visibility="draft")
    usable = link(1, good, archived, label="Both")
    others = [
        link(2),
        link(3, archived),
        link(4, draft),
        link(5, product(99)),
        msgspec.structs.replace(link(6, good), url="javascript:alert(1)"),
    ]
    shown = catalog(
        Snapshot.of(products(good, archived, draft), links(usable, *others), read_at=MOMENT)
    )
    assert list(shown.links) == [usable.id]
    assert [sold.id for sold in shown.links[usable.id].products] == [good.id]
    found = shown.find("Both")
    assert found.offer is not None
    assert found.offer.choices == ()
    for other in others:
        with pytest.raises(KeyError):
            shown.links[other.id]
        with pytest.raises(UnknownReference):
            shown.find(other.id)
    with pytest.raises(UnknownReference):
        shown.find("product-2")


def test_the_oldest_link_of_a_label_counts() -> None:
    """Of several links with one label, the label leads to the one that was there first."""
    one = product(1)
    some = links(link(3, one, label="Sale"), link(1, one, label="Sale"), link(2, one, label="Sale"))
    found = catalog(Snapshot.of(products(one), some, read_at=MOMENT)).find("Sale")
    assert found.offer is not None
    assert found.offer.link.id == id_of(1, "l")


def test_the_list_is_made_as_it_is_looked_at() -> None:
    """Slices, numbers and iteration give the same products, the newest first; a slice makes none
    of the others."""
    shown = catalog(shop(600))
    page = shown.listed[48:72]
    assert shown._kept.items() == []
    assert [each.slug for each in page] == [f"product-{number}" for number in range(551, 527, -1)]
    assert len(shown._kept.items()) == 24
    assert page[0] is shown.listed[48] is shown.find("product-551").product
    assert [each.slug for each in shown.listed[-2:]] == ["product-1", "product-0"]
    assert shown.listed[-1].slug == "product-0"
    with pytest.raises(IndexError):
        shown.listed[600]
    assert len(list(shown)) == len(shown) == len(shown.listed) == 600


def test_an_unknown_reference_makes_no_products() -> None:
    """The message names some of the slugs, and nothing was put into words for it."""
    shown = catalog(shop(600))
    with pytest.raises(UnknownReference, match=r"The slugs are 'product-0', .*, …\.$"):
        shown.find("nope")
    assert shown._kept.items() == []


def test_pictures_of_all_products_count_for_the_policy() -> None:
    """The origins of all pictures are known before any product is looked at."""
    some = [
        product(
            number,
            medias=(Media(public_url=f"https://files{number % 2}.example.com/a{number}.png"),),
        )
        for number in range(4)
    ]
    some.append(product(9, medias=(Media(public_url="javascript:alert(1)"),)))
    some.append(
        product(10, is_archived=True, medias=(Media(public_url="https://old.example.com/a"),))
    )
    shown = catalog(Snapshot.of(products(*some), {}, read_at=MOMENT))
    assert shown.image_origins == ("https://files0.example.com", "https://files1.example.com")


def test_what_stayed_the_same_is_not_made_again() -> None:
    """After a change elsewhere a product in words is the same object; after one of its own not."""
    before = shop(600)
    first = catalog(before)
    list(first.listed[580:])
    changed = before.with_changes(
        products(product(3, description="New words")),
        links(link(5, product(5), label="New label")),
        read_at=MOMENT,
    )
    second = catalog(changed, previous=first)
    same = [second.listed[599 - n] is first.listed[599 - n] for n in range(20)]
    assert [number for number, is_same in enumerate(same) if not is_same] == [3, 5]
    assert "New words" in second.listed[599 - 3].description
    assert second.listed[599 - 5].offers[0].link.label == "New label"


def test_a_discount_begins_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its times the catalogue is another, with another version and another date."""
    one = product(1)
    start, end = MOMENT + timedelta(days=1), MOMENT + timedelta(days=2)
    discount = Discount(
        id="d", type="percentage", basis_points=1000, starts_at=start, ends_at=end, name="Sale"
    )
    snapshot = Snapshot.of(
        products(one),
        links(link(1, one), link(2, one, discount=discount, discount_id="d")),
        read_at=MOMENT,
    )
    seen = []
    for moment in (MOMENT, start + timedelta(hours=1), end + timedelta(hours=1)):
        monkeypatch.setattr("storefront.catalog.catalog.datetime", _clock_at(moment), raising=True)
        shown = catalog(snapshot)
        offers = [offer.discount for offer in shown.listed[0].offers]
        seen.append((offers, shown.version, shown.changed_at, shown.valid_until))
    assert [each[0] for each in seen] == [
        ["", ""],
        ["", "10% off: $17.10 instead of $19.00"],
        ["", ""],
    ]
    assert len({each[1] for each in seen}) == 3
    assert seen[0][1] == snapshot.version
    assert [each[2] for each in seen] == [MOMENT, start, end]
    assert [each[3] for each in seen] == [start, end, None]


def _clock_at(moment: datetime) -> type[datetime]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return moment

    return Clock


def test_finding_is_a_look_up() -> None:
    """What was asked for before is found again without reading a record: a hundred times faster
    than a product is put into words."""
    shown = catalog(shop(600))
    started = time.perf_counter()
    shown.find("product-1")
    first = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(100):
        assert shown.find("product-1").product.slug == "product-1"
    assert (time.perf_counter() - started) / 100 < first
