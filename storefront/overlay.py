"""What a page needs so that its buttons open the checkout over it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from markupsafe import Markup

from storefront.settings import Overlay
from storefront.state import State
from storefront.urls import page_url
from storefront.version import __version__

#: Polar's own script, from the package @polar-sh/checkout: one release, known by its hash.
#: Source: the npm registry, 2026-11-22.
POLAR_SCRIPT_URL: Final = (
    "https://cdn.jsdelivr.net/npm/@polar-sh/checkout@0.4.1/dist/embed.global.js"
)
POLAR_SCRIPT_INTEGRITY: Final = (
    "sha384-e+NbGcSWhyE0uyrB+P19KffckB1jt91+Jk0PrKhB/hqpFXVT5bgULrccH8Xyz3jT"
)
#: The two style elements that script makes, one for each theme.
POLAR_SCRIPT_STYLES: Final = (
    "'sha256-vQ/VRK7bSMos8cnjNAD5J38bg6QJXtK2ub56GHJjvi8='",
    "'sha256-8AE3sI/61Auvlkps469+N9yPOlpaUaccSGhWsDTp19Q='",
)


def chosen_overlay(state: State, asked: bool | None) -> Overlay:
    """How a button opens the checkout: by the setting, or as the button itself asks."""
    setting = state.settings.overlay
    if asked is None:
        return setting
    if not asked:
        return "off"
    return "on" if setting == "off" else setting


def script_tag(state: State, *, nonce: str | None = None, seconds: float | None = None) -> Markup:
    """The script element that opens buttons over the page; empty where there is no script.

    ``seconds`` is how long the checkout may take to load before the link is followed instead.
    """
    extra = Markup(' nonce="{}"').format(nonce) if nonce else Markup("")
    if state.settings.overlay == "polar":
        own = state.settings.polar_script_url
        if own is None:
            extra += Markup(' integrity="{}" crossorigin="anonymous"').format(
                POLAR_SCRIPT_INTEGRITY
            )
        return Markup('<script src="{}" defer data-auto-init{}></script>').format(
            own or POLAR_SCRIPT_URL, extra
        )
    source = page_url("static", filename="overlay.js", v=__version__)
    if source is None:
        return Markup("")
    words = {
        "origins": " ".join(state.settings.server.checkout_origins),
        "title": state.texts("Checkout"),
        "loading": state.texts("The checkout is opening…"),
        "close": state.texts("Close"),
        "patience": state.texts(
            "This takes longer than usual. Your purchase is safe: you will get an email as soon as "
            "it is complete, and you may close this page."
        ),
    }
    if seconds is not None:
        words["seconds"] = f"{seconds:g}"
    data = Markup("").join(
        Markup(' data-storefront-{}="{}"').format(name, value) for name, value in words.items()
    )
    return Markup('<script src="{}" defer{}{}></script>').format(source, data, extra)


def overlay_sources(state: State, chosen: Overlay) -> dict[str, tuple[str, ...]]:
    """What a policy has to allow, beside the site's own, for buttons that open over a page."""
    if chosen == "off":
        return {}
    sources = {"frame-src": ("'self'", *state.settings.server.checkout_origins)}
    if chosen == "polar":
        sources["style-src"] = POLAR_SCRIPT_STYLES
        parts = urlsplit(state.settings.polar_script_url or POLAR_SCRIPT_URL)
        if parts.netloc:
            sources["script-src"] = (f"{parts.scheme}://{parts.netloc}",)
    return sources
