"""Checkout links: listed, read, and, unlike all else of Polar's, made, changed and deleted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from storefront.errors import PolarError, PolarRateLimited, PolarUnavailable
from storefront.polar.checks import LINK_KEY, check_id, check_key, check_link_fields
from storefront.polar.models import CheckoutLink
from storefront.polar.older import complete_link
from storefront.polar.resource import MAX_LIMIT, Ids, Page, Resource, over_pages, uuids

# Newest first: what was just made is on the first page.
_NEWEST = ("-created_at", "label")

# When to look for a link whose answer was lost, in seconds after one another. Polar may still be
# at work on a request when the connection that brought it is gone.
_LOOKS_AFTER = (0.0, 1.0)


class CheckoutLinks(Resource[CheckoutLink]):
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
            "organization_id": uuids("organization_id", organization_id),
            "product_id": uuids("product_id", product_id),
        }
        return self._page(filters, page, limit, sorting, timeout)

    iterate = over_pages(list)

    def create(
        self,
        products: Sequence[str],
        *,
        label: str | None = None,
        discount_id: str | None = None,
        allow_discount_codes: bool = True,
        require_billing_address: bool = False,
        success_url: str | None = None,
        return_url: str | None = None,
        trial_interval: str | None = None,
        trial_interval_count: int | None = None,
        seats: int | None = None,
        units: int | None = None,
        metadata: Mapping[str, str | int | float | bool] | None = None,
        payment_processor: str = "stripe",
        key: str | None = None,
        timeout: float | None = None,
    ) -> CheckoutLink:
        """Make a link that sells one or more products, the first of which is preselected.

        ``success_url`` is where a buyer goes after paying; ``{CHECKOUT_ID}`` in it becomes the
        checkout's id. ``return_url`` is where the checkout's back button leads. A trial lasts
        ``trial_interval_count`` of ``day``, ``week``, ``month`` or ``year``. ``seats`` and
        ``units`` are for products that all have such a price. ``metadata``, of at most 49 pairs,
        is copied to every checkout and order.

        A link is made once, also when the answer is lost on its way: its metadata gets ``key``,
        or a random one, as ``storefront_key``, and the link that has it is looked for and given.
        With a ``key`` of your own, of up to 500 characters, that is done beforehand as well: a
        link that has it already is given as it is, whatever else was asked for, so that a call
        that failed can be repeated, by another process too. Two calls with the same key at the
        same moment can still make two links. ``timeout`` is each request's.

        :raises LinkError: for a value that Polar would fail on, or keep and break on later;
            nothing is sent then.
        :raises PolarInvalidRequest: for one that only Polar can judge, such as an archived product.
        :raises PolarUnavailable: when no link was made as far as can be seen, or that can't be
            seen; its ``key`` is the one to call with again, and no second link comes of it.
        """
        fields = {
            "products": products,
            "label": label,
            "discount_id": discount_id,
            "allow_discount_codes": allow_discount_codes,
            "require_billing_address": require_billing_address,
            "success_url": success_url,
            "return_url": return_url,
            "trial_interval": trial_interval,
            "trial_interval_count": trial_interval_count,
            "seats": seats,
            "units": units,
            "metadata": {} if metadata is None else metadata,
            "payment_processor": payment_processor,
        }
        check_link_fields(fields, creating=True)
        body = _body({name: value for name, value in fields.items() if value is not None})
        if key is not None:
            made = self._with_key(check_key(key), self.iterate(sorting=_NEWEST, timeout=timeout))
            if made is not None:
                return made
        else:
            key = secrets.token_urlsafe(16)
        body["metadata"][LINK_KEY] = key
        return self._make(body, key, timeout)

    def update(
        self,
        id: str,
        *,
        products: Sequence[str] | UnsetType = UNSET,
        label: str | UnsetType | None = UNSET,
        discount_id: str | UnsetType | None = UNSET,
        allow_discount_codes: bool | UnsetType = UNSET,
        require_billing_address: bool | UnsetType = UNSET,
        success_url: str | UnsetType | None = UNSET,
        return_url: str | UnsetType | None = UNSET,
        trial_interval: str | UnsetType | None = UNSET,
        trial_interval_count: int | UnsetType | None = UNSET,
        seats: int | UnsetType | None = UNSET,
        units: int | UnsetType | None = UNSET,
        metadata: Mapping[str, str | int | float | bool] | UnsetType = UNSET,
        timeout: float | None = None,
    ) -> CheckoutLink:
        """Change what is given, and leave the rest; None clears.

        ``products`` and ``metadata`` are replaced whole. Metadata without the pair that
        ``create`` put there takes the link its ``storefront_key``: pass that on to keep it. Asking
        twice for the same change is no different from asking once.

        :raises LinkError: for a value that Polar would fail on, drop, or keep and break on later.
        :raises PolarNotFound: when there is no such link.
        :raises PolarInvalidRequest: for a value that only Polar can judge.
        """
        path = self._path_of(check_id("id", id))
        fields = {
            "products": products,
            "label": label,
            "discount_id": discount_id,
            "allow_discount_codes": allow_discount_codes,
            "require_billing_address": require_billing_address,
            "success_url": success_url,
            "return_url": return_url,
            "trial_interval": trial_interval,
            "trial_interval_count": trial_interval_count,
            "seats": seats,
            "units": units,
            "metadata": metadata,
        }
        check_link_fields(fields, creating=False)
        body = _body({name: value for name, value in fields.items() if value is not UNSET})
        return self._read(self._transport.request("PATCH", path, json=body, timeout=timeout))

    def delete(self, id: str, *, timeout: float | None = None) -> None:
        """Delete a link: whoever opens its URL is told that it is gone.

        :raises LinkError: when ``id`` is none.
        :raises PolarNotFound: when there is no such link; it may have been deleted before.
        """
        self._transport.request("DELETE", self._path_of(check_id("id", id)), timeout=timeout)

    def _completed(self, item: CheckoutLink) -> CheckoutLink:
        return complete_link(item, self._transport.server)

    def _make(self, body: dict[str, Any], key: str, timeout: float | None) -> CheckoutLink:
        """Send a link to be made, and when the answer is lost, look whether it was."""
        try:
            return self._read(
                self._transport.request("POST", self.path, json=body, timeout=timeout)
            )
        except PolarRateLimited:
            raise
        except PolarUnavailable as exc:
            if not exc.sent or _is_redirect(exc):
                raise
            lost = exc
        outcome = (
            "No link with the key was found, so none was made as far as can be seen, and calling "
            f"again with the same key is safe: key={key!r}."
        )
        try:
            for seconds in _LOOKS_AFTER:
                time.sleep(seconds)
                made = self._with_key(key, self.list(sorting=_NEWEST, timeout=timeout))
                if made is not None:
                    return made
        except PolarError as exc:
            outcome = (
                f"Whether the link was made can't be seen: {exc} Calling again with the same key "
                f"is safe, and gives the link if there is one: key={key!r}."
            )
        failed = PolarUnavailable(
            f"{lost} {outcome}",
            method=lost.method,
            path=lost.path,
            status=lost.status,
            body=lost.body,
        )
        failed.date, failed.key = lost.date, key
        raise failed

    def _with_key(self, key: str, links: Iterable[CheckoutLink]) -> CheckoutLink | None:
        return next((link for link in links if link.metadata.get(LINK_KEY) == key), None)


def _body(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Write checked fields as they are sent, sharing nothing with what the caller holds."""
    body = dict(fields)
    if "products" in body:
        body["products"] = [check_id("products", id) for id in body["products"]]
    if body.get("discount_id") is not None:
        body["discount_id"] = check_id("discount_id", body["discount_id"])
    if "metadata" in body:
        body["metadata"] = dict(body["metadata"])
    return body


def _is_redirect(exc: PolarError) -> bool:
    return exc.status is not None and 300 <= exc.status < 400
