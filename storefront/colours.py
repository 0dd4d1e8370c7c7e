"""Colours that somebody may choose, and what can be read on them."""

from __future__ import annotations

import re
from typing import Final

_COLOUR: Final = re.compile("#?([0-9a-f]{3}|[0-9a-f]{6})")


def read_colour(text: str) -> str | None:
    """Six hexadecimal digits of a colour such as ``#1F4ED8`` or ``14d``; None for all else."""
    found = _COLOUR.fullmatch(text.lower())
    if found is None:
        return None
    digits = found[1]
    return digits if len(digits) == 6 else "".join(2 * digit for digit in digits)


def contrast_with_white(colour: str) -> float:
    """How well six hexadecimal digits of colour are told from white: from 1 (not at all) to 21.

    Source: WCAG 2.2, contrast ratio and relative luminance.
    """
    parts = (int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def text_on(colour: str) -> str:
    """Black or white, whichever reads better on six hexadecimal digits of colour.

    The better one always has a contrast of at least 4.5 to 1.
    """
    with_white = contrast_with_white(colour)
    return "ffffff" if with_white >= 21 / with_white else "000000"
