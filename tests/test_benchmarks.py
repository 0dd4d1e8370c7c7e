"""The benchmarks run. What they find is no test's business: it depends on the machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent

#: What each table has to have a row of, whatever came of it.
ROWS = {
    "clicks": ("plain button", "/buy/", "polar-sdk", "@polar-sh/express", "bare Flask redirect"),
    "http": ("product page (sync", "product page, fast lane (", "304", "Jinja", "Flask-Caching"),
    "imports": ("import storefront", "import flask, requests, flask_caching", "polar"),
    "memory": ("found them kept", "that read them", "record", "dicts", "polar-sdk"),
    "search": ("first search", "keeps", "few have", "kind and price"),
    "pages": ("anonymous", "304", "visitor", "/buy/", "fast lane", "Jinja", "Redis", "buy_button"),
    "start": ("cache's files", "database alone", "bare Flask"),
    "sync": (": sync", "the bound", "requests", "polar-sdk", "a minute"),
}


@pytest.mark.parametrize("name", ROWS)
def test_benchmarks_run(name: str) -> None:
    """Each benchmark runs, and prints all of its rows."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    head, rule, *rows = done.stdout.strip().splitlines()
    assert head == "| What | Measured | Ratio | Of | Target | Reached |"
    assert set(rule) <= set("|-: ")
    for row in rows:
        assert len(re.split(r"(?<!\\)\|", row)) == 8, row
    for text in ROWS[name]:
        assert any(text in row for row in rows), f"no row of {text!r} in\n{done.stdout}"
