"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from storefront.polar.checks import TRIAL_INTERVALS

F = TypeVar("F", bound=Callable[..., Any])


def pairs(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    """An option's ``key=value``, given several times, as a mapping.

    :raises click.BadParameter: for one that is none, and a key that is there twice.
    """
    found: dict[str, str] = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{value!r} is no pair; write key=value.")
        if key in found:
            raise click.BadParameter(f"{key!r} is given twice.")
        found[key] = text
    return found


def link_options(function: F) -> F:
    """What a link can be made of; the same options for a new one and for one that is changed."""
    options = (
        click.option("--label", metavar="TEXT", help="A name for yourselves; buyers don't see it."),
        click.option("--discount", metavar="CODE", help="Applied by itself: a code, name or id."),
        click.option(
            "--discount-codes/--no-discount-codes",
            "allow_discount_codes",
            default=None,
            help="Whether buyers may enter codes.",
        ),
        click.option(
            "--require-billing-address/--no-require-billing-address",
            "require_billing_address",
            default=None,
            help="Whether buyers give a whole address.",
        ),
        click.option(
            "--success-url",
            metavar="URL",
            help="Where buyers go after paying; 'site' is this site's success page.",
        ),
        click.option("--return-url", metavar="URL", help="Where the back button leads."),
        click.option(
            "--trial-interval", type=click.Choice(TRIAL_INTERVALS), help="The unit of a free trial."
        ),
        click.option(
            "--trial-count",
            "trial_interval_count",
            type=int,
            metavar="NUMBER",
            help="How many of it.",
        ),
        click.option("--seats", type=int, metavar="NUMBER", help="A fixed number of seats."),
        click.option("--units", type=int, metavar="NUMBER", help="A fixed number of units."),
        click.option(
            "--metadata",
            metavar="KEY=VALUE",
            multiple=True,
            callback=pairs,
            help="Copied to every order; repeatable.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
