"""Finding products by words, kind and price, without putting them into words.

Each chunk of a snapshot has, besides its index, what its products cost in a few bytes each, and,
once anybody searches, the words of its products in one string of bytes: names and the beginnings
of descriptions, without case and accents. A catalogue that differs in one chunk makes that one
anew. A query looks through these strings with ``bytes.find``, which reads a gigabyte a second.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from storefront.catalog.traits import KINDS, UNKNOWN, unpack_currency
from storefront.forking import GATE

Sort = Literal["newest", "price", "price-desc"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

#: What is read of a query, and of a product's name and description, in characters.
MAX_QUERY_CHARACTERS: Final = 100
_MAX_WORDS: Final = 8
_NAME_CHARACTERS: Final = 120
_DESCRIPTION_CHARACTERS: Final = 400
#: Where prices may be parted, in units of a power of ten.
_STEPS: Final = (10, 15, 20, 25, 30, 40, 50, 75, 100)

_END_OF_NAME: Final = b"\x1f"
# What Markdown has besides words: the targets of links and pictures, and marks.
_TARGETS: Final = re.compile(r"\]\([^()\s]*\)|<https?://[^>]*>")
_MARKS: Final = re.compile(r"[*_`~#>|\[\]!\\]+")
#: Letters that no accent can be taken from.
_PLAIN: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)


class _Named(msgspec.Struct, frozen=True):
    """Of a product, what is searched."""

    name: str = ""
    description: str | None = None


_lines: Final = msgspec.json.Decoder(tuple[str, _Named])


class Search(NamedTuple):
    """What a visitor looks for; a plain one is the whole catalogue."""

    words: str = ""
    #: One of ``KINDS``, or empty.
    kind: str = ""
    #: Minor units of the shop's currency, both inclusive; None where there is no limit.
    least: int | None = None
    most: int | None = None
    #: Empty: the best first where words are searched, else the newest.
    sort: Sort | Literal[""] = ""


class Facets(NamedTuple):
    """What the products of a catalogue can be told apart by."""

    #: Those of ``KINDS`` that there are.
    kinds: tuple[str, ...]
    #: The currency that most prices are in; empty where no price is known.
    currency: str
    #: Where to part the prices, rising; empty where they are all alike.
    bounds: tuple[int, ...]


class ChunkText(NamedTuple):
    """The words of a chunk's products, one after the other."""

    content: bytes
    #: Where each product's begin, and where the last one's end.
    starts: array[int]


class Row(NamedTuple):
    """What is known of a chunk for searching; one entry a product."""

    #: The chunk's lines, and what was made of their words once they were searched.
    content: bytes
    texts: list[ChunkText]
    listed: bytes
    kinds: bytes
    least: array[int]
    currencies: array[int]


class Finder:
    """Searches the products of one catalogue; they go by their numbers in its index."""

    def __init__(self, rows: Sequence[Row], listed: Sequence[int]) -> None:
        self._rows = rows
        self._listed = listed
        self._firsts = array("I", [0])
        for row in rows:
            self._firsts.append(self._firsts[-1] + len(row.kinds))
        self._facets: Facets | None = None
        self._reading = threading.Lock()
        self._is_read = False

    def prepare_like(self, earlier: Finder) -> None:
        """Do beforehand what somebody has asked an earlier one for: then nobody waits for it.

        Of a catalogue of 100,000 products the words take most of a second.
        """
        if earlier._facets is not None:
            self._facets = self._find_facets()
        if earlier._is_read:
            self._read_all()

    @property
    def facets(self) -> Facets:
        """What there is to choose from; worked out once."""
        if self._facets is None:
            self._facets = self._find_facets()
        return self._facets

    def find(self, search: Search) -> array[int]:
        """The numbers of the products that have a page and are looked for, the best first.

        Those whose price is not known, or is in another currency than most, come last where prices
        are sorted, and not at all where they are limited.
        """
        ranks: dict[int, int] = {}
        words = folded_words(search.words)
        if words:
            ranks = dict(self._with_words(words))
            # ``listed`` goes from the newest, which has the highest number.
            numbers = sorted(ranks, reverse=True)
        else:
            numbers = list(self._listed)
        kind = KINDS.get(search.kind, 0)
        if kind:
            kinds = b"".join(row.kinds for row in self._rows)
            numbers = [number for number in numbers if kinds[number] & kind]
        limited = search.least is not None or search.most is not None
        if limited or search.sort in ("price", "price-desc"):
            prices = self._prices()
            if limited:
                least = max(search.least or 0, 0)
                most = search.most if search.most is not None else 1 << 63
                numbers = [number for number in numbers if least <= prices[number] <= most]
            if search.sort == "price":
                numbers.sort(key=lambda n: prices[n] if prices[n] >= 0 else 1 << 63)
            elif search.sort == "price-desc":
                numbers.sort(key=prices.__getitem__, reverse=True)
        if words and not search.sort:
            numbers.sort(key=ranks.__getitem__)
        return array("I", numbers)

    def _with_words(self, words: Sequence[bytes]) -> Iterator[tuple[int, int]]:
        """The listed products that have all words, each with its rank: 0 is the best."""
        # The longest word is mostly the one that the fewest have.
        first, *others = sorted(words, key=len, reverse=True)
        whole = b" " + b" ".join(words)
        beginnings = [b" " + word for word in words]
        self._read_all()
        for row, number in zip(self._rows, self._firsts, strict=False):
            content, starts = row.texts[0]
            find = content.find
            at = find(first)
            while at >= 0:
                which = bisect_right(starts, at) - 1
                begin, end = starts[which], starts[which + 1]
                if not others or all(find(word, begin, end) >= 0 for word in others):
                    rank = 3
                    name_end = find(_END_OF_NAME, begin, end)
                    if at < name_end:
                        if content.startswith(whole, begin):
                            rank = 0
                        elif all(find(word, begin, name_end) >= 0 for word in beginnings):
                            rank = 1
                        elif not others or all(find(w, begin, name_end) >= 0 for w in others):
                            rank = 2
                    yield number + which, rank
                at = find(first, end)

    def _read_all(self) -> None:
        """Have the words of all chunks. The first search does it, and others that come wait."""
        if self._is_read:
            return
        with GATE.passed(), self._reading:
            for row in self._rows:
                if not row.texts:
                    row.texts.append(_read_words(row.content, row.listed))
            self._is_read = True

    def _prices(self) -> array[int]:
        """The least price of each product, where it is in the shop's currency."""
        mine = self.facets.currency
        prices = array("q")
        for row in self._rows:
            if len(set(row.currencies)) < 2 and mine == unpack_currency(max(row.currencies)):
                prices.extend(row.least)
            else:
                prices.extend(
                    least if unpack_currency(currency) == mine else UNKNOWN
                    for least, currency in zip(row.least, row.currencies, strict=True)
                )
        return prices

    def _find_facets(self) -> Facets:
        bits = 0
        currencies: Counter[int] = Counter()
        for row in self._rows:
            present = set(zip(row.listed, row.kinds, strict=True))
            for listed, kinds in present:
                if listed:
                    bits |= kinds
            for listed, least, currency in zip(row.listed, row.least, row.currencies, strict=True):
                if listed and least > 0:
                    currencies[currency] += 1
        kinds_present = tuple(name for name, bit in KINDS.items() if bits & bit)
        if not currencies:
            return Facets(kinds_present, "", ())
        main = currencies.most_common(1)[0][0]
        prices = sorted(
            least
            for row in self._rows
            for listed, least, currency in zip(row.listed, row.least, row.currencies, strict=True)
            if listed and least >= 0 and currency == main
        )
        return Facets(kinds_present, unpack_currency(main), _part(prices))


def folded_words(text: str) -> list[bytes]:
    """The words of a query as they are looked for: bounded in number and length."""
    words = fold(text[:MAX_QUERY_CHARACTERS]).split()[:_MAX_WORDS]
    return [word.encode("utf-8", "ignore") for word in dict.fromkeys(words)]


def fold(text: str) -> str:
    """The text without case, accents and what can't be printed; runs of spaces become one."""
    if text.isascii():
        folded = text.lower()
    else:
        folded = unicodedata.normalize("NFKD", text.casefold()).casefold().translate(_PLAIN)
        if not folded.isascii():
            folded = "".join(c for c in folded if not unicodedata.category(c).startswith("M"))
    if not folded.isprintable():
        # A soft hyphen stands inside a word; a line's end does not.
        folded = "".join(
            c if c.isprintable() else "" if unicodedata.category(c) == "Cf" else " " for c in folded
        )
    return " ".join(folded.split())


def _read_words(content: bytes, listed: bytes) -> ChunkText:
    """The name and the beginning of the description of each listed product, folded."""
    pieces: list[bytes] = []
    starts = array("I", [0])
    end = 0
    for is_listed, (_, product) in zip(listed, _lines.decode_lines(content), strict=True):
        if is_listed:
            name = fold(product.name[:_NAME_CHARACTERS])
            text = _without_marks(product.description or "")
            piece = f" {name}\x1f {fold(text)}\n".encode("utf-8", "ignore")
            pieces.append(piece)
            end += len(piece)
        starts.append(end)
    return ChunkText(b"".join(pieces), starts)


def _without_marks(markdown: str) -> str:
    """The beginning of a description, without most of its markup."""
    # Twice as much, for what is taken out; the end of a link that is cut does no harm.
    text = _TARGETS.sub(" ", markdown[: 2 * _DESCRIPTION_CHARACTERS])
    return _MARKS.sub(" ", text)[:_DESCRIPTION_CHARACTERS]


def _part(prices: Sequence[int]) -> tuple[int, ...]:
    """Up to three round amounts that part sorted prices into about equal numbers."""
    bounds: list[int] = []
    for part in (1, 2, 3):
        bound = _rounded(prices[len(prices) * part // 4])
        if prices[0] <= bound < prices[-1] and bound not in bounds:
            bounds.append(bound)
    return tuple(bounds)


def _rounded(amount: int) -> int:
    """The nearest amount that is round: 1, 1.5, 2, … of its own order."""
    if amount < 10:
        return amount
    power: int = 10 ** (len(str(amount)) - 2)
    return min((step * power for step in _STEPS), key=lambda step: abs(step - amount))
