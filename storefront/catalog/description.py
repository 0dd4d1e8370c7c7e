"""A product's description: Markdown from Polar to HTML that is safe to show."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from markupsafe import Markup

#: Characters of a description that are rendered; the rest is cut. Nested openings cost
#: quadratic time, and a description is prose.
MAX_CHARACTERS = 32 * 1024
_SUMMARY_CHARACTERS = 160

_TAGS = {
    *("p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre"),
    *("blockquote", "ul", "ol", "li", "a", "img"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
    "p": {"class"},
}
#: What is wider than a screen scrolls, and who has no mouse scrolls it by having it in focus.
_ADDED = {"pre": {"tabindex": "0"}, "table": {"tabindex": "0"}, "img": {"loading": "lazy"}}
#: A paragraph that is a picture: it has room before the picture is there.
_PICTURE = "storefront-shown"


def render_description(source: str | None, *, image_hosts: Collection[str] = ()) -> Markup:
    """Markdown to sanitised HTML; headings start at ``h2``, under the page's own.

    Pictures stay only when they come from one of ``image_hosts`` (lower-case host names).
    """
    if not source:
        return Markup()
    import nh3

    from storefront.catalog.markdown import make_parser

    parser = make_parser()
    tokens = parser.parse(source[:MAX_CHARACTERS])
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        elif before is not None and [c.type for c in token.children or ()] == ["image"]:
            before.attrSet("class", _PICTURE)
    rendered = parser.renderer.render(tokens, parser.options, {})

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if tag == "img" and attribute == "src" and not _is_from(value, image_hosts):
            return None
        return value

    cleaned = nh3.clean(
        rendered,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=keep,
        set_tag_attribute_values=_ADDED,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    )
    # A picture whose address was refused is of no use to anybody.
    cleaned = re.sub(r"<img(?![^>]*\ssrc=)[^>]*>", "", cleaned)
    return Markup(cleaned)  # noqa: S704  sanitised two lines above


def summarize(description: Markup) -> str:
    """The start of a rendered description's first paragraph, as plain text."""
    import nh3

    paragraphs = re.findall(r"<p>(.*?)</p>", description, flags=re.DOTALL)
    texts = (
        " ".join(html.unescape(nh3.clean(paragraph.replace("<br>", " "), tags=set())).split())
        for paragraph in paragraphs
    )
    text = next(filter(None, texts), "")
    if len(text) <= _SUMMARY_CHARACTERS:
        return text
    return text[:_SUMMARY_CHARACTERS].rsplit(" ", 1)[0].rstrip(",.;:-\N{EN DASH}") + "…"


def plain_text(description: Markup, limit: int) -> str:
    """All that a rendered description says, as one line of text of up to ``limit`` characters."""
    import nh3

    apart = re.sub(r"(?=<(?:br|li|td|th)\b)|(?<=>)\n|(?=</p>|</h\d>)", " ", description)
    text = " ".join(html.unescape(nh3.clean(apart, tags=set())).split())
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0] + "…"


def _is_from(url: str, hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and (parts.hostname or "") in hosts
    except ValueError:
        return False
