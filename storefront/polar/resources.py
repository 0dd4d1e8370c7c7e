"""What is read of Polar, one class a collection. Checkout links are in a module of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from storefront.errors import PolarNotFound
from storefront.polar.models import (
    Checkout,
    CustomerSession,
    Discount,
    Order,
    Organization,
    Product,
    WebhookEndpoint,
)
from storefront.polar.older import complete_product
from storefront.polar.resource import (
    MAX_LIMIT,
    Ids,
    Page,
    Resource,
    over_pages,
    uuid,
    uuids,
)
from storefront.polar.transport import Transport
from storefront.secret import Secret


class _Invoice(msgspec.Struct):
    url: str


_invoices = msgspec.json.Decoder(_Invoice)


class Products(Resource[Product]):
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
        benefit_id: Ids = None,
        timeout: float | None = None,
    ) -> Page[Product]:
        """Read one page; oldest first, unless ``sorting`` says otherwise.

        ``sorting`` takes ``created_at``, ``name``, ``price_amount_type`` and ``price_amount``,
        with a leading ``-`` for descending; ``visibility`` is ``public``, ``private`` or
        ``draft``. Filtered by ``benefit_id``, a product comes with only the matching benefits:
        read it by id for the whole. Source: recorded answers of Polar's API, 2026-11-22.
        """
        filters = {
            "id": uuids("id", id),
            "organization_id": uuids("organization_id", organization_id),
            "is_archived": is_archived,
            "visibility": visibility,
            "benefit_id": uuids("benefit_id", benefit_id),
        }
        return self._page(filters, page, limit, sorting, timeout)

    iterate = over_pages(list)

    def _completed(self, item: Product) -> Product:
        return complete_product(item)


class Checkouts(Resource[Checkout]):
    """``/v1/checkouts/``: the sessions that opening a link makes. Read by id only."""

    path = "/checkouts/"
    decoder = msgspec.json.Decoder(Checkout)


class Orders(Resource[Order]):
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
        status: Ids = None,
        created_after: datetime | None = None,
        timeout: float | None = None,
    ) -> Page[Order]:
        """Read one page; newest first, unless ``sorting`` says otherwise.

        The order of a checkout that has just succeeded may take some moments to appear.
        ``status`` is one or several of ``pending``, ``paid``, ``refunded`` and
        ``partially_refunded``.
        ``sorting`` takes ``created_at``, ``status``, ``invoice_number``, ``amount``,
        ``net_amount``, ``customer``, ``product``, ``discount`` and ``subscription``.
        """
        filters = {
            "organization_id": uuids("organization_id", organization_id),
            "checkout_id": uuids("checkout_id", checkout_id),
            "customer_id": uuids("customer_id", customer_id),
            "product_id": uuids("product_id", product_id),
            "status": status,
            "created_after": created_after.isoformat() if created_after else None,
        }
        return self._page(filters, page, limit, sorting, timeout)

    iterate = over_pages(list)

    def invoice(self, id: str, *, timeout: float | None = None) -> Secret | None:
        """Find out where the invoice of an order can be downloaded, for a while.

        Polar draws one up when it is asked to: this asks where there is none yet, and gives None
        until there is. ``timeout`` is each call's. Whoever has the address has the invoice, with
        the name and the address of the buyer.
        Source: recorded answers of Polar's API, 2026-11-22.

        :raises ValueError: when ``id`` is not a UUID; nothing is sent then.
        :raises PolarNotFound: when there is no such order.
        """
        path = f"{self._path_of(uuid('id', id))}/invoice"
        try:
            return self._invoice(path, timeout)
        except PolarNotFound:
            # It may be the order that is not there: then this says so as well.
            self._transport.request("POST", path, timeout=timeout)
        try:
            return self._invoice(path, timeout)
        except PolarNotFound:
            return None

    def _invoice(self, path: str, timeout: float | None) -> Secret:
        answer = self._transport.request("GET", path, timeout=timeout)
        return Secret(answer.decode(_invoices).url)


class Discounts(Resource[Discount]):
    """``/v1/discounts/``: expired and used up ones too."""

    path = "/discounts/"
    sorting = ("created_at", "name")
    decoder = msgspec.json.Decoder(Discount)

    def list(
        self,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        sorting: Sequence[str] | None = None,
        organization_id: Ids = None,
        query: str | None = None,
        timeout: float | None = None,
    ) -> Page[Discount]:
        """Read one page; oldest first, unless ``sorting`` says otherwise.

        ``query`` is a part of the name. ``sorting`` takes ``created_at``, ``name``, ``code``,
        ``redemptions_count`` and ``ends_at``.
        Source: Polar's OpenAPI document of version 2026-10.
        """
        filters = {"organization_id": uuids("organization_id", organization_id), "query": query}
        return self._page(filters, page, limit, sorting, timeout)

    iterate = over_pages(list)


class WebhookEndpoints(Resource[WebhookEndpoint]):
    """``/v1/webhooks/endpoints``: where Polar reports what happens. Read without their secrets."""

    path = "/webhooks/endpoints"  # without the slash that the others end in
    sorting = ()
    decoder = msgspec.json.Decoder(WebhookEndpoint)

    def list(
        self,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        organization_id: Ids = None,
        timeout: float | None = None,
    ) -> Page[WebhookEndpoint]:
        """Read one page, in Polar's own order.

        Source: recorded answers of Polar's API, 2026-11-22.
        """
        filters = {"organization_id": uuids("organization_id", organization_id)}
        return self._page(filters, page, limit, None, timeout)

    iterate = over_pages(list)


class Organizations(Resource[Organization]):
    """``/v1/organizations/``: a token sees the one that it belongs to."""

    path = "/organizations/"
    sorting = ("created_at", "slug")
    decoder = msgspec.json.Decoder(Organization)

    def list(
        self, *, page: int = 1, limit: int = MAX_LIMIT, timeout: float | None = None
    ) -> Page[Organization]:
        """Read one page, oldest first."""
        return self._page({}, page, limit, None, timeout)

    iterate = over_pages(list)


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
            body["customer_id"] = uuid("customer_id", customer_id)
        if external_customer_id is not None:
            # Polar's database takes no NUL and answers it with a 500.
            if not external_customer_id or "\0" in external_customer_id:
                raise ValueError("external_customer_id must be a string without NUL, not empty")
            body["external_customer_id"] = external_customer_id
        if return_url is not None:
            body["return_url"] = return_url
        answer = self._transport.request("POST", "/customer-sessions/", json=body, timeout=timeout)
        return answer.decode(self._decoder)
