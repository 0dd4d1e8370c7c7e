"""What customers read of themselves, each with a session token of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from storefront.polar.models import BenefitGrant, Downloadable, LicenseKey, Order
from storefront.polar.resource import MAX_LIMIT, Identified, Ids, Page, Resource, uuid, uuids
from storefront.polar.transport import Transport
from storefront.secret import Secret

T = TypeVar("T")


class CustomerPortal:
    """``/v1/customer-portal/``: what a customer may read with a session token of their own.

    The token may come from a visitor as it is. Every call raises ``PolarUnauthorized`` when it is
    unknown, has expired, or is no session token.

    Source: recorded answers of Polar's API, 2026-11-22.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._orders = _Orders(transport)
        self._grants = _Grants(transport)
        self._keys = _Keys(transport)
        self._files = _Files(transport)

    def customer_id(self, session_token: Secret | str, *, timeout: float | None = None) -> str:
        """Tell whose session token this is: the same id as a checkout's ``customer_id``."""
        session_token = _secret(session_token)
        answer = self._transport.request(
            "GET", "/customer-portal/customers/me", token=session_token, timeout=timeout
        )
        return answer.decode(_identified).id

    def orders(
        self,
        session_token: Secret | str,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        product_id: Ids = None,
        timeout: float | None = None,
    ) -> Page[Order]:
        """Read a page of the customer's own orders, newest first."""
        session_token = _secret(session_token)
        filters = {"product_id": uuids("product_id", product_id)}
        return self._orders.of(session_token, filters, page, limit, timeout)

    def order(self, session_token: Secret | str, id: str, *, timeout: float | None = None) -> Order:
        """Read one of the customer's own orders.

        :raises ValueError: when ``id`` is not a UUID; nothing is sent then.
        :raises PolarNotFound: when there is none, or it is somebody else's.
        """
        session_token = _secret(session_token)
        path = f"/customer-portal/orders/{uuid('id', id)}"
        answer = self._transport.request("GET", path, token=session_token, timeout=timeout)
        return answer.decode(_Orders.decoder)

    def benefit_grants(
        self,
        session_token: Secret | str,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        order_id: Ids = None,
        subscription_id: Ids = None,
        checkout_id: Ids = None,
        timeout: float | None = None,
    ) -> Page[BenefitGrant]:
        """Read a page of what the customer was granted, in the order of the product's benefits.

        Those of an order come some moments after it, and what was revoked is left out. A product
        that recurs grants for the subscription, not for the order; ``checkout_id`` finds either.
        """
        session_token = _secret(session_token)
        filters = {
            "order_id": uuids("order_id", order_id),
            "subscription_id": uuids("subscription_id", subscription_id),
            "checkout_id": uuids("checkout_id", checkout_id),
        }
        return self._grants.of(session_token, filters, page, limit, timeout)

    def license_keys(
        self,
        session_token: Secret | str,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        timeout: float | None = None,
    ) -> Page[LicenseKey]:
        """Read a page of the customer's license keys, oldest first; revoked ones too."""
        session_token = _secret(session_token)
        return self._keys.of(session_token, {}, page, limit, timeout)

    def downloadables(
        self,
        session_token: Secret | str,
        *,
        page: int = 1,
        limit: int = MAX_LIMIT,
        benefit_id: Ids = None,
        timeout: float | None = None,
    ) -> Page[Downloadable]:
        """Read a page of the files that the customer may download, with addresses that are good
        for some minutes."""
        session_token = _secret(session_token)
        filters = {"benefit_id": uuids("benefit_id", benefit_id)}
        return self._files.of(session_token, filters, page, limit, timeout)


class _Mine(Resource[T]):
    """A collection of which each customer sees their own part."""

    sorting = ()

    def of(
        self,
        session_token: Secret,
        filters: Mapping[str, Any],
        page: int,
        limit: int,
        timeout: float | None,
    ) -> Page[T]:
        return self._page(filters, page, limit, None, timeout, session_token)


class _Orders(_Mine[Order]):
    path = "/customer-portal/orders/"
    decoder = msgspec.json.Decoder(Order)


class _Grants(_Mine[BenefitGrant]):
    path = "/customer-portal/benefit-grants/"
    decoder = msgspec.json.Decoder(BenefitGrant)


class _Keys(_Mine[LicenseKey]):
    path = "/customer-portal/license-keys/"
    decoder = msgspec.json.Decoder(LicenseKey)


class _Files(_Mine[Downloadable]):
    path = "/customer-portal/downloadables/"
    decoder = msgspec.json.Decoder(Downloadable)


_identified = msgspec.json.Decoder(Identified)


def _secret(token: Secret | str) -> Secret:
    """A token as it may stand in a local variable, which tracebacks show."""
    return Secret(token) if isinstance(token, str) else token
