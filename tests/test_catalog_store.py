"""The catalogue: one immutable snapshot, found in memory, in the cache, or at Polar."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cachelib.serializers import JSONSerializer
from flask import Flask
from flask_caching import Cache

from storefront import Storefront, UnknownReference
from storefront.catalog import Catalog, Snapshot
from storefront.emulator import LocalPolar, Store
from storefront.errors import CatalogUnavailable, ConfigurationError
from storefront.state import get_state
from storefront.texts import Texts
from tests.conftest import SiteMaker
from tests.contract.recordings import REFERENCE_STORE
from tests.starved import no_more_threads

EBOOK = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
MONTHLY = "86a42a32-be59-48d3-a0ad-6249a2f62ae9"
YEARLY = "3a3ea65f-f329-4e34-aac4-1a4939a4a4fa"
PLANS_LINK = "7cf4f546-f30a-4c1b-9f6b-f92a792c0463"


@pytest.fixture
def catalog(site: Flask) -> Catalog:
    return get_state(site).catalog.current()


def edit(polar: LocalPolar, product_id: str, **fields: Any) -> None:
    """What a merchant changes in Polar's dashboard."""
    with polar.store.lock:
        polar.store.products[product_id].update(fields)


def test_reference_store_is_read_whole(catalog: Catalog) -> None:
    """Public products are listed; archived, draft and private ones are not."""
    assert {p.slug for p in catalog} == {
        *("ebook-fast-apis", "pro-monthly", "pro-yearly", "free-starter", "support-us"),
        *("pay-what-you-want-incl-zero", "team-seats", "multi-currency-course", "usage-plan"),
        *("free-monthly-plan", "every-3-weeks", "legacy-free-amount-type"),
    }
    store = json.loads(REFERENCE_STORE.read_text())
    assert set(catalog.links) == {link["id"] for link in store["checkout_links"]}


def test_references(catalog: Catalog) -> None:
    """A product goes by slug or id, a link by id or label; each leads to what is sold."""
    assert catalog.find("pro-monthly").product.id == MONTHLY
    assert catalog.find(MONTHLY.upper()).product.slug == "pro-monthly"
    by_label = catalog.find("Pro plans")
    assert by_label.offer is not None
    assert by_label.offer.link.id == PLANS_LINK
    assert catalog.find(PLANS_LINK).product.id == MONTHLY
    assert catalog.find("Pro plans", product="pro-yearly").product.id == YEARLY
    chosen = catalog.find("pro-monthly", product="pro-yearly")
    assert chosen.product.id == YEARLY
    assert chosen.offer is not None
    assert chosen.offer.link.id == PLANS_LINK
    assert catalog.find("private-product").product.listed is False


@pytest.mark.parametrize(
    ("reference", "product", "words"),
    [
        ("nope", None, "'nope'"),
        ("draft-product", None, "'draft-product'"),
        ("old-product", None, "'pro-monthly'"),
        ("Pro plans", "ebook-fast-apis", "It sells 'pro-monthly', 'pro-yearly'"),
        ("ebook-fast-apis", "pro-yearly", "'pro-yearly'"),
    ],
)
def test_unknown_references_say_what_there_is(
    catalog: Catalog, reference: str, product: str | None, words: str
) -> None:
    """A reference to nothing raises, and the message names what would have been right."""
    with pytest.raises(UnknownReference) as caught:
        catalog.find(reference, product=product)
    assert words in str(caught.value)
    assert caught.value.reference == reference


def test_offers_are_told_apart(catalog: Catalog) -> None:
    """Links that promise the same are one offer; discount, trial and choice are others."""
    monthly = catalog.page("pro-monthly")
    assert monthly is not None
    assert [(o.discount, o.trial, len(o.choices)) for o in monthly.offers] == [
        ("", "", 0),
        ("", "7 days free, then $19.00 per month", 0),
        ("", "", 2),
    ]
    ebook = catalog.page("ebook-fast-apis")
    assert ebook is not None
    assert [o.discount for o in ebook.offers] == ["", "$5.00 off: $24.00 instead of $29.00"]
    seats = catalog.page("team-seats")
    assert seats is not None
    assert [o.quantity for o in seats.offers] == ["", "Seats: 5"]


def test_a_hidden_link_is_sold_by_macro_only(reference_polar: LocalPolar, site: Flask) -> None:
    """Metadata storefront=hidden keeps a link off the pages; its id still finds it."""
    for link in reference_polar.store.links.values():
        if link["id"] == "4e0e949b-ffc1-4726-9790-995adb2a1178":
            link["metadata"] = {"storefront": "hidden"}
    catalog = get_state(site).catalog.current()
    ebook = catalog.page("ebook-fast-apis")
    assert ebook is not None
    assert [o.discount for o in ebook.offers] == [""]
    found = catalog.find("4e0e949b-ffc1-4726-9790-995adb2a1178")
    assert found.offer is not None
    assert found.offer.discount.startswith("$5.00 off")


def test_a_renamed_product_moves(reference_polar: LocalPolar, site: Flask) -> None:
    """After a rename the new slug has the page and the old one leads there."""
    store = get_state(site).catalog
    store.current()
    edit(reference_polar, EBOOK, name="Ebook: Faster APIs")
    store.sync()
    catalog = store.current()
    assert catalog.page("ebook-fast-apis") is None
    moved = catalog.moved("ebook-fast-apis")
    assert moved is not None
    assert moved.slug == "ebook-faster-apis"
    assert catalog.find("ebook-fast-apis").product.id == EBOOK


def test_a_sync_reports_what_changed(reference_polar: LocalPolar, site: Flask) -> None:
    """The report counts what was added, changed and removed."""
    store = get_state(site).catalog
    first = store.sync()
    assert (first.products, first.links, first.added) == (17, 17, 34)
    edit(reference_polar, EBOOK, name="Changed")
    with reference_polar.store.lock:
        del reference_polar.store.links["e5ec8823-10f4-489e-8633-010801d21929"]
    second = store.sync()
    assert (second.added, second.changed, second.removed) == (0, 1, 1)


def test_many_pages_are_read(make_site: SiteMaker) -> None:
    """A catalogue of several hundred products is read page by page, each once."""
    seed = json.loads(REFERENCE_STORE.read_text())
    model = seed["products"][-1]
    seed["products"] += [
        {**model, "id": f"{n:08x}-0000-4000-8000-000000000000", "name": f"Copy {n}"}
        for n in range(250)
    ]
    calls: list[tuple[int, int]] = []
    with LocalPolar(Store(seed)) as polar:
        store = get_state(make_site(polar)).catalog
        report = store.sync(lambda done, total: calls.append((done, total)))
        assert report.products == 267
        assert len(store.current()) == 262
    assert calls[-1] == (284, 284)
    # Several requests are in flight, so either list may come first; neither number goes back.
    assert calls[0][0] in (17, 100)
    assert calls == sorted(calls)


def test_the_cache_carries_it_to_other_workers(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """A second worker starts from the cache; a sync in one is taken over by the other."""
    one, two = get_state(make_site(reference_polar)).catalog, get_state(make_site(reference_polar))
    first = one.current()
    reference_polar.stop()
    assert two.catalog.current().version == first.version
    assert two.catalog.current().read_at == first.read_at


def test_another_workers_sync_is_noticed(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A worker takes over what another has read, a second later at the most."""
    one = get_state(make_site(reference_polar)).catalog
    two = get_state(make_site(reference_polar)).catalog
    assert one.current().version == two.current().version
    edit(reference_polar, EBOOK, name="Renamed meanwhile")
    one.sync()
    deadline = time.monotonic() + 5
    while two.current().version != one.current().version:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert two.current().page("renamed-meanwhile") is not None


def test_an_old_catalogue_is_served_and_refreshed(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Past its time the catalogue is served as it is, and read anew in the background."""
    store = get_state(make_site(reference_polar, STOREFRONT_CATALOG_TTL_SECONDS=0.05)).catalog
    before = store.current()
    edit(reference_polar, EBOOK, name="Newer")
    time.sleep(0.1)
    assert store.current() is before
    deadline = time.monotonic() + 5
    while store.current().page("newer") is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_threads_what_there_is_is_served(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """While the machine gives no threads nothing is read and no page fails for it; then all is."""
    store = get_state(make_site(reference_polar, STOREFRONT_CATALOG_TTL_SECONDS=0.05)).catalog
    with no_more_threads(), pytest.raises(CatalogUnavailable, match="No thread"):
        store.current()
    store.sync()
    edit(reference_polar, EBOOK, name="Newer")
    with no_more_threads():
        assert store.current() is store.loaded()
        with pytest.raises(RuntimeError):
            store._start_refresh()
    deadline = time.monotonic() + 10
    while store.current().page("newer") is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_threads_pages_are_sent(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A process that gets none at its first request sends its page, and has them later."""
    shop, seen = Storefront(), set[str]()
    shop.on_order(lambda fulfilment: None)
    site = make_site(
        reference_polar,
        shop=shop,
        TESTING=False,
        SECRET_KEY="x",
        POLAR_WEBHOOK_SECRET="whsec_x",
        STOREFRONT_SYNC_ON_START=False,
    )
    get_state(site).catalog.sync()
    before = set(threading.enumerate())
    with no_more_threads():
        assert site.test_client().get("/shop/").status_code == 200
    assert site.test_client().get("/shop/").status_code == 200
    deadline = time.monotonic() + 10
    while not seen >= {"storefront-watch", "storefront-work"}:
        seen |= {thread.name for thread in set(threading.enumerate()) - before}
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_under_uwsgi_no_thread_runs_before_a_request(
    reference_polar: LocalPolar, make_site: SiteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers are forked without Python's knowing: a thread by then would block them."""
    store = get_state(make_site(reference_polar)).catalog
    monkeypatch.setitem(sys.modules, "uwsgi", ModuleType("uwsgi"))
    store.warm_up()
    assert store._watcher is None
    assert len(store.current()) == 12


def test_cold_and_unreachable(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Without Polar and without a cache there is an error that says when to try again."""
    reference_polar.stop()
    store = get_state(make_site(reference_polar)).catalog
    started = time.monotonic()
    with pytest.raises(CatalogUnavailable) as caught:
        store.current()
    assert caught.value.retry_after > 0
    with pytest.raises(CatalogUnavailable):
        store.current()  # does not ask again at once
    assert time.monotonic() - started < 3


def test_foreign_bytes_in_the_cache_do_no_harm(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """Whatever the cache's files hold, the catalogue is read from Polar instead."""
    get_state(make_site(reference_polar)).catalog.current()
    files = [f for f in (tmp_path / "instance" / "storefront-cache").iterdir() if f.is_file()]
    assert len(files) == 4  # a stamp, a manifest, and a chunk each of products and links
    for content in (b"\x80\x04cos\nsystem\n", b"", b"\x00" * 64, b'{"a": [' * 10_000):
        for file in files:
            file.write_bytes(content)
        assert len(get_state(make_site(reference_polar)).catalog.current()) == 12


@pytest.fixture
def host_cache(tmp_path: Path) -> Cache:
    return Cache(
        config={
            "CACHE_TYPE": "FileSystemCache",
            "CACHE_DIR": str(tmp_path / "host"),
            "CACHE_SERIALIZER": JSONSerializer,
            "CACHE_THRESHOLD": 0,
        }
    )


def test_the_hosts_own_cache(
    reference_polar: LocalPolar, make_site: SiteMaker, host_cache: Cache, tmp_path: Path
) -> None:
    """A Cache passed to Storefront carries the catalogue, as JSON text, and no secret."""
    app = Flask("site", instance_path=str(tmp_path / "other"))
    app.config.update(
        POLAR_SERVER=reference_polar.url, POLAR_ACCESS_TOKEN="polar_oat_local", TESTING=True
    )
    host_cache.init_app(app)
    Storefront(app, cache=host_cache)
    get_state(app).catalog.sync()
    files = list((tmp_path / "host").iterdir())
    assert len(files) == 4
    assert not (tmp_path / "other" / "storefront-cache").exists()
    text = b"".join(f.read_bytes() for f in files)
    assert b"pro-monthly" in text
    assert b"polar_oat_local" not in text


def test_a_pickling_cache_is_refused(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A Cache that pickles, or is not initialised, stops init_app with a message."""
    app = Flask("site")
    app.config.update(POLAR_SERVER=reference_polar.url, POLAR_ACCESS_TOKEN="polar_oat_x")
    cache = Cache(config={"CACHE_TYPE": "SimpleCache"})
    with pytest.raises(ConfigurationError, match="not initialised"):
        Storefront(app, cache=cache)
    cache.init_app(app)
    with pytest.raises(ConfigurationError, match="JSONSerializer"):
        Storefront(app, cache=cache)


def test_a_cache_that_keeps_nothing(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """A site whose Cache is switched off still has its catalogue, in memory."""
    app = Flask("site", instance_path=str(tmp_path / "other"))
    app.config.update(
        POLAR_SERVER=reference_polar.url, POLAR_ACCESS_TOKEN="polar_oat_local", TESTING=True
    )
    cache = Cache(app, config={"CACHE_TYPE": "NullCache", "CACHE_NO_NULL_WARNING": True})
    shop = Storefront(app, cache=cache)
    with app.app_context():
        assert len(shop.catalog) == 12


def test_a_snapshot_survives_its_journey(reference_polar: LocalPolar, site: Flask) -> None:
    """What the cache carries gives the same catalogue again."""
    get_state(site).catalog.sync()
    snapshot = get_state(site).catalog.snapshot()
    assert snapshot is not None
    chunks = {chunk.name.hash: chunk.content for chunk in snapshot.chunks()}
    again = Snapshot.assemble(snapshot.manifest(), lambda names: {n: chunks[n] for n in names})
    assert again.version == snapshot.version
    catalog = Catalog(again, Texts("en"), image_hosts=())
    assert [p.slug for p in catalog] == [p.slug for p in get_state(site).catalog.current()]


def test_hostile_addresses_are_left_out(reference_polar: LocalPolar, site: Flask) -> None:
    """A picture or a link whose address is no plain web address is not shown."""
    media = reference_polar.store.products[EBOOK]["medias"][0]
    for address in (
        "javascript:alert(1)",
        "https://u@evil.example/x.png",
        "https://evil.example;script-src/x.png",
        'https://evil.example/"onerror="x',
    ):
        media["public_url"] = address
        get_state(site).catalog.sync()
        ebook = get_state(site).catalog.current().page("ebook-fast-apis")
        assert ebook is not None
        assert ebook.pictures == ()
    assert get_state(site).catalog.current().image_origins == ()
