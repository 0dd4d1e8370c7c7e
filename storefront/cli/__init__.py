"""``flask storefront …``: parse and print; the work is done elsewhere."""

from storefront.cli.commands import create_commands

__all__ = ["create_commands"]
