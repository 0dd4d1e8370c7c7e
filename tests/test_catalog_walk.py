"""Reading a list while it changes: whatever happens between any two answers, no row is lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storefront.catalog import walk as walking
from storefront.catalog.walk import (
    MAX_PAGES,
    PAGE_SIZE,
    Ask,
    Incomplete,
    Inconsistent,
    Part,
    Purpose,
    Walk,
)

SIZE = 3


@dataclass
class Upstream:
    """A list as Polar keeps it: what is created comes last, what is deleted leaves no gap."""

    rows: list[str]
    #: Of all that ever were, those that nobody touched.
    untouched: set[str] = field(default_factory=set)
    created: int = 0

    @classmethod
    def of(cls, count: int) -> Upstream:
        rows = [f"row-{number}" for number in range(count)]
        return cls(rows, set(rows))

    def page(self, number: int) -> Part:
        rows = self.rows[(number - 1) * SIZE : number * SIZE]
        return Part(dict.fromkeys(rows, b"x"), len(self.rows), -(-len(self.rows) // SIZE))

    def answer(self, ask: Ask) -> Part:
        if ask.purpose is not Purpose.NEWEST:
            return self.page(ask.page)
        rows = self.rows[-SIZE:]
        return Part(dict.fromkeys(rows, b"x"), len(self.rows), -(-len(self.rows) // SIZE))

    def delete(self, place: int) -> None:
        if self.rows:
            self.untouched.discard(self.rows.pop(place % len(self.rows)))

    def create(self) -> None:
        self.created += 1
        self.rows.append(f"new-{self.created}")


def run(
    walk: Walk,
    upstream: Upstream,
    concurrency: int,
    choose: Callable[[int], int],
    disturb: Callable[[], None],
) -> int:
    """Drive a walk to its end; gives how many requests that took.

    Each request is sent, answered by the list as it is at some later moment, and arrives at one
    that is later still; ``choose`` decides what happens next, ``disturb`` changes the list.
    """
    sent: list[Ask] = []
    answered: list[tuple[Ask, Part]] = []
    requests = 0
    while not walk.is_done:
        ask = walk.next() if len(sent) + len(answered) < concurrency else None
        if ask is not None:
            sent.append(ask)
            requests += 1
            disturb()
            continue
        assert sent or answered, "it waits, and for nothing"
        number = choose(len(sent) + len(answered))
        if number < len(sent):
            ask = sent.pop(number)
            answered.append((ask, upstream.answer(ask)))
        else:
            walk.take(*answered.pop(number - len(sent)))
        disturb()
    return requests


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "PAGE_SIZE", SIZE)


@settings(max_examples=400)
@given(
    count=st.integers(0, 90),
    concurrency=st.integers(1, 9),
    span=st.sampled_from([4, 8, 64]),
    rate=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    growth=st.sampled_from([0.0, 0.3, 0.5]),
    near_front=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_nothing_is_lost(
    count: int,
    concurrency: int,
    span: int,
    rate: float,
    growth: float,
    near_front: bool,
    seed: int,
) -> None:
    """Every row that was there all the time is found, and none that never was, in order."""
    chance = random.Random(seed)  # noqa: S311
    upstream = Upstream.of(count)

    def disturb() -> None:
        while chance.random() < rate:
            if chance.random() < growth:
                upstream.create()
            else:
                place = chance.randrange(90)
                upstream.delete(place // 8 if near_front else place)

    walk = Walk(span)
    requests = run(walk, upstream, concurrency, chance.randrange, disturb)
    rows = list(walk.rows())
    assert upstream.untouched <= set(rows)
    assert [row for row in rows if row in upstream.rows] == [
        row for row in upstream.rows if row in walk.rows()
    ]
    assert len(rows) >= len(upstream.rows) or rate
    if not rate:
        assert rows == upstream.rows
        pages = -(-count // SIZE)
        assert requests <= max(1, pages + 2 + pages // span)


@settings(max_examples=150)
@given(data=st.data(), count=st.integers(0, 30), concurrency=st.integers(1, 4))
def test_nothing_is_lost_in_the_worst_order(
    data: st.DataObject, count: int, concurrency: int
) -> None:
    """The same where each order of answers, and each change, is chosen to break it."""
    upstream = Upstream.of(count)
    changes = data.draw(st.lists(st.tuples(st.integers(0, 80), st.integers(-1, 30)), max_size=12))
    events = iter(range(100_000))

    def disturb() -> None:
        moment = next(events)
        for when, place in changes:
            if when == moment:
                upstream.create() if place < 0 else upstream.delete(place)

    walk = Walk(8)
    run(walk, upstream, concurrency, lambda n: data.draw(st.integers(0, n - 1)), disturb)
    assert upstream.untouched <= set(walk.rows())


def test_reading_forward_would_lose_rows() -> None:
    """The list that the tests disturb does lose rows for who reads it page by page, forward."""
    upstream = Upstream.of(30)
    found: set[str] = set()
    for number in range(1, 11):
        found |= set(upstream.page(number).rows)
        upstream.delete(0)
    assert upstream.untouched - found


def test_a_stretch_without_its_proof_would_lose_rows() -> None:
    """Were the witness not looked at, pages that are read at once would lose a row."""
    upstream = Upstream.of(30)
    walk = Walk()
    walk.take(one := _next(walk), upstream.answer(one))
    asks = [_next(walk) for _ in range(9)]
    low = [(ask, upstream.page(ask.page)) for ask in asks if ask.page < 5]
    upstream.delete(0)
    high = [(ask, upstream.page(ask.page)) for ask in asks if ask.page >= 5]
    read = {row for _, part in low + high for row in part.rows}
    assert len(upstream.untouched - read - set(upstream.page(10).rows)) == 1
    for answer in low + high:
        walk.take(*answer)
    proof = _next(walk)
    assert (proof.purpose, proof.page) == (Purpose.PROOF, 10)
    walk.take(proof, upstream.page(10))
    run(walk, upstream, 1, lambda _: 0, lambda: None)
    assert upstream.untouched <= set(walk.rows())


def test_deletions_everywhere_all_the_time() -> None:
    """A list that loses a row with every answer or two is still read to its end."""
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311
        upstream = Upstream.of(600)

        def disturb(chance: random.Random = chance, upstream: Upstream = upstream) -> None:
            if chance.random() < 0.3:
                upstream.delete(chance.randrange(600))

        walk = Walk()
        requests = run(walk, upstream, 8, chance.randrange, disturb)
        assert upstream.untouched <= set(walk.rows())
        assert requests < 6 * 200


# --- lists that lie ----------------------------------------------------------------------------


def _next(walk: Walk) -> Ask:
    ask = walk.next()
    assert ask is not None
    return ask


def _part(rows: Iterable[str], total: int) -> Part:
    return Part(dict.fromkeys(rows, b"x"), total, -(-total // SIZE))


def drive(walk: Walk, answer: Callable[[int], Part], limit: int) -> None:
    """Answer a walk's requests at once, one after another, until it ends or raises."""
    for _ in range(limit):
        ask = walk.next()
        assert ask is not None
        walk.take(ask, answer(ask.page))
        if walk.is_done:
            return
    raise AssertionError("it goes on for ever")


def test_too_long_to_be_true() -> None:
    """A list that claims a thousand million pages is refused at its first answer."""
    walk = Walk()
    with pytest.raises(Inconsistent, match="more than can be kept"):
        walk.take(_next(walk), Part({"a": b""}, 10**11, 10**9))
    assert MAX_PAGES * PAGE_SIZE == 1_000_000


def test_the_same_page_for_ever() -> None:
    """A list whose pages are all the same is given up after some of them."""
    walk = Walk()
    with pytest.raises(Inconsistent, match="repeats itself"):
        drive(walk, lambda page: _part(["a", "b", "c"], 3 * 9_000), 1_000)


def test_fewer_rows_than_it_says() -> None:
    """A list that gives one row twice and another not at all is not whole."""
    walk = Walk()
    with pytest.raises(Incomplete, match="gave 27 of 30 rows"):
        drive(walk, lambda page: _part([f"{max(page, 2)}-{n}" for n in range(3)], 30), 100)


def test_growing_for_ever() -> None:
    """A list that grows with each answer is given up."""
    totals = iter(range(30, 10**9, 3))

    def grows(page: int) -> Part:
        return _part([f"{page}-{n}" for n in range(3)], next(totals))

    with pytest.raises(Inconsistent, match="grows faster"):
        drive(Walk(), grows, 1_000)


def test_other_rows_at_each_answer() -> None:
    """A list that answers with rows never seen before is read once, slowly, and no longer."""
    numbers = iter(range(10**9))
    drive(Walk(), lambda page: _part([str(next(numbers)) for _ in range(3)], 300), 1_000)


def test_more_bytes_than_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are counted in bytes, and only while they are kept."""
    monkeypatch.setattr(walking, "MAX_BYTES", 100)
    upstream = Upstream.of(99)
    run(Walk(), upstream, 1, lambda _: 0, lambda: None)
    monkeypatch.setattr(walking, "MAX_BYTES", 98)
    with pytest.raises(Inconsistent, match="more bytes"):
        run(Walk(), upstream, 1, lambda _: 0, lambda: None)
