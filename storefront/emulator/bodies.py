"""Reading the JSON objects that are sent in, field by field, as pydantic reads them.

A check takes a value and its place and gives the value as it is kept; what it turns down it raises
as an `InvalidRequestError`. Every field of an object is checked before any is complained about.

Source: recorded from the service, 2026-11-22.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from storefront.emulator.errors import CrashError, InvalidRequestError, Problem
from storefront.emulator.records import Body
from storefront.emulator.validation import FALSE, TRUE, Loc, check_choice, check_uuid

Check: TypeAlias = Callable[[Any, Loc], Any]

_MAX_METADATA, _MAX_KEY, _MAX_VALUE = 50, 40, 500
_NOT_GIVEN = object()


def invalid(
    kind: str, loc: Loc, message: str, value: Any = None, ctx: dict[str, Any] | None = None
) -> InvalidRequestError:
    """One problem, to be raised."""
    return InvalidRequestError([Problem(kind, loc, message, value, ctx)])


def refused(kind: str, loc: Loc, message: str, value: Any) -> InvalidRequestError:
    """One problem that the service finds itself, after the body was read."""
    return InvalidRequestError(
        [Problem(kind, loc, message, value)], error="PolarRequestValidationError"
    )


@dataclass(frozen=True)
class Field:
    """A field of an object: its check, and the default if it may be left out."""

    name: str
    check: Check
    default: Any = _NOT_GIVEN

    @property
    def is_required(self) -> bool:
        """Whether it has to be there."""
        return self.default is _NOT_GIVEN


def read_object(value: Any, fields: Iterable[Field], loc: Loc, *, partial: bool = False) -> Body:
    """The fields of an object as they are kept; what is not a field is ignored.

    With `partial` nothing is required, and what is absent stays absent.

    :raises InvalidRequestError: listing every problem, in the order of the fields.
    """
    if not isinstance(value, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise invalid("model_attributes_type", loc, message, value)
    kept: Body = {}
    problems: list[Problem] = []
    for field in fields:
        if field.name in value:
            try:
                kept[field.name] = field.check(value[field.name], (*loc, field.name))
            except InvalidRequestError as failed:
                problems.extend(failed.problems)
        elif partial:
            continue
        elif field.is_required:
            problems.append(Problem("missing", (*loc, field.name), "Field required", value))
        else:
            kept[field.name] = deepcopy(field.default)
    if problems:
        raise InvalidRequestError(problems)
    return kept


def object_of(*fields: Field) -> Check:
    """An object with these fields."""
    return lambda value, loc: read_object(value, fields, loc)


def tagged(tag: str, kinds: Mapping[str, Sequence[Field]]) -> Check:
    """An object of one of several kinds, told apart by the value of one field."""

    def check(value: Any, loc: Loc) -> Body:
        if not isinstance(value, dict):
            message = "Input should be a valid dictionary or object to extract fields from"
            raise invalid("model_attributes_type", loc, message, value)
        if tag not in value:
            message = f"Unable to extract tag using discriminator '{tag}'"
            raise invalid("union_tag_not_found", loc, message, value, {"discriminator": f"'{tag}'"})
        kind = value[tag]
        if not isinstance(kind, str) or kind not in kinds:
            expected = ", ".join(f"'{known}'" for known in kinds)
            message = (
                f"Input tag '{kind}' found using '{tag}' does not match any of the expected tags: "
                f"{expected}"
            )
            ctx = {"discriminator": f"'{tag}'", "tag": str(kind), "expected_tags": expected}
            raise invalid("union_tag_invalid", loc, message, value, ctx)
        return {tag: kind, **read_object(value, kinds[kind], (*loc, kind))}

    return check


def nullable(check: Check) -> Check:
    """What the check takes, or null."""
    return lambda value, loc: None if value is None else check(value, loc)


def text(*, at_least: int = 0, at_most: int | None = None) -> Check:
    """A string of so many characters."""

    def check(value: Any, loc: Loc) -> str:
        if not isinstance(value, str):
            raise invalid("string_type", loc, "Input should be a valid string", value)
        if len(value) < at_least:
            unit = "character" if at_least == 1 else "characters"
            message = f"String should have at least {at_least} {unit}"
            raise invalid("string_too_short", loc, message, value, {"min_length": at_least})
        if at_most is not None and len(value) > at_most:
            message = f"String should have at most {at_most} characters"
            raise invalid("string_too_long", loc, message, value, {"max_length": at_most})
        return value

    return check


def sized(check: Check, what: str, *, at_least: int = 0, at_most: int | None = None) -> Check:
    """What the check takes, counted afterwards: a `Value`, a `List`, a `Dictionary`."""

    def check_size(value: Any, loc: Loc) -> Any:
        kept = check(value, loc)
        size = len(kept)
        if size < at_least:
            unit = "item" if at_least == 1 else "items"
            message = f"{what} should have at least {at_least} {unit} after validation, not {size}"
            ctx = {"field_type": what, "min_length": at_least, "actual_length": size}
            raise invalid("too_short", loc, message, value, ctx)
        if at_most is not None and size > at_most:
            message = f"{what} should have at most {at_most} items after validation, not {size}"
            ctx = {"field_type": what, "max_length": at_most, "actual_length": size}
            raise invalid("too_long", loc, message, value, ctx)
        return kept

    return check_size


def flag(value: Any, loc: Loc) -> bool:
    """True or false, also in words or as 1 and 0."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    if isinstance(value, str | int | float):
        message = "Input should be a valid boolean, unable to interpret input"
        raise invalid("bool_parsing", loc, message, value)
    raise invalid("bool_type", loc, "Input should be a valid boolean", value)


def integer(*, at_least: int | None = None, at_most: int | None = None) -> Check:
    """A whole number within bounds, also as a string or a float without a fraction."""

    def check(value: Any, loc: Loc) -> int:
        number = _whole(value, loc)
        if at_least is not None and number < at_least:
            message = f"Input should be greater than or equal to {at_least}"
            raise invalid("greater_than_equal", loc, message, value, {"ge": at_least})
        if at_most is not None and number > at_most:
            message = f"Input should be less than or equal to {at_most}"
            raise invalid("less_than_equal", loc, message, value, {"le": at_most})
        return number

    return check


def _whole(value: Any, loc: Loc) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value) and value.is_integer():
            return int(value)
        message = "Input should be a valid integer, got a number with a fractional part"
        raise invalid("int_from_float", loc, message, value)
    if isinstance(value, str):
        if re.fullmatch(r"\s*[+-]?\d{1,4000}\s*", value, re.ASCII):
            return int(value)
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise invalid("int_parsing", loc, message, value)
    raise invalid("int_type", loc, "Input should be a valid integer", value)


def decimal(value: Any, loc: Loc) -> str:
    """A decimal number that is at least 0, kept as it was written."""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidOperation
        number = Decimal(str(value))
        if not number.is_finite():
            raise InvalidOperation
    except InvalidOperation:
        raise invalid("decimal_parsing", loc, "Input should be a valid decimal", value) from None
    if number < 0:
        message = "Input should be greater than or equal to 0"
        raise invalid("greater_than_equal", loc, message, value, {"ge": 0})
    return str(value)


def uuid(value: Any, loc: Loc) -> str:
    """A UUID of version 4, in its canonical form."""
    if not isinstance(value, str):
        message = "UUID input should be a string, bytes or UUID object"
        raise invalid("uuid_type", loc, message, value)
    return check_uuid(value, loc)


def choice(choices: Collection[str]) -> Check:
    """One of a closed list of words."""
    return lambda value, loc: check_choice(value, tuple(choices), loc)


def literal(word: str, shown: str) -> Check:
    """Exactly that word; `shown` is how the service writes it in its complaint."""

    def check(value: Any, loc: Loc) -> str:
        if value == word:
            return word
        message = f"Input should be {shown}"
        raise invalid("literal_error", loc, message, value, {"expected": shown})

    return check


def list_of(check: Check, *, at_least: int = 0) -> Check:
    """A list, every item of which the check takes."""

    def check_items(value: Any, loc: Loc) -> list[Any]:
        if not isinstance(value, list):
            raise invalid("list_type", loc, "Input should be a valid list", value)
        kept: list[Any] = []
        problems: list[Problem] = []
        for index, item in enumerate(value):
            try:
                kept.append(check(item, (*loc, index)))
            except InvalidRequestError as failed:
                problems.extend(failed.problems)
        if problems:
            raise InvalidRequestError(problems)
        return kept

    return sized(check_items, "List", at_least=at_least)


def mapping(value: Any, loc: Loc) -> Body:
    """Any JSON object."""
    if not isinstance(value, dict):
        raise invalid("dict_type", loc, "Input should be a valid dictionary", value)
    return dict(value)


def _metadata_pairs(value: Any, loc: Loc) -> Body:
    problems: list[Problem] = []
    for key, item in mapping(value, loc).items():
        try:
            text(at_least=1, at_most=_MAX_KEY)(key, (*loc, key, "[key]"))
        except InvalidRequestError as failed:
            problems.extend(failed.problems)
        problems.extend(_metadata_problems(item, (*loc, key)))
    if problems:
        raise InvalidRequestError(problems)
    return dict(value)


#: A string of 1 to 500 characters, a number or a boolean, under keys of 1 to 40, 50 of them.
metadata = sized(_metadata_pairs, "Dictionary", at_most=_MAX_METADATA)


def _metadata_problems(value: Any, loc: Loc) -> list[Problem]:
    """What each branch of the union says about a value that none of them takes."""
    if isinstance(value, bool | int | float):
        return []
    try:
        text(at_least=1, at_most=_MAX_VALUE)(value, (*loc, "constrained-str"))
    except InvalidRequestError as failed:
        problems = list(failed.problems)
    else:
        return []
    is_text = isinstance(value, str)
    for kind, name, hint in (
        ("int", "integer", ", unable to parse string as an integer"),
        ("float", "number", ", unable to parse string as a number"),
        ("bool", "boolean", ", unable to interpret input"),
    ):
        message = f"Input should be a valid {name}{hint if is_text else ''}"
        suffix = "parsing" if is_text else "type"
        problems.append(Problem(f"{kind}_{suffix}", (*loc, kind), message, value))
    return problems


def check_storable(value: Any) -> None:
    """Make sure that the service's database could keep a value.

    :raises CrashError: a NUL byte, half a surrogate pair or a number that JSON has not.
    """
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise CrashError
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise CrashError
    elif isinstance(value, dict):
        for key, item in value.items():
            check_storable(key)
            check_storable(item)
    elif isinstance(value, list):
        for item in value:
            check_storable(item)
