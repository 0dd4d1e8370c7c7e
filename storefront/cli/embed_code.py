"""``flask storefront embed-code``: what to paste into another site, printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import click
from flask import current_app
from flask.globals import request_ctx

from storefront.buttons import public_url
from storefront.catalog import Catalog
from storefront.cli.command import (
    Group,
    WrongUse,
    json_option,
    print_json,
    site_option,
    tell_of_prefix,
)
from storefront.colours import read_colour
from storefront.embeds import KINDS, LAYOUTS, THEMES, Look, embed_code
from storefront.errors import CatalogUnavailable, UnknownReference
from storefront.links import UTM_NAMES
from storefront.state import State, get_state


def add_embed_code(group: Group) -> None:
    """Add ``embed-code`` to the group."""
    group.add_command(_embed_code)


_commands = Group("storefront")


def _colour(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    found = read_colour(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no colour; write one such as 1f4ed8.")
    return found


@_commands.command("embed-code")
@click.argument("reference", metavar="REFERENCE")
@click.option("--kind", type=click.Choice(KINDS), help="One kind only.  [default: all]")
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default="card", help="Of a frame and an element."
)
@click.option("--theme", type=click.Choice(THEMES), default="auto", help="Of the same.")
@click.option("--accent", metavar="COLOUR", callback=_colour, help="Of the button: 1f4ed8.")
@click.option("--utm-source", metavar="TEXT", help="Where the buyer comes from.")
@click.option("--utm-medium", metavar="TEXT", help="By what means, such as email.")
@click.option("--utm-campaign", metavar="TEXT", help="Through which campaign.")
@click.option("--utm-content", metavar="TEXT", help="Through which of its parts.")
@click.option("--utm-term", metavar="TEXT", help="By which search term.")
@site_option
@json_option
def _embed_code(
    reference: str, kind: str | None, site: str | None, as_json: bool, **given: Any
) -> None:
    """Print what to paste into another site, an email or a text to sell a product there.

    REFERENCE is a product's slug or id, or a link's id or label. Of products that are not listed
    in the shop there are no cards, elements and codes.

    \b
    Example:
      flask storefront embed-code pro-monthly --kind iframe --theme dark --utm-source blog
    """
    state = get_state()
    found = catalog_at_hand(state).find(reference)
    look = Look(given["theme"], given["accent"], given["layout"])
    utm = {name: given[name] for name in UTM_NAMES if given[name]}
    if not found.product.listed:
        raise WrongUse(
            f"{found.product.slug!r} is not listed in the shop (private or archived), so that "
            "other sites can't show it. Its links can be shared: see 'flask storefront links open'."
        )
    codes: dict[str, str] = {}
    with at_site(site):
        buy_url = public_url(found, reference, utm=utm)
        for each in KINDS if kind is None else (kind,):
            try:
                codes[each] = embed_code(state, each, found, reference, buy_url, look=look, utm=utm)
            except UnknownReference:
                if kind is not None:
                    raise
    if as_json:
        print_json(codes)
    elif kind is not None:
        click.echo(codes[kind])
    else:
        click.echo("\n\n".join(f"{each}:\n{code}" for each, code in codes.items()))


def catalog_at_hand(state: State) -> Catalog:
    """The catalogue that the site has; where it has none yet, read from Polar now."""
    try:
        return state.catalog.current()
    except CatalogUnavailable:
        state.catalog.sync()
        return state.catalog.current()


@contextmanager
def at_site(site: str | None) -> Iterator[None]:
    """Make addresses as a request to that site would; by ``SERVER_NAME`` where none is given.

    :raises WrongUse: when neither says where the site is.
    """
    if site is None and not current_app.config.get("SERVER_NAME"):
        raise WrongUse(
            "This site's address is not known, for a command is no request that would tell. Give "
            "--site https://shop.example.com, with the prefix of the whole site if there is one, "
            "or set SERVER_NAME and PREFERRED_URL_SCHEME."
        )
    if site is None:
        yield
        return
    parts = urlsplit(site)
    with current_app.test_request_context(base_url=site):
        # Flask prefers SERVER_NAME to what a request says.
        request_ctx.url_adapter = current_app.url_map.bind(
            parts.netloc, script_name=parts.path or "/", url_scheme=parts.scheme
        )
        tell_of_prefix(site)
        yield
