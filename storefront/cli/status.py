"""``flask storefront status`` and ``db``: how things stand, and the tables."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from flask import current_app

from storefront.catalog import CatalogStatus, TierStatus
from storefront.cli.command import FINDINGS, Group, json_option, print_json
from storefront.cli.jobs import waiting_jobs
from storefront.cli.tables import details
from storefront.errors import DatabaseUnavailable
from storefront.settings import Settings
from storefront.state import State, get_state
from storefront.work import Waiting


def add_status(group: Group) -> None:
    """Add ``status`` and ``db``."""
    group.add_command(_status)
    group.add_command(_db)


_commands = Group("storefront")


@_commands.command("status")
@json_option
def _status(as_json: bool) -> None:
    """Say how things stand with the catalogue, and which settings are in force.

    Cache and database are looked into, and what work was given up; Polar is not asked. Tokens and
    passwords are not shown.
    Exits with 3 when there is no catalogue.

    \b
    Example:
      flask storefront status
    """
    state = get_state()
    status = state.catalog.status()
    settings = _describe_settings(state.settings)
    parked = _parked(state)
    if as_json:
        work = None if parked is None else {"parked": len(parked), "oldest": _oldest(parked)}
        catalogue = dataclasses.asdict(status)
        print_json({"catalogue": catalogue, "work": work, "settings": settings})
    else:
        if status.source is None:
            why = f": {status.problem}" if status.problem else ". It is read at the first request."
            click.echo(f"There is no catalogue{why}\n")
        click.echo(details([*_lines(status), *_work_lines(parked)]))
        click.echo()
        click.echo(details([(name, _shown(value)) for name, value in settings.items()]))
    if status.source is None:
        click.get_current_context().exit(FINDINGS)


_db = Group("db", help="Look after the database's tables.")


@_db.command("upgrade")
@json_option
def _upgrade(as_json: bool) -> None:
    """Make the tables, or bring them to what this release needs.

    SQLite's are made by themselves. On PostgreSQL, run this after installing a release, before
    starting it. The tables of an older release keep what they hold.

    \b
    Example:
      flask storefront db upgrade
    """
    database = get_state().database
    before, after = database.upgrade()
    if as_json:
        print_json({"database": str(database), "before": before, "version": after})
    elif before == after:
        click.echo(f"{database}: the tables are of version {after} already.")
    elif before == 0:
        click.echo(f"{database}: made the tables, version {after}.")
    else:
        click.echo(f"{database}: upgraded the tables from version {before} to {after}.")


@_db.command("status")
@json_option
def _db_status(as_json: bool) -> None:
    """Say which database is used, and whether its tables are what this release needs.

    Exits with 3 when they are not.

    \b
    Example:
      flask storefront db status
    """
    database = get_state().database
    found, needed = database.versions()
    if as_json:
        print_json({"database": str(database), "version": found, "needed": needed})
    else:
        click.echo(details([("database", str(database)), ("tables", _tables(found, needed))]))
    if found != needed:
        click.get_current_context().exit(FINDINGS)


def _tables(found: int, needed: int) -> str:
    if found == needed:
        return f"version {found}, as needed"
    there = f"version {found}, and version {needed} is needed" if found else "none yet"
    return f"{there}. Run: flask storefront db upgrade"


def _lines(status: CatalogStatus) -> list[tuple[str, str]]:
    pairs = []
    if status.age_seconds is not None and status.read_at and status.changed_at:
        pairs += [
            ("products", f"{status.listed} in the shop"),
            ("links", f"{status.links} that can be used"),
            ("age", _age(status.age_seconds)),
            ("read at", _time(status.read_at)),
            ("changed at", _time(status.changed_at)),
            ("version", str(status.version)),
            ("from", _source(status)),
        ]
    if status.refreshing:
        since = f", since {_time(status.refreshing_since)}" if status.refreshing_since else ""
        pairs.append(("reading", f"now, by {status.refresher or 'another process'}{since}"))
    if status.problem:
        again = f" Next try in {status.retry_seconds:.0f} seconds." if status.retry_seconds else ""
        times = f" ({status.failures} times in a row)" if status.failures > 1 else ""
        pairs.append(("not read", f"{status.problem}{times}{again}"))
    pairs += [("cache", _tier(status.cache)), ("database", _tier(status.database))]
    return pairs


def _parked(state: State) -> list[Waiting] | None:
    """What was given up, the oldest first; None where the database does not say."""
    try:
        return [job for _, job in waiting_jobs(state, parked=True)]
    except DatabaseUnavailable:
        return None


def _oldest(parked: list[Waiting]) -> datetime | None:
    return parked[0].created_at if parked else None


def _work_lines(parked: list[Waiting] | None) -> list[tuple[str, str]]:
    if parked is None:
        return []
    oldest = _oldest(parked)
    if oldest is None:
        return [("given up", "nothing")]
    counted = "1 job" if len(parked) == 1 else f"{len(parked)} jobs, the oldest"
    see = "See: flask storefront jobs list --parked"
    return [("given up", f"{counted} of {_time(oldest)}. {see}")]


def _source(status: CatalogStatus) -> str:
    if status.source == "cache":
        return f"the cache that workers share ({status.cache.name})"
    return f"the {status.source}" if status.source == "database" else str(status.source)


def _tier(tier: TierStatus) -> str:
    whose = "all machines that share it" if tier.is_shared else "this machine"
    health = f"does not answer. {tier.problem}" if tier.problem else f"answers; for {whose}"
    return f"{tier.name}: {health}"


def _describe_settings(settings: Settings) -> dict[str, Any]:
    """Names and values in force, without what opens doors."""
    found: dict[str, Any] = {
        "POLAR_SERVER": f"{settings.server.name} ({settings.server.api_url})",
        "POLAR_ACCESS_TOKEN": "set",
    }
    renamed = {
        "organization_id": "POLAR_ORGANIZATION_ID",
        "local_port": "POLAR_PORT",
        "local_seed": "POLAR_SEED",
    }
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in ("server", "access_token", "embedded") or not field.repr:
            continue
        if field.name == "proxy_url" and value is not None:
            parts = urlsplit(value)
            value = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        if isinstance(value, Path):
            value = str(value)
        found[renamed.get(field.name, f"STOREFRONT_{field.name.upper()}")] = value
    for name in ("SERVER_NAME", "PREFERRED_URL_SCHEME"):
        found[name] = current_app.config.get(name)
    return found


def _age(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "-"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
