"""``flask storefront links …``: those that look and change nothing."""

from __future__ import annotations

from typing import Any, get_args

import click

from storefront.cli.command import Group, json_option, print_json, read_shop
from storefront.cli.options import pairs
from storefront.cli.shapes import extras, link_json, link_lines, sold_by
from storefront.cli.tables import details, table
from storefront.errors import UnknownReference
from storefront.inventory import Inventory
from storefront.links import LOCALES, Theme, checkout_url
from storefront.polar import CheckoutLink


def make_links() -> Group:
    """The group ``links``."""
    group = Group("links", help="Look at checkout links, make and change them, keep them as code.")
    for command in (_list_links, _show_link, _open_link):
        group.add_command(command)
    return group


_commands = Group("links")


@_commands.command("list")
@click.option("--product", metavar="PRODUCT", help="Only those that sell this slug or id.")
@json_option
def _list_links(product: str | None, as_json: bool) -> None:
    """List the checkout links, the oldest first.

    \b
    Example:
      flask storefront links list --product pro-monthly
    """
    _, inventory = read_shop()
    links = inventory.links if product is None else inventory.links_of(inventory.product(product))
    if as_json:
        print_json({"links": [link_json(link, inventory) for link in links]})
        return
    rows = [(link.id, link.label or "", sold_by(link, inventory), extras(link)) for link in links]
    headings = ("ID", "LABEL", "PRODUCTS", "WITH")
    click.echo(table(headings, rows, cut=headings[1:]) if rows else "No links.")


@_commands.command("show")
@click.argument("reference", metavar="LINK")
@json_option
def _show_link(reference: str, as_json: bool) -> None:
    """Show everything about one link.

    LINK is an id, a URL, a name in a file of links, or a label.

    \b
    Example:
      flask storefront links show newsletter
    """
    _, inventory = read_shop()
    link = inventory.link(reference)
    if as_json:
        print_json({"link": link_json(link, inventory)})
    else:
        click.echo(details(link_lines(link, inventory)))


@_commands.command("open")
@click.argument("reference", metavar="REFERENCE")
@click.option("--email", help="The buyer's email address.")
@click.option("--name", help="The buyer's name.")
@click.option("--utm-source", metavar="TEXT", help="Where the buyer came from.")
@click.option("--utm-medium", metavar="TEXT", help="By what means, such as email.")
@click.option("--utm-campaign", metavar="TEXT", help="Through which campaign.")
@click.option("--utm-content", metavar="TEXT", help="Through which of its parts.")
@click.option("--utm-term", metavar="TEXT", help="By which search term.")
@click.option("--discount-code", metavar="CODE", help="A code to apply.")
@click.option("--product", metavar="PRODUCT", help="Slug or id, where the link has several.")
@click.option("--amount", type=int, help="Minor units (1500 for 15.00), where the buyer chooses.")
@click.option("--locale", metavar="LOCALE", help=f"Of the checkout: {', '.join(LOCALES)}.")
@click.option("--theme", type=click.Choice(get_args(Theme)), help="Of the checkout page.")
@click.option(
    "--custom-field",
    "custom_field_data",
    metavar="KEY=VALUE",
    multiple=True,
    callback=pairs,
    help="A field of the checkout, by its slug; repeatable.",
)
@click.option("--reference-id", metavar="TEXT", help="Your own reference for the purchase.")
@json_option
def _open_link(reference: str, product: str | None, as_json: bool, **given: Any) -> None:
    """Print the URL of a buy button, filled in as the macro does it.

    Nothing is opened: opening a link begins a checkout. REFERENCE is a product's slug or id, or
    a link's id, name or label.

    \b
    Example:
      flask storefront links open pro-monthly --email jane@example.com --utm-source newsletter
    """
    _, inventory = read_shop()
    link, product_id = _find(inventory, reference, product)
    email, name = given.pop("email"), given.pop("name")
    url = checkout_url(
        link,
        product_id=product_id if len(link.products) > 1 else None,
        customer_email=email,
        customer_name=name,
        **given,
    )
    if as_json:
        print_json({"url": url, "link": link.id, "product": product_id})
    else:
        click.echo(url)


def _find(
    inventory: Inventory, reference: str, product: str | None
) -> tuple[CheckoutLink, str | None]:
    """The link behind a reference, and the product of it that is meant: as a macro finds them."""
    try:
        found = inventory.catalog.find(reference, product=product)
    except UnknownReference:
        # Only these commands know the names in files; whatever they don't know, the catalogue
        # has the better words for.
        try:
            link = inventory.link(reference)
        except UnknownReference:
            link = None
        if link is None or link.id not in inventory.catalog.links:
            raise
        found = inventory.catalog.find(link.id, product=product)
    if found.offer is None:
        raise UnknownReference(
            reference,
            f"No link that the shop may use sells {found.product.slug!r}. Make one: "
            f"flask storefront links create {found.product.slug}",
        )
    return found.offer.link, found.product.id
