"""Addresses that came from Polar: which of them may stand in a page."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
#: Nearly all of them, told at once.
_PLAIN = re.compile(r"(https?://[A-Za-z0-9._-]+(?::\d{1,5})?)(?:/[A-Za-z0-9._~/?=&%+-]*)?")


def is_web_address(url: str) -> bool:
    """Whether the URL may stand in a page and its origin in a header: no user, no odd host."""
    if _PLAIN.fullmatch(url):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = url.isprintable() and not any(c in url for c in " \\\"'<>")
    return plain and parts.scheme in ("http", "https") and bool(_HOST.fullmatch(parts.netloc))


def origin_of(url: str) -> str:
    """Scheme, host and port of such an address."""
    plain = _PLAIN.fullmatch(url)
    if plain:
        return plain[1]
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
