"""What every hosted page shares: templates, headers, pages for errors, and files."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from functools import wraps
from importlib import resources
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug.wrappers import Request, Response

from storefront.emulator import wording
from storefront.emulator.embedding import Message, embedder, is_embedded
from storefront.emulator.errors import CheckoutExpiredError, NotFoundError, PolarError
from storefront.emulator.records import Body, Checkout
from storefront.emulator.services import Services, View, base_url

_THEMES = ("light", "dark")


def _choices(field: Body) -> list[tuple[str, str]] | None:
    """The options of a custom field that has some."""
    options = field["properties"].get("options")
    return options and [(option["value"], option["label"]) for option in options]


_templates = Environment(
    loader=PackageLoader("storefront.emulator"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"money": wording.money, "day": wording.day, "choices": _choices}
_templates.globals |= {
    "price_in_words": wording.price_in_words,
    "discount_in_words": wording.discount_in_words,
    "recurrence": wording.recurrence,
}


def page(
    services: Services,
    request: Request,
    template: str,
    *,
    status: int = 200,
    of: Checkout | None = None,
    tells: Message | None = None,
    **context: Any,
) -> Response:
    """A page, never stored and never indexed.

    `of` is the checkout that it belongs to, whose embedding site may frame it; `tells` is what it
    tells that site once it is shown.
    """
    framing = embedder(of) if of is not None else None
    embedding = framing if of is not None and is_embedded(request, of) else None
    theme = request.args.get("theme", "")
    html = _templates.get_template(template).render(
        organization=services.store.organization,
        base=base_url(request),
        theme=theme if theme in _THEMES else "",
        embedder=embedding,
        tells=tells,
        **context,
    )
    response = Response(html, status, content_type="text/html; charset=utf-8")
    response.headers.update(
        {
            "Cache-Control": "private, no-store",
            # Pictures of a store may stand anywhere; and buyers are sent on to the shop after a
            # form is sent, which browsers count as a form's action, through any redirect of its.
            "Content-Security-Policy": "default-src 'none'; style-src 'self'; "
            + ("script-src 'self'; " if embedding else "")
            + "img-src 'self' http: https:; form-action http: https:; base-uri 'none'; "
            "frame-ancestors " + (framing or "'none'"),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
        }
    )
    return response


def go_to(location: str) -> Response:
    """A redirect that turns a form that was sent into a page that is read."""
    response = Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
    response.headers["Referrer-Policy"] = "no-referrer"
    response.autocorrect_location_header = False
    return response


def with_error_pages(view: View) -> View:
    """Answer the errors of a view with pages instead of JSON."""

    @wraps(view)
    def answer(services: Services, request: Request, values: Mapping[str, str]) -> Response:
        try:
            return view(services, request, values)
        except CheckoutExpiredError as error:
            checkout_id = services.store.checkout_ids[values["secret"]]
            checkout = services.store.checkouts[checkout_id]
            return ended(services, request, checkout, status=error.status)
        except NotFoundError:
            return page(services, request, "not_found.html", status=404)
        except PolarError as error:
            return page(services, request, "refused.html", status=error.status, message=str(error))

    return answer


def ended(services: Services, request: Request, checkout: Checkout, *, status: int) -> Response:
    """The page of a checkout that can no longer be paid."""
    return page(
        services,
        request,
        "ended.html",
        status=status,
        checkout=checkout,
        return_url=safe_link(checkout.return_url),
        of=checkout,
        tells=Message("loaded"),
    )


def safe_link(url: str | None) -> str | None:
    """An address to link to; None for one that a browser would run instead of visit."""
    return url if url and urlsplit(url).scheme in {"http", "https"} else None


def asset(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    """A file of the pages or of the demo store."""
    parts = PurePosixPath(values["name"]).parts
    found = resources.files("storefront.emulator") / "static"
    for part in parts:
        if part in {".", "..", "/"}:
            return Response(status=404)
        found = found / part
    if not found.is_file():
        return Response("Not found", 404)
    kind = mimetypes.guess_type(parts[-1])[0] or "application/octet-stream"
    response = Response(found.read_bytes(), content_type=kind)
    response.headers.update(
        {
            "Cache-Control": "public, max-age=300",
            # A picture that is opened by itself is a document, and an SVG could be a program.
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
    )
    response.add_etag()
    return response.make_conditional(request)
