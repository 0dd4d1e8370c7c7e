"""``/buy/<reference>``: an address of the site's own that leads to the checkout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import current_visitor, tell_local_polar, visitor_values
from storefront.catalog import Catalog, Found
from storefront.errors import UnknownReference
from storefront.links import encode_parameters, read_query, utm_parameters, with_parameters
from storefront.state import State, get_state
from storefront.web.pages import ProductNotFound, current_catalog
from storefront.web.prepared import PRIVATE
from storefront.web.proof import is_ours, plant_buyer
from storefront.web.responses import ReadyResponse

#: What the query of the address may say, in Polar's own names; and any ``custom_field_data.…``.
#: The campaign is read with the visitor.
_TAKEN: Final = frozenset(
    {
        *("customer_email", "customer_name", "discount_code", "amount", "product_id"),
        *("locale", "theme", "reference_id"),
    }
)
_AMOUNT: Final = re.compile("[0-9]{1,12}")
_FIELD: Final = "custom_field_data."
_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "0"),
    PRIVATE,
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "noindex"),
)
#: By which browsers, and Turbo, say that nobody has clicked yet. An error they keep for nobody.
#: Source: the drafts of Fetch and of Speculation Rules; Turbo 8.0.23, 2026-11-22.
_PURPOSES: Final = ("HTTP_SEC_PURPOSE", "HTTP_X_SEC_PURPOSE")
_NOT_YET: Final = (("Content-Type", "text/plain"), *_HEADERS[1:])


def buy(reference: str) -> BaseResponse:
    """``GET /buy/<reference>``: on to the checkout of what a button of that name sells (303).

    The target comes from the catalogue alone. What the site knows of its visitor goes along, and
    what the query says beside it; a value that is no good is left out. A cookie is planted by which
    the success page knows this browser again.

    Who loads it ahead, because somebody points at the button, gets nothing: where it leads a
    checkout begins.
    """
    if any("prefetch" in request.environ.get(name, "") for name in _PURPOSES):
        return ReadyResponse(("503 SERVICE UNAVAILABLE", [*_NOT_YET], ()))
    state = get_state()
    catalog = current_catalog(state)
    query = request.environ.get("QUERY_STRING", "")
    asked = read_query(query) if query else {}
    found = _found(catalog, reference, asked.pop("product_id", None))
    if found is None:
        raise ProductNotFound()
    if found.offer is None:
        raise ProductNotFound(unsold=found.product)
    reference_id = asked.get("reference_id")
    if reference_id and is_ours(reference_id):
        # Somebody else's way to prove what this visitor is about to buy.
        del asked["reference_id"]
        reference_id = None
    if reference_id or (state.callbacks.visitor and current_visitor().reference_id):
        # The site has a reference of its own: another proof serves.
        return to_checkout(state, found, asked)
    proof, cookies = plant_buyer(state, f"buy/{reference}")
    return to_checkout(state, found, asked, reference_id=proof, cookies=cookies)


def to_checkout(
    state: State,
    found: Found,
    asked: dict[str, str],
    *,
    reference_id: str | None = None,
    cookies: Sequence[str] = (),
) -> BaseResponse:
    """The redirect to the checkout of what was found.

    ``asked`` is what the address asks for, by Polar's names. ``reference_id``, of letters, digits
    and underscores, goes before the visitor's and before the one of the address; ``cookies`` are
    values of ``Set-Cookie``.
    """
    assert found.offer is not None
    if state.embedded is not None:
        tell_local_polar(state)
    link = found.offer.link
    parameters = _parameters(found, asked)
    # What the site knows of who is signed in is not for an address to change.
    if visitor := visitor_values():
        parameters |= encode_parameters(None, visitor, lenient=True)
    if reference_id is not None:
        parameters["reference_id"] = f"reference_id={reference_id}"
    parameters |= _embedding(asked)
    url = with_parameters(link.url, parameters, lenient=True)
    headers = [("Location", url), *_HEADERS]
    headers += (("Set-Cookie", cookie) for cookie in cookies)
    return ReadyResponse(("303 SEE OTHER", headers, ()))


def _embedding(asked: dict[str, str]) -> dict[str, str]:
    """What the shop's script adds for a checkout that opens over a page of this site."""
    origin = asked.get("embed_origin", "")
    scheme, _, host = origin.partition("://")
    # A proxy may keep the scheme to itself; Polar compares hosts as well.
    if asked.get("embed") != "true" or scheme not in ("http", "https") or host != request.host:
        return {}
    return {"embed": "embed=true", "embed_origin": f"embed_origin={quote(origin, safe='')}"}


def _found(catalog: Catalog, reference: str, product: str | None) -> Found | None:
    """What goes by that name; ``product`` chooses among several, if it is one of them."""
    for chosen in (product.lower() if product else None, None):
        try:
            return catalog.find(reference, product=chosen)
        except UnknownReference:
            if chosen is None:
                return None
    return None


def _parameters(found: Found, asked: dict[str, str]) -> dict[str, str]:
    assert found.offer is not None
    link = found.offer.link
    values: dict[str, object] = {}
    if len(link.products) > 1:
        values["product_id"] = found.product.id
    fields: dict[str, str] = {}
    for name, value in asked.items():
        if name in _TAKEN:
            values[name] = value
        elif name.startswith(_FIELD):
            fields[name.removeprefix(_FIELD)] = value
    if fields:
        values["custom_field_data"] = fields
    amount = asked.get("amount")
    if amount is not None:
        values["amount"] = int(amount) if _AMOUNT.fullmatch(amount) else None
    values |= utm_parameters(asked)
    return encode_parameters(link, values, lenient=True)
