"""One Chromium for all browser tests, and the demo and stages they look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.driving import CHROMIUM, chromium
from tests.browser.staging import Stage, staged
from tests.conftest import REQUIRED
from tests.demo_processes import Demo, demo, wait_until

#: Seconds that a busy machine may take: what never comes fails all the same.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Its absence is a failure where it is required."""
    if CHROMIUM is None:
        reason = "Debian's chromium is not installed (apt install chromium)"
        if "chromium" in REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    with chromium() as found:
        yield found


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, as ``make run`` serves it."""
    with demo(tmp_path_factory.mktemp("demo")) as running:
        wait_until(lambda: running.get("/shop/").status_code == 200, 30, "it has its catalogue")
        yield running


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo site in this process; purchases settle at once."""
    with staged(tmp_path_factory.mktemp("stage")) as found:
        yield found


@pytest.fixture(scope="package")
def plain_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A site that has no design of its own."""
    with staged(tmp_path_factory.mktemp("plain"), plain=True) as found:
        yield found
