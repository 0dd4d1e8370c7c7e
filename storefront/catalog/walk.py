"""Reading a list page by page, several pages at once, while others change it: nothing is lost.

Pure: what to ask for next comes out, what was answered goes in, in whatever order; who sends it,
and how, is not known here.

Polar gives a list in the order of creation. What is created is appended; what is deleted moves
everything behind it one place to the front. So a row only ever moves to the front, and a row that
is there from the first request to the last is missed only in one way: it stood on page ``k + 1``
when page ``k`` was read, and on page ``k`` or before when page ``k + 1`` was read. (It is on no
page after the last one and on none before the first; so somewhere between it must have been
behind the one page that was read, and before the next.) Two things rule that out at a boundary:

- Page ``k + 1`` was answered before page ``k`` was asked for: the row can't have moved back.
- No row before the boundary was deleted while the two were read.

Pages are therefore asked for from the last to the first. As several are under way at once, a
stretch of them has a *witness*: the last row of a page behind the stretch that was answered before
any of the stretch was asked for. When the whole stretch has been answered, the page of the
witness is read again. If the witness is still at its place, then nothing before it was deleted in
between, for a place once lost is never regained, and no boundary of the stretch can have lost a
row. (Then the rows before it on its page must be the same, too, or the list is none.) That costs
one request a stretch; the first witness is the newest row of all, of which the first request tells
the place. Otherwise the stretch, and what was read beyond it, is read again, as a shorter one; one
page at a time needs no witness. Which rows follow the witness is of no importance, so it may be on
the last page while that grows, and the last page may be found empty because the list has shrunk.

In the end the list is read from its current end back to a row that is known already, which brings
what was appended meanwhile; and there must be as many different rows as the list says it has. Rows
that Polar puts in no fixed order, if there are any, fail there.

Source: paging while rows were created and deleted, measured 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

#: Rows on a page.
PAGE_SIZE: Final = 100
#: Pages that share a witness while nothing is deleted.
SPAN: Final = 128
#: A longer list is not believed.
MAX_PAGES: Final = 10_000
#: Bytes of records that a list may come to.
MAX_BYTES: Final = 1024**3

# Pages of a stretch after some were read alone, and how often the end may move while it is read.
_SHORT = 4
_TAILS = 8


class Inconsistent(Exception):
    """The list contradicts itself, or can't be followed. The text says in what, as a predicate."""


class Incomplete(Inconsistent):
    """It gave fewer rows than it says it has, or others: it may be worth another walk."""


class Purpose(Enum):
    """What a page is asked for."""

    NEWEST = "the page that begins at its end, to know how long the list is"
    PAGE = "its rows"
    PROOF = "whether the witness is at its place"
    TAIL = "what was appended"


@dataclass(frozen=True, slots=True)
class Part:
    """What one request gave: one page, and how long the list was at that moment.

    The page of the newest, for which the list is turned round, is turned back.
    """

    #: Record by id, in the list's order.
    rows: Mapping[str, bytes]
    total: int
    pages: int


@dataclass(frozen=True, slots=True)
class _Witness:
    """The last row of a page, with those before it on the page."""

    page: int
    ids: tuple[str, ...]

    @classmethod
    def of(cls, page: int, part: Part) -> _Witness | None:
        """The one on that page; None when the page is empty."""
        return cls(page, tuple(part.rows)) if part.rows else None


@dataclass(slots=True, eq=False)
class _Stretch:
    """Pages from ``top`` down to ``low``, as far as they have been asked for."""

    top: int
    low: int
    left: int
    witness: _Witness
    is_asked: bool = False


@dataclass(slots=True, eq=False)
class Ask:
    """A page to be read."""

    page: int
    purpose: Purpose
    stretch: _Stretch | None = None


class Walk:
    """One reading of one list. Send what ``next`` gives, and ``take`` the answers as they come."""

    def __init__(self, span: int = SPAN) -> None:
        #: All rows that were seen, whether or not they are there still: what a progress bar shows.
        self.seen: set[str] = set()
        #: How many rows there were at the last answer.
        self.total = 0
        self.is_done = False
        self._span = self._longest_span = span
        self._asked: set[Ask] = set()
        self._pages: dict[int, Part] = {}
        #: The moment of each page's answer, in answers; a witness is younger than the last change.
        self._answered: dict[int, int] = {}
        self._answers = self._broken_at = 0
        self._fresh: _Witness | None = None
        self._alone = 0  # pages to read one at a time before the next stretch
        self._alone_next = _SHORT
        self._stretches: list[_Stretch] = []
        self._cursor = -1  # the next page to ask for; -1 before the first answer
        self._last = 0
        self._rows: dict[str, bytes] = {}
        self._tail: dict[int, Part] = {}
        self._tail_at = 0
        self._tails = 0
        self._requests = self._kept = self._bytes = 0

    def next(self) -> Ask | None:
        """What to ask for now; None while answers must come first, or nothing is left to ask."""
        ask = self._next()
        if ask is not None:
            self._asked.add(ask)
            self._requests += 1
        return ask

    def _next(self) -> Ask | None:
        if self.is_done:
            return None
        if self._cursor < 0:
            return None if self._asked else Ask(1, Purpose.NEWEST)
        pending = [ask.page for ask in self._asked if ask.purpose is Purpose.PAGE]
        for stretch in self._stretches:
            is_whole = stretch.left == 0 or self._cursor == 0
            if is_whole and not stretch.is_asked and not any(p >= stretch.low for p in pending):
                stretch.is_asked = True
                return Ask(stretch.witness.page, Purpose.PROOF, stretch)
        if self._cursor > 0:
            return self._next_page(pending)
        if not self._asked and not self._stretches:
            return Ask(self._tail_at, Purpose.TAIL)
        return None

    def _next_page(self, pending: list[int]) -> Ask | None:
        stretch = self._stretches[-1] if self._stretches else None
        if stretch is None or stretch.left == 0:
            witness = None if self._alone else self._find_witness()
            if witness is None:
                # Alone, after the answers to all pages behind it.
                if pending:
                    return None
                self._cursor -= 1
                self._alone = max(0, self._alone - 1)
                return Ask(self._cursor + 1, Purpose.PAGE)
            stretch = _Stretch(self._cursor, self._cursor + 1, self._span, witness)
            self._stretches.append(stretch)
        stretch.low = self._cursor
        stretch.left -= 1
        self._cursor -= 1
        return Ask(stretch.low, Purpose.PAGE, stretch)

    def _find_witness(self) -> _Witness | None:
        for page in reversed(self._pages):  # the last answer is the youngest
            if page > self._cursor and self._pages[page].rows:
                if self._answered[page] <= self._broken_at:
                    break
                return _Witness.of(page, self._pages[page])
        return self._fresh

    def take(self, ask: Ask, part: Part) -> None:
        """Take an answer.

        :raises Inconsistent: when the list can't be as it says.
        """
        self._answers += 1
        self.total = part.total
        if ask not in self._asked:
            return  # what it belonged to is being read again
        self._asked.discard(ask)
        self._count(part)
        match ask.purpose:
            case Purpose.NEWEST:
                self._take_newest(part)
            case Purpose.PAGE:
                self._take_page(ask.page, part)
            case Purpose.PROOF:
                assert ask.stretch is not None
                self._take_proof(ask.stretch, part)
            case Purpose.TAIL:
                self._take_tail(ask.page, part)

    def _count(self, part: Part) -> None:
        if part.pages > MAX_PAGES:
            raise Inconsistent(f"has {part.total:,} rows, it says, which is more than can be kept")
        self.seen.update(part.rows)
        if self._kept > 10 * PAGE_SIZE + 5 * len(self.seen):
            raise Inconsistent("repeats itself")
        if self._requests > 50 + 8 * self._last:
            raise Inconsistent("changes faster than it can be read")

    def _take_newest(self, part: Part) -> None:
        self._cursor = self._last = part.pages
        if part.pages <= 1:
            self._rows = dict(part.rows)
            self.is_done = True
            return
        # The last page has what is left over by the others; the witness is on it.
        count = part.total - (part.pages - 1) * PAGE_SIZE
        last = dict(list(part.rows.items())[-count:])
        self._cursor -= 1
        self._take_page(part.pages, Part(last, part.total, part.pages))

    def _take_page(self, page: int, part: Part) -> None:
        self._drop(page)
        self._pages[page] = part
        self._answered[page] = self._answers
        self._kept += len(part.rows)
        self._bytes += sum(map(len, part.rows.values()))
        if self._bytes > MAX_BYTES:
            raise Inconsistent("has more bytes than can be kept")
        if not self._stretches and part.pages < page:
            # The list has shrunk; all pages in between are empty at this moment, too.
            self._cursor = min(self._cursor, part.pages)
        if self._cursor == 0 and not self._asked and not self._stretches:
            self._start_tail(part.pages)

    def _take_proof(self, stretch: _Stretch, part: Part) -> None:
        page, ids = stretch.witness.page, stretch.witness.ids
        found = tuple(part.rows)[: len(ids)]
        if found != ids and found[len(ids) - 1 :] == ids[-1:]:
            raise Incomplete(f"contradicts itself on page {page}")
        if found == ids:
            self._stretches.remove(stretch)
            self._span = min(self._longest_span, 2 * self._span)
            self._alone_next = _SHORT
            if not self._stretches and self._cursor == 0 and not self._asked:
                self._start_tail(part.pages)
                if part.pages == page:
                    self._take_tail(page, part)
            return
        later = self._stretches[self._stretches.index(stretch) :]
        del self._stretches[-len(later) :]
        self._asked = {
            ask
            for ask in self._asked
            if ask.stretch not in later
            and not (ask.purpose is Purpose.PAGE and ask.page <= stretch.top)
        }
        for number in [number for number in self._pages if number <= stretch.top]:
            self._drop(number)
        self._cursor = stretch.top
        self._broken_at = self._answers
        self._fresh = _Witness.of(page, part)
        self._span = min(self._span, stretch.top - stretch.low + 1) // 4
        if self._span < _SHORT:
            self._span = min(_SHORT, self._longest_span)
            self._alone = self._alone_next
            self._alone_next = min(2 * self._alone_next, SPAN)

    def _start_tail(self, pages: int) -> None:
        for _, part in sorted(self._pages.items()):
            for id_, record in part.rows.items():
                # A row that is on two pages was read later where it stands nearer to the front.
                self._rows.setdefault(id_, record)
        self._pages = {}
        self._tail_at = max(1, pages)

    def _take_tail(self, page: int, part: Part) -> None:
        if part.pages > page and not self._tail:
            return self._restart_tail(part)
        self._tail[page] = part
        if page > 1 and part.pages > 0 and not any(id_ in self._rows for id_ in part.rows):
            self._tail_at = max(1, min(page - 1, part.pages))
            return None
        for _, each in sorted(self._tail.items()):
            self._rows.update(each.rows)
        if len(self._rows) >= part.total:
            self.is_done = True
        elif len(self._tail) > 1:
            self._restart_tail(part)  # it grew while its end was read
        else:
            raise Incomplete(f"gave {len(self._rows):,} of {part.total:,} rows")
        return None

    def _restart_tail(self, part: Part) -> None:
        self._tails += 1
        if self._tails > _TAILS:
            raise Inconsistent("grows faster than it can be read")
        self._tail = {}
        self._tail_at = max(1, part.pages)

    def _drop(self, page: int) -> None:
        old = self._pages.pop(page, None)
        if old is not None:
            self._kept -= len(old.rows)
            self._bytes -= sum(map(len, old.rows.values()))

    def rows(self) -> dict[str, bytes]:
        """Record by id, in the list's order, when the walk is done."""
        assert self.is_done
        return self._rows
