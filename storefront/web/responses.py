"""Our pages' headers: what may be cached, and what may run."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, render_template, request
from flask.globals import request_ctx

from storefront.buttons import page_is_personal
from storefront.state import get_state


def shown_page(template: str, **context: Any) -> Response:
    """A page of the catalogue: cacheable with an ETag, unless it carries a visitor's data."""
    state = get_state()
    response = make_response(render_template(template, **context))
    _protect(response)
    if page_is_personal() or _session_was_read():
        response.headers["Cache-Control"] = "private, no-store"
        return response
    response.headers["Cache-Control"] = f"public, max-age={state.settings.page_max_age_seconds}"
    if state.callbacks.visitor is not None:
        # Who is signed in decides what the page holds, and a cookie decides who that is.
        response.vary.add("Cookie")
    response.add_etag()
    response.make_conditional(request)
    return response


def private_page(template: str, status: int = 200, **context: Any) -> Response:
    """A page about one purchase: kept by nobody, told to nobody, found by no search engine."""
    return keep_private(make_response(render_template(template, **context), status))


def keep_private(response: Response) -> Response:
    """The headers of a page about one purchase, on any response."""
    _protect(response)
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _protect(response: Response) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Referrer-Policy", "strict-origin-when-cross-origin")
    policy = get_state().settings.content_security_policy
    if policy is True:
        response.headers["Content-Security-Policy"] = _policy()
    elif policy:
        response.headers["Content-Security-Policy"] = str(policy)


def _policy() -> str:
    """Nothing but our own styles and pictures, and the pictures of the catalogue."""
    catalog = get_state().catalog.loaded()
    pictures = ["'self'", "data:", *(catalog.image_origins if catalog else ())]
    hosts = (f"https://{host}" for host in get_state().settings.image_hosts)
    return "; ".join(
        (
            "default-src 'none'",
            "style-src 'self'",
            f"img-src {' '.join([*pictures, *hosts])}",
            "font-src 'self'",
            "script-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'self'",
        )
    )


def _session_was_read() -> bool:
    """Whether the host's own templates asked the session, as a greeting in its header does.

    Asking ``flask.session`` would itself count as reading it, so the context is looked at.
    """
    context = vars(request_ctx._get_current_object())  # type: ignore[attr-defined]
    session = context.get("_session", context.get("session"))
    return bool(getattr(session, "accessed", True)) if session is not None else False
