"""A sync: what it asks for, how it waits and tries again, and what it does not believe."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from storefront.catalog.records import decode_link, decode_product
from storefront.catalog.snapshot import Snapshot
from storefront.catalog.sync import SyncReport, read_again, read_everything
from storefront.emulator import LocalPolar, Store
from storefront.errors import PolarError, PolarUnauthorized, PolarUnavailable
from storefront.polar import Client, Server
from tests.contract.recordings import REFERENCE_STORE
from tests.lies import FOREIGN, Shop, hold, id_of
from tests.wire import Upstream, upstream

EBOOK = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
MONTHLY = "86a42a32-be59-48d3-a0ad-6249a2f62ae9"
YEARLY = "3a3ea65f-f329-4e34-aac4-1a4939a4a4fa"
PLANS_LINK = "7cf4f546-f30a-4c1b-9f6b-f92a792c0463"


@dataclass
class Scene:
    """A shop, who serves it, and a client of it."""

    shop: Shop
    server: Upstream
    client: Client

    def read(self, previous: Snapshot | None = None, **options: Any) -> Snapshot:
        return read_everything(self.client, previous=previous, **options)[0]

    def leaves_out(self, path: str, *gone: str, times: int = 1000) -> None:
        """Let a list claim that it never had those, so many pages long."""
        left = iter(range(times))

        def spoil(asked: str, body: dict[str, Any]) -> dict[str, Any]:
            if asked != path or "pagination" not in body or next(left, None) is None:
                return body
            kept = [item for item in body["items"] if item["id"] not in gone]
            count = body["pagination"]["total_count"] - len(body["items"]) + len(kept)
            return {"items": kept, "pagination": {"total_count": count, "max_page": 1}}

        self.shop.spoil = spoil


def make_scene(products: int, links: int) -> Iterator[Scene]:
    shop = Shop.of(products, links)
    with upstream(shop) as server:
        client = Client(Server.custom(server.url), "polar_oat_sync", timeout=10)
        yield Scene(shop, server, client)
        client.close()


@pytest.fixture
def large() -> Iterator[Scene]:
    """1,250 products and as many links: 13 pages each."""
    yield from make_scene(1250, 1250)


@pytest.fixture
def small() -> Iterator[Scene]:
    """Less than a page of each."""
    yield from make_scene(10, 10)


# --- what is asked for -------------------------------------------------------------------------


def test_each_page_is_asked_for_once(large: Scene) -> None:
    """A list costs one request more than it has pages, several at once; the order is Polar's."""
    large.shop.seconds = 0.1
    snapshot = large.read(concurrency=4)
    assert list(snapshot.product_records) == list(large.shop.products)
    assert list(snapshot.link_records) == list(large.shop.links)
    assert len(large.shop.asked) == 2 * 14
    assert large.shop.at_once == 4


def test_one_at_a_time(large: Scene) -> None:
    """A concurrency of one is kept."""
    large.read(concurrency=1)
    assert large.shop.at_once == 1


def test_a_small_shop_is_two_requests(small: Scene) -> None:
    """What fits on a page is read by one request a list."""
    assert small.read().products == 10
    assert len(small.shop.asked) == 2


def test_progress_never_goes_back(large: Scene) -> None:
    """Neither what was read nor what there is becomes less, also when a walk is repeated."""
    previous = large.read()
    once = len(large.shop.asked)
    large.leaves_out("/products/", id_of(1, 7), times=2)
    calls: list[tuple[int, int]] = []
    large.read(previous, progress=lambda done, total: calls.append((done, total)))
    assert len(large.shop.asked) > 2 * once, "the list is walked again"
    assert calls == sorted(calls)
    assert calls == sorted(calls, key=lambda call: call[1])
    assert calls[-1] == (2500, 2500)


def test_a_product_that_only_a_link_has(small: Scene) -> None:
    """A product that was made after the products were read is there where a link sells it."""
    made = {**small.shop.products[id_of(1, 0)], "id": FOREIGN, "name": "Made meanwhile"}
    small.shop.links[id_of(2, 3)]["products"] = [made]
    small.shop.products[FOREIGN] = made
    # The list does not have it yet; asked for by its id, it is there.
    lists = iter(range(1))

    def spoil(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/products/" and next(lists, None) is not None:
            kept = [item for item in body["items"] if item["id"] != FOREIGN]
            return {"items": kept, "pagination": {"total_count": 10, "max_page": 1}}
        return body

    small.shop.spoil = spoil
    snapshot = small.read()
    assert decode_product(snapshot.product_records[FOREIGN]).name == "Made meanwhile"
    assert decode_link(snapshot.link_records[id_of(2, 3)])[1] == (FOREIGN,)


# --- trying again ------------------------------------------------------------------------------


def test_a_polar_that_fails_now_and_then() -> None:
    """Failures of single requests are tried again, and do not show."""
    seed = json.loads(REFERENCE_STORE.read_text())
    with LocalPolar(Store(seed)) as polar:
        client = Client(Server.custom(polar.url), next(iter(polar.tokens)))
        for kind in ("status", "truncated", "reset", "garbage"):
            polar.faults.set(kind, share=0.3, path="/v1/*")
            snapshot, report = read_everything(client)
            assert (snapshot.products, snapshot.links, report.added) == (17, 17, 34)
        client.close()


def test_a_refusal_is_not_tried_again(reference_polar: LocalPolar) -> None:
    """A token that is not accepted fails at once, and is shown once."""
    client = Client(Server.custom(reference_polar.url), "polar_oat_wrong")
    with pytest.raises(PolarUnauthorized):
        read_everything(client)
    with pytest.raises(PolarUnauthorized):
        read_everything(client)
    client.close()


@pytest.mark.parametrize("kind", ["hang", "drip-body", "status"])
def test_the_deadline_is_for_all_of_it(reference_polar: LocalPolar, kind: str) -> None:
    """However Polar fails, a sync ends at its deadline."""
    client = Client(Server.custom(reference_polar.url), next(iter(reference_polar.tokens)))
    reference_polar.faults.set(kind)
    started = time.monotonic()
    with pytest.raises(PolarUnavailable):
        read_everything(client, deadline_seconds=0.5)
    assert time.monotonic() - started < 5
    client.close()


def test_a_limit_beyond_the_deadline() -> None:
    """A 429 that names a time after the deadline ends a sync at once, instead of in vain later."""
    seed = json.loads(REFERENCE_STORE.read_text())
    with LocalPolar(Store(seed)) as polar:
        client = Client(Server.custom(polar.url), next(iter(polar.tokens)))
        polar.faults.set("status", 429, times=1)
        started = time.monotonic()
        with pytest.raises(PolarUnavailable, match="asked too often"):
            read_everything(client, deadline_seconds=20)  # a 429 of the local Polar is a minute
        assert time.monotonic() - started < 15
        client.close()


# --- what is not believed ----------------------------------------------------------------------


def test_what_seems_gone_is_looked_for(large: Scene) -> None:
    """A row that a list leaves out once is found by its id, and the list read again."""
    previous = large.read()
    before = len(large.shop.asked)
    large.leaves_out("/checkout-links/", id_of(2, 1249), times=1)
    assert large.read(previous).version == previous.version
    assert len(large.shop.asked) > before + 28


@pytest.mark.parametrize(("path", "kind"), [("/products/", 1), ("/checkout-links/", 2)])
def test_what_is_still_there_is_not_gone(small: Scene, path: str, kind: int) -> None:
    """A list that always leaves out what is there by its id is not used."""
    previous = small.read()

    def spoil(asked: str, body: dict[str, Any]) -> dict[str, Any]:
        if asked != path or len(body["items"]) < 2:
            return body
        kept = [item for item in body["items"] if item["id"] != id_of(kind, 4)]
        return {"items": kept, "pagination": {"total_count": len(kept), "max_page": 1}}

    small.shop.spoil = spoil
    with pytest.raises(PolarUnavailable, match="left out 1 that are still there, 3 times"):
        small.read(previous)


def test_what_is_gone_is_gone(small: Scene) -> None:
    """What neither the list nor its id has is removed."""
    previous = small.read()
    del small.shop.products[id_of(1, 9)]
    del small.shop.links[id_of(2, 9)]
    snapshot, report = read_everything(small.client, previous=previous)
    assert (snapshot.products, snapshot.links) == (9, 9)
    assert (report.added, report.changed, report.removed) == (0, 0, 2)


def test_most_of_it_is_gone_only_if_that_is_said_twice(large: Scene) -> None:
    """A list that lost most of what it had is read twice; where the second has it, it is there."""
    previous = large.read()
    large.leaves_out("/products/", *list(large.shop.products)[3:], times=1)
    assert large.read(previous).version == previous.version
    for id_ in list(large.shop.links)[5:]:
        del large.shop.links[id_]
    large.shop.spoil = lambda path, body: body
    asked = len(large.shop.asked)
    assert large.read(previous).links == 5
    lists = [one for one in large.shop.asked[asked:] if "/checkout-links/?page" in one]
    assert len(lists) == 2


def test_a_shop_that_is_being_emptied(large: Scene) -> None:
    """Links that go between two readings do not make them contradict each other."""
    previous = large.read()
    for id_ in list(large.shop.links)[200:]:
        del large.shop.links[id_]

    def spoil(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/checkout-links/" and len(large.shop.links) > 100:
            large.shop.links.popitem()
        return body

    large.shop.spoil = spoil
    snapshot = large.read(previous)
    assert set(large.shop.links) <= set(snapshot.link_records)
    assert snapshot.links < 200


def test_nothing_at_all_must_be_said_twice(small: Scene) -> None:
    """An empty list is asked for a second time, unless it was empty before."""
    small.leaves_out("/checkout-links/", *small.shop.links, times=1)
    assert small.read().links == 10
    small.shop.links.clear()
    small.shop.products.clear()
    empty = small.read()
    assert (empty.products, empty.links) == (0, 0)
    small.shop.asked.clear()
    small.read(empty)
    assert len(small.shop.asked) == 2


def test_lies() -> None:
    """A Polar that lies gives no wrong catalogue, and costs neither memory nor time."""
    figures = hold(every=9)
    assert figures.wrong == []
    assert figures.refused > 5
    assert figures.read > 2
    assert figures.grown < 64 * 2**20
    assert figures.seconds < 20


# --- a part of it ------------------------------------------------------------------------------


@dataclass
class Again:
    """A local Polar, and what was read of it."""

    polar: LocalPolar
    client: Client
    snapshot: Snapshot
    report: SyncReport

    def read(self, **ids: Any) -> Snapshot:
        self.snapshot, self.report = read_again(self.client, self.snapshot, **ids)
        return self.snapshot

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.report.added, self.report.changed, self.report.removed


@pytest.fixture
def again(reference_polar: LocalPolar) -> Iterator[Again]:
    client = Client(Server.custom(reference_polar.url), next(iter(reference_polar.tokens)))
    yield Again(reference_polar, client, *read_everything(client))
    client.close()


def links_of(snapshot: Snapshot, product_id: str) -> list[str]:
    links = map(decode_link, snapshot.link_records.values())
    return [link.id for link, sold in links if product_id in sold]


def test_one_product_is_read_again(again: Again) -> None:
    """A changed product is read with its links, whole; everything else stays as it was."""
    before = again.snapshot
    with again.polar.store.lock:
        again.polar.store.products[EBOOK]["name"] = "Faster APIs"
        again.polar.store.products[YEARLY]["name"] = "Not asked for"
    after = again.read(product_ids=[EBOOK.upper()])
    assert decode_product(after.product_records[EBOOK]).name == "Faster APIs"
    assert after.product_records[YEARLY] == before.product_records[YEARLY]
    assert dict(after.link_records) == dict(before.link_records)
    assert again.counts == (0, 1, 0)
    assert (again.report.products, again.report.links) == (1, len(links_of(before, EBOOK)))
    assert after.read_at == before.read_at
    assert after.serial > before.serial
    assert after.changed_at > before.changed_at


def test_a_link_with_several_products_stays_whole(again: Again) -> None:
    """Links are read by id, for filtered by a product they come with that product only."""
    again.read(product_ids=[MONTHLY])
    assert decode_link(again.snapshot.link_records[PLANS_LINK])[1] == (MONTHLY, YEARLY)
    assert again.counts == (0, 0, 0)


def test_an_archived_product_takes_its_links_along(again: Again) -> None:
    """Links that are left with nothing are removed, others lose the product."""
    only = [link for link in links_of(again.snapshot, MONTHLY) if link != PLANS_LINK]
    with again.polar.store.lock:
        again.polar.store.products[MONTHLY]["is_archived"] = True
        again.polar.store.take_off_links(MONTHLY)
    after = again.read(product_ids=[MONTHLY])
    assert decode_product(after.product_records[MONTHLY]).is_archived
    assert not set(only) & set(after.link_records)
    assert decode_link(after.link_records[PLANS_LINK])[1] == (YEARLY,)
    assert again.counts == (0, 2, len(only))


def test_what_is_gone_or_new(again: Again) -> None:
    """A deleted link goes, and a new one comes with a product that nobody knew of."""
    store = again.polar.store
    made, gone = copy.deepcopy(store.products[EBOOK]), links_of(again.snapshot, EBOOK)[0]
    with store.lock:
        store.products[FOREIGN] = {**made, "id": FOREIGN, "name": "New"}
        store.links[FOREIGN] = {**store.links[gone], "id": FOREIGN, "product_ids": [FOREIGN]}
        store.remove_link(gone)
    after = again.read(link_ids=[gone, FOREIGN])
    assert gone not in after.link_records
    assert decode_product(after.product_records[FOREIGN]).name == "New"
    assert again.counts == (2, 0, 1)
    with store.lock:
        del store.links[FOREIGN], store.products[FOREIGN]
    again.read(product_ids=[FOREIGN])
    assert again.counts == (0, 0, 2)


def test_the_links_with_a_discount(again: Again) -> None:
    """A discount that changed changes the links that have it."""
    links = [decode_link(record)[0] for record in again.snapshot.link_records.values()]
    discounted = next(link for link in links if link.discount_id is not None)
    assert discounted.discount_id is not None
    with again.polar.store.lock:
        again.polar.store.discounts[discounted.discount_id]["name"] = "Renamed"
    again.read(discount_ids=[discounted.discount_id])
    link, _ = decode_link(again.snapshot.link_records[discounted.id])
    assert link.discount is not None
    assert link.discount.name == "Renamed"
    assert again.counts[1] >= 1


def test_the_products_with_a_benefit(again: Again) -> None:
    """A benefit that changed changes the products that grant it, or have begun to."""
    products = map(decode_product, again.snapshot.product_records.values())
    granting = next(product for product in products if product.benefits)
    benefit = granting.benefits[0].id
    with again.polar.store.lock:
        store = again.polar.store
        body = next(one for one in store.products[granting.id]["benefits"] if one["id"] == benefit)
        body["description"] = "Said differently"
        store.products[EBOOK]["benefits"] = [body]
    again.read(benefit_ids=[benefit])
    for id_ in (granting.id, EBOOK):
        found = decode_product(again.snapshot.product_records[id_]).benefits
        assert "Said differently" in [one.description for one in found]


def test_ids_that_are_none(again: Again) -> None:
    """An id that is no UUID is refused before anything is sent."""
    with pytest.raises(ValueError, match="link_ids must be a UUID"):
        again.read(link_ids=["../orders"])


def test_too_much_to_read_again(large: Scene) -> None:
    """Where single links are more requests than the whole, the whole is read."""
    previous = large.read()
    large.shop.asked.clear()
    snapshot, report = read_again(large.client, previous, link_ids=list(large.shop.links))
    assert (report.products, report.links) == (1250, 1250)
    assert snapshot.version == previous.version
    assert len(large.shop.asked) == 28


def test_a_failure_changes_nothing(again: Again) -> None:
    """When a part can't be read, there is no new snapshot."""
    with again.polar.faults.during("status", 503), pytest.raises(PolarError):
        read_again(again.client, again.snapshot, product_ids=[EBOOK], deadline_seconds=0.3)
