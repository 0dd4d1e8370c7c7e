"""``/embed-code/<reference>``: what a merchant pastes into other sites, ready and shown."""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import public_url
from storefront.embeds import (
    KINDS,
    LAYOUTS,
    SIZES,
    THEMES,
    card_url,
    element,
    embed_code,
    frame,
    read_look,
)
from storefront.errors import UnknownReference
from storefront.links import (
    UTM_NAMES,
    encode_parameters,
    read_query,
    utm_parameters,
    with_parameters,
)
from storefront.state import get_state
from storefront.web.embed import listed, refuse_without_cards
from storefront.web.pages import ProductNotFound, current_catalog
from storefront.web.policy import protection
from storefront.web.responses import shown_page


def embed_code_page(reference: str) -> BaseResponse:
    """``GET /embed-code/<reference>``: each kind of code, with a form for its look and campaign.

    It is about what is listed, and tells nothing that a visitor could not see elsewhere. Search
    engines are told to leave it out.
    """
    state = get_state()
    refuse_without_cards(state)
    catalog = current_catalog(state)
    found = listed(catalog, reference)
    if found is None:
        raise ProductNotFound()
    asked = read_query(request.environ.get("QUERY_STRING", ""))
    look, utm = read_look(asked), utm_parameters(asked)
    buy_url = public_url(found, reference)
    if buy_url is not None:
        # Said by an address, which may say anything: what is too long is left out.
        brought = encode_parameters(None, utm, lenient=True)
        buy_url = with_parameters(buy_url, brought, lenient=True)
    codes: dict[str, str] = {}
    for kind in KINDS:
        try:
            codes[kind] = embed_code(state, kind, found, reference, buy_url, look=look, utm=utm)
        except UnknownReference:
            continue  # there is none of this kind for it
    address = card_url(reference, look, utm)
    assert address is not None  # this is one of the pages
    response = shown_page(
        state,
        catalog,
        "storefront/embed_code.html",
        None,
        product=found.product,
        codes=codes,
        iframe=frame(address, found.product.name, SIZES[look.layout], styled=False),
        element=element(state, found, reference, buy_url, look=look, utm=utm),
        look=look,
        utm=[(name, utm.get(name, "")) for name in UTM_NAMES],
        themes=THEMES,
        layouts=LAYOUTS,
    )
    for name, value in protection(state, catalog, frames=True):
        response.headers[name] = value
    response.headers["X-Robots-Tag"] = "noindex"
    return response
