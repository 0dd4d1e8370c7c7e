"""``flask storefront links export``, ``plan`` and ``apply``: links as code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from storefront.cli.command import (
    FINDINGS,
    Group,
    PolarFailed,
    WrongUse,
    confirm,
    json_option,
    print_json,
    read_shop,
    showing_at_once,
    site_option,
    site_success_url,
    tell,
    yes_option,
)
from storefront.cli.link_series import tell_wait
from storefront.cli.plan_text import Names, plan_json, plan_text, step_line
from storefront.errors import PolarError, PolarForbidden
from storefront.inventory import Inventory, find_discount, name_discount, why_not_sold
from storefront.linkfile import (
    ENVIRONMENTS,
    NAME_KEY,
    Change,
    LinkFile,
    Plan,
    carry_out,
    make_plan,
    read_link_file,
    wanted_links,
    write_link_file,
)
from storefront.linkfile.plan import AdoptionError
from storefront.polar import Discount
from storefront.state import State

_environment_option = click.option(
    "--environment",
    type=click.Choice(ENVIRONMENTS),
    help="Whose part of the file counts. Default: the server's.",
)
_prune_option = click.option(
    "--prune", is_flag=True, help="Delete managed links that the file no longer has."
)


def add_link_files(group: Group) -> None:
    """Add the commands for links as code."""
    for command in (_export_links, _plan_links, _apply_links):
        group.add_command(command)


_commands = Group("links")


@_commands.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@yes_option
@site_option
@json_option
def _export_links(file: Path | None, yes: bool, site: str | None, as_json: bool) -> None:
    """Write the links that there are to a YAML file, or print it.

    Links that no file manages yet are written with 'adopt: ID': the next apply puts the name
    into their metadata, and changes nothing else.

    \b
    Example:
      flask storefront links export links.yaml
    """
    state, inventory = read_shop()
    try:
        ours: str | None = site_success_url(site)
    except ValueError:
        ours = None
    discounts = _discounts(state, any(link.discount_id for link in inventory.links))
    exported = write_link_file(
        inventory.links,
        slug=lambda id_: inventory.slugs[id_],
        discount=lambda id_: name_discount(discounts, id_),
        success_url=ours,
    )
    if file is not None:
        if file.exists():
            confirm(f"Replace {file}?", yes=yes)
        try:
            file.write_text(exported.text, encoding="utf-8")
        except OSError as error:
            raise WrongUse(f"{file} can't be written: {error.strerror}.") from None
    if as_json:
        value: dict[str, Any] = {"links": exported.links, "adopted": exported.adopted}
        print_json(value | ({"yaml": exported.text} if file is None else {"file": str(file)}))
    elif file is None:
        click.echo(exported.text, nl=False)
    else:
        click.echo(f"Wrote {exported.links} links to {file}; {exported.adopted} to be adopted.")


@_commands.command("plan")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_prune_option
@_environment_option
@click.option("--exit-code", is_flag=True, help="Exit with 3 when there is something to do.")
@site_option
@json_option
def _plan_links(
    file: Path,
    prune: bool,
    environment: str | None,
    exit_code: bool,
    site: str | None,
    as_json: bool,
) -> None:
    """Show what 'apply' would do, as a patch; nothing is changed.

    \b
    Example:
      flask storefront links plan links.yaml --exit-code
    """
    _, names, plan, where = _make_plan(file, environment, site, prune=prune)
    if as_json:
        print_json({"environment": where, **plan_json(plan, names)})
    else:
        click.echo(plan_text(plan, names, where))
    if plan and exit_code:
        click.get_current_context().exit(FINDINGS)


@_commands.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_prune_option
@_environment_option
@yes_option
@site_option
@json_option
def _apply_links(
    file: Path, prune: bool, environment: str | None, yes: bool, site: str | None, as_json: bool
) -> None:
    """Make the links so, as the file says, after showing the plan and asking.

    It can be repeated, and interrupted at any moment: the next run goes on. Links that no file
    manages are never touched.

    \b
    Example:
      flask storefront links apply links.yaml --prune
    """
    state, names, plan, where = _make_plan(file, environment, site, prune=prune)
    if not as_json or not yes:
        click.echo(plan_text(plan, names, where), err=as_json)
    if plan:
        confirm("Make it so?", yes=yes)
        _carry_out(state, plan, quiet=as_json)
    if as_json:
        print_json({"environment": where, **plan_json(plan, names)})


def _carry_out(state: State, plan: Plan, *, quiet: bool) -> None:
    total = len(plan.creates) + len(plan.updates) + len(plan.deletes)
    done = 0
    try:
        with showing_at_once(state) as changed:
            for step in carry_out(state.client, plan, on_wait=tell_wait):
                done += 1
                changed.append(step.link.id)
                click.echo(f"[{done}/{total}] {step_line(step)}", err=quiet)
    except PolarError as error:
        raise PolarFailed(
            f"{error}\n{done} of {total} changes were made. Run the same again to go on."
        ) from None


def _make_plan(
    file: Path, environment: str | None, site: str | None, *, prune: bool
) -> tuple[State, Names, Plan, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongUse(f"{file} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise WrongUse(f"{file}:{line}: no UTF-8.") from None
    document = read_link_file(text, str(file))
    state, inventory = read_shop()
    where = environment or state.settings.server.name
    discounts = _discounts(state, _names_discounts(document))
    wanted = wanted_links(
        document,
        where,
        product=lambda name: inventory.product(name).id,
        discount=lambda name: find_discount(discounts, name).id,
        success_url=lambda: site_success_url(site),
    )
    try:
        plan = make_plan(wanted, inventory.links, marker=NAME_KEY, prune=prune)
    except AdoptionError as error:
        raise document.error(error.line, f"adopt: {error}") from None
    _refuse_unsellable(document, plan, inventory)
    codes = {each.id: name_discount(discounts, each.id) for each in discounts}
    return state, {**inventory.slugs, **codes}, plan, where


def _refuse_unsellable(document: LinkFile, plan: Plan, inventory: Inventory) -> None:
    """What Polar would refuse is told before anything is changed."""
    sold = [(create.line, create.spec.products) for create in plan.creates]
    sold += [
        (update.line, update.spec.products)
        for update in plan.updates
        if _changes(update.changes, "products")
    ]
    for line, products in sold:
        for id_ in products:
            if reason := why_not_sold(inventory.product(id_)):
                raise document.error(
                    line, f"products: {inventory.slugs[id_]!r} {reason}; no link can sell it"
                )


def _changes(changes: Sequence[Change], field: str) -> bool:
    return any(change.field == field for change in changes)


def _names_discounts(document: LinkFile) -> bool:
    return any(
        "discount" in values
        for entry in document.entries
        for values in (entry.values, *entry.environments.values())
    )


def _discounts(state: State, needed: bool) -> tuple[Discount, ...]:
    if not needed:
        return ()
    try:
        return tuple(state.client.discounts.iterate())
    except PolarForbidden as error:
        tell(f"Discounts can be named by id only. {error}")
        return ()
