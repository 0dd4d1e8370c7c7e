"""What our pages' headers allow: who may keep a page, and what may run on it."""

from __future__ import annotations

from storefront.catalog import Catalog
from storefront.state import State

Headers = list[tuple[str, str]]


def public_caching(state: State) -> tuple[str, str]:
    """The header of a page that any cache may keep, and for how long."""
    settings = state.settings
    seconds = {
        "max-age": settings.page_max_age_seconds,
        "stale-while-revalidate": settings.stale_while_revalidate_seconds,
        "stale-if-error": settings.stale_if_error_seconds,
    }
    kept = (f"{name}={number}" for name, number in seconds.items() if number or name == "max-age")
    return ("Cache-Control", ", ".join(("public", *kept)))


def protection(state: State, catalog: Catalog | None) -> Headers:
    """The headers that say what may run on a page of ours."""
    headers = [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ]
    policy = state.settings.content_security_policy
    if policy:
        text = _policy(state, catalog) if policy is True else str(policy)
        headers.append(("Content-Security-Policy", text))
    return headers


def _policy(state: State, catalog: Catalog | None) -> str:
    """Nothing but our own styles and pictures, and the pictures of the catalogue."""
    pictures = ["'self'", "data:", *(catalog.image_origins if catalog else ())]
    hosts = (f"https://{host}" for host in state.settings.image_hosts)
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
