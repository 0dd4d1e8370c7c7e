"""What scripts of other sites may read of this one: headers for whoever reads without a cookie."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as BaseResponse

from storefront.errors import CatalogUnavailable
from storefront.web.responses import OpenResponse

#: Anybody's script may read it, and none of them as somebody: browsers that are told ``*`` send no
#: cookie along. A page that isolates itself may show it, too.
FOR_READERS: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "ETag, Storefront-Catalog-Age"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)
_PREFLIGHT: Final = (
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
    ("Access-Control-Allow-Headers", "*"),
    ("Access-Control-Max-Age", "86400"),
    ("Allow", "GET, HEAD, OPTIONS"),
)


def for_readers(
    blueprint: Blueprint, rule: str, endpoint: str, view: Callable[..., BaseResponse]
) -> None:
    """Register a view whose answers carry ``FOR_READERS``; a browser that asks first may read it.

    Flask's own answer to OPTIONS would say nothing to scripts.
    """

    @wraps(view)
    def answer(**values: Any) -> BaseResponse:
        if request.method == "OPTIONS":
            return OpenResponse(("204 NO CONTENT", [*FOR_READERS, *_PREFLIGHT], ()))
        return view(**values)

    blueprint.add_url_rule(
        rule,
        endpoint,
        answer,
        methods=["GET", "OPTIONS"],
        provide_automatic_options=False,
    )


def told(status: int, body: bytes, content_type: str) -> Response:
    """What is said in place of what was asked for. Nobody keeps it: it may be otherwise soon."""
    response = Response(body, status, content_type=content_type)
    response.headers.extend(FOR_READERS)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def away(error: CatalogUnavailable, body: bytes, content_type: str) -> Response:
    """The answer while nothing was ever read from Polar."""
    response = told(503, body, content_type)
    response.headers["Retry-After"] = str(int(error.retry_after) + 1)
    return response
