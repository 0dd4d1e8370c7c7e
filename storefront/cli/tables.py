"""Text for a terminal: aligned columns, values cut where the width ends."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Collection, Sequence

_GAP = "  "
_NARROWEST = 8
_UNLIMITED = 10_000


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    cut: Collection[str],
    width: int | None = None,
) -> str:
    """Rows below their headings. The columns ``cut`` give way when the terminal is too narrow."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [
        max([_width(heading), *(_width(row[index]) for row in cells)])
        for index, heading in enumerate(headings)
    ]
    _narrow(widths, [i for i, name in enumerate(headings) if name in cut], width or _terminal())
    lines = [
        _GAP.join(_fitted(cell, widths[index]) for index, cell in enumerate(row)).rstrip()
        for row in [list(headings), *cells]
    ]
    return "\n".join(lines)


def details(pairs: Sequence[tuple[str, str]], *, indent: str = "") -> str:
    """One name and value a line; values are never cut."""
    width = max((_width(name) for name, _ in pairs), default=0)
    return "\n".join(
        f"{indent}{_fitted(name, width)}{_GAP}{plain(value)}".rstrip() for name, value in pairs
    )


def paragraph(text: str, *, indent: str = "    ") -> str:
    """Prose, wrapped where the terminal ends; what can be copied, such as an id, stays whole."""
    return textwrap.fill(
        plain(text),
        _terminal(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def counted(number: int, what: str) -> str:
    """Such as ``2 orders``, for what takes an s when there are several."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def plain(text: str) -> str:
    """The text without what would move a terminal's cursor or colour it."""
    return "".join(c if c.isprintable() else " " for c in text)


def _terminal() -> int:
    # In a pipe nothing is cut: what reads it is a program.
    if "COLUMNS" in os.environ or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return _UNLIMITED


def _narrow(widths: list[int], flexible: Sequence[int], limit: int) -> None:
    """Take from the widest of the flexible columns until all fit."""
    while flexible and sum(widths) + len(_GAP) * (len(widths) - 1) > limit:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _fitted(text: str, width: int) -> str:
    if _width(text) > width:
        kept = ""
        for character in text:
            if _width(kept + character) > width - 1:
                break
            kept += character
        text = f"{kept}…"
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """How many columns the text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1
        for c in text
    )
