"""The Markdown parser. Imported where a description is rendered for the first time."""

from __future__ import annotations

from typing import Final

from markdown_it import MarkdownIt

#: Has an address of each kind that the parser writes: of a link, of a picture, and as text.
_ADDRESSES: Final = "[a](/%20ü) ![a](/%20ü) <https://example.com/%20ü>"


def make_parser() -> MarkdownIt:
    """A parser of CommonMark without HTML, with tables and struck text."""
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


# mdurl fills its tables of characters when they are first needed, and other threads see them half
# full: an IndexError on a page. A module is run by one thread, and the others wait for it.
make_parser().render(_ADDRESSES)
