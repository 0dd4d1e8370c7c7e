"""``/qr/<reference>.svg`` and ``.png``: a button's address as a QR code, for print."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import public_url
from storefront.errors import CatalogUnavailable, LinkError
from storefront.links import read_query, utm_parameters
from storefront.qr import MAX_CHARACTERS, Format, draw, drawing_of
from storefront.settings import Buttons
from storefront.state import get_state
from storefront.web.embed import listed
from storefront.web.readers import FOR_READERS, away, told
from storefront.web.responses import public_response

_TYPES: Final = {"svg": "image/svg+xml", "png": "image/png"}
_PLAIN: Final = "text/plain; charset=utf-8"


def qr(reference: str, kind: Format) -> BaseResponse:
    """``GET /qr/<reference>.svg`` and ``.png``: what a phone reads is the address of a button.

    The query may have the campaign (``utm_…``), ``via`` (``link`` or ``redirect``), ``scale``,
    ``border`` and ``color``. Only what is listed, and links to that, have a code here.
    """
    state = get_state()
    try:
        catalog = state.catalog.current()
    except CatalogUnavailable as error:
        return away(error, _said("The shop can't be reached. Try again in a minute."), _PLAIN)
    found = listed(catalog, reference)
    if found is None or found.offer is None:
        return told(404, _said("Nothing that is listed is sold by that name."), _PLAIN)
    asked = read_query(request.environ.get("QUERY_STRING", ""))
    utm = utm_parameters(asked)
    options = {name: asked[name] for name in ("via", "scale", "border", "color") if name in asked}
    try:
        drawing = drawing_of(asked.get("scale"), asked.get("border"), asked.get("color"))
        if sum(map(len, utm.values())) > MAX_CHARACTERS:
            raise LinkError("utm", f"may have {MAX_CHARACTERS} characters in all, and less is read")
        url = public_url(found, reference, utm=utm, via=_via(asked.get("via")))
        assert url is not None
        if len(url) > MAX_CHARACTERS:
            raise LinkError("url", f"gets {len(url):,} characters, of {MAX_CHARACTERS} at the most")
    except LinkError as error:
        return told(400, _said(f"{error}."), _PLAIN)
    address = url
    slug = found.product.slug
    name = f"{slug}-qr.{kind}" if slug.isascii() else f"qr.{kind}"
    return public_response(
        state,
        catalog,
        _TYPES[kind],
        lambda: draw(address, kind, drawing),
        query=urlencode(utm | options),
        headers=(
            *FOR_READERS,
            ("Content-Disposition", f'inline; filename="{name}"'),
            ("Content-Security-Policy", "default-src 'none'"),
        ),
    )


def _via(asked: str | None) -> Buttons | None:
    match asked:
        case None | "link" | "redirect":
            return asked
    raise LinkError("via", "may be link or redirect")


def _said(message: str) -> bytes:
    return f"{message}\n".encode()
