"""``flask storefront orders …``: what was sold, and what has become of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from storefront.cli.command import FINDINGS, Group, WrongUse, json_option, print_json
from storefront.cli.jobs import done_by_hand
from storefront.cli.tables import counted, details, table
from storefront.errors import UnknownReference
from storefront.orders import Standing
from storefront.state import get_state

_WORDS = {"unpaid": "not paid", "unwanted": "not wanted", "earlier": "before start"}


def make_orders() -> Group:
    """The group ``orders``."""
    group = Group("orders", help="Look at what was sold, and have what failed done again.")
    for command in (_list_orders, _show_order, _retry, _reconcile):
        group.add_command(command)
    return group


_commands = Group("orders")
_since_option = click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="DATE",
    help="Made since then, in UTC: 2026-11-22.",
)


@_commands.command("list")
@_since_option
@click.option("--parked", is_flag=True, help="Only those that were given up after many attempts.")
@click.option("--due", is_flag=True, help="Only those with something left to be done.")
@click.option("--limit", type=click.IntRange(1), default=100, help="How many.  [default: 100]")
@json_option
def _list_orders(
    since: datetime | None, parked: bool, due: bool, limit: int, as_json: bool
) -> None:
    """List the orders that this site knows of, the newest first.

    \b
    Example:
      flask storefront orders list --parked
    """
    left = parked or due
    standings = get_state().orders.standings(
        since=_moment(since), left=left, limit=None if left else limit
    )
    found = [each for each in standings if each.is_parked or not parked][:limit]
    if as_json:
        print_json({"orders": [_order_json(each) for each in found]})
        return
    texts = get_state().texts
    rows = [
        (
            each.entry.order_id,
            f"{each.entry.ordered_at:%Y-%m-%d %H:%M}",
            texts.money(each.entry.total, each.entry.currency),
            each.entry.status,
            _state(each),
            each.last_error or "",
        )
        for each in found
    ]
    headings = ("ID", "ORDERED (UTC)", "TOTAL", "AT POLAR", "HERE", "LAST ERROR")
    click.echo(table(headings, rows, cut=("LAST ERROR",)) if rows else "No orders.")


@_commands.command("show")
@click.argument("order_id", metavar="ORDER_ID")
@json_option
def _show_order(order_id: str, as_json: bool) -> None:
    """Show what this site knows of one order. It does not know who bought.

    \b
    Example:
      flask storefront orders show 1cb0478e-6d48-4356-b22f-6af153641e95
    """
    standing = _find(order_id)
    if as_json:
        print_json({"order": _order_json(standing)})
        return
    texts, entry = get_state().texts, standing.entry
    pairs = [
        ("id", entry.order_id),
        ("ordered", _written(entry.ordered_at)),
        ("total", texts.money(entry.total, entry.currency)),
        ("refunded", texts.money(entry.refunded, entry.currency) if entry.refunded else ""),
        ("at Polar", entry.status),
        ("here", _state(standing)),
        ("first seen", f"{_written(entry.first_seen_at)}, by {entry.seen_via}"),
        ("fulfilled", _written(entry.fulfilled_at)),
        ("attempts", str(entry.attempts or "")),
        ("next attempt", _written(standing.next_at)),
        ("last error", standing.last_error or ""),
        ("reason", entry.billing_reason),
        ("checkout", entry.checkout_id or ""),
        ("customer", entry.customer_id or ""),
        ("product", entry.product_id or ""),
        ("subscription", entry.subscription_id or ""),
    ]
    click.echo(details([(name, value) for name, value in pairs if value]))


@_commands.command("retry")
@click.argument("order_id", metavar="ORDER_ID", required=False)
@click.option("--all", "everything", is_flag=True, help="All that were given up.")
@json_option
def _retry(order_id: str | None, everything: bool, as_json: bool) -> None:
    """Have what is left to be done for an order done now.

    \b
    Example:
      flask storefront orders retry --all
    """
    if (order_id is None) != everything:
        raise WrongUse("Give either an order's id or --all.")
    state = get_state()
    if order_id is None:
        found = [
            each.entry.order_id for each in state.orders.standings(left=True) if each.is_parked
        ]
    else:
        found = [_find(order_id).entry.order_id]
    with done_by_hand(state):
        tried = [each for each in found if state.orders.retry(each)]
        if order_id is not None and not tried:
            raise WrongUse(f"Nothing is left to be done for the order {order_id}.")
        state.work.run_due()
    left = [e for e in state.orders.standings(left=True) if e.entry.order_id in tried]
    failed = [each.entry.order_id for each in left]
    if as_json:
        print_json({"tried": tried, "failed": failed})
    else:
        click.echo(f"{counted(len(tried), 'order')} tried again, {len(failed)} failed again.")
        for each in left:
            click.echo(f"{each.entry.order_id}  {each.last_error or ''}".rstrip())
    if failed:
        click.get_current_context().exit(FINDINGS)


@_commands.command("reconcile")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="DATE",
    help="Take in all that was sold since then, in UTC, also what was sold before the first start.",
)
@json_option
def _reconcile(since: datetime | None, as_json: bool) -> None:
    """Compare the orders with Polar's, and have done what was missed.

    Made to be run by cron. Orders of before the first start are left alone without --since.

    \b
    Example:
      flask storefront orders reconcile
    """
    state = get_state()
    with done_by_hand(state):
        found = state.reconciliation.look(since=_moment(since), via="cli")
        state.inbox.run_due()
        state.work.run_due()
    if as_json:
        print_json(asdict(found))
        return
    click.echo(
        f"{counted(found.seen, 'order')} compared: {found.new} new, {found.changed} changed, "
        f"{found.due} to be fulfilled."
    )


def _find(order_id: str) -> Standing:
    found = get_state().orders.standings(order_id=order_id.strip().lower())
    if not found:
        raise UnknownReference(
            order_id,
            f"No order with the id {order_id!r} is known here. If Polar has it: "
            "flask storefront orders reconcile",
        )
    return found[0]


def _state(standing: Standing) -> str:
    if standing.is_parked:
        return "parked"
    state = standing.entry.state
    if state != "due" and standing.is_due:
        return f"{_WORDS.get(state, state)}, refund due"
    return _WORDS.get(state, state)


def _order_json(standing: Standing) -> dict[str, Any]:
    return {
        **asdict(standing.entry),
        "due": standing.is_due,
        "parked": standing.is_parked,
        "next_attempt_at": standing.next_at,
        "last_error": standing.last_error,
    }


def _moment(given: datetime | None) -> datetime | None:
    return None if given is None else given.replace(tzinfo=UTC)


def _written(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
