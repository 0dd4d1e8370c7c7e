"""What all commands share: how they fail, ask, print JSON, and know the site's address.

Exit codes: 0 when all is well, 1 when Polar can't be reached or refuses, 2 when the command was
not given as it has to be, 3 when something was found (``doctor``, ``plan --exit-code``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import click
from flask import current_app
from flask.cli import AppGroup

from storefront.errors import (
    CatalogUnavailable,
    LinkError,
    PolarError,
    StorefrontError,
    UnknownReference,
)
from storefront.inventory import Inventory, read_inventory
from storefront.linkfile import LinkFileError
from storefront.state import State, get_state
from storefront.urls import page_url, success_url

#: The exit code for what was found, or is different.
FINDINGS: Final = 3


class WrongUse(click.ClickException):
    """The command was not given as it has to be, or can't be carried out as it was."""

    exit_code = 2


class PolarFailed(click.ClickException):
    """Polar could not be reached, or refused."""

    exit_code = 1


class Command(click.Command):
    """A command that says what happened in place of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it.

        :raises click.ClickException: for whatever Storefront raises.
        """
        try:
            return super().invoke(ctx)
        except (UnknownReference, LinkError, LinkFileError) as error:
            raise WrongUse(str(error)) from None
        except StorefrontError as error:
            raise PolarFailed(str(error)) from None


class Group(AppGroup):
    """A group of such commands; each runs with the app at hand."""

    command_class = Command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask first.")


def _site(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            parts = urlsplit(value)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            fits = False
        if not fits or parts.query or parts.fragment or "@" in parts.netloc:
            raise click.BadParameter(
                f"{value!r} is no address of a site; give one such as https://shop.example.com, "
                "with the prefix that the whole site is under, if there is one."
            )
    return value


site_option = click.option(
    "--site",
    metavar="URL",
    callback=_site,
    help="This site's address, up to the shop's own prefix. Default: SERVER_NAME.",
)


def site_success_url(site: str | None) -> str:
    """This site's success page, as a link's ``success_url``.

    :raises ValueError: when it can't be told; the message says why, and what to do.
    """
    if site is not None:
        with current_app.test_request_context(base_url=site):
            tell_of_prefix(site)
            url = _at(site, success_url())
    elif current_app.config.get("SERVER_NAME"):
        url = success_url()
    else:
        raise ValueError(
            "this site's address is not known; give --site https://shop.example.com, or set "
            "SERVER_NAME and PREFERRED_URL_SCHEME"
        )
    if url is None:
        raise ValueError(
            "this site has no success page: the shop's pages (shop.blueprint) are not registered"
        )
    return url


def tell_of_prefix(site: str) -> None:
    """Say so where the shop's address seems to be given for the site's, of which it is a part.

    To be called in a request to that site.
    """
    given = site.rstrip("/")
    path = urlsplit(given).path
    prefix = urlsplit(page_url("catalog") or "").path.removeprefix(path).rstrip("/")
    if prefix and path.endswith(prefix):
        tell(
            f"The shop is taken to be at {given}{prefix}/. If it is not, give the site's address "
            f"without the shop's prefix: --site {given.removesuffix(prefix)}"
        )


def _at(site: str, url: str | None) -> str | None:
    """The URL with the site's origin: Flask prefers SERVER_NAME to what a request says."""
    if url is None:
        return None
    origin, parts = urlsplit(site), urlsplit(url)
    if (parts.hostname or "").endswith(f".{origin.hostname}"):
        return url  # the pages are on a subdomain of the site
    return urlunsplit((origin.scheme, origin.netloc, *parts[2:]))


def read_shop() -> tuple[State, Inventory]:
    """The app's state, and all that Polar has for it at this moment."""
    state = get_state()
    inventory = read_inventory(
        state.client,
        state.catalog,
        state.texts,
        organization_id=state.settings.organization_id,
    )
    return state, inventory


@contextmanager
def showing_at_once(state: State) -> Iterator[list[str]]:
    """After changes, have the running site show them; also after those before a failure.

    The block adds the ids of the links that it changed to the list that it is given: these are read
    again. After a failure everything is, for nobody knows what became of the last change.
    """
    changed: list[str] = []
    is_known = False
    try:
        yield changed
        is_known = bool(changed)
    finally:
        try:
            if is_known:
                state.catalog.refresh(link_ids=changed)
            else:
                state.catalog.sync()
        except (PolarError, CatalogUnavailable) as error:
            tell(f"The site shows this only after its next sync, which now failed: {error}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed.

    :raises WrongUse: when there is nobody to ask.
    :raises click.Abort: when the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUse(f"{question} There is nobody to ask: give --yes if so.")
    click.confirm(question, abort=True, err=True)


def tell(message: str) -> None:
    """Say something that is no part of what was asked for."""
    click.echo(message, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON; times are ISO 8601 in UTC."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(type(value).__name__)
