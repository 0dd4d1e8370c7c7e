"""Lists as the API gives them: filters, sorting, pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from werkzeug.datastructures import MultiDict

from storefront.emulator.errors import CrashError
from storefront.emulator.validation import (
    check_bool,
    check_choice,
    check_moment,
    check_positive,
    check_uuids,
)

Body = dict[str, Any]
T = TypeVar("T")

#: A limit above this is taken as this, without a word. Source: recorded, 2026-11-22.
MAX_LIMIT = 100
#: Where the service's database gives up: an offset that no longer fits into 64 bits.
_MAX_OFFSET = 2**63 - 1


class Query:
    """The query string of a list request, read the way FastAPI reads it."""

    def __init__(self, arguments: MultiDict[str, str]) -> None:
        self._arguments = arguments

    def last(self, name: str) -> str | None:
        """The value of a parameter that is taken once: the last one given."""
        values = self._arguments.getlist(name)
        return values[-1] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a parameter that may repeat."""
        return self._arguments.getlist(name)

    def ids(self, name: str) -> frozenset[str] | None:
        """A repeatable filter by UUID; None where it is absent.

        :raises InvalidRequestError: for anything but version 4 UUIDs.
        """
        values = self.all(name)
        return check_uuids(values, name) if values else None

    def flag(self, name: str) -> bool | None:
        """A filter that is true or false; None where it is absent.

        :raises InvalidRequestError: for anything else.
        """
        value = self.last(name)
        return None if value is None else check_bool(value, name)

    def moment(self, name: str) -> datetime | None:
        """A filter by time, aware UTC; None where it is absent.

        :raises InvalidRequestError: for anything but an ISO 8601 time.
        """
        value = self.last(name)
        return None if value is None else check_moment(value, name)

    def metadata(self) -> dict[str, list[str]]:
        """The `metadata[key]=value` filters."""
        return {
            key[len("metadata[") : -1]: self._arguments.getlist(key)
            for key in self._arguments
            if key.startswith("metadata[") and key.endswith("]")
        }

    def page(self) -> tuple[int, int]:
        """Page number and size.

        :raises InvalidRequestError: for anything below 1.
        :raises CrashError: for a page beyond what the service's database can count.
        """
        number, limit = self.last("page"), self.last("limit")
        page = 1 if number is None else check_positive(number, "page")
        size = 10 if limit is None else min(check_positive(limit, "limit"), MAX_LIMIT)
        if (page - 1) * size > _MAX_OFFSET:
            raise CrashError
        return page, size

    def sorting(
        self, keys: Mapping[str, Callable[[T], Any]], default: str
    ) -> list[tuple[Callable[[T], Any], bool]]:
        """The sort keys in order, each with whether it descends.

        :raises InvalidRequestError: for a key that the list does not have.
        """
        choices = [choice for key in keys for choice in (key, f"-{key}")]
        wanted = [
            check_choice(value, choices, ("query", "sorting", index))
            for index, value in enumerate(self.all("sorting"))
        ] or [default]
        return [(keys[choice.removeprefix("-")], choice.startswith("-")) for choice in wanted]


def select(items: Iterable[T], *filters: Callable[[T], Any] | None) -> list[T]:
    """The items for which every filter that there is holds."""
    given = [holds for holds in filters if holds is not None]
    if not given:
        return list(items)
    return [item for item in items if all(holds(item) for holds in given)]


def is_among(name: str, values: Collection[Any] | None) -> Callable[[Body], bool] | None:
    """A filter by the value under that name; None, and no filter, where any will do."""
    return None if values is None else lambda item: item[name] in values


def sort(items: Iterable[T], criteria: Sequence[tuple[Callable[[T], Any], bool]]) -> list[T]:
    """The items in order. A missing value counts as the largest, as PostgreSQL has it."""
    ordered = list(items)
    # Keys of one direction are compared together: mostly the first of them tells already.
    for descending, run in reversed([(d, list(group)) for d, group in groupby(criteria, _down)]):
        columns = [_comparable(list(map(key, ordered))) for key, _ in run]
        values: list[Any] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        places = sorted(range(len(ordered)), key=values.__getitem__, reverse=descending)
        ordered = [ordered[place] for place in places]
    return ordered


def _down(criterion: tuple[Any, bool]) -> bool:
    return criterion[1]


def _comparable(values: list[Any]) -> list[Any]:
    if None not in values:
        return values
    return [(True, 0) if value is None else (False, value) for value in values]


def paginate(
    items: Sequence[T],
    page: tuple[int, int],
    show: Callable[[T], Body],
    *,
    total: int | None = None,
) -> Body:
    """One page of a list, with the totals. A page past the end is empty, not an error."""
    number, size = page
    count = len(items) if total is None else total
    start = (number - 1) * size
    return {
        "items": [show(item) for item in items[start : start + size]],
        "pagination": {"total_count": count, "max_page": math.ceil(count / size)},
    }


def matches_metadata(metadata: Mapping[str, Any], wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether every `metadata[key]=value` filter holds; values are compared as written in JSON."""
    return all(
        key in metadata and _as_text(metadata[key]) in values for key, values in wanted.items()
    )


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
