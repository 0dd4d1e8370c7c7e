"""``flask storefront sync``, ``status`` and ``doctor``: what the site knows, and if it is right."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from flask import current_app

from storefront.catalog import SyncReport
from storefront.cli.command import (
    FINDINGS,
    Group,
    json_option,
    print_json,
    site_option,
    site_success_url,
)
from storefront.cli.tables import details, paragraph, plain
from storefront.doctor import Finding, examine, read_facts
from storefront.doctor.reading import cache_name
from storefront.errors import CatalogUnavailable
from storefront.settings import Settings
from storefront.state import State, get_state
from storefront.urls import BLUEPRINT_IMPORT_NAME

_MARKS = {"error": "ERROR", "warning": "WARNING", "note": "NOTE"}


def add_checking(group: Group) -> None:
    """Add the commands that say how things stand."""
    for command in (_sync, _status, _doctor):
        group.add_command(command)


_commands = Group("storefront")


@_commands.command("sync")
@json_option
def _sync(as_json: bool) -> None:
    """Read all products and checkout links from Polar.

    Running workers take over what was read within a second. Exits with 1, and leaves the
    last catalogue in use, when Polar can't be read.

    \b
    Example:
      flask storefront sync
    """
    report = _with_progress(get_state())
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        click.echo(str(report))


def _with_progress(state: State) -> SyncReport:
    if not sys.stderr.isatty():
        return state.catalog.sync()
    with click.progressbar(length=1, label="Reading the catalogue", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        return state.catalog.sync(show)


@_commands.command("status")
@json_option
def _status(as_json: bool) -> None:
    """Say what the catalogue holds, how old it is, and which settings are in force.

    Polar is asked only when no worker ever did. Tokens and passwords are not shown.

    \b
    Example:
      flask storefront status
    """
    state = get_state()
    catalogue = _describe_catalogue(state)
    settings = _describe_settings(state.settings)
    if as_json:
        print_json({"catalogue": catalogue, "settings": settings})
        return
    if catalogue["source"] is None:
        click.echo(f"There is no catalogue: {catalogue['problem']}")
    else:
        pairs = [
            ("products", f"{catalogue['listed']} in the shop"),
            ("links", f"{catalogue['links']} that can be used"),
            ("age", _age(catalogue["age_seconds"])),
            ("read at", f"{catalogue['read_at']:%Y-%m-%d %H:%M:%S} UTC"),
            ("version", catalogue["version"]),
            ("from", catalogue["source"]),
        ]
        click.echo(details(pairs))
    click.echo()
    click.echo(details([(name, _shown(value)) for name, value in settings.items()]))


def _describe_catalogue(state: State) -> dict[str, Any]:
    store = state.catalog
    name = cache_name(current_app, state)
    source = f"the cache that workers share ({name})"
    store.warm_up()
    if store.loaded() is None:
        source = "Polar, just now"
        try:
            store.current()
        except CatalogUnavailable as error:
            return {"source": None, "problem": str(error)}
    catalog = store.loaded()
    assert catalog is not None
    return {
        "source": source,
        "listed": len(catalog),
        "links": len(catalog.links),
        "age_seconds": round(store.age_seconds(), 1),
        "read_at": catalog.read_at,
        "version": catalog.version,
    }


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


@_commands.command("doctor")
@click.option("--strict", is_flag=True, help="Exit with 3 for warnings as well.")
@site_option
@json_option
def _doctor(strict: bool, site: str | None, as_json: bool) -> None:
    """Check the site against its Polar organization, and say how to mend what is wrong.

    Nothing is changed, and no link is opened. Exits with 3 when there is an error.

    \b
    Example:
      flask storefront doctor --site https://shop.example.com
    """
    state = get_state()
    try:
        url: str | None = site_success_url(site)
    except ValueError:
        url = None
    has_pages = any(
        blueprint.import_name == BLUEPRINT_IMPORT_NAME
        for blueprint in current_app.blueprints.values()
    )
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    facts = read_facts(app, state, success_url=url, has_pages=has_pages)
    found = examine(facts)
    counts = {level: sum(1 for each in found if each.level == level) for level in _MARKS}
    if as_json:
        print_json({"findings": [dataclasses.asdict(each) for each in found], **_plural(counts)})
    else:
        for each in found:
            click.echo(f"{_finding(each)}\n")
        click.echo(_counted(counts))
    if counts["error"] or (strict and counts["warning"]):
        click.get_current_context().exit(FINDINGS)


def _finding(finding: Finding) -> str:
    head = f"{_MARKS[finding.level]}  {plain(finding.subject)}  [{finding.code}]"
    return "\n".join([head, paragraph(finding.message), paragraph(f"Mend: {finding.remedy}")])


def _plural(counts: dict[str, int]) -> dict[str, int]:
    return {f"{level}s": count for level, count in counts.items()}


def _counted(counts: dict[str, int]) -> str:
    if not any(counts.values()):
        return "All is well."
    return ", ".join(
        f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items()
    )


def _age(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "-"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
