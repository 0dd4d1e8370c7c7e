"""QR codes of a button's address, for print: pure functions."""

from __future__ import annotations

import io
import re
from typing import Final, Literal, get_args

import msgspec

from storefront.colours import contrast_with_white, read_colour
from storefront.errors import LinkError

Format = Literal["svg", "png"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

#: The longest address that is drawn. A code of so many characters has some eighty modules a side:
#: more than that a phone does not read from paper.
MAX_CHARACTERS: Final = 500
#: Pixels a module of a PNG, and modules of white around the code.
MAX_SCALE: Final = 24
MAX_BORDER: Final = 16
#: What WCAG asks of text serves a camera as well.
_LEAST_CONTRAST: Final = 4.5


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """How a code is drawn. The border of four modules is what the standard asks for."""

    scale: int = 8
    border: int = 4
    #: Six hexadecimal digits.
    color: str = "000000"


def drawing_of(scale: str | None, border: str | None, color: str | None) -> Drawing:
    """Options as a query has them, checked; None for what is not given.

    :raises LinkError: for one that is no good; the message says what it may be.
    """
    plain = Drawing()
    return Drawing(
        scale=plain.scale if scale is None else _number("scale", scale, 1, MAX_SCALE),
        border=plain.border if border is None else _number("border", border, 0, MAX_BORDER),
        color=plain.color if color is None else _dark("color", color),
    )


def draw(url: str, format_: Format, drawing: Drawing) -> bytes:
    """The QR code of an address: dark on white, with error correction M or better.

    :raises LinkError: for an address of more than 500 characters.
    """
    if len(url) > MAX_CHARACTERS:
        raise LinkError(
            "url",
            f"has {len(url):,} characters; a QR code of more than {MAX_CHARACTERS} can't be read "
            "from paper. Shorten the campaign",
        )
    import segno

    # Micro QR codes are not read by phones.
    code = segno.make(url, error="m", micro=False)
    made = io.BytesIO()
    dark = f"#{drawing.color}"
    if format_ == "png":
        code.save(made, "png", scale=drawing.scale, border=drawing.border, dark=dark, light="white")
    else:
        code.save(
            made,
            "svg",
            scale=drawing.scale,
            border=drawing.border,
            dark=dark,
            light="white",
            omitsize=False,
            nl=False,
        )
    return made.getvalue()


def _number(field: str, value: str, lowest: int, highest: int) -> int:
    # Longer ones would only take time to read.
    number = int(value) if re.fullmatch("[0-9]{1,4}", value) else -1
    if not lowest <= number <= highest:
        raise LinkError(field, f"may be a whole number from {lowest} to {highest}")
    return number


def _dark(field: str, value: str) -> str:
    digits = read_colour(value)
    if digits is None:
        raise LinkError(field, "may be three or six hexadecimal digits, such as 1f4ed8")
    if contrast_with_white(digits) < _LEAST_CONTRAST:
        raise LinkError(field, "is too light: on white a phone would not read the code")
    return digits
