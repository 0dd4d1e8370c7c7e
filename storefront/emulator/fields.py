"""Custom fields: what an organization asks its buyers at the checkout."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from storefront.emulator.errors import InvalidRequestError, Problem
from storefront.emulator.records import Body
from storefront.emulator.validation import check_bool

_PREFIX = "custom_field_data."


def read_custom_field(field: Body, value: Any) -> Any:
    """The value as it is stored, from what a buyer or a link gave.

    :raises ValueError: it does not fit the field; the message says why.
    """
    properties = field["properties"]
    kind = field["type"]
    if kind == "number":
        return _read_number(value, properties.get("ge"), properties.get("le"))
    if kind == "checkbox":
        return _read_checkbox(value)
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")
    if kind == "date":
        return date.fromisoformat(value).isoformat()
    if kind == "select":
        if value not in [option["value"] for option in properties["options"]]:
            raise ValueError("Input should be one of the options")
        return value
    shortest, longest = properties.get("min_length"), properties.get("max_length")
    if shortest is not None and len(value) < shortest:
        raise ValueError(f"String should have at least {shortest} characters")
    if longest is not None and len(value) > longest:
        raise ValueError(f"String should have at most {longest} characters")
    return value


def _read_number(value: Any, lowest: int | None, highest: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("Input should be a valid integer")
    number = int(value)
    if lowest is not None and number < lowest:
        raise ValueError(f"Input should be greater than or equal to {lowest}")
    if highest is not None and number > highest:
        raise ValueError(f"Input should be less than or equal to {highest}")
    return number


def _read_checkbox(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return check_bool(str(value), "checkbox")
    except InvalidRequestError as failed:
        raise ValueError(str(failed)) from failed


def prefilled_fields(product: Body, arguments: Mapping[str, str]) -> tuple[Body, frozenset[str]]:
    """The custom field values in a link's query, and the parameters that they came in.

    One that does not fit drops them all. Source: recorded from the service, 2026-11-22.
    """
    values: Body = {}
    for attached in product["attached_custom_fields"]:
        field = attached["custom_field"]
        given = arguments.get(_PREFIX + field["slug"])
        if given is None:
            continue
        try:
            values[field["slug"]] = read_custom_field(field, given)
        except ValueError:
            return {}, frozenset()
    return values, frozenset(_PREFIX + slug for slug in values)


def filled_fields(product: Body, values: Mapping[str, Any]) -> tuple[Body, list[Problem]]:
    """What a buyer entered, as it is stored, and what is wrong with it."""
    stored: Body = {}
    problems = []
    for attached in product["attached_custom_fields"]:
        field = attached["custom_field"]
        slug = field["slug"]
        if values.get(slug) is None:
            continue
        try:
            stored[slug] = read_custom_field(field, values[slug])
        except ValueError as error:
            loc = ("body", "custom_field_data", slug)
            problems.append(Problem("value_error", loc, str(error), values[slug]))
    return stored, problems


def missing_fields(product: Body, values: Mapping[str, Any]) -> list[Problem]:
    """The required fields that a buyer has left empty."""
    return [
        Problem(
            "missing",
            ("body", "custom_field_data", attached["custom_field"]["slug"]),
            "Field is required.",
        )
        for attached in product["attached_custom_fields"]
        if attached["required"] and values.get(attached["custom_field"]["slug"]) in (None, "")
    ]
