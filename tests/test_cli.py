"""``flask storefront …`` as its user runs it."""

from __future__ import annotations

from flask import Flask

from storefront.emulator import LocalPolar
from storefront.state import get_state
from tests.conftest import SiteMaker


def test_sync_reports(site: Flask) -> None:
    """sync reads everything and says in one line what it did."""
    result = site.test_cli_runner().invoke(args=["storefront", "sync"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Read 17 products and 17 checkout links in ")
    assert result.output.endswith(": 34 added, 0 changed, 0 removed.\n")
    assert get_state(site).catalog.current().page("pro-monthly") is not None


def test_sync_without_polar(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """When Polar can't be read the command says so and exits with 1."""
    reference_polar.stop()
    result = make_site(reference_polar).test_cli_runner().invoke(args=["storefront", "sync"])
    assert result.exit_code == 1
    assert "Error: No usable answer came from" in result.output


def test_sync_with_a_wrong_token(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A token that Polar does not know gives a hint, and is not shown."""
    app = make_site(reference_polar, POLAR_ACCESS_TOKEN="polar_oat_canary")
    result = app.test_cli_runner().invoke(args=["storefront", "sync"])
    assert result.exit_code == 1
    assert "POLAR_SERVER" in result.output
    assert "canary" not in result.output


def test_help(site: Flask) -> None:
    """The group and its commands say what they are for."""
    result = site.test_cli_runner().invoke(args=["storefront", "--help"])
    assert "sync" in result.output
    assert "Read all products and checkout links" in result.output
