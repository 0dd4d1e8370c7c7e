"""``flask storefront qr``: a QR code for print, written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from storefront.buttons import public_url
from storefront.cli.command import (
    Group,
    WrongUse,
    json_option,
    print_json,
    site_option,
)
from storefront.cli.embed_code import at_site, catalog_at_hand
from storefront.links import UTM_NAMES
from storefront.qr import FORMATS, MAX_BORDER, MAX_SCALE, Format, draw, drawing_of
from storefront.settings import Buttons
from storefront.state import get_state

_SUFFIXES: Final[dict[str, Format]] = {f".{format_}": format_ for format_ in FORMATS}


def add_qr(group: Group) -> None:
    """Add ``qr`` to the group."""
    group.add_command(_qr)


_commands = Group("storefront")


@_commands.command("qr")
@click.argument("reference", metavar="REFERENCE")
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it; ends in .svg or .png.",
)
@click.option(
    "--via",
    type=click.Choice(["link", "redirect"]),
    help="To the checkout link, or by the shop's own /buy.  [default: STOREFRONT_BUTTONS]",
)
@click.option(
    "--scale", default="8", metavar="NUMBER", help=f"Pixels of a module, up to {MAX_SCALE}."
)
@click.option(
    "--border", default="4", metavar="NUMBER", help=f"Modules of white, up to {MAX_BORDER}."
)
@click.option("--color", default="000", metavar="COLOUR", help="A dark one, such as 1f4ed8.")
@click.option("--utm-source", metavar="TEXT", help="Where the buyer comes from.")
@click.option("--utm-medium", metavar="TEXT", help="By what means, such as print.")
@click.option("--utm-campaign", metavar="TEXT", help="Through which campaign.")
@click.option("--utm-content", metavar="TEXT", help="Through which of its parts.")
@click.option("--utm-term", metavar="TEXT", help="By which search term.")
@site_option
@json_option
def _qr(
    reference: str,
    out: Path,
    via: Buttons | None,
    scale: str,
    border: str,
    color: str,
    site: str | None,
    as_json: bool,
    **given: str | None,
) -> None:
    """Write a button's address as a QR code, for print.

    REFERENCE is a product's slug or id, or a link's id or label. A code that was printed can't be
    changed: by --via redirect it leads to the shop, which knows what is sold by that name then.

    \b
    Example:
      flask storefront qr pro-monthly --out card.svg --via redirect --utm-source card
    """
    format_ = _SUFFIXES.get(out.suffix.lower())
    if format_ is None:
        raise WrongUse(f"{str(out)!r} is no file that can be written: end it in .svg or .png.")
    drawing = drawing_of(scale, border, color)
    found = catalog_at_hand(get_state()).find(reference)
    with at_site(site):
        utm = {name: value for name in UTM_NAMES if (value := given[name])}
        url = public_url(found, reference, utm=utm, via=via)
    if url is None:
        raise WrongUse(f"No checkout link sells {found.product.slug!r}.")
    code = draw(url, format_, drawing)
    try:
        out.write_bytes(code)
    except OSError as error:
        raise WrongUse(f"{str(out)!r} can't be written: {error.strerror}.") from None
    if as_json:
        print_json({"url": url, "file": str(out)})
    else:
        click.echo(f"{out} leads to {url}")
