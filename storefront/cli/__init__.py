"""``flask storefront …``: parse and print; the work is done elsewhere."""

from __future__ import annotations

from functools import cached_property

import click
from flask.cli import AppGroup


class Commands(AppGroup):
    """The group ``storefront``.

    What is in it, and all that this needs, is imported when a command is asked for: a process
    that serves pages has the group too, and never asks.
    """

    def __init__(self) -> None:
        super().__init__(
            "storefront",
            help="The shop on Polar: look at what it sells, keep its checkout links, find "
            "mistakes.\n\n"
            "Start with 'flask storefront doctor', which says what is wrong and how to mend it.",
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return self._all.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        return self._all.get_command(ctx, cmd_name)

    @cached_property
    def _all(self) -> click.Group:
        from storefront.cli.commands import create_commands

        return create_commands()
