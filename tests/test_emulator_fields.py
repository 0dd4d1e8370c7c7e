"""Custom fields at the local Polar's checkout."""

from __future__ import annotations

from typing import Any

import pytest

from storefront.emulator.fields import filled_fields, missing_fields, read_custom_field

NUMBER = {"ge": 1, "le": 10}
OPTIONS = {"options": [{"value": "s", "label": "Small"}]}
LENGTHS = {"min_length": 2, "max_length": 3}


def _field(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "slug": "field", "properties": properties}


@pytest.mark.parametrize(
    ("kind", "properties", "given", "stored"),
    [
        ("text", {}, "", ""),
        ("text", LENGTHS, "abc", "abc"),
        ("text", {"max_length": None}, "long enough", "long enough"),
        ("number", {}, "7", 7),
        ("number", NUMBER, 10, 10),
        ("number", {"ge": None, "le": None}, -1, -1),
        ("date", {}, "2026-12-24", "2026-12-24"),
        ("checkbox", {}, True, True),
        ("checkbox", {}, "false", False),
        ("select", OPTIONS, "s", "s"),
    ],
)
def test_fitting_value_is_stored(
    kind: str, properties: dict[str, Any], given: object, stored: object
) -> None:
    """A value that fits its field is stored as a value of the field's kind."""
    assert read_custom_field(_field(kind, properties), given) == stored


@pytest.mark.parametrize(
    ("kind", "properties", "given"),
    [
        ("text", LENGTHS, "a"),
        ("text", LENGTHS, "abcd"),
        ("text", {}, 5),
        ("number", {}, "seven"),
        ("number", {}, [7]),
        ("number", {}, True),
        ("number", NUMBER, 0),
        ("number", NUMBER, 11),
        ("date", {}, "24.12.2026"),
        ("checkbox", {}, "maybe"),
        ("select", OPTIONS, "m"),
        ("select", OPTIONS, 5),
    ],
)
def test_unfit_value_is_refused(kind: str, properties: dict[str, Any], given: object) -> None:
    """A value that does not fit is refused with its place."""
    attached = {"custom_field": _field(kind, properties), "required": True}
    product = {"attached_custom_fields": [attached]}
    stored, problems = filled_fields(product, {"field": given})
    assert stored == {}
    assert [problem.loc for problem in problems] == [("body", "custom_field_data", "field")]


def test_required_field_has_to_be_filled_in() -> None:
    """A required field that is absent or empty is missed; an optional one is not."""
    required = {"custom_field": _field("text", {}), "required": True}
    optional = {"custom_field": {**_field("text", {}), "slug": "other"}, "required": False}
    product = {"attached_custom_fields": [required, optional]}
    for values in ({}, {"field": ""}, {"field": None}):
        assert [problem.loc[-1] for problem in missing_fields(product, values)] == ["field"]
    assert missing_fields(product, {"field": "x"}) == []
