"""``flask storefront jobs``: the work that is left, and having done again what was given up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask

from storefront import get_state
from storefront.database.tables import jobs
from storefront.emulator import LocalPolar
from tests.conftest import SiteMaker
from tests.webhook_posts import SECRET, body, signed

_ADDRESS = "canary@example.com"
_ORDER = "1cb0478e-6d48-4356-b22f-6af153641e95"


def run(app: Flask, *arguments: str, code: int = 0) -> Result:
    """Run a command of ``flask storefront``."""
    result = app.test_cli_runner().invoke(args=["storefront", *arguments])
    assert result.exit_code == code, result.output
    return result


def printed(app: Flask, *arguments: str, code: int = 0) -> Any:
    """What one of them prints for scripts."""
    return json.loads(run(app, *arguments, "--json", code=code).stdout)


@dataclass
class Site:
    """A site that has given up acting on a webhook, since a table was away."""

    app: Flask
    #: Polar's id of the webhook.
    id: str

    def take_away(self) -> None:
        """Have the table be away."""
        self._rename("storefront_orders", "elsewhere")

    def put_back(self) -> None:
        """Mend it."""
        self._rename("elsewhere", "storefront_orders")

    def _rename(self, before: str, after: str) -> None:
        with get_state(self.app).database.writing() as connection:
            connection.execute(sa.text(f"ALTER TABLE {before} RENAME TO {after}"))


@pytest.fixture
def site(reference_polar: LocalPolar, make_site: SiteMaker, longest_pauses: None) -> Iterator[Site]:
    """Such a site, with a catalogue."""
    app = make_site(reference_polar, POLAR_WEBHOOK_SECRET=SECRET)
    run(app, "sync")
    run(app, "orders", "reconcile")
    state = get_state(app)
    content = body("order.paid", id=_ORDER, customer={"email": _ADDRESS})
    headers = signed(content)
    made = Site(app, headers["webhook-id"])
    made.take_away()
    with state.inbox.by_hand(), app.app_context():
        sent = app.test_client().post("/shop/webhooks", data=content, headers=headers)
        assert sent.status_code == 202
        assert state.inbox.run_due() == 1
        # As if that had been the last of many attempts.
        with state.database.for_short_writes().writing() as connection:
            connection.execute(jobs.update().values(due_at=None))
    yield made
    state.database.for_short_writes().close()
    state.database.close()


def test_status_tells_what_was_given_up(site: Site) -> None:
    """Status counts it, says since when, and which command shows it."""
    page = run(site.app, "status").stdout
    assert "given up    1 job of 2" in page
    assert " UTC. See: flask storefront jobs list --parked\n" in page
    work = printed(site.app, "status")["work"]
    assert work["parked"] == 1
    assert work["oldest"]


def test_what_was_given_up_is_listed(site: Site) -> None:
    """The list has its kind, its key and the reason, and nothing of whom it is about."""
    for arguments in ((), ("--parked",)):
        page = run(site.app, "jobs", "list", *arguments).stdout
        assert f"webhook  {site.id}" in page
        assert "parked" in page
        assert "DatabaseUnavailable" in page
        assert _ADDRESS not in page
    (job,) = printed(site.app, "jobs", "list")["jobs"]
    assert (job["kind"], job["key"], job["due_at"]) == ("webhook", site.id, None)
    assert (job["attempts"], job["parked"]) == (1, True)
    assert _ADDRESS not in str(job)


def test_what_was_given_up_is_done_again(site: Site) -> None:
    """It is tried before the command ends; what fails again is left and told of."""
    again = run(site.app, "jobs", "retry", site.id, code=3).stdout
    assert again.startswith("1 job tried again, 1 failed again.\nwebhook ")
    site.put_back()
    done = printed(site.app, "jobs", "retry", site.id)
    assert done == {"tried": [{"kind": "webhook", "key": site.id}], "failed": []}
    assert run(site.app, "jobs", "list").stdout == "No jobs.\n"
    assert "given up    nothing\n" in run(site.app, "status").stdout
    assert _ORDER in run(site.app, "orders", "list").stdout
    assert "No job has the key" in run(site.app, "jobs", "retry", site.id, code=2).stderr


def test_all_that_was_given_up(site: Site) -> None:
    """--all is for what was parked; one or the other has to be said."""
    site.put_back()
    retry = ("jobs", "retry")
    assert run(site.app, *retry, "--all").stdout == "1 job tried again, 0 failed again.\n"
    assert printed(site.app, *retry, "--all") == {"tried": [], "failed": []}
    run(site.app, *retry, code=2)
    run(site.app, *retry, "one", "--all", code=2)


def test_status_without_a_database(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Where the database does not answer status says that, and nothing of the work."""
    app = make_site(reference_polar, STOREFRONT_DATABASE_URL="postgresql://shop@127.0.0.1:1/shop")
    assert printed(app, "status", code=3)["work"] is None
    page = run(app, "status", code=3).stdout
    assert "does not answer" in page
    assert "given up" not in page
