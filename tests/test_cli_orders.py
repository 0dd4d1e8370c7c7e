"""``flask storefront orders``: what was sold, what has become of it, and trying again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from storefront import Fulfilment, Refund, Storefront, get_state
from storefront.database.tables import jobs
from storefront.testing import ShopPolar, local_polar
from tests.conftest import SiteMaker


@pytest.fixture
def polar() -> Iterator[ShopPolar]:
    """A local Polar with the demo store."""
    with local_polar() as polar:
        yield polar


class Site:
    """A site that keeps what it was asked to fulfil, and may fail to."""

    def __init__(self, make_site: SiteMaker, polar: ShopPolar) -> None:
        self.shop = Storefront()
        self.done: list[Any] = []
        self.failing = False
        self.shop.on_order(self.fulfil)
        self.shop.on_refund(self.done.append)
        self.app: Flask = make_site(polar, shop=self.shop)

    def fulfil(self, fulfilment: Fulfilment) -> None:
        """What the site does for an order."""
        if self.failing:
            raise LookupError("no key left for canary@example.com")
        self.done.append(fulfilment)

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run one of the commands."""
        result = self.app.test_cli_runner().invoke(args=["storefront", "orders", *arguments])
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What one of them prints for scripts."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def park(self) -> None:
        """As if everything had failed as often as it may."""
        with self.app.app_context(), get_state().database.writing() as connection:
            connection.execute(jobs.update().values(due_at=None))


@pytest.fixture
def site(make_site: SiteMaker, polar: ShopPolar) -> Iterator[Site]:
    """A site that has looked once."""
    made = Site(make_site, polar)
    made.run("reconcile")
    yield made
    state = get_state(made.app)
    state.database.for_short_writes().close()
    state.database.close()


def test_reconcile_does_what_was_missed(site: Site, polar: ShopPolar) -> None:
    """What was sold since is fulfilled before the command ends."""
    bought = polar.purchase("northlight", email="canary@example.com")
    result = site.run("reconcile")
    assert result.stdout == "1 order compared: 1 new, 0 changed, 1 to be fulfilled.\n"
    assert [each.order.order_id for each in site.done] == [bought.order_id]
    assert site.json("reconcile") == {"seen": 1, "new": 0, "changed": 0, "due": 0}


def test_history_is_taken_in_when_asked(
    make_site: SiteMaker, polar: ShopPolar, tmp_path: Path
) -> None:
    """--since fulfils what was sold before the first start."""
    polar.purchase("northlight", email="canary@example.com")
    made = Site(make_site, polar)
    assert made.json("reconcile")["due"] == 0
    assert "before start" in made.run("list").stdout
    assert made.json("reconcile", "--since", "2020-01-01")["due"] == 1
    assert len(made.done) == 1
    made.run("reconcile", "--since", "yesterday", code=2)
    get_state(made.app).database.close()


def test_what_is_known_of_orders(site: Site, polar: ShopPolar) -> None:
    """The list and one order, for people and for scripts; nothing says who bought."""
    bought = polar.purchase("northlight", email="canary@example.com", name="Canary")
    site.run("reconcile")
    order_id = str(bought.order_id)
    listed, shown = site.run("list").stdout, site.run("show", order_id).stdout
    assert f"{order_id}" in listed
    for words in ("$49.00", "paid", "done"):
        assert words in listed, words
        assert words in shown, words
    order = site.json("show", order_id)["order"]
    assert site.json("list")["orders"] == [order]
    assert (order["state"], order["due"], order["parked"]) == ("done", False, False)
    assert (order["total"], order["currency"], order["seen_via"]) == (4900, "usd", "cli")
    assert "anary" not in listed + shown + json.dumps(order)
    assert site.run("list", "--since", "2999-01-01").stdout == "No orders.\n"
    assert site.run("list", "--due").stdout == "No orders.\n"
    assert "reconcile" in site.run("show", "nope", code=2).stderr


@pytest.mark.usefixtures("longest_pauses")
def test_what_was_given_up_is_tried_again(site: Site, polar: ShopPolar) -> None:
    """Parked orders are shown with the reason, and done when they are tried again."""
    site.failing = True
    order_id = str(polar.purchase("northlight", email="canary@example.com").order_id)
    site.run("reconcile")
    site.park()
    parked = site.run("list", "--parked").stdout
    assert order_id in parked
    assert "LookupError: no key left for …" in parked
    assert site.json("list", "--due")["orders"][0]["parked"] is True
    again = site.run("retry", order_id, code=3)
    assert "1 order tried again, 1 failed again." in again.stdout
    site.park()
    site.failing = False
    assert site.json("retry", "--all") == {"tried": [order_id], "failed": []}
    assert site.done[0].attempt == 3
    assert site.run("list", "--parked").stdout == "No orders.\n"
    site.run("retry", order_id, code=2)
    site.run("retry", code=2)


def test_refunds_are_told_too(site: Site, polar: ShopPolar) -> None:
    """A refund that was found is told before the command ends."""
    order_id = str(polar.purchase("northlight", email="canary@example.com").order_id)
    site.run("reconcile")
    polar.refund(order_id, 900)
    assert site.json("reconcile")["changed"] == 1
    refund = site.done[-1]
    assert isinstance(refund, Refund)
    assert (refund.refunded, refund.is_full) == (900, False)
    assert "$9.00" in site.run("show", order_id).stdout
