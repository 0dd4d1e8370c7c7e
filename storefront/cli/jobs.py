"""``flask storefront jobs …``: the work that is left, and having done again what was given up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from storefront.cli.command import FINDINGS, Group, WrongUse, json_option, print_json
from storefront.cli.tables import counted, table
from storefront.state import State, get_state
from storefront.work import Waiting, WorkQueue


def make_jobs() -> Group:
    """The group ``jobs``."""
    words = "Look at the work that is left, and have what was given up done again."
    group = Group("jobs", help=words)
    for command in (_list_jobs, _retry):
        group.add_command(command)
    return group


def waiting_jobs(state: State, *, parked: bool = False) -> list[tuple[WorkQueue, Waiting]]:
    """All jobs, the oldest first, each with its queue; with ``parked`` only those given up.

    :raises DatabaseUnavailable: when the database does not answer.
    """
    found = [
        (queue, job)
        # With PostgreSQL there is one queue for both.
        for queue in dict.fromkeys((state.inbox, state.work))
        for job in queue.waiting(parked=parked)
    ]
    return sorted(found, key=lambda each: each[1].created_at)


@contextmanager
def done_by_hand(state: State) -> Iterator[None]:
    """The work is done by this command before it ends, not by threads that end with it."""
    with state.inbox.by_hand(), state.work.by_hand():
        yield


_commands = Group("jobs")


@_commands.command("list")
@click.option("--parked", is_flag=True, help="Only those that were given up after many attempts.")
@json_option
def _list_jobs(parked: bool, as_json: bool) -> None:
    """List the work that is left to be done, the oldest first.

    \b
    Example:
      flask storefront jobs list --parked
    """
    found = [job for _, job in waiting_jobs(get_state(), parked=parked)]
    if as_json:
        print_json({"jobs": [_job_json(job) for job in found]})
        return
    rows = [
        (
            job.kind,
            job.key,
            _minute(job.created_at),
            "parked" if job.due_at is None else _minute(job.due_at),
            str(job.attempts or ""),
            job.last_error or "",
        )
        for job in found
    ]
    headings = ("KIND", "KEY", "SINCE (UTC)", "NEXT (UTC)", "TRIED", "LAST ERROR")
    click.echo(table(headings, rows, cut=("LAST ERROR",)) if rows else "No jobs.")


@_commands.command("retry")
@click.argument("key", metavar="KEY", required=False)
@click.option("--all", "everything", is_flag=True, help="All that were given up, orders too.")
@json_option
def _retry(key: str | None, everything: bool, as_json: bool) -> None:
    """Have the work with that key done now.

    \b
    Example:
      flask storefront jobs retry --all
    """
    if (key is None) != everything:
        raise WrongUse("Give either a job's key or --all.")
    state = get_state()
    chosen = [
        (queue, job)
        for queue, job in waiting_jobs(state, parked=everything)
        if everything or job.key == key
    ]
    if key is not None and not chosen:
        raise WrongUse(f"No job has the key {key!r}. See: flask storefront jobs list")
    with done_by_hand(state):
        tried = [job for queue, job in chosen if queue.retry(job.kind, job.key)]
        state.inbox.run_due()
        state.work.run_due()
    names = {(job.kind, job.key) for job in tried}
    failed = [
        job
        for _, job in waiting_jobs(state)
        if (job.kind, job.key) in names and (job.last_error or job.due_at is None)
    ]
    if as_json:
        print_json(
            {
                name: [_name(job) for job in jobs]
                for name, jobs in (("tried", tried), ("failed", failed))
            }
        )
    else:
        click.echo(f"{counted(len(tried), 'job')} tried again, {len(failed)} failed again.")
        for job in failed:
            click.echo(f"{job.kind} {job.key}  {job.last_error or ''}".rstrip())
    if failed:
        click.get_current_context().exit(FINDINGS)


def _job_json(job: Waiting) -> dict[str, Any]:
    return {**asdict(job), "parked": job.due_at is None}


def _name(job: Waiting) -> dict[str, str]:
    return {"kind": job.kind, "key": job.key}


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
