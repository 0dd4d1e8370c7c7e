"""What is pasted into other sites: how a card looks there, and the code that shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args
from urllib.parse import urlencode

from markupsafe import Markup

from storefront.catalog import Found
from storefront.colours import read_colour, text_on
from storefront.errors import UnknownReference
from storefront.state import State
from storefront.urls import page_url

CardTheme = Literal["auto", "light", "dark"]
CardLayout = Literal["card", "row", "button"]

#: Width and height of the frames, in CSS pixels. What is in them fits without a script.
SIZES: Final[dict[str, tuple[int, int]]] = {
    "card": (320, 372),
    "row": (480, 144),
    "button": (260, 60),
}
#: The accent of our stylesheets, in the light.
ACCENT: Final = "1f4ed8"
THEMES: Final[tuple[CardTheme, ...]] = get_args(CardTheme)
LAYOUTS: Final[tuple[CardLayout, ...]] = get_args(CardLayout)
#: The kinds of code, in the order in which they are shown.
KINDS: Final = ("iframe", "element", "link", "email", "markdown", "qr")

_STYLE: Final = Markup(' style="border:0;border-radius:12px;max-width:100%"')
#: What has a meaning in Markdown, inside of a link's words.
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>&!~|])")


class Look(NamedTuple):
    """How a card looks on somebody else's page."""

    theme: CardTheme = "auto"
    #: Six hexadecimal digits; None for the stylesheet's own.
    accent: str | None = None
    layout: CardLayout = "card"

    @property
    def query(self) -> str:
        """The query that says so, always written the same way; nothing of what is the default."""
        said = {
            name: value
            for name, value in self._asdict().items()
            if value != Look._field_defaults[name]
        }
        return urlencode(sorted(said.items()))


def read_look(parameters: Mapping[str, str]) -> Look:
    """The look that a query asks for. What is none of the choices counts as not asked."""
    theme, layout = parameters.get("theme"), parameters.get("layout")
    return Look(
        "light" if theme == "light" else "dark" if theme == "dark" else "auto",
        read_colour(parameters.get("accent", "")),
        "row" if layout == "row" else "button" if layout == "button" else "card",
    )


def card_url(reference: str, look: Look, utm: Mapping[str, str] | None = None) -> str | None:
    """The address of a card, in full; None where the pages are not registered."""
    address = page_url("embed", external=True, reference=reference)
    if address is None:
        return None
    query = "&".join(part for part in (look.query, urlencode(dict(utm or {}))) if part)
    return f"{address}?{query}" if query else address


def frame(address: str, title: str, size: tuple[int, int], *, styled: bool = True) -> Markup:
    """The ``iframe`` that shows a card.

    Where a site strips its styles, it still has a size and no border.
    """
    width, height = size
    style = _STYLE if styled else Markup()
    return Markup(
        '<iframe src="{}" width="{}" height="{}" title="{}" loading="lazy" frameborder="0"{}>'
        "</iframe>"
    ).format(address, width, height, title, style)


def element(
    state: State,
    found: Found,
    reference: str,
    buy_url: str | None,
    *,
    look: Look,
    utm: Mapping[str, str],
) -> Markup:
    """The custom element, with the script that makes it a button.

    Without the script, and while the shop is down, the link inside of it is what one sees.
    """
    name = found.product.name
    said = {"product": reference, "layout": look.layout}
    if look.theme != "auto":
        said["theme"] = look.theme
    if look.accent:
        said["accent"] = look.accent
    said |= utm
    attributes = Markup(" ").join(
        Markup('{}="{}"').format(key.replace("_", "-"), value) for key, value in said.items()
    )
    return Markup(
        '<script src="{}" async></script>\n<buy-button {}><a href="{}">{}</a></buy-button>'
    ).format(
        page_url("embed_js", external=True),
        attributes,
        buy_url or page_url("product", external=True, slug=found.product.slug),
        state.texts("Buy {name}", name=name) if buy_url else name,
    )


def embed_code(
    state: State,
    kind: str,
    found: Found,
    reference: str,
    buy_url: str | None,
    *,
    look: Look,
    utm: Mapping[str, str],
) -> str:
    """What to paste elsewhere to sell what was found: one of ``KINDS``.

    ``buy_url`` is where a button of that reference leads, its campaign included. A button for an
    email has all styles in the element, since mail programs take no others.

    :raises UnknownReference: for a kind that there is not: of a product that can't be bought, or
        without the shop's pages.
    """
    product = found.product
    if kind in ("iframe", "element", "qr"):
        address = card_url(reference, look, utm)
        if address is None:
            raise UnknownReference(
                reference,
                "The shop's pages (shop.blueprint) are not registered, and cards, the element and "
                "QR codes are such pages.",
            )
        if kind == "iframe":
            if not state.settings.embed_ancestors:
                raise UnknownReference(
                    reference,
                    "STOREFRONT_EMBED_ANCESTORS is 'none', so that the shop has no cards: say "
                    "which sites may show them.",
                )
            return str(frame(address, product.name, SIZES[look.layout]))
        if kind == "element":
            return str(element(state, found, reference, buy_url, look=look, utm=utm))
    if buy_url is None:
        raise UnknownReference(reference, f"No checkout link sells {product.slug!r}.")
    if kind == "qr":
        picture = page_url("qr", external=True, reference=reference, kind="svg")
        return f"{picture}?{urlencode(dict(utm))}" if utm else f"{picture}"
    words = state.texts("Buy {name}", name=product.name)
    if kind == "markdown":
        plain = _MARKDOWN.sub(r"\\\1", " ".join(words.split()))
        return f"[{plain}]({buy_url.replace('(', '%28').replace(')', '%29')})"
    if kind == "link":
        return str(Markup('<a href="{}" rel="nofollow">{}</a>').format(buy_url, words))
    accent = look.accent or ACCENT
    return str(
        Markup(
            '<a href="{}" style="display:inline-block;padding:12px 24px;border-radius:8px;'
            "background-color:#{};color:#{};font:600 16px/1.4 Arial,Helvetica,sans-serif;"
            'text-decoration:none">{}</a>'
        ).format(buy_url, accent, text_on(accent), words)
    )
