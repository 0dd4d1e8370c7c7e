"""S2 and S3 at a small size: hostile words of Polar and of queries do nothing."""

from __future__ import annotations

from pathlib import Path

from tests.faults import leading, scripting


def test_no_page_has_what_could_run(tmp_path: Path) -> None:
    """S2: a parser finds in no page an element or attribute that plain pages don't have."""
    figure = scripting.parsed(tmp_path, every=240, seldom=30)
    assert figure.kept, str(figure)


def test_nobody_is_led_astray(tmp_path: Path) -> None:
    """S3: whatever stands in a parameter or a path, visitors stay at the shop and its checkout."""
    figure = leading.led_astray(tmp_path, every=25, share=8)
    assert figure.kept, str(figure)
