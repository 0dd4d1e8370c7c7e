"""``flask storefront sync`` and ``doctor``: have the site know what is for sale, and be right."""

from __future__ import annotations

import dataclasses
import sys

import click
from flask import current_app

from storefront.catalog.sync import SyncReport
from storefront.cli.command import (
    FINDINGS,
    Group,
    json_option,
    print_json,
    site_option,
    site_success_url,
)
from storefront.cli.tables import counted, paragraph, plain
from storefront.doctor import Finding, examine, read_facts
from storefront.state import State, get_state
from storefront.urls import BLUEPRINT_IMPORT_NAME

_MARKS = {"error": "ERROR", "warning": "WARNING", "note": "NOTE"}


def add_checking(group: Group) -> None:
    """Add ``sync`` and ``doctor``."""
    for command in (_sync, _doctor):
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
    return ", ".join(counted(count, level) for level, count in counts.items())
