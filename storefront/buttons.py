"""From a reference to the URL behind a buy button: one way for macros, views and code."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from flask import current_app, g, has_request_context, request
from flask.globals import app_ctx
from markupsafe import Markup

from storefront.catalog import Found
from storefront.errors import CatalogUnavailable, LinkError, UnknownReference
from storefront.links import (
    UTM_NAMES,
    Theme,
    encode_parameters,
    read_query,
    utm_parameters,
    with_parameters,
)
from storefront.settings import Buttons
from storefront.state import State, Visitor, get_state
from storefront.urls import page_url, success_url

logger = logging.getLogger("storefront")

_NOBODY: Final = Visitor()
#: Parameters that belong to one visitor only, wherever they come from.
_PERSONAL: Final = frozenset({"customer_email", "customer_name", "reference_id"})
_BROUGHT: Final = _PERSONAL | {"discount_code", "locale", *UTM_NAMES}
#: The arguments of ``checkout_url`` and those of a button, in the order of the URL.
_ARGUMENTS: Final = (
    ("customer_email", "email"),
    ("customer_name", "name"),
    ("discount_code", "discount_code"),
    ("amount", "amount"),
    ("locale", "locale"),
    ("theme", "theme"),
    ("custom_field_data", "custom_fields"),
    ("reference_id", "reference_id"),
)
_UTM_ARGUMENTS: Final = {name.removeprefix("utm_"): name for name in UTM_NAMES} | {
    name: name for name in UTM_NAMES
}
_NOTHING: Final[frozenset[str]] = frozenset()
_ALL_BUT_CAMPAIGN: Final = _BROUGHT.difference(UTM_NAMES)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


class Button(msgspec.Struct, frozen=True):
    """What a macro needs: where it leads, and what it sells."""

    #: The checkout link with everything in its query; None for a disabled button.
    url: str | None
    found: Found | None


class Prefill(msgspec.Struct, frozen=True, kw_only=True):
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
    via: Buttons | None = None


def make_button(reference: str, prefill: Prefill) -> Button:
    """The button for a product's slug or id, or a checkout link's id or label.

    In development a reference or a value that is wrong raises; in production it is logged, and
    the button is disabled or goes without the value: a mistake must not take a page down.

    :raises UnknownReference: nothing goes by that name (development only).
    :raises LinkError: a value can't go into the link (development only).
    """
    context = app_ctx._get_current_object()  # type: ignore[attr-defined]
    state = get_state(context.app)
    try:
        found = state.catalog.current().find(reference, product=prefill.product)
    except UnknownReference as error:
        if raises_mistakes(state):
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
        if state.settings.unknown_reference == "raise":
            raise UnknownReference(reference, message)
        logger.warning("A buy button is disabled. %s", message)
        return Button(None, found)
    return Button(_url(state, found, prefill, reference, context.g), found)


def public_url(
    found: Found,
    reference: str,
    *,
    utm: Mapping[str, str] | None = None,
    via: Buttons | None = None,
) -> str | None:
    """Where anybody buys what was found, as an absolute URL: for other sites, mails and print.

    Nothing of this request's visitor is in it, and of its query only what is given as ``utm``, by
    the names of ``UTM_NAMES``. ``reference`` is how the shop's own address names what was found.
    None where no link sells it.

    :raises LinkError: a value can't go into the link (development only).
    """
    if found.offer is None:
        return None
    state = get_state()
    if state.embedded is not None:
        tell_local_polar(state)
    prefill = Prefill(utm=utm, via=via)
    redirect = _address_of_buy(state, found, prefill, reference, external=True)
    return _base(state, found, prefill, redirect, g)[0]


def current_visitor() -> Visitor:
    """Who is signed in, asked once a request; an empty Visitor when nobody is."""
    callback = get_state().callbacks.visitor
    if callback is None or not has_request_context():
        return _NOBODY
    known: Visitor | None = g.get("storefront_visitor")
    if known is not None:
        return known
    found = callback()
    if found is not None and not isinstance(found, Visitor):
        raise TypeError(
            "The function registered with @shop.visitor returned "
            f"{type(found).__name__}; it has to return a storefront.Visitor or None."
        )
    if found is None or found == _NOBODY:
        found = _NOBODY
    g.storefront_visitor = found
    return found


def with_campaign(address: str) -> str:
    """An address of the shop's own, with the campaign that this request's visitor follows."""
    holes = g.get("storefront_holes")
    if holes is not None:
        placed: str = holes.place(address, _ALL_BUT_CAMPAIGN)
        return placed
    brought = without(brought_along(get_state()), _ALL_BUT_CAMPAIGN)
    return with_parameters(address, brought, lenient=True)


def campaign_fields() -> Markup:
    """That campaign as hidden fields, for a form that leads to the shop's own pages."""
    holes = g.get("storefront_holes")
    if holes is not None:
        placed: Markup = holes.place_fields(_ALL_BUT_CAMPAIGN)
        return placed
    return hidden_fields(without(brought_along(get_state()), _ALL_BUT_CAMPAIGN))


def hidden_fields(brought: Mapping[str, str]) -> Markup:
    """What is brought along, as ``brought_along`` gives it, for a form to send it again."""
    return Markup("").join(
        Markup('<input type="hidden" name="{}" value="{}">').format(
            name, unquote(pair.partition("=")[2])
        )
        for name, pair in brought.items()
    )


def ask_no_visitor() -> None:
    """Have this request's page hold nothing of who asks but the campaign: it is for everybody."""
    g.storefront_visitor = _NOBODY


def page_is_personal() -> bool:
    """Whether this request's page holds what belongs to one visitor only."""
    visitor = g.get("storefront_visitor", _NOBODY)
    return visitor is not _NOBODY or bool(g.get("storefront_personal", False))


def raises_mistakes(state: State) -> bool:
    """Whether a mistake in a template raises, as in development, or costs only its button."""
    policy = state.settings.unknown_reference
    if policy == "auto":
        return current_app.debug or current_app.testing
    return policy == "raise"


def _url(state: State, found: Found, prefill: Prefill, reference: str, g: Any) -> str:
    assert found.offer is not None
    if state.embedded is not None:
        tell_local_polar(state)
    redirect = _address_of_buy(state, found, prefill, reference)
    base, said = _base(state, found, prefill, redirect, g)
    holes = g.get("storefront_holes")
    brought = brought_along(state) if holes is None else {}
    if holes is None and not brought:
        return base
    given = _BROUGHT.intersection(said) if said else _NOTHING
    if redirect is not None:
        # That address asks who the visitor is by itself; it only can't see this page's campaign.
        given |= _ALL_BUT_CAMPAIGN
    if holes is not None:
        placed: str = holes.place(base, given)
        return placed
    return with_parameters(base, without(brought, given), lenient=True)


def _address_of_buy(
    state: State, found: Found, prefill: Prefill, reference: str, *, external: bool = False
) -> str | None:
    """The site's own address that leads to the checkout; None for a button that goes straight."""
    assert found.offer is not None
    via = prefill.via or state.settings.buttons
    if via == "link":
        return None
    if via != "redirect":
        _mistake(state, found, LinkError("via", f"may be 'link' or 'redirect', not {via!r}"))
        return None
    # What is not plain may be something else in a path, such as '..'.
    name = reference if _PLAIN_NAME.fullmatch(reference) else found.offer.link.id
    address = page_url("buy", external=external, reference=name)
    if address is None:
        _mistake(
            state,
            found,
            LinkError("via", "'redirect' needs the shop's pages: register shop.blueprint"),
        )
    return address


def _base(
    state: State, found: Found, prefill: Prefill, redirect: str | None, g: Any
) -> tuple[str, Collection[str]]:
    """The link with what the site says of the purchase, and the parameters that it speaks of.

    What the site says has to be right, and stands in place of what the visitor brings. With
    ``redirect``, that address takes the place of the link.
    """
    assert found.offer is not None
    link = found.offer.link
    url = redirect or link.url
    if redirect is not None and (prefill.email or prefill.name):
        field = "email" if prefill.email else "name"
        reason = "would show in an address of the site: @shop.visitor tells /buy who buys"
        _mistake(state, found, LinkError(field, reason))
        prefill = msgspec.structs.replace(prefill, email=None, name=None)
    explicit: dict[str, Any] = {}
    if len(link.products) > 1:
        explicit["product_id"] = found.product.id
    for field, argument in _ARGUMENTS:
        value = getattr(prefill, argument)
        if value is not None:
            explicit[field] = value
    if not explicit and not prefill.utm:
        return url, ()
    if not _PERSONAL.isdisjoint(explicit):
        g.storefront_personal = True
    said = tuple(explicit)
    try:
        if prefill.utm:
            explicit |= _utm_arguments(prefill.utm)
        encoded = encode_parameters(link, explicit)
        base = with_parameters(url, encoded)
    except LinkError as error:
        _mistake(state, found, error)
        encoded = encode_parameters(link, explicit, lenient=True)
        base = with_parameters(url, encoded, lenient=True)
    # A value that is left out still stands in place of the visitor's; a campaign's does not.
    return base, (*said, *encoded)


def _mistake(state: State, found: Found, error: LinkError) -> None:
    """Raise it in development; say it in the log otherwise."""
    if raises_mistakes(state):
        raise error
    logger.error("The buy button for %r goes without a value. %s", found.product.slug, error)


def brought_along(state: State) -> dict[str, str]:
    """What the visitor of this request brings into every button, encoded, by parameter.

    It comes from ``@shop.visitor`` and from the page's own query; what is no good is left out.
    """
    if not has_request_context():
        return {}
    environ = request.environ
    query = environ.get("QUERY_STRING", "")
    if not query and state.callbacks.visitor is None:
        return {}
    kept: tuple[object, dict[str, str]] | None = g.get("storefront_brought")
    if kept is not None and kept[0] is environ:
        return kept[1]
    values = visitor_values()
    if "utm_" in query or "%" in query:
        values |= utm_parameters(read_query(query))
    brought = encode_parameters(None, values, lenient=True) if values else {}
    g.storefront_brought = (environ, brought)
    return brought


def visitor_values() -> dict[str, str | None]:
    """What ``@shop.visitor`` tells of this request, by the arguments of ``checkout_url``."""
    visitor = current_visitor()
    if visitor is _NOBODY:
        return {}
    return {
        "customer_email": visitor.email,
        "customer_name": visitor.name,
        "discount_code": visitor.discount_code,
        "locale": visitor.locale,
        "reference_id": visitor.reference_id,
    }


def without(brought: dict[str, str], given: frozenset[str]) -> dict[str, str]:
    """What is brought along, but for what a button has been given."""
    if given and not given.isdisjoint(brought):
        return {name: pair for name, pair in brought.items() if name not in given}
    return brought


def tell_local_polar(state: State) -> None:
    """Have the links of the local Polar beside the site lead back to this shop."""
    if state.embedded is not None:
        state.embedded.follow_site(
            success_url(),
            page_url("catalog", external=True),
            webhook_url=page_url("webhooks", external=True),
            webhook_secret=state.settings.webhook_secrets[0],
        )


def _utm_arguments(utm: Mapping[str, str | None]) -> dict[str, str | None]:
    """``{"source": "newsletter"}`` as ``{"utm_source": "newsletter"}``."""
    arguments = {}
    for key, value in utm.items():
        name = _UTM_ARGUMENTS.get(key)
        if name is None:
            choices = ", ".join(name.removeprefix("utm_") for name in UTM_NAMES)
            raise LinkError("utm", f"there is no {key!r}; the keys are {choices}.")
        arguments[name] = value
    return arguments
