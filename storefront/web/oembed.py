"""``/oembed``: how another site shows the address of a product that somebody pasted there.

Source: the oEmbed specification, version 1.0 (oembed.com).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit
from xml.sax.saxutils import escape

from flask import current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RoutingException
from werkzeug.wrappers import Response as BaseResponse

from storefront.catalog import Catalog, CatalogProduct
from storefront.embeds import SIZES, Look, card_url, frame
from storefront.errors import CatalogUnavailable
from storefront.links import read_query, utm_parameters
from storefront.state import State, get_state
from storefront.web.embed import refuse_without_cards
from storefront.web.feeds import fit_for_xml
from storefront.web.readers import FOR_READERS, away, told
from storefront.web.responses import public_response
from storefront.web.site import current_site

_TYPES: Final = {"json": "application/json", "xml": "text/xml; charset=utf-8"}
_TEXT: Final = "text/plain; charset=utf-8"
#: The narrowest and lowest frames in which each layout still is itself, the best first.
_LEAST: Final[dict[str, tuple[int, int]]] = {
    "card": (200, 280),
    "row": (280, 112),
    "button": (1, 1),
}
#: Polar tells no picture's size; this is the one at which the shop shows it.
_PICTURE_SIZE: Final = (600, 400)


def oembed() -> BaseResponse:
    """``GET /oembed?url=…``: the card for the address of one of this shop's product pages.

    ``maxwidth`` and ``maxheight`` limit the frame; ``format`` is ``json`` or ``xml``. Nothing is
    fetched: an address that is not this shop's is answered with 404, another format with 501.
    """
    state = get_state()
    refuse_without_cards(state)
    asked = read_query(request.environ.get("QUERY_STRING", ""))
    written = asked.get("format", "json")
    if written not in _TYPES:
        return told(501, b"The formats are json and xml.\n", _TEXT)
    try:
        catalog = state.catalog.current()
    except CatalogUnavailable as error:
        return away(error, b"The shop can't be reached. Try again in a minute.\n", _TEXT)
    address = asked.get("url", "")
    product = _product_at(catalog, address)
    if product is None:
        return told(404, b"This is no address of a product of this shop.\n", _TEXT)
    shown = product
    limits = _limit(asked.get("maxwidth")), _limit(asked.get("maxheight"))
    # Decoded once already; `read_query` wants it as WSGI would have it.
    inner = urlsplit(address).query.encode("utf-8", "replace").decode("latin-1")
    utm = utm_parameters(read_query(inner))

    def make() -> bytes:
        document = _document(state, shown, limits, utm)
        return _xml(document) if written == "xml" else json.dumps(document).encode()

    decides = {"slug": shown.slug, "format": written, "limits": repr(limits), **utm}
    return public_response(
        state, catalog, _TYPES[written], make, query=urlencode(decides), headers=FOR_READERS
    )


def _product_at(catalog: Catalog, address: str) -> CatalogProduct | None:
    """The product whose page has this address, as seen by this request; http is as good as https.

    A former address of a page counts as well.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or parts.username is not None:
        return None
    here = urlsplit(f"//{request.host}")
    default = (None, 80, 443)
    if (parts.hostname or "") != (here.hostname or "") or (
        port != here.port and not (port in default and here.port in default)
    ):
        return None
    path = unquote(parts.path)
    root = request.root_path
    if not path.startswith(f"{root}/"):
        return None
    try:
        adapter = current_app.create_url_adapter(request)
        assert adapter is not None
        endpoint, values = adapter.match(path.removeprefix(root), method="GET")
    except (HTTPException, RoutingException):
        return None
    if endpoint != f"{request.blueprint}.product":
        return None
    return catalog.page(values["slug"]) or catalog.moved(values["slug"])


def _limit(text: str | None) -> int | None:
    """A limit in pixels; None where there is none, or what is given is none."""
    if text is None or not re.fullmatch("[0-9]{1,5}", text):
        return None
    return int(text) or None


def _document(
    state: State,
    product: CatalogProduct,
    limits: tuple[int | None, int | None],
    utm: dict[str, str],
) -> dict[str, Any]:
    """The answer's fields, in the order of the specification."""
    layout = next(
        name
        for name, least in _LEAST.items()
        if all(limit is None or limit >= side for limit, side in zip(limits, least, strict=True))
    )
    look = Look(layout="row" if layout == "row" else "button" if layout == "button" else "card")
    size = tuple(
        side if limit is None else min(side, limit)
        for side, limit in zip(SIZES[layout], limits, strict=True)
    )
    address = card_url(product.slug, look, utm)
    assert address is not None  # this is one of the pages
    site = current_site(state)
    document: dict[str, Any] = {
        "type": "rich",
        "version": "1.0",
        "title": product.name,
        "author_name": site.title,
        "author_url": site.catalog_url,
        "provider_name": site.title,
        "provider_url": site.catalog_url,
        "cache_age": state.settings.page_max_age_seconds,
        "html": str(frame(address, product.name, (size[0], size[1]))),
        "width": size[0],
        "height": size[1],
    }
    # A picture of a size that nobody knows may not be given to somebody who says what is too large.
    if product.pictures and limits == (None, None):
        document["thumbnail_url"] = product.pictures[0].url
        document["thumbnail_width"], document["thumbnail_height"] = _PICTURE_SIZE
    return document


def _xml(document: dict[str, Any]) -> bytes:
    fields = "".join(
        f"<{name}>{escape(fit_for_xml(str(value)))}</{name}>" for name, value in document.items()
    )
    return (
        f'<?xml version="1.0" encoding="utf-8" standalone="yes"?><oembed>{fields}</oembed>'
    ).encode()
