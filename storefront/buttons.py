"""From a reference to the URL behind a buy button: one way for macros, views and code."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import current_app, g, has_request_context, request

from storefront.catalog import Found
from storefront.errors import CatalogUnavailable, LinkError, UnknownReference
from storefront.links import UTM_NAMES, Theme, checkout_url, utm_parameters
from storefront.state import State, Visitor, get_state
from storefront.urls import page_url, success_url

logger = logging.getLogger("storefront")


@dataclass(frozen=True, slots=True)
class Button:
    """What a macro needs: where it leads, and what it sells."""

    #: The checkout link with everything in its query; None for a disabled button.
    url: str | None
    found: Found | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """What the site's own code says about a purchase. What is None comes from the visitor."""

    email: str | None = None
    name: str | None = None
    utm: Mapping[str, str | None] | None = None
    discount_code: str | None = None
    product: str | None = None
    amount: int | None = None
    locale: str | None = None
    theme: Theme | None = None
    custom_fields: Mapping[str, Any] | None = None
    reference_id: str | None = None


def make_button(reference: str, prefill: Prefill) -> Button:
    """The button for a product's slug or id, or a checkout link's id or label.

    In development a reference or a value that is wrong raises; in production it is logged, and
    the button is disabled or goes without the value: a mistake must not take a page down.

    :raises UnknownReference: nothing goes by that name (development only).
    :raises LinkError: a value can't go into the link (development only).
    """
    state = get_state()
    strict = raises_mistakes(state)
    try:
        found = state.catalog.current().find(reference, product=prefill.product)
    except UnknownReference as error:
        if strict:
            raise
        logger.error("A buy button is disabled. %s", error)
        return Button(None, None)
    except CatalogUnavailable as error:
        logger.warning("The buy button for %r is disabled. %s", reference, error)
        return Button(None, None)
    if found.offer is None:
        message = (
            f"No checkout link sells {found.product.slug!r}. Make one in Polar's dashboard "
            "(Products, Checkout Links)."
        )
        if strict and state.settings.unknown_reference == "raise":
            raise UnknownReference(reference, message)
        logger.warning("A buy button is disabled. %s", message)
        return Button(None, found)
    return Button(_url(state, found, prefill, strict), found)


def current_visitor() -> Visitor:
    """Who is signed in, asked once a request; an empty Visitor when nobody is."""
    callback = get_state().callbacks.visitor
    if callback is None or not has_request_context():
        return Visitor()
    if "storefront_visitor" not in g:
        found = callback()
        if found is not None and not isinstance(found, Visitor):
            raise TypeError(
                "The function registered with @shop.visitor returned "
                f"{type(found).__name__}; it has to return a storefront.Visitor or None."
            )
        g.storefront_visitor = found or Visitor()
    visitor: Visitor = g.storefront_visitor
    return visitor


def page_is_personal() -> bool:
    """Whether this request's page holds what belongs to one visitor only."""
    visitor = g.get("storefront_visitor", Visitor())
    return bool(visitor != Visitor() or g.get("storefront_personal", False))


def raises_mistakes(state: State) -> bool:
    """Whether a mistake in a template raises, as in development, or costs only its button."""
    policy = state.settings.unknown_reference
    if policy == "auto":
        return current_app.debug or current_app.testing
    return policy == "raise"


def _url(state: State, found: Found, prefill: Prefill, strict: bool) -> str:
    assert found.offer is not None
    if state.embedded is not None:
        state.embedded.follow_site(success_url(), page_url("catalog", external=True))
    link = found.offer.link
    several = len(link.products) > 1
    visitor = current_visitor()
    if prefill.email is not None or prefill.name is not None or prefill.reference_id is not None:
        g.storefront_personal = True
    # What the visitor brought comes first and is dropped where it is no good; what the site
    # says itself replaces it, and has to be right.
    brought: dict[str, Any] = dict(utm_parameters(request.args) if has_request_context() else {})
    url = checkout_url(
        link,
        product_id=found.product.id if several else None,
        customer_email=None if prefill.email is not None else visitor.email,
        customer_name=None if prefill.name is not None else visitor.name,
        discount_code=None if prefill.discount_code is not None else visitor.discount_code,
        reference_id=None if prefill.reference_id is not None else visitor.reference_id,
        locale=None if prefill.locale is not None else visitor.locale,
        lenient=True,
        **brought,
    )
    prefilled = msgspec.structs.replace(link, url=url)
    explicit: dict[str, Any] = {
        "customer_email": prefill.email,
        "customer_name": prefill.name,
        "discount_code": prefill.discount_code,
        "amount": prefill.amount,
        "locale": prefill.locale,
        "theme": prefill.theme,
        "custom_field_data": prefill.custom_fields,
        "reference_id": prefill.reference_id,
        "product_id": found.product.id if several else None,
    }
    try:
        explicit |= _utm_arguments(prefill.utm)
        return checkout_url(prefilled, **explicit)
    except LinkError as error:
        if strict:
            raise
        logger.error("The buy button for %r goes without a value. %s", found.product.slug, error)
        return checkout_url(prefilled, **explicit, lenient=True)


def _utm_arguments(utm: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """``{"source": "newsletter"}`` as ``{"utm_source": "newsletter"}``."""
    arguments = {}
    for key, value in (utm or {}).items():
        name = key if key.startswith("utm_") else f"utm_{key}"
        if name not in UTM_NAMES:
            choices = ", ".join(name.removeprefix("utm_") for name in UTM_NAMES)
            raise LinkError("utm", f"there is no {key!r}; the keys are {choices}.")
        arguments[name] = value
    return arguments
