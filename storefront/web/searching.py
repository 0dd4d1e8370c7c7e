"""What a visitor looks for in the catalogue: read from the query, and shown as a form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup

from storefront.buttons import campaign_fields
from storefront.catalog import KINDS, MAX_QUERY_CHARACTERS, Catalog, Search, folded_words
from storefront.links import utm_parameters
from storefront.texts import Texts

#: A shop of up to so many products is seen at a glance, and has no form.
MOST_AT_A_GLANCE: Final = 8
_NAMES: Final = ("q", "kind", "price", "sort")
#: Whether a query may say which part of the catalogue is meant.
_SPEAKS: Final = re.compile(rf"%|(?:^|&)(?:page|{'|'.join(_NAMES)})=")
# Twelve digits are the most that a price has.
_PRICE: Final = re.compile(r"([0-9]{0,12})-([0-9]{0,12})", re.ASCII)


class Option(NamedTuple):
    """One entry of a list to choose from."""

    value: str
    label: str
    chosen: bool


class Chosen(NamedTuple):
    """One thing that the products shown have in common, and the address without it."""

    label: str
    without_url: str


@dataclass(frozen=True, slots=True)
class Filters:
    """The form above the products. A list with nothing to choose from is empty."""

    action: str
    words: str
    kinds: Sequence[Option]
    prices: Sequence[Option]
    sorts: Sequence[Option]
    #: What is looked for at this moment; empty where all products are shown.
    chosen: Sequence[Chosen]
    #: How many products are found.
    count: int
    #: The address of the whole catalogue.
    all_url: str
    max_characters: int = MAX_QUERY_CHARACTERS

    @property
    def campaign(self) -> Markup:
        """The campaign's parameters, which the form takes along, as hidden fields."""
        return campaign_fields()


def speaks(query: str) -> bool:
    """Whether a query has to be read to know which part of the catalogue it is about."""
    return bool(query) and _SPEAKS.search(query) is not None


def read_search(parameters: Mapping[str, str]) -> Search:
    """What the parameters look for; what is no good counts as not there."""
    words = _words(parameters.get("q", ""))
    kind = parameters.get("kind", "")
    least, most = _price(parameters.get("price", ""))
    sort = parameters.get("sort", "")
    return Search(
        words=words,
        kind=kind if kind in KINDS else "",
        least=least,
        most=most,
        # Without words the newest are the first in any case.
        sort=sort if sort in ("price", "price-desc") or (sort == "newest" and words) else "",  # type: ignore[arg-type]
    )


def write_search(search: Search) -> dict[str, str]:
    """The parameters of its address: the one that all its spellings lead to."""
    price = ""
    if search.least is not None or search.most is not None:
        price = "-".join("" if end is None else str(end) for end in (search.least, search.most))
    values = (search.words, search.kind, price, search.sort)
    return {name: value for name, value in zip(_NAMES, values, strict=True) if value}


def is_written_so(parameters: Mapping[str, str], search: Search) -> bool:
    """Whether the parameters say it as ``write_search`` does."""
    written = write_search(search)
    return all(parameters.get(name) == written.get(name) for name in _NAMES)


def make_filters(
    texts: Texts,
    catalog: Catalog,
    search: Search,
    *,
    base_url: str,
    parameters: Mapping[str, str],
    count: int,
) -> Filters | None:
    """The form; None for a shop that is seen at a glance, and of which nothing was asked."""
    is_plain = search == Search()
    if is_plain and len(catalog) <= MOST_AT_A_GLANCE:
        return None
    facets = catalog.facets
    campaign = utm_parameters(parameters)
    names = _kind_names(texts)
    kinds = [name for name in KINDS if name in facets.kinds or name == search.kind]
    asked = write_search(search).get("price", "")
    ranges = _ranges(facets.bounds)
    if asked and (search.least, search.most) not in ranges:
        ranges.append((search.least, search.most))

    def price_words(least: int | None, most: int | None) -> str:
        return _price_words(texts, facets.currency or "usd", least, most)

    def address(without: Search) -> str:
        return address_of(base_url, without, campaign)

    chosen = []
    if search.words:
        chosen.append(
            Chosen(texts("“{words}”", words=search.words), address(search._replace(words="")))
        )
    if search.kind:
        chosen.append(Chosen(names[search.kind], address(search._replace(kind=""))))
    if asked:
        chosen.append(
            Chosen(
                price_words(search.least, search.most),
                address(search._replace(least=None, most=None)),
            )
        )
    return Filters(
        action=base_url,
        words=search.words,
        kinds=_options(
            texts("All kinds"), {kind: names[kind] for kind in kinds}, search.kind, least=2
        ),
        prices=_options(
            texts("Any price"),
            {_write_range(*each): price_words(*each) for each in ranges},
            asked,
            least=2,
        ),
        sorts=_sorts(texts, search) if facets.bounds or search.sort else (),
        chosen=chosen,
        count=count,
        all_url=address(Search()),
    )


def address_of(base_url: str, search: Search, campaign: Mapping[str, str], page: int = 1) -> str:
    """The address of a page of results."""
    parameters = write_search(search)
    if page > 1:
        parameters["page"] = str(page)
    query = urlencode(parameters | dict(campaign))
    return f"{base_url}?{query}" if query else base_url


def _words(given: str) -> str:
    """The words as they are shown again; nothing where they have nothing to be looked for."""
    seen = "".join(c if c.isprintable() else " " for c in given[: 4 * MAX_QUERY_CHARACTERS])
    words = " ".join(seen.split())[:MAX_QUERY_CHARACTERS].rstrip()
    return words if folded_words(words) else ""


def _price(given: str) -> tuple[int | None, int | None]:
    found = _PRICE.fullmatch(given)
    if found is None:
        return None, None
    least, most = (int(digits) if digits else None for digits in found.groups())
    if least is not None and most is not None and least > most:
        return None, None
    return least or None, most


def _ranges(bounds: Sequence[int]) -> list[tuple[int | None, int | None]]:
    ends = [None, *bounds, None]
    return list(pairwise(ends)) if bounds else []


def _write_range(least: int | None, most: int | None) -> str:
    return write_search(Search(least=least, most=most))["price"]


def _options(
    everything: str, others: Mapping[str, str], chosen: str, *, least: int
) -> tuple[Option, ...]:
    """Something to choose from; empty where there is no choice, and none was made."""
    if len(others) < least and not chosen:
        return ()
    return (
        Option("", everything, not chosen),
        *(Option(value, label, value == chosen) for value, label in others.items()),
    )


def _sorts(texts: Texts, search: Search) -> tuple[Option, ...]:
    newest = texts("Newest first")
    labels = {"": texts("Best matches first"), "newest": newest} if search.words else {"": newest}
    labels |= {"price": texts("Lowest price first"), "price-desc": texts("Highest price first")}
    return tuple(Option(value, label, value == search.sort) for value, label in labels.items())


def _kind_names(texts: Texts) -> dict[str, str]:
    return {
        "one-time": texts("One-time purchases"),
        "subscription": texts("Subscriptions"),
        "free": texts("Free"),
        "pay-what-you-want": texts("Pay what you want"),
        "per-seat": texts("Paid by seat"),
        "usage": texts("Pay for what you use"),
    }


def _price_words(texts: Texts, currency: str, least: int | None, most: int | None) -> str:
    if least is None:
        return texts("Up to {amount}", amount=texts.money(most or 0, currency))
    if most is None:
        return texts("From {amount}", amount=texts.money(least, currency))
    return texts(
        "{least} to {most}",
        least=texts.money(least, currency),
        most=texts.money(most, currency),
    )
