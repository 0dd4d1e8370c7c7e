"""S2 and S3 at a small size: hostile words of Polar and of queries do nothing."""

from __future__ import annotations

from pathlib import Path

from tests.faults import scripting


def test_no_page_has_what_could_run(tmp_path: Path) -> None:
    """S2: a parser finds in no page an element or attribute that plain pages don't have."""
    figure = scripting.parsed(tmp_path, every=120, seldom=30)
    assert figure.kept, str(figure)
