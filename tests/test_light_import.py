"""A site starts without what only its commands, its first pages or its tests need."""

from __future__ import annotations

import subprocess
import sys

#: Packages, and rooms of this one, that a request can do without at first.
HEAVY = {
    *("babel", "brotli", "markdown_it", "nh3", "psycopg", "redis", "sqlalchemy", "sqlite3", "yaml"),
    *("storefront.cli.command", "storefront.cli.commands", "storefront.database.tables"),
    *("storefront.doctor", "storefront.embedded", "storefront.emulator", "storefront.inventory"),
    *("storefront.catalog.sync", "storefront.linkfile", "storefront.testing"),
}


def test_import_is_light() -> None:
    """``import storefront`` brings nothing that is costly to import and may not be needed."""
    script = (
        # Other packages may have brought some of them: what is asked is what Storefront adds.
        "import flask, requests, flask_caching, sys\n"
        "before = set(sys.modules)\n"
        "import storefront\n"
        "print(*(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "storefront.extension" in loaded
    assert HEAVY & set(loaded) == set()
