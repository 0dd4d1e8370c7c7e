"""``flask storefront links ensure`` and ``campaign``: several links that follow one rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import click

from storefront.catalog import LINK_METADATA_KEY
from storefront.cli.command import (
    Group,
    WrongUse,
    json_option,
    print_json,
    read_shop,
    showing_at_once,
    site_option,
    site_success_url,
    tell,
)
from storefront.cli.shapes import link_json
from storefront.cli.tables import table
from storefront.inventory import Inventory
from storefront.linkfile import LinkSpec, Wanted, carry_out, make_plan
from storefront.linkfile.document import SITE
from storefront.polar import CheckoutLink
from storefront.state import State

#: The metadata key by which the link of a campaign's channel is found again.
CHANNEL_KEY: Final = "storefront_channel"


def add_link_series(group: Group) -> None:
    """Add the commands that make several links."""
    group.add_command(_ensure_links)
    group.add_command(_make_campaign)


_commands = Group("links")


@_commands.command("ensure")
@click.option("--success-url", metavar="URL", default=SITE, help="In place of this site's.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@site_option
@json_option
def _ensure_links(success_url: str, dry_run: bool, site: str | None, as_json: bool) -> None:
    """Make a link for each public product that has none.

    After it, every page of the shop has a buy button. It can be repeated: products that have a
    link are left alone.

    \b
    Example:
      flask storefront links ensure --site https://shop.example.com
    """
    state, inventory = read_shop()
    lacking = inventory.without_link()
    if success_url == SITE and lacking:
        try:
            success_url = site_success_url(site)
        except ValueError as error:
            raise WrongUse(f"{_sentence(error)} Or give --success-url URL.") from None
    wanted = [
        Wanted(
            inventory.slugs[product.id],
            LinkSpec(products=(product.id,), label=product.name, success_url=success_url),
        )
        for product in lacking
    ]
    made: Mapping[str, CheckoutLink] = {}
    if wanted and not dry_run:
        made = _carry_out(state, wanted, inventory)
    if as_json:
        print_json(
            {
                "products": [each.name for each in wanted],
                "links": [link_json(link, inventory) for link in made.values()],
            }
        )
    elif not wanted:
        click.echo("Every public product has a link.")
    elif dry_run:
        rows = [(each.name, each.spec.label or "") for each in wanted]
        click.echo(table(("WITHOUT A LINK", "NAME"), rows, cut=("NAME",)))
    else:
        rows = [(name, link.id) for name, link in made.items()]
        click.echo(table(("PRODUCT", "NEW LINK"), rows, cut=("PRODUCT",)))


@_commands.command("campaign")
@click.argument("product", metavar="PRODUCT")
@click.option(
    "--channel",
    "channels",
    metavar="NAME",
    multiple=True,
    required=True,
    help="Where the link is published; its utm_source. Repeatable.",
)
@click.option("--campaign", metavar="NAME", help="Its utm_campaign.")
@click.option("--medium", metavar="TEXT", help="Its utm_medium, such as email.")
@click.option("--content", metavar="TEXT", help="Its utm_content.")
@click.option("--term", metavar="TEXT", help="Its utm_term.")
@site_option
@json_option
def _make_campaign(
    product: str,
    channels: tuple[str, ...],
    campaign: str | None,
    site: str | None,
    as_json: bool,
    **given: str | None,
) -> None:
    """Make a link for each channel on which a product is advertised.

    Purchases by such a link are counted for its channel, and the shop's own buttons leave it
    alone. It can be repeated: the links that are there already are given again.

    \b
    Example:
      flask storefront links campaign pro-monthly --channel newsletter --channel twitter \\
        --campaign launch
    """
    state, inventory = read_shop()
    sold = inventory.product(product)
    texts = {"campaign": campaign, **given}
    utm = {f"utm_{name}": text for name, text in texts.items() if text is not None}
    try:
        url: str | None = site_success_url(site)
    except ValueError as error:
        url = None
        tell(f"New links have no success URL: {error}.")
    found = {
        str(link.metadata[CHANNEL_KEY]): link
        for link in reversed(inventory.links)
        if CHANNEL_KEY in link.metadata
    }
    wanted = []
    for channel in dict.fromkeys(channels):
        marker = f"{sold.id}/{campaign or '-'}/{channel}"
        if marker in found:
            spec = LinkSpec.of(found[marker])
            spec = replace(spec, metadata={**spec.metadata, **utm})
        else:
            name = f"{sold.name}: {channel}" + (f" ({campaign})" if campaign else "")
            metadata = {
                "utm_source": channel,
                **utm,
                LINK_METADATA_KEY: "hidden",
                CHANNEL_KEY: marker,
            }
            spec = LinkSpec(products=(sold.id,), label=name, success_url=url, metadata=metadata)
        wanted.append(Wanted(marker, spec))
    links = _carry_out(state, wanted, inventory)
    rows = [(str(links[each.name].metadata["utm_source"]), links[each.name]) for each in wanted]
    if as_json:
        print_json(
            {"links": [{"channel": name, **link_json(link, inventory)} for name, link in rows]}
        )
    else:
        click.echo(table(("CHANNEL", "URL"), [(name, link.url) for name, link in rows], cut=()))


def _carry_out(state: State, wanted: list[Wanted], inventory: Inventory) -> dict[str, CheckoutLink]:
    """Have the links there, by name; those that are as they should be are not touched."""
    plan = make_plan(wanted, inventory.links, marker=CHANNEL_KEY)
    links: dict[str, CheckoutLink] = {each.name: each.link for each in plan.unchanged}
    if plan:
        with showing_at_once(state) as changed:
            for step in carry_out(state.client, plan, on_wait=tell_wait):
                links[step.name] = step.link
                changed.append(step.link.id)
    return links


def tell_wait(seconds: float) -> None:
    """Say why nothing happens."""
    tell(f"Polar takes no more requests for now; waiting {seconds:g} seconds.")


def _sentence(error: Any) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
