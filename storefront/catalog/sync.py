"""Reading from Polar what is for sale: all of it, or some of it again.

What is returned is whole. A page that can't be read, or that contradicts itself, is asked for
again a few times, and then there is no snapshot. What was there last and is not any more is looked
for by its id; and a list that lost most of what it had must say so twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from queue import SimpleQueue
from random import SystemRandom
from typing import Any, Final, TypeVar

from storefront.catalog.records import (
    decode_link,
    decode_product,
    encode_link,
    encode_product,
    split_line,
)
from storefront.catalog.snapshot import Chunk, Snapshot
from storefront.catalog.walk import PAGE_SIZE, Ask, Incomplete, Inconsistent, Part, Purpose, Walk
from storefront.errors import PolarNotFound, PolarRateLimited, PolarUnavailable
from storefront.polar import CheckoutLink, Client, Page
from storefront.polar.resource import uuid, uuids

#: Called after each page with what is read so far and what there is, products and links together.
#: Neither ever becomes less.
Progress = Callable[[int, int], None]

_T = TypeVar("_T")

#: How often a list is walked, and a request is made, before it is given up.
_WALKS: Final = 3
_TRIES: Final = 5
#: The same before there was any answer: whoever waits for the first catalogue is told soon.
_TRIES_AT_FIRST: Final = 3
#: The same for requests that Polar answers with a 429: each of them is waited out.
_TRIES_WHEN_LIMITED: Final = 10
#: Bounds of the pause before a second try and before later ones, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.3, 15.0
#: So many that seem gone are looked for by their ids; for more, the list is read a second time.
_LOOKED_FOR: Final = 100
#: More products that only links know of are none.
_MAX_UNLISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did; ``seconds`` is how long it took. Counts are of products and links."""

    products: int
    links: int
    added: int
    changed: int
    removed: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"Read {self.products} products and {self.links} checkout links in "
            f"{self.seconds:.1f} s: {self.added} added, {self.changed} changed, "
            f"{self.removed} removed."
        )


def read_everything(
    client: Client,
    *,
    organization_id: str | None = None,
    concurrency: int = 8,
    timeout_seconds: float = 15.0,
    deadline_seconds: float = 900.0,
    previous: Snapshot | None = None,
    progress: Progress | None = None,
) -> tuple[Snapshot, SyncReport]:
    """Read all products and checkout links, with up to ``concurrency`` requests in flight.

    A request may take ``timeout_seconds``, and all of it ``deadline_seconds``, waiting for
    Polar's limits included. ``previous`` is what was read last: its slugs are kept where they can
    be, and what it has is not taken for gone lightly.

    :raises PolarError: when any part of it can't be read: a part is no catalogue.
    """
    started = time.monotonic()
    with _reading(
        client, organization_id, concurrency, timeout_seconds, deadline_seconds
    ) as reading:
        products, links = reading.everything(previous, _Counter(progress))
    snapshot = Snapshot.of(products, links, read_at=datetime.now(UTC), previous=previous)
    found = snapshot.since(previous)
    return snapshot, SyncReport(
        products=snapshot.products,
        links=snapshot.links,
        added=found.added,
        changed=found.changed,
        removed=found.removed,
        seconds=time.monotonic() - started,
    )


def read_again(
    client: Client,
    previous: Snapshot,
    *,
    product_ids: Collection[str] = (),
    link_ids: Collection[str] = (),
    discount_ids: Collection[str] = (),
    benefit_ids: Collection[str] = (),
    organization_id: str | None = None,
    concurrency: int = 8,
    timeout_seconds: float = 15.0,
    deadline_seconds: float = 900.0,
) -> tuple[Snapshot, SyncReport]:
    """Read some of it again, because it changed; the rest is as in ``previous``.

    With a product come the links that sell it, with a discount those that have it, and with a
    benefit the products that grant it. What Polar has not any more is removed. Where that is more
    than there are pages of everything, everything is read instead. The report counts what was
    read.

    :raises ValueError: when one of the ids is no UUID.
    :raises PolarError: when any part of it can't be read.
    """
    started = time.monotonic()
    named = uuids("product_ids", tuple(product_ids))
    benefits = uuids("benefit_ids", tuple(benefit_ids))
    wanted_links = dict.fromkeys(uuids("link_ids", tuple(link_ids)))
    wanted_links |= dict.fromkeys(_links_with(previous, discounts=discount_ids, products=named))
    wanted_products = dict.fromkeys([*named, *_products_with(previous, benefits)])
    with _reading(
        client, organization_id, concurrency, timeout_seconds, deadline_seconds
    ) as reading:
        wanted_products |= dict.fromkeys(reading.ids_of_products_with(benefits))
        wanted_links |= dict.fromkeys(reading.ids_of_links_with(named))
        pages = (previous.products + previous.links) // PAGE_SIZE
        if len(wanted_links) + len(wanted_products) // PAGE_SIZE <= pages + _LOOKED_FOR:
            links = reading.links(wanted_links)
            sold = [id_ for id_ in reading.sold if id_ not in previous.product_records]
            products = reading.products(dict.fromkeys([*wanted_products, *sold]))
            return _with_changes(previous, products, links, started)
    return read_everything(
        client,
        organization_id=organization_id,
        concurrency=concurrency,
        timeout_seconds=timeout_seconds,
        deadline_seconds=deadline_seconds,
        previous=previous,
    )


def _with_changes(
    previous: Snapshot,
    products: Mapping[str, bytes | None],
    links: Mapping[str, bytes | None],
    started: float,
) -> tuple[Snapshot, SyncReport]:
    counts = {"added": 0, "changed": 0, "removed": 0}
    changes: list[dict[str, bytes | None]] = []
    for now, before in ((products, previous.product_records), (links, previous.link_records)):
        changed: dict[str, bytes | None] = {}
        for id_, record in now.items():
            old = before.get(id_)
            if record != old:
                kind = "added" if old is None else "removed" if record is None else "changed"
                counts[kind] += 1
                changed[id_] = record
        changes.append(changed)
    snapshot = previous.with_changes(changes[0], changes[1], read_at=datetime.now(UTC))
    # It is as old as the oldest thing in it: the next whole reading is not put off.
    snapshot.read_at = previous.read_at
    return snapshot, SyncReport(
        products=len(products), links=len(links), **counts, seconds=time.monotonic() - started
    )


def _links_with(
    snapshot: Snapshot, *, discounts: Collection[str], products: Collection[str]
) -> Iterator[str]:
    """The ids of known links that have one of the discounts, or sell one of the products."""
    wanted = uuids("discount_ids", tuple(discounts))
    for line in _lines(snapshot.link_chunks, [*wanted, *products]):
        link, sold = decode_link(line)
        if link.discount_id in wanted or any(id_ in products for id_ in sold):
            yield link.id


def _products_with(snapshot: Snapshot, benefits: Collection[str]) -> Iterator[str]:
    """The ids of known products that grant one of the benefits."""
    for line in _lines(snapshot.product_chunks, benefits):
        product = decode_product(split_line(line)[1])
        if any(benefit.id in benefits for benefit in product.benefits):
            yield product.id


def _lines(chunks: Iterable[Chunk], ids: Collection[str]) -> Iterator[bytes]:
    """The lines in which one of the ids stands somewhere."""
    for chunk in chunks:
        if any(chunk.mentions(id_) for id_ in ids):
            yield from (line for line in chunk.lines() if any(id_.encode() in line for id_ in ids))


class _Counter:
    """Adds up what several walks have seen, for a progress bar that never goes back."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = self._total = 0

    def show(self, walks: Iterable[Walk]) -> None:
        """Tell how far they are."""
        walks = list(walks)
        self._tell(sum(len(walk.seen) for walk in walks), sum(walk.total for walk in walks))

    def finish(self, count: int) -> None:
        """Tell that all is read."""
        self._tell(max(count, self._total), count)

    def _tell(self, done: int, total: int) -> None:
        self._done = max(self._done, done)
        self._total = max(self._total, total, self._done)
        if self._progress is not None:
            self._progress(self._done, self._total)


@dataclass(slots=True, eq=False)
class _List:
    """One of the lists that are walked, and what is known of it."""

    name: str
    read: Callable[[Ask], Part]
    look_for: Callable[[Sequence[str]], Mapping[str, bytes | None]]
    #: What was there last time, if there was one.
    before: Collection[str]
    #: Whether it may be empty without saying so twice: it was.
    may_be_empty: bool
    rows: dict[str, bytes] = field(default_factory=dict)
    #: How many there were in the end; there may be more rows, deleted after they were read.
    total: int = 0
    #: What the last walk did not have, when it was not believed.
    doubted: frozenset[str] | None = None
    #: Why the last walk was not good enough.
    problem: str = ""


class _Crew:
    """Threads that make calls; they end by themselves, and keep no process from ending."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.busy = 0
        self._threads = 0
        self._calls: SimpleQueue[tuple[Any, Callable[[], Any]] | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Any, Any, BaseException | None]] = SimpleQueue()

    def call(self, key: object, function: Callable[[], object]) -> None:
        """Have a function called."""
        self.busy += 1
        if self._threads < self.size:
            self._threads += 1
            name = f"storefront-sync-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._calls.put((key, function))

    def result(self) -> tuple[Any, Any]:
        """Wait for a call, and give its key and what it returned, or raise what it raised."""
        key, value, error = self._results.get()
        self.busy -= 1
        try:
            if error is not None:
                raise error
            return key, value
        finally:
            # Else this frame and the error hold each other, and with them the answer, for long.
            del error

    def dismiss(self) -> None:
        """Let the threads end when they have done what they are doing."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            key, function = call
            try:
                self._results.put((key, function(), None))
            except BaseException as error:
                self._results.put((key, None, error))


@contextmanager
def _reading(
    client: Client,
    organization_id: str | None,
    concurrency: int,
    timeout_seconds: float,
    deadline_seconds: float,
) -> Iterator[_Reading]:
    crew = _Crew(concurrency)
    try:
        with client.patiently(deadline_seconds) as patient:
            yield _Reading(patient, crew, organization_id, timeout_seconds)
    finally:
        crew.dismiss()


class _Reading:
    """The calls of one sync."""

    def __init__(
        self, client: Client, crew: _Crew, organization_id: str | None, timeout: float
    ) -> None:
        self._client = client
        self._crew = crew
        self._organization_id = organization_id
        self._timeout = timeout
        self._tries = _TRIES_AT_FIRST
        #: The products of all links that were read.
        self.sold: set[str] = set()

    def everything(
        self, previous: Snapshot | None, counter: _Counter
    ) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The records of all products and links."""
        lists = [
            _List(
                "products",
                self._product_page,
                self.products,
                previous.product_records if previous else (),
                previous is not None and not previous.products,
            ),
            _List(
                "checkout links",
                self._link_page,
                self.links,
                previous.link_records if previous else (),
                previous is not None and not previous.links,
            ),
        ]
        pending = lists
        for _ in range(_WALKS):
            self._walk(pending, counter)
            pending = [each for each in pending if each.problem or not self._is_believed(each)]
            if not pending:
                break
        else:
            raise _unusable(f"{pending[0].problem}, {_WALKS} times in a row", pending[0].name)
        products, links = (each.rows for each in lists)
        # One that was created since the products were read is missing where a link sells it.
        unlisted = sorted(id_ for id_ in self.sold if id_ not in products)
        if len(unlisted) > _MAX_UNLISTED:
            raise _unusable(f"has not {len(unlisted)} products that links sell", "products")
        found = self.products(unlisted)
        products |= {id_: record for id_, record in found.items() if record is not None}
        counter.finish(len(products) + len(links))
        return products, links

    def _walk(self, lists: Sequence[_List], counter: _Counter) -> None:
        """Walk several lists at once, sharing the threads evenly."""
        walks = {id(each): Walk() for each in lists}
        running = {id(each): 0 for each in lists}
        for each in lists:
            each.problem = ""
        while True:
            while self._crew.busy < self._crew.size:
                for each in sorted(lists, key=lambda one: running[id(one)]):
                    ask = None if each.problem else walks[id(each)].next()
                    if ask is not None:
                        running[id(each)] += 1
                        self._crew.call((each, ask), partial(self._read, each, ask))
                        break
                else:
                    break
            if not self._crew.busy:
                break
            (each, ask), part = self._crew.result()
            running[id(each)] -= 1
            if not each.problem:
                try:
                    walks[id(each)].take(ask, part)
                except Incomplete as found:
                    each.problem = str(found)
                except Inconsistent as found:
                    raise _unusable(str(found), each.name) from None
            counter.show(walks.values())
        for each in lists:
            if not each.problem:
                each.rows = walks[id(each)].rows()
                each.total = walks[id(each)].total

    def _is_believed(self, each: _List) -> bool:
        """Whether what is not there any more is gone; if not, the list's problem says why."""
        gone = [id_ for id_ in each.before if id_ not in each.rows]
        is_empty = not each.rows and not each.may_be_empty
        if is_empty or 2 * len(each.rows) < len(each.before) or len(gone) > _LOOKED_FOR:
            # Others may have gone since: those are looked for.
            doubted, each.doubted = each.doubted, frozenset(gone)
            gone.sort(key=lambda id_: id_ in (doubted or ()))
            if doubted is None or len(each.doubted - doubted) > _LOOKED_FOR:
                each.problem = f"left out {len(gone)} that it had, and not the same ones twice"
                return False
        found = each.look_for(gone[:_LOOKED_FOR])
        there = sum(record is not None for record in found.values())
        if there:
            each.problem = f"left out {there} that are still there"
            return False
        if len(each.rows) > each.total:
            new = [id_ for id_ in each.rows if id_ not in each.before]
            for id_, record in each.look_for(new[-_LOOKED_FOR:]).items():
                if record is None:
                    del each.rows[id_]
        return True

    def products(self, ids: Iterable[str]) -> dict[str, bytes | None]:
        """The records of those products, as many as possible a call; None for those gone."""
        wanted = list(ids)
        records: dict[str, bytes | None] = dict.fromkeys(wanted)
        parts = [wanted[at : at + PAGE_SIZE] for at in range(0, len(wanted), PAGE_SIZE)]
        for page in self._all(partial(self._products_by_id, some) for some in parts):
            records |= {id_: record for id_, record in page.items() if id_ in records}
        return records

    def _products_by_id(self, ids: Sequence[str]) -> dict[str, bytes]:
        page = self._tried(
            lambda: self._client.products.list(
                id=ids, organization_id=self._organization_id, timeout=self._timeout
            )
        )
        return {_checked(product.id): encode_product(product) for product in page}

    def links(self, ids: Iterable[str]) -> dict[str, bytes | None]:
        """The records of those links, one a call; None for those gone."""
        wanted = list(ids)
        return dict(zip(wanted, self._all(partial(self._link, id_) for id_ in wanted), strict=True))

    def _link(self, id_: str) -> bytes | None:
        try:
            link = self._tried(lambda: self._client.checkout_links.get(id_, timeout=self._timeout))
        except PolarNotFound:
            return None
        if link.id != id_:
            raise _unusable(f"gave {link.id!r} for {id_}", "checkout links")
        return self._record(link)

    def ids_of_links_with(self, product_ids: Sequence[str]) -> Iterator[str]:
        """The ids of all links that sell one of the products.

        They come with only these products, and are counted once for each.
        Source: recorded answers of Polar's API, 2026-11-22.
        """
        return self._ids(self._client.checkout_links.list, "product_id", product_ids)

    def ids_of_products_with(self, benefit_ids: Sequence[str]) -> Iterator[str]:
        """The ids of all products that grant one of the benefits; they come with only these."""
        return self._ids(self._client.products.list, "benefit_id", benefit_ids)

    def _ids(
        self, read: Callable[..., Page[Any]], field: str, values: Sequence[str]
    ) -> Iterator[str]:
        for at in range(0, len(values), PAGE_SIZE):
            ask = partial(
                read,
                organization_id=self._organization_id,
                timeout=self._timeout,
                **{field: values[at : at + PAGE_SIZE]},
            )
            number = last = 1
            while number <= last:
                page = self._tried(partial(ask, page=number))
                yield from (_checked(item.id) for item in page)
                number, last = number + 1, page.max_page if page.items else 0

    def _all(self, calls: Iterable[Callable[[], _T]]) -> list[_T]:
        """What those calls return, in their order, several at once."""
        waiting = list(enumerate(calls))
        results: dict[int, _T] = {}
        count = len(waiting)
        waiting.reverse()
        while len(results) < count:
            while waiting and self._crew.busy < self._crew.size:
                self._crew.call(*waiting.pop())
            number, value = self._crew.result()
            results[number] = value
        return [results[number] for number in range(count)]

    def _read(self, each: _List, ask: Ask) -> Part:
        return self._tried(partial(each.read, ask))

    def _product_page(self, ask: Ask) -> Part:
        return self._page(self._client.products, ask, encode_product, "products")

    def _link_page(self, ask: Ask) -> Part:
        return self._page(self._client.checkout_links, ask, self._record, "checkout links")

    def _page(self, resource: Any, ask: Ask, encode: Callable[[Any], bytes], name: str) -> Part:
        is_newest = ask.purpose is Purpose.NEWEST
        page = resource.list(
            page=ask.page,
            sorting=[f"-{one}" for one in resource.sorting] if is_newest else None,
            organization_id=self._organization_id,
            timeout=self._timeout,
        )
        items = reversed(page.items) if is_newest else page.items
        rows = {_checked(item.id): encode(item) for item in items}
        return _part(rows, page, ask.page, name)

    def _record(self, link: CheckoutLink) -> bytes:
        self.sold.update([_checked(product.id) for product in link.products])
        return encode_link(link)

    def _tried(self, call: Callable[[], _T]) -> _T:
        """Make a call, and again when there is no usable answer, each time after a longer pause."""
        failed = limited = 0
        while True:
            try:
                answer = call()
                self._tries = _TRIES
                return answer
            except PolarRateLimited as error:
                limited += 1
                if not error.sent or limited == _TRIES_WHEN_LIMITED:
                    raise
                # The pace waits as long as Polar told it to; this spreads those who waited.
                self._rest(_FIRST_PAUSE)
            except PolarUnavailable:
                failed += 1
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (failed - 1))
                if failed >= self._tries or not self._rest(pause):
                    raise

    def _rest(self, pause: float) -> bool:
        """Wait a part of the pause, drawn anew; False where there is no time for another try."""
        return self._client.rest(pause * SystemRandom().random())


def _part(rows: dict[str, bytes], page: Page[Any], number: int, name: str) -> Part:
    """A page's records, when what it says of itself holds together.

    :raises PolarUnavailable: when it does not.
    """
    total, pages = page.total_count, page.max_page
    there = max(0, min(PAGE_SIZE, total - (number - 1) * PAGE_SIZE))
    if total < 0 or pages != -(-total // PAGE_SIZE) or not len(page) == len(rows) == there:
        raise _unusable(
            f"has {len(rows)} different ones of {len(page)} on page {number} of {pages}, and "
            f"{total} in all, which does not add up",
            name,
        )
    return Part(rows, total, pages)


def _checked(id_: str) -> str:
    """An id as it may be part of a path.

    :raises PolarUnavailable: when it is none.
    """
    try:
        is_id = uuid("id", id_) == id_
    except ValueError:
        is_id = False
    if not is_id:
        raise _unusable("has an id that is none", "products and checkout links")
    return id_


def _unusable(problem: str, name: str) -> PolarUnavailable:
    return PolarUnavailable(
        f"Polar's list of {name} {problem}. It can't be used; the last one stays in use.",
        method="GET",
        path=name,
    )
