"""``flask storefront products …``."""

from __future__ import annotations

import click

from storefront.catalog.pricing import describe_pricing
from storefront.cli.command import Group, json_option, print_json, read_shop
from storefront.cli.shapes import extras, product_json
from storefront.cli.tables import details, table
from storefront.inventory import why_not_sold
from storefront.polar import Product


def make_products() -> Group:
    """The group ``products``."""
    group = Group("products", help="Look at the organization's products.")
    group.add_command(_list_products)
    group.add_command(_show_product)
    return group


_commands = Group("products")


@_commands.command("list")
@click.option("--all", "everything", is_flag=True, help="Archived products and drafts as well.")
@json_option
def _list_products(everything: bool, as_json: bool) -> None:
    """List the products that are for sale, the newest first.

    LINKS says how many checkout links sell a product.

    \b
    Example:
      flask storefront products list --all
    """
    _, inventory = read_shop()
    products = [p for p in inventory.products if everything or not why_not_sold(p)]
    if as_json:
        print_json({"products": [product_json(product, inventory) for product in products]})
        return
    rows = [
        (
            inventory.slugs[product.id],
            product.name,
            inventory.price(product),
            str(len(inventory.links_of(product))),
            _state(product),
        )
        for product in products
    ]
    headings = ("SLUG", "NAME", "PRICE", "LINKS", "STATE")
    click.echo(table(headings, rows, cut=("NAME", "PRICE", "SLUG")) if rows else "No products.")


@_commands.command("show")
@click.argument("reference", metavar="PRODUCT")
@json_option
def _show_product(reference: str, as_json: bool) -> None:
    """Show one product and the links that sell it.

    PRODUCT is a slug or an id.

    \b
    Example:
      flask storefront products show pro-monthly
    """
    _, inventory = read_shop()
    product = inventory.product(reference)
    if as_json:
        print_json({"product": product_json(product, inventory)})
        return
    pricing = describe_pricing(product, inventory.texts)
    pairs = [
        ("name", product.name),
        ("slug", inventory.slugs[product.id]),
        ("id", product.id),
        ("state", _state(product)),
        ("price", pricing.headline),
        ("in others", ", ".join(pricing.other_currencies)),
        ("trial", pricing.trial),
        ("benefits", ", ".join(b.description for b in product.benefits if b.description)),
    ]
    click.echo(details([(name, value) for name, value in pairs if value]))
    rows = [(link.id, link.label or "", extras(link)) for link in inventory.links_of(product)]
    click.echo()
    if rows:
        click.echo(table(("LINK", "LABEL", "WITH"), rows, cut=("LABEL", "WITH")))
    else:
        slug = inventory.slugs[product.id]
        click.echo(f"No link sells it. Make one: flask storefront links create {slug}")


def _state(product: Product) -> str:
    return "archived" if product.is_archived else product.visibility
