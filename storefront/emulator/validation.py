"""What FastAPI and pydantic say about a bad request, word for word.

Source: recorded from the service, 2026-11-22; UUID messages are those of the `uuid` crate, which
pydantic calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from storefront.emulator.errors import InvalidRequestError, Problem

Loc = tuple[str | int, ...]

TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
FALSE = frozenset({"0", "false", "f", "no", "n", "off"})
_HYPHENATED = (8, 4, 4, 4, 12)
_EMAIL_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff.-]+")
_EMAIL_LABEL = re.compile(r"[A-Za-z0-9\u0080-\U0010ffff]([A-Za-z0-9\u0080-\U0010ffff-]*[^\W_])?")
_RESERVED_DOMAINS = frozenset({"arpa", "invalid", "local", "localhost", "onion", "test"})


def _uuid_complaint(value: str) -> str | None:
    text, skipped = value, 0
    if value.startswith("{") and value.endswith("}"):
        text, skipped = value[1:-1], 1
    elif value.startswith("urn:uuid:"):
        text, skipped = value[9:], 9
    for index, character in enumerate(text):
        if character != "-" and character not in "0123456789abcdefABCDEF":
            return f"invalid character: found `{character}` at {index + skipped + 1}"
    groups = text.split("-")
    if len(groups) == 1:
        if len(text) == 32:
            return None
        return f"invalid length: expected length 32 for simple format, found {len(text)}"
    if len(groups) != 5:
        return f"invalid group count: expected 5, found {len(groups)}"
    for index, (group, expected) in enumerate(zip(groups, _HYPHENATED, strict=True)):
        if len(group) != expected:
            found = len(group)
            return f"invalid group length in group {index}: expected {expected}, found {found}"
    return None


def check_uuid(value: str, loc: Loc) -> str:
    """A version 4 UUID in its canonical lower-case form.

    :raises InvalidRequestError: naming the first character or group that is wrong.
    """
    complaint = _uuid_complaint(value)
    if complaint is not None:
        message = f"Input should be a valid UUID, {complaint}"
        raise InvalidRequestError(
            [Problem("uuid_parsing", loc, message, value, {"error": complaint})]
        )
    parsed = UUID(value.strip("{}").removeprefix("urn:uuid:"))
    if parsed.version != 4:
        raise InvalidRequestError(
            [
                Problem(
                    "uuid_version", loc, "UUID version 4 expected", value, {"expected_version": 4}
                )
            ]
        )
    return str(parsed)


def check_uuids(values: Sequence[str], name: str) -> frozenset[str]:
    """A repeatable UUID filter: every value given, canonical.

    :raises InvalidRequestError: listing the union's two branches, as the service does: one id, or a
        list of ids.
    """
    problems: list[Problem] = []
    ids: list[str] = []
    sequence = "json-or-python[json=list[uuid],python=chain[is-instance[Sequence],"
    branch = f"{sequence}function-wrap[sequence_validator()]]]"
    for index, value in enumerate(values):
        try:
            ids.append(check_uuid(value, ("query", name, branch, index)))
        except InvalidRequestError as failed:
            problems.extend(failed.problems)
    if problems:
        message = "UUID input should be a string, bytes or UUID object"
        one = Problem("uuid_type", ("query", name, "uuid"), message, list(values))
        raise InvalidRequestError([one, *problems])
    return frozenset(ids)


def check_positive(value: str, name: str) -> int:
    """A query parameter that counts from 1.

    :raises InvalidRequestError: it is no integer, or below 1.
    """
    loc = ("query", name)
    if not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise InvalidRequestError([Problem("int_parsing", loc, message, value)])
    if int(value) < 1:
        message = "Input should be greater than 0"
        raise InvalidRequestError([Problem("greater_than", loc, message, value, {"gt": 0})])
    return int(value)


def check_bool(value: str, name: str) -> bool:
    """A query parameter that is true or false.

    :raises InvalidRequestError: it is neither.
    """
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    message = "Input should be a valid boolean, unable to interpret input"
    raise InvalidRequestError([Problem("bool_parsing", ("query", name), message, value)])


def check_moment(value: str, name: str) -> datetime:
    """A query parameter that is a time; one without a zone is taken as UTC.

    :raises InvalidRequestError: it is no ISO 8601 time.
    """
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        loc, reason = ("query", name), "input is no ISO 8601 time"
        message = f"Input should be a valid datetime, {reason}"
        problem = Problem("datetime_from_date_parsing", loc, message, value, {"error": reason})
        raise InvalidRequestError([problem]) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check_choice(value: str, choices: Sequence[str], loc: Loc) -> str:
    """One of a closed list of words.

    :raises InvalidRequestError: with the whole list in its message.
    """
    if value in choices:
        return value
    quoted = [f"'{choice}'" for choice in choices]
    expected = " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
    message = f"Input should be {expected}"
    raise InvalidRequestError([Problem("enum", loc, message, value, {"expected": expected})])


def email_complaint(value: str) -> str | None:
    """What is wrong with an email address, or None. Syntax only: no name server is asked."""
    if "@" not in value:
        return "An email address must have an @-sign."
    local, _, domain = value.rpartition("@")
    if not local:
        return "There must be something before the @-sign."
    if not _EMAIL_LOCAL.fullmatch(local) or ".." in local or local[0] == "." or local[-1] == ".":
        return "The email address contains invalid characters before the @-sign."
    labels = domain.split(".")
    if not all(_EMAIL_LABEL.fullmatch(label) for label in labels):
        return "The part after the @-sign contains invalid characters."
    if len(labels) < 2:
        return "The part after the @-sign is not valid. It should have a period."
    if labels[-1].lower() in _RESERVED_DOMAINS:
        return (
            "The part after the @-sign is a special-use or reserved name "
            "that cannot be used with email."
        )
    return None


def email_problem(value: Any, loc: Loc) -> Problem | None:
    """The 422 entry for a bad email address, or None."""
    if not isinstance(value, str):
        return Problem("string_type", loc, "Input should be a valid string", value)
    complaint = email_complaint(value)
    if complaint is None:
        return None
    message = f"value is not a valid email address: {complaint}"
    return Problem("value_error", loc, message, value, {"reason": complaint})
