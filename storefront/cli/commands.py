"""Everything in the command group ``storefront``."""

from __future__ import annotations

from storefront.cli.checking import add_checking
from storefront.cli.command import Group
from storefront.cli.embed_code import add_embed_code
from storefront.cli.emulator import add_emulator
from storefront.cli.jobs import make_jobs
from storefront.cli.link_changes import add_link_changes
from storefront.cli.link_files import add_link_files
from storefront.cli.link_series import add_link_series
from storefront.cli.links import make_links
from storefront.cli.orders import make_orders
from storefront.cli.products import make_products
from storefront.cli.qr import add_qr
from storefront.cli.status import add_status


def create_commands() -> Group:
    """All commands, in a group of their own: what ``flask storefront`` leads to."""
    group = Group("storefront")
    links = make_links()
    add_link_changes(links)
    add_link_series(links)
    add_link_files(links)
    group.add_command(make_products())
    group.add_command(links)
    group.add_command(make_orders())
    group.add_command(make_jobs())
    add_embed_code(group)
    add_qr(group)
    add_checking(group)
    add_status(group)
    add_emulator(group)
    return group
