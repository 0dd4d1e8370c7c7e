"""What every test may use: a local Polar over real HTTP, and sites that sell through it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from flask import Flask

from storefront import Storefront
from storefront.emulator import LocalPolar, Store
from storefront.testing import ShopPolar, local_polar
from tests.contract.recordings import REFERENCE_STORE
from tests.demo_processes import free_port

if TYPE_CHECKING:
    from tests.services import PostgreSQLServer, RedisServer

#: Names of optional parts whose tests must run, not be skipped: continuous integration sets it.
REQUIRED = os.environ.get("STOREFRONT_TESTS_REQUIRE", "").split()

# Machines are slow at times; a test that takes long on one of them is no worse for it.
hypothesis.settings.register_profile(
    "steady", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")

SiteMaker = Callable[..., Flask]


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """The settings of whoever runs the tests are not the tests' settings, nor is their window."""
    names = [n for n in os.environ if n.startswith(("POLAR_", "STOREFRONT_")) or n == "COLUMNS"]
    kept = {n: os.environ.pop(n) for n in names if n != "STOREFRONT_TESTS_REQUIRE"}
    yield
    os.environ.update(kept)


@pytest.fixture
def reference_polar() -> Iterator[LocalPolar]:
    """A local Polar that sells the reference store; purchases settle at once."""
    store = Store(json.loads(REFERENCE_STORE.read_text()))
    # A port that nobody else is given: when it is stopped, nobody answers in its place.
    with LocalPolar(store, port=free_port(), settle_seconds=0) as polar:
        yield polar


@pytest.fixture
def make_site(tmp_path: Path) -> SiteMaker:
    """Makes a site: ``make_site(polar, **settings)``, its pages below ``/shop``."""

    def make(
        polar: LocalPolar,
        *,
        shop: Storefront | None = None,
        pages: bool = True,
        url_prefix: str | None = "/shop",
        template_folder: Path | None = None,
        **settings: Any,
    ) -> Flask:
        app = Flask(
            "site",
            root_path=str(tmp_path),
            instance_path=str(tmp_path / "instance"),
            template_folder=str(template_folder or tmp_path / "templates"),
        )
        app.config.update(
            POLAR_SERVER=polar.url,
            POLAR_ACCESS_TOKEN=next(iter(polar.tokens)),
            TESTING=True,
            STOREFRONT_PAGE_TIMEOUT_SECONDS=10,
        )
        app.config.update(settings)
        shop = shop or Storefront()
        shop.init_app(app)
        if pages:
            app.register_blueprint(shop.blueprint, url_prefix=url_prefix)
        return app

    return make


@pytest.fixture
def polar() -> Iterator[ShopPolar]:
    """The demo store; payments settle, and benefits are granted, at once."""
    with local_polar(port=free_port()) as running:
        yield running


@pytest.fixture
def longest_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again as late as it may be: in no test at once, by chance."""
    monkeypatch.setattr("storefront.work.queue.SystemRandom.uniform", lambda self, low, high: high)


@pytest.fixture
def site(reference_polar: LocalPolar, make_site: SiteMaker) -> Flask:
    """A site that sells the reference store."""
    return make_site(reference_polar)


@pytest.fixture(scope="session")
def redis_of_the_session() -> Iterator[RedisServer]:
    """A Redis for all tests that need one."""
    from tests.services import RedisServer

    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(redis_of_the_session: RedisServer) -> Iterator[RedisServer]:
    """A Redis that runs and is empty, and may be stopped, killed and frozen."""
    redis_of_the_session.start()
    redis_of_the_session.flush()
    yield redis_of_the_session
    redis_of_the_session.start()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a Redis that runs and is empty."""
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_of_the_session() -> Iterator[PostgreSQLServer]:
    """A PostgreSQL for all tests that need one."""
    from tests.services import PostgreSQLServer

    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def postgres_server(postgres_of_the_session: PostgreSQLServer) -> Iterator[PostgreSQLServer]:
    """A PostgreSQL that runs, and may be stopped, killed and frozen."""
    postgres_of_the_session.start()
    yield postgres_of_the_session
    postgres_of_the_session.start()


@pytest.fixture
def postgres_url(postgres_server: PostgreSQLServer) -> str:
    """The URL of a new, empty PostgreSQL database."""
    return postgres_server.create_database()
