"""The client: Polar's resources as Python calls.

One :class:`Client` serves a whole process: it may be called by many threads at once. Every call
takes ``timeout``, the total number of seconds that it may last, in place of the client's own,
and raises one of :class:`~storefront.errors.PolarError`'s subclasses when it fails.
Ids are checked before anything is sent, so that a visitor's string never shapes a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import msgspec

from storefront.polar.models import (
    Checkout,
    CheckoutLink,
    CustomerSession,
    Order,
    Organization,
    Product,
)
from storefront.polar.servers import Server
from storefront.polar.transport import Answer, Transport
from storefront.secret import Secret

#: Polar gives at most this many items a page, and clamps a larger limit without a word.
MAX_LIMIT = 100

# Beyond it, Polar's own arithmetic overflows into a 500.
_MAX_PAGE = 1_000_000_000

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

T = TypeVar("T")

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


class _Identified(msgspec.Struct):
    id: str


_raw_pages = msgspec.json.Decoder(_RawPage)
_identified = msgspec.json.Decoder(_Identified)


class _Resource(Generic[T]):
    """A collection that is listed at ``path`` and read by id below it."""

    path: ClassVar[str]
    #: The second field gives rows that share the first one a fixed order: without it, pages of
    #: a bulk import repeat some rows and skip others.
    sorting: ClassVar[tuple[str, ...]]
    decoder: msgspec.json.Decoder[T]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, id: str, *, timeout: float | None = None) -> T:
        """Read one by its id.

        :raises ValueError: when ``id`` is not a UUID; nothing is sent then.
        :raises PolarNotFound: when there is none, or it belongs to another organization.
        """
        answer = self._transport.request("GET", self.path + _uuid("id", id), timeout=timeout)
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
    ) -> Page[T]:
        params = [
            ("page", str(_in_range("page", page, _MAX_PAGE))),
            ("limit", str(_in_range("limit", limit, MAX_LIMIT))),
        ]
        params += [("sorting", field) for field in (self.sorting if sorting is None else sorting)]
        for name, value in filters.items():
            params += _filter(name, value)
        answer = self._transport.request("GET", self.path, params=params, timeout=timeout)
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

    def _walk(self, read: Callable[[int], Page[T]]) -> Iterator[T]:
        number, last = 1, 1
        while number <= last:
            page = read(number)
            yield from page
            number, last = number + 1, page.max_page if page.items else 0


class Products(_Resource[Product]):
    """``/v1/products/``: archived, draft and private ones too, unless filtered."""

    path = "/products/"
    sorting = ("created_at", "name")
    decoder = msgspec.json.Decoder(Product)

    def list(
        self,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        sorting: Sequence[str] | None = None,
        id: Ids = None,
        organization_id: Ids = None,
        is_archived: bool | None = None,
        visibility: Ids = None,
        timeout: float | None = None,
    ) -> Page[Product]:
        """Read one page; oldest first, unless ``sorting`` says otherwise.

        ``sorting`` takes ``created_at``, ``name``, ``price_amount_type`` and ``price_amount``,
        with a leading ``-`` for descending; ``visibility`` is ``public``, ``private`` or
        ``draft``.
        """
        filters = {
            "id": _uuids("id", id),
            "organization_id": _uuids("organization_id", organization_id),
            "is_archived": is_archived,
            "visibility": visibility,
        }
        return self._page(filters, page, limit, sorting, timeout)

    def iterate(
        self,
        *,
        limit: int = MAX_LIMIT,
        sorting: Sequence[str] | None = None,
        organization_id: Ids = None,
        is_archived: bool | None = None,
        visibility: Ids = None,
        timeout: float | None = None,
    ) -> Iterator[Product]:
        """Read all pages, one call each, as they are asked for; ``timeout`` is each call's."""
        return self._walk(
            lambda page: self.list(
                page=page,
                limit=limit,
                sorting=sorting,
                organization_id=organization_id,
                is_archived=is_archived,
                visibility=visibility,
                timeout=timeout,
            )
        )

    def _completed(self, item: Product) -> Product:
        return complete_product(item)


class CheckoutLinks(_Resource[CheckoutLink]):
    """``/v1/checkout-links/``: each with a ``url`` and ``products``, also of older answers."""

    path = "/checkout-links/"
    sorting = ("created_at", "label")
    decoder = msgspec.json.Decoder(CheckoutLink)

    def list(
        self,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        sorting: Sequence[str] | None = None,
        organization_id: Ids = None,
        product_id: Ids = None,
        timeout: float | None = None,
    ) -> Page[CheckoutLink]:
        """Read one page; oldest first, unless ``sorting`` says otherwise.

        ``sorting`` takes ``created_at``, ``label``, ``success_url`` and
        ``allow_discount_codes``. Filtered by ``product_id``, a link comes with only the matching
        products, and may be counted twice: read it by id for the whole.
        Source: recorded answers of Polar's API, 2026-11-22.
        """
        filters = {
            "organization_id": _uuids("organization_id", organization_id),
            "product_id": _uuids("product_id", product_id),
        }
        return self._page(filters, page, limit, sorting, timeout)

    def iterate(
        self,
        *,
        limit: int = MAX_LIMIT,
        sorting: Sequence[str] | None = None,
        organization_id: Ids = None,
        product_id: Ids = None,
        timeout: float | None = None,
    ) -> Iterator[CheckoutLink]:
        """Read all pages, one call each, as they are asked for; ``timeout`` is each call's."""
        return self._walk(
            lambda page: self.list(
                page=page,
                limit=limit,
                sorting=sorting,
                organization_id=organization_id,
                product_id=product_id,
                timeout=timeout,
            )
        )

    def _completed(self, item: CheckoutLink) -> CheckoutLink:
        return complete_link(item, self._transport.server)


class Checkouts(_Resource[Checkout]):
    """``/v1/checkouts/``: the sessions that opening a link makes. Read by id only."""

    path = "/checkouts/"
    decoder = msgspec.json.Decoder(Checkout)


class Orders(_Resource[Order]):
    """``/v1/orders/``."""

    path = "/orders/"
    sorting = ("-created_at", "invoice_number")
    decoder = msgspec.json.Decoder(Order)

    def list(
        self,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        sorting: Sequence[str] | None = None,
        organization_id: Ids = None,
        checkout_id: Ids = None,
        customer_id: Ids = None,
        product_id: Ids = None,
        timeout: float | None = None,
    ) -> Page[Order]:
        """Read one page; newest first, unless ``sorting`` says otherwise.

        The order of a checkout that has just succeeded may take some moments to appear.
        ``sorting`` takes ``created_at``, ``status``, ``invoice_number``, ``amount``,
        ``net_amount``, ``customer``, ``product``, ``discount`` and ``subscription``.
        """
        filters = {
            "organization_id": _uuids("organization_id", organization_id),
            "checkout_id": _uuids("checkout_id", checkout_id),
            "customer_id": _uuids("customer_id", customer_id),
            "product_id": _uuids("product_id", product_id),
        }
        return self._page(filters, page, limit, sorting, timeout)

    def iterate(
        self,
        *,
        limit: int = MAX_LIMIT,
        sorting: Sequence[str] | None = None,
        organization_id: Ids = None,
        checkout_id: Ids = None,
        customer_id: Ids = None,
        product_id: Ids = None,
        timeout: float | None = None,
    ) -> Iterator[Order]:
        """Read all pages, one call each, as they are asked for; ``timeout`` is each call's."""
        return self._walk(
            lambda page: self.list(
                page=page,
                limit=limit,
                sorting=sorting,
                organization_id=organization_id,
                checkout_id=checkout_id,
                customer_id=customer_id,
                product_id=product_id,
                timeout=timeout,
            )
        )


class Organizations(_Resource[Organization]):
    """``/v1/organizations/``: a token sees the one that it belongs to."""

    path = "/organizations/"
    sorting = ("created_at", "slug")
    decoder = msgspec.json.Decoder(Organization)

    def list(
        self, *, page: int = 1, limit: int = MAX_LIMIT, timeout: float | None = None
    ) -> Page[Organization]:
        """Read one page, oldest first."""
        return self._page({}, page, limit, None, timeout)


class CustomerSessions:
    """``/v1/customer-sessions/``: the way into Polar's portal for one customer."""

    _decoder = msgspec.json.Decoder(CustomerSession)

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        *,
        customer_id: str | None = None,
        external_customer_id: str | None = None,
        return_url: str | None = None,
        timeout: float | None = None,
    ) -> CustomerSession:
        """Open a session of an hour for a customer, named by Polar's id or by the shop's own.

        ``return_url`` is where the portal's back button leads.

        :raises ValueError: unless exactly one of the ids is given, and is fit to be one.
        :raises PolarInvalidRequest: when there is no such customer.
        """
        if (customer_id is None) == (external_customer_id is None):
            raise ValueError("give either customer_id or external_customer_id")
        body: dict[str, str] = {}
        if customer_id is not None:
            body["customer_id"] = _uuid("customer_id", customer_id)
        if external_customer_id is not None:
            # Polar's database takes no NUL and answers it with a 500.
            if not external_customer_id or "\0" in external_customer_id:
                raise ValueError("external_customer_id must be a string without NUL, not empty")
            body["external_customer_id"] = external_customer_id
        if return_url is not None:
            body["return_url"] = return_url
        answer = self._transport.request("POST", "/customer-sessions/", json=body, timeout=timeout)
        return answer.decode(self._decoder)


class CustomerPortal:
    """``/v1/customer-portal/``: what a customer may read with a session token of their own."""

    _decoder = msgspec.json.Decoder(_Identified)

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def customer_id(self, session_token: Secret | str, *, timeout: float | None = None) -> str:
        """Tell whose session token this is: the same id as a checkout's ``customer_id``.

        :raises PolarUnauthorized: when it is unknown, has expired, or is no session token. The
            token may come from a visitor as it is.
        """
        if isinstance(session_token, str):
            session_token = Secret(session_token)
        answer = self._transport.request(
            "GET", "/customer-portal/customers/me", token=session_token, timeout=timeout
        )
        return answer.decode(self._decoder).id


class Client:
    """Polar's API, with one organization's access token.

    ``timeout`` is the total number of seconds that a call may take, whatever happens on the
    way. ``proxy_url`` and ``ca_bundle`` are used when given; the environment's are not, nor is
    a netrc file. ``user_agent`` replaces ``flask-polar-storefront/<version>``.

    :raises ValueError: when the token has characters that no token has, such as a line end.
    """

    def __init__(
        self,
        server: Server,
        token: Secret | str | None,
        *,
        timeout: float = 10.0,
        proxy_url: str | None = None,
        ca_bundle: str | None = None,
        user_agent: str | None = None,
    ) -> None:
        if isinstance(token, str):
            token = Secret(token)
        self.server = server
        self._transport = transport = Transport(
            server,
            token,
            timeout=timeout,
            proxy_url=proxy_url,
            ca_bundle=ca_bundle,
            user_agent=user_agent,
        )
        self.products = Products(transport)
        self.checkout_links = CheckoutLinks(transport)
        self.checkouts = Checkouts(transport)
        self.orders = Orders(transport)
        self.organizations = Organizations(transport)
        self.customer_sessions = CustomerSessions(transport)
        self.customer_portal = CustomerPortal(transport)

    def __repr__(self) -> str:
        return f"<Client of {self.server.api_url}>"

    def close(self) -> None:
        """Close the idle connections. The client stays usable."""
        self._transport.close()


def complete_product(product: Product) -> Product:
    """Bring a product of an older answer into today's shape.

    There the price has the interval of a subscription, and the product none.
    """
    if product.recurring_interval is None:
        for price in product.prices:
            if price.recurring_interval:
                return msgspec.structs.replace(
                    product, recurring_interval=price.recurring_interval, is_recurring=True
                )
    return product


def complete_link(link: CheckoutLink, server: Server) -> CheckoutLink:
    """Bring a checkout link of an older answer into today's shape.

    There it has one ``product`` with, at times, a ``product_price`` beside it, and no ``url``.
    """
    products = link.products or ((link.product,) if link.product is not None else ())
    if len(products) == 1 and not products[0].prices and link.product_price is not None:
        products = (msgspec.structs.replace(products[0], prices=(link.product_price,)),)
    products = tuple(complete_product(product) for product in products)
    url = link.url or (server.link_url(link.client_secret) if link.client_secret else "")
    if products == link.products and url == link.url:
        return link
    return msgspec.structs.replace(link, products=products, url=url)


def _uuid(name: str, value: object) -> str:
    if isinstance(value, str) and _UUID.fullmatch(value.lower()):
        return value.lower()
    raise ValueError(f"{name} must be a UUID such as 4d9da0c8-624a-4ab4-b70c-408c28772d94")


def _uuids(name: str, value: Ids) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(_uuid(name, one) for one in ((value,) if isinstance(value, str) else value))


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
