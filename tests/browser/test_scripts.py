"""S2 at a small size in Chromium: with their policies taken off, pages run nothing they show."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.faults.firing import fired

pytestmark = pytest.mark.browser


def test_pages_run_nothing_that_they_show(tmp_path: Path, browser: Browser) -> None:
    """No payload runs on a product's page, a card, a search, a site's page or in the element."""
    figure = fired(tmp_path, every=170, browser=browser)
    assert figure.kept, str(figure)
