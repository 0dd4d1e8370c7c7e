"""What all of the API's collections have in common: pages, filters, ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, cast

import msgspec

from storefront.polar.transport import Answer, Transport
from storefront.secret import Secret

#: Polar gives at most this many items a page, and clamps a larger limit without a word.
MAX_LIMIT = 100

# Beyond it, Polar's own arithmetic overflows into a 500.
_MAX_PAGE = 1_000_000_000

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

T = TypeVar("T")
R = TypeVar("R", bound="Resource[Any]")
P = ParamSpec("P")

#: One id, or several, any of which may match.
Ids: TypeAlias = "str | Sequence[str] | None"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: iterable, with the list's totals attached."""

    items: tuple[T, ...]
    #: How many items there are on all pages.
    total_count: int
    #: The number of the last page; 0 when there are no items at all.
    max_page: int

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class _Pagination(msgspec.Struct):
    total_count: int
    max_page: int


class _RawPage(msgspec.Struct):
    # Items are decoded one by one, so that an error can name the one it is about.
    items: list[msgspec.Raw]
    pagination: _Pagination


class Identified(msgspec.Struct):
    """Anything, of which only the id is of interest."""

    id: str


_raw_pages = msgspec.json.Decoder(_RawPage)
_identified = msgspec.json.Decoder(Identified)


class Resource(Generic[T]):
    """A collection that is listed at ``path`` and read by id below it."""

    path: ClassVar[str]
    #: The second field gives rows that share the first one a fixed order: without it, pages of
    #: a bulk import repeat some rows and skip others. Empty where Polar sorts nothing.
    sorting: ClassVar[tuple[str, ...]]
    decoder: msgspec.json.Decoder[T]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, id: str, *, timeout: float | None = None) -> T:
        """Read one by its id.

        :raises ValueError: when ``id`` is not a UUID; nothing is sent then.
        :raises PolarNotFound: when there is none, or it belongs to another organization.
        """
        path = self._path_of(uuid("id", id))
        return self._read(self._transport.request("GET", path, timeout=timeout))

    def _path_of(self, id: str) -> str:
        return f"{self.path.rstrip('/')}/{id}"

    def _read(self, answer: Answer) -> T:
        return self._completed(answer.decode(self.decoder))

    def _completed(self, item: T) -> T:
        return item

    def _page(
        self,
        filters: Mapping[str, Any],
        page: int,
        limit: int,
        sorting: Sequence[str] | None,
        timeout: float | None,
        token: Secret | None = None,
    ) -> Page[T]:
        params = [
            ("page", str(_in_range("page", page, _MAX_PAGE))),
            ("limit", str(_in_range("limit", limit, MAX_LIMIT))),
        ]
        params += [("sorting", field) for field in (self.sorting if sorting is None else sorting)]
        for name, value in filters.items():
            params += _filter(name, value)
        answer = self._transport.request(
            "GET", self.path, params=params, token=token, timeout=timeout
        )
        raw = answer.decode(_raw_pages)
        return Page(
            items=tuple(self._item(answer, number, item) for number, item in enumerate(raw.items)),
            total_count=raw.pagination.total_count,
            max_page=raw.pagination.max_page,
        )

    def _item(self, answer: Answer, number: int, raw: msgspec.Raw) -> T:
        try:
            return self._completed(self.decoder.decode(raw))
        except (msgspec.MsgspecError, ValueError) as exc:
            reason = str(exc)
        except RecursionError:
            reason = "it is nested too deeply"
        raise answer.unreadable(f"{_name(raw, number)}: {reason}")


def over_pages(
    read: Callable[Concatenate[R, P], Page[T]],
) -> Callable[Concatenate[R, P], Iterator[T]]:
    """Make a resource's ``iterate`` of its ``list``, with the same arguments."""

    @wraps(read)
    def iterate(self: R, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        number = last = cast("int", kwargs.get("page", 1))
        while number <= last:
            kwargs["page"] = number
            page = read(self, *args, **kwargs)
            yield from page
            number, last = number + 1, page.max_page if page.items else 0

    iterate.__doc__ = """Read all pages, one call each, as their items are asked for.

        Takes what ``list`` takes: ``page`` is where to start, ``timeout`` is each call's.
        """
    return iterate


def uuid(name: str, value: object) -> str:
    """Bring an id into the form in which it may be part of a path.

    :raises ValueError: when it is none.
    """
    if isinstance(value, str) and _UUID.fullmatch(value.lower()):
        return value.lower()
    raise ValueError(f"{name} must be a UUID such as 4d9da0c8-624a-4ab4-b70c-408c28772d94")


def uuids(name: str, value: Ids) -> tuple[str, ...]:
    """Bring the ids of a filter into their canonical form.

    :raises ValueError: when one of them is none.
    """
    if value is None:
        return ()
    return tuple(uuid(name, one) for one in ((value,) if isinstance(value, str) else value))


def _in_range(name: str, value: int, highest: int) -> int:
    if not 1 <= value <= highest:
        raise ValueError(f"{name} must be from 1 to {highest:,}")
    return value


def _filter(name: str, value: bool | Ids) -> Iterator[tuple[str, str]]:
    """Write a filter as Polar reads it: repeated, not a list with commas."""
    if value is None:
        return
    if isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, str):
        yield name, value
    else:
        for one in value:
            yield name, one


def _name(raw: msgspec.Raw, number: int) -> str:
    """Name an item of a list that can't be decoded, by its id where that can be read."""
    try:
        id = _identified.decode(raw).id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        id = ""
    return f"item {id}" if _UUID.fullmatch(id) else f"item {number + 1} of the page"
