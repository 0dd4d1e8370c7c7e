"""What our pages' headers allow: who may keep a page, and what may run on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from storefront.catalog import Catalog
from storefront.errors import CatalogUnavailable
from storefront.overlay import chosen_overlay, overlay_sources
from storefront.state import State, get_state

Headers = list[tuple[str, str]]
_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
)


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


def protection(state: State, catalog: Catalog | None, *, frames: bool = False) -> Headers:
    """The headers that say what may run on a page of ours; ``frames`` for one that shows cards."""
    headers = list(_ALWAYS)
    policy = state.settings.content_security_policy
    if policy:
        text = _policy(state, catalog, frames=frames) if policy is True else str(policy)
        headers.append(("Content-Security-Policy", text))
    return headers


def card_protection(state: State, catalog: Catalog | None) -> Headers:
    """The headers of a card that other sites show in a frame.

    Its policy does not depend on the one of the pages, which says who may frame those.
    """
    ancestors = state.settings.embed_ancestors
    directives = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", *(catalog.image_origins if catalog else ())],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        # The shop itself shows what it will look like.
        "frame-ancestors": ancestors if "*" in ancestors else ["'self'", *ancestors],
    }
    return [
        *_ALWAYS,
        ("Content-Security-Policy", _written(directives)),
        ("X-Robots-Tag", "noindex"),
    ]


def csp_directives(*, overlay: bool | None = None) -> dict[str, list[str]]:
    """What a page of the site has to allow for the shop's buttons, in its own policy.

    By directive, the sources to add: for the stylesheet, the pictures, the custom element, and,
    where buttons open the checkout over the page, for the script and the checkout's frame.
    ``overlay`` says so in place of the setting, for a page whose buttons do. Pictures of products
    are known once the catalogue was read.
    """
    state = get_state()
    try:
        catalog = state.catalog.current()
    except CatalogUnavailable:
        catalog = None
    return _needed(state, catalog, overlay)


def _needed(
    state: State, catalog: Catalog | None, overlay: bool | None = None
) -> dict[str, list[str]]:
    hosts = (f"https://{host}" for host in state.settings.image_hosts)
    pictures = (*(catalog.image_origins if catalog else ()), *hosts)
    needed = {
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", *dict.fromkeys(pictures)],
        "connect-src": ["'self'"],
    }
    for name, sources in overlay_sources(state, chosen_overlay(state, overlay)).items():
        needed.setdefault(name, []).extend(sources)
    return needed


def _policy(state: State, catalog: Catalog | None, *, frames: bool = False) -> str:
    """Nothing but our own styles and pictures, those of the catalogue, and the checkout's frame."""
    directives = {
        "default-src": ["'none'"],
        **_needed(state, catalog),
        "font-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'self'"],
    }
    directives["img-src"].append("data:")
    if frames:
        directives.setdefault("frame-src", ["'self'"])
    return _written(directives)


def _written(directives: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())
