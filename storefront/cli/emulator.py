"""``flask storefront emulator``: the local Polar."""

from __future__ import annotations

import subprocess
import sys

import click

from storefront.cli.command import Group, WrongUse
from storefront.state import get_state


def add_emulator(group: Group) -> None:
    """Add the command that runs the local Polar."""
    group.add_command(_run_emulator)


_commands = Group("storefront")


@_commands.command(
    "emulator",
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def _run_emulator(options: tuple[str, ...]) -> None:
    """Run a local Polar until Ctrl+C: an API, checkout pages and a store, without money.

    It takes the options of 'python -m storefront.emulator', which --help lists.

    \b
    Example:
      flask storefront emulator --port 8787 --token polar_oat_local
    """
    embedded = get_state().embedded
    takes_port = any(each.partition("=")[0] in ("--port", "--help", "-h") for each in options)
    if embedded is not None and not takes_port:
        raise WrongUse(
            f"This site has a local Polar of its own already, at {embedded.url}, because "
            "POLAR_SERVER is 'local' and POLAR_ACCESS_TOKEN is not set. Set that to "
            "'polar_oat_local' to use one that you run yourself, or give another --port.",
        )
    # A process of its own, with the signals of the terminal: Ctrl+C reaches it directly.
    command = [sys.executable, "-m", "storefront.emulator", *options]
    with subprocess.Popen(command) as process:  # noqa: S603  what the user typed, no shell
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                continue  # it has heard it as well, and is leaving
    click.get_current_context().exit(code)
