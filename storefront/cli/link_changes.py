"""``flask storefront links create``, ``update`` and ``delete``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from storefront.cli.command import (
    Group,
    WrongUse,
    confirm,
    json_option,
    print_json,
    read_shop,
    showing_at_once,
    site_option,
    site_success_url,
    tell,
    yes_option,
)
from storefront.cli.options import link_options
from storefront.cli.shapes import link_json, link_lines, sold_by
from storefront.cli.tables import details, plain
from storefront.inventory import Inventory, find_discount
from storefront.linkfile import NAME_KEY, LinkSpec
from storefront.linkfile.document import SITE
from storefront.linkfile.spec import patch
from storefront.polar import LINK_KEY, CheckoutLink
from storefront.state import State

#: What ``--clear`` takes, and the fields that it empties.
_CLEARABLE = {
    "label": ("label",),
    "discount": ("discount_id",),
    "success-url": ("success_url",),
    "return-url": ("return_url",),
    "trial": ("trial_interval", "trial_interval_count"),
    "seats": ("seats",),
    "units": ("units",),
}


def add_link_changes(group: Group) -> None:
    """Add the commands that change one link."""
    for command in (_create_link, _update_link, _delete_link):
        group.add_command(command)


_commands = Group("links")


@_commands.command("create")
@click.argument("products", metavar="PRODUCT...", nargs=-1, required=True)
@link_options
@site_option
@json_option
def _create_link(products: tuple[str, ...], site: str | None, as_json: bool, **given: Any) -> None:
    """Make a checkout link for one or more products, by slug or id.

    Buyers choose between several products on the checkout page; the first is preselected.
    Without --success-url they come back to this site's success page, if its address is known.

    \b
    Example:
      flask storefront links create pro-monthly pro-yearly --label newsletter
    """
    state, inventory = read_shop()
    values = _values(state, given, site)
    if "success_url" not in values:
        try:
            values["success_url"] = site_success_url(site)
        except ValueError as error:
            tell(f"The link has no success URL: {error}.")
    spec = LinkSpec(products=_product_ids(inventory, products), **values)
    with showing_at_once(state) as made:
        link = state.client.checkout_links.create(**spec.values())
        made.append(link.id)
    _show(link, inventory, "Made", as_json=as_json)


@_commands.command("update")
@click.argument("reference", metavar="LINK")
@click.option(
    "--product", "products", metavar="PRODUCT", multiple=True, help="What it sells, from now on."
)
@link_options
@click.option(
    "--clear",
    metavar="FIELD",
    multiple=True,
    help=f"Empty a field: {', '.join(_CLEARABLE)}, metadata, or metadata.KEY.",
)
@site_option
@json_option
def _update_link(
    reference: str,
    products: tuple[str, ...],
    clear: tuple[str, ...],
    site: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Change what is given of a link, and leave the rest.

    LINK is an id, a URL, a name or a label. Pairs of --metadata are added to those that it has.

    \b
    Example:
      flask storefront links update newsletter --discount LAUNCH20 --clear trial
    """
    state, inventory = read_shop()
    link = inventory.link(reference)
    values = _values(state, given, site)
    if products:
        values["products"] = _product_ids(inventory, products)
    spec = LinkSpec.of(link)
    metadata = {**spec.metadata, **values.pop("metadata", {})}
    for field in clear:
        if field in _CLEARABLE and values.keys() & set(_CLEARABLE[field]):
            raise WrongUse(f"--clear {field}: it is given a value as well.")
        if field in _CLEARABLE:
            values.update(dict.fromkeys(_CLEARABLE[field]))
        elif field == "metadata":
            metadata = {NAME_KEY: metadata[NAME_KEY]} if NAME_KEY in metadata else {}
        elif field.removeprefix("metadata.") in metadata and field.startswith("metadata."):
            del metadata[field.removeprefix("metadata.")]
        else:
            choices = [*_CLEARABLE, "metadata", *(f"metadata.{key}" for key in metadata)]
            raise WrongUse(f"--clear: there is no field {field!r}; there are {', '.join(choices)}.")
    changed = patch(link, replace(spec, metadata=metadata, **values))
    if NAME_KEY in link.metadata and changed:
        tell(
            f"A file keeps this link, as {str(link.metadata[NAME_KEY])!r}: the next "
            "'links apply' undoes what differs from it."
        )
    if changed:
        with showing_at_once(state) as made:
            link = state.client.checkout_links.update(link.id, **changed)
            made.append(link.id)
    _show(link, inventory, "Changed" if changed else "Nothing to change in", as_json=as_json)


@_commands.command("delete")
@click.argument("reference", metavar="LINK")
@yes_option
@json_option
def _delete_link(reference: str, yes: bool, as_json: bool) -> None:
    """Delete a link: whoever follows it from then on finds nothing.

    \b
    Example:
      flask storefront links delete old-campaign
    """
    state, inventory = read_shop()
    link = inventory.link(reference)
    name = plain(link.label or link.id)
    confirm(f"Delete the link {name!r}, which sells {sold_by(link, inventory)}?", yes=yes)
    with showing_at_once(state) as gone:
        state.client.checkout_links.delete(link.id)
        gone.append(link.id)
    if as_json:
        print_json({"deleted": link_json(link, inventory)})
    else:
        click.echo(f"Deleted the link {link.id}.")


def _values(state: State, given: dict[str, Any], site: str | None) -> dict[str, Any]:
    """The options that were given, as fields of a link."""
    values = {name: value for name, value in given.items() if value not in (None, {})}
    for key in (NAME_KEY, LINK_KEY):
        if key in given["metadata"]:
            raise WrongUse(f"--metadata: {key!r} is the shop's own; choose another key.")
    if "discount" in values:
        discounts = tuple(state.client.discounts.iterate())
        values["discount_id"] = find_discount(discounts, values.pop("discount")).id
    if values.get("success_url") == SITE:
        try:
            values["success_url"] = site_success_url(site)
        except ValueError as error:
            raise WrongUse(f"--success-url: {error}.") from None
    return values


def _product_ids(inventory: Inventory, references: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(inventory.product(reference).id for reference in references)


def _show(link: CheckoutLink, inventory: Inventory, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"link": link_json(link, inventory)})
    else:
        click.echo(f"{what} the link.\n")
        click.echo(details(link_lines(link, inventory)))
