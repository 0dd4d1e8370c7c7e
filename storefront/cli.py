"""``flask storefront …``: parse and print; the work is done elsewhere."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from storefront.errors import PolarError
from storefront.state import get_state


def create_commands() -> AppGroup:
    """The command group ``storefront``."""
    group = AppGroup("storefront", help="The shop: its catalogue on Polar.")

    @group.command("sync")
    def sync() -> None:
        """Read all products and checkout links from Polar.

        Running workers take over what was read within a second. Exits with 1, and leaves the
        last catalogue in use, when Polar can't be read.
        """
        store = get_state().catalog
        try:
            if sys.stderr.isatty():
                with click.progressbar(
                    length=1, label="Reading the catalogue", file=sys.stderr
                ) as bar:

                    def show(done: int, total: int) -> None:
                        bar.length = max(total, 1)
                        bar.update(done - bar.pos)

                    report = store.sync(show)
            else:
                report = store.sync()
        except PolarError as error:
            raise click.ClickException(str(error)) from None
        click.echo(str(report))

    return group
