"""``/embed/<reference>``: a product as a card, for the pages of other sites."""

from __future__ import annotations

from typing import Final

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import ask_no_visitor
from storefront.catalog import Catalog, Found
from storefront.colours import read_colour, text_on
from storefront.embeds import Look, read_look
from storefront.errors import CatalogUnavailable, UnknownReference
from storefront.links import read_query
from storefront.state import State, get_state
from storefront.web.pages import ProductNotFound
from storefront.web.policy import Headers, card_protection
from storefront.web.prepared import HTML
from storefront.web.responses import OpenResponse, ready_page, render, shown_page

#: What such a stylesheet says of a colour is always the same.
_FOR_GOOD: Final = ("Cache-Control", "public, max-age=31536000, immutable")
#: Without a query.
_PLAIN: Final = Look()
_NOT_KEPT: Final = ("Cache-Control", "no-store")


def embed(reference: str) -> BaseResponse:
    """``GET /embed/<reference>``: a card with picture, name, price and button.

    The query may have ``theme``, ``accent``, ``layout`` and the campaign (``utm_…``); all else of
    it, and whoever asks, makes no difference. Only what is listed has a card.
    """
    state = get_state()
    refuse_without_cards(state)
    ask_no_visitor()
    try:
        catalog = state.catalog.current()
    except CatalogUnavailable as error:
        words = state.texts("The shop can't be reached right now. Please try again in a minute.")
        again = ("Retry-After", str(int(error.retry_after) + 1))
        return _notice(state, None, "503 SERVICE UNAVAILABLE", words, again)
    query = request.environ.get("QUERY_STRING", "")
    look = read_look(read_query(query)) if query else _PLAIN
    said = look.query if query else ""
    ready = ready_page(state, catalog, said, card=True)
    if ready is not None:
        return ready
    found = listed(catalog, reference)
    if found is None:
        return _notice(
            state, catalog, "404 NOT FOUND", state.texts("This product is not available.")
        )
    return shown_page(
        state,
        catalog,
        "storefront/embed.html",
        said,
        card=True,
        look=look,
        reference=reference,
        product=found.product,
        offer=found.offer,
    )


def embed_accent(colour: str) -> BaseResponse:
    """``GET /embed-accent/<colour>.css``: a card's stylesheet for one colour.

    A strict policy allows no styles inside of a page, and such a file is kept by browsers.
    """
    if read_colour(colour) != colour:
        raise ProductNotFound()
    body = f":root{{--accent:#{colour};--on-accent:#{text_on(colour)}}}\n".encode()
    headers: Headers = [
        ("Content-Type", "text/css; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        _FOR_GOOD,
    ]
    return OpenResponse(("200 OK", headers, (body,)))


def listed(catalog: Catalog, reference: str) -> Found | None:
    """What goes by that name, where it may be found by whoever looks."""
    try:
        found = catalog.find(reference)
    except UnknownReference:
        return None
    return found if found.product.listed else None


def refuse_without_cards(state: State) -> None:
    """Answer as if there were no such page, where the shop has no cards.

    :raises ProductNotFound: when ``STOREFRONT_EMBED_ANCESTORS`` is ``none``.
    """
    if not state.settings.embed_ancestors:
        raise ProductNotFound()


def _notice(
    state: State, catalog: Catalog | None, status: str, words: str, *more: tuple[str, str]
) -> BaseResponse:
    """A card that says why there is none; it fits the frame as well."""
    body = render("storefront/embed_notice.html", words=words).encode()
    headers: Headers = [
        ("Content-Type", HTML),
        ("Content-Length", str(len(body))),
        *card_protection(state, catalog),
        _NOT_KEPT,
        *more,
    ]
    return OpenResponse((status, headers, (body,)))
