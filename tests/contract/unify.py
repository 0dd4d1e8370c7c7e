"""Comparing what was recorded with what the local Polar answers.

Both mint values of their own: ids, secrets, tokens, times. Those are unified: each recorded one
stands for exactly one of the local Polar's, and the other way round, throughout the replay.
Everything else has to be equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

#: What either side mints, and how it looks. Letters and digits of a kind only ever stand for
#: letters and digits of the same kind.
_KINDS = {
    "id": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "link secret": r"polar_cl_[A-Za-z0-9]{43}",
    "checkout secret": r"polar_c_[A-Za-z0-9]{43}",
    "session token": r"polar_cst_[A-Za-z0-9]+",
    "portal token": r"polar_mst_[A-Za-z0-9]+",
    "processor customer": r"cus_[0-9a-f]{20}",
    "payment": r"pi_[0-9a-f]{20}",
    "setup": r"seti_[0-9a-f]{20}",
    "webhook secret": r"whsec_[A-Za-z0-9_+/=]+",
    "license key": r"(?<=-)[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}",
    "end of a license key": r"(?<=\*{4}-)[0-9A-F]{6}",
    "invoice": r"(?<=-)[A-Z]{10}(?=-\d{4}\b)",
}
_MINTED = re.compile("|".join(f"(?P<k{i}>{regex})" for i, regex in enumerate(_KINDS.values())))
_MINTED_ANY_CASE = re.compile(_MINTED.pattern, re.IGNORECASE)

#: What the local Polar sends besides, because the SDK of October 2026 requires it and the recorded
#: server, of August 2026, did not have it: `is_deletable` on a product of the products endpoints,
#: the two times on an order's item, the version of a webhook endpoint, and who in a team has a
#: license key. Where they stand is told by a key beside them.
_ADDED = {
    "is_deletable": "attached_custom_fields",
    "start_timestamp": "proration",
    "end_timestamp": "proration",
    "api_version": "secret",
    "member_id": "limit_activations",
    "member": "limit_activations",
}


class Difference(Exception):
    """Where and how an answer is not the recorded one."""


class Unifier:
    """Which recorded value stands for which of the local Polar's."""

    def __init__(self) -> None:
        self._to_local: dict[str, str] = {}
        self._to_recorded: dict[str, str] = {}

    def know(self, value: Any) -> None:
        """Take every minted value in it as given: it was put into the local Polar as it is."""
        for text in _strings(value):
            for found in _MINTED.finditer(text):
                self.bind(found.group(), found.group())

    def bind(self, recorded: str, local: str) -> None:
        """Let a recorded value stand for one of the local Polar's.

        :raises Difference: either already stands for something else.
        """
        known = self._to_local.setdefault(recorded, local)
        other = self._to_recorded.setdefault(local, recorded)
        if known != local:
            raise Difference(f"{recorded} was {known} before and is {local} now")
        if other != recorded:
            raise Difference(f"{local} stood for {other} before and stands for {recorded} now")

    def to_local(self, text: str) -> str:
        """A recorded text with the local Polar's values in place of the recorded ones."""
        return _MINTED_ANY_CASE.sub(self._local_one, text)

    def _local_one(self, found: re.Match[str]) -> str:
        recorded = found.group()
        if recorded in self._to_local:
            return self._to_local[recorded]
        # An id may also have been sent in capitals.
        lower = self._to_local.get(recorded.lower())
        return recorded if lower is None else lower.upper()

    def whole(self, start: str) -> str:
        """The local Polar's value for the one recorded value that starts like that."""
        (found,) = {local for known, local in self._to_local.items() if known.startswith(start)}
        return found

    def unify(self, recorded: Any, local: Any, where: str = "body") -> None:
        """Make sure two answers are the same but for what is minted.

        :raises Difference: they are not.
        """
        if isinstance(recorded, dict) and isinstance(local, dict):
            self._unify_objects(recorded, local, where)
        elif isinstance(recorded, list) and isinstance(local, list):
            if len(recorded) != len(local):
                raise Difference(f"{where}: {len(local)} items instead of {len(recorded)}")
            for index, (one, other) in enumerate(zip(recorded, local, strict=True)):
                self.unify(one, other, f"{where}[{index}]")
        elif isinstance(recorded, str) and isinstance(local, str):
            self._unify_texts(recorded, local, where)
        elif type(recorded) is not type(local) or recorded != local:
            raise Difference(f"{where}: {local!r} instead of {recorded!r}")

    def _unify_objects(self, recorded: dict[str, Any], local: dict[str, Any], where: str) -> None:
        added = {key for key, beside in _ADDED.items() if key in local and beside in recorded}
        # Where a price list is keyed by product, the keys are ids.
        expected = {self.to_local(key): value for key, value in recorded.items()}
        missing, extra = expected.keys() - local.keys(), local.keys() - expected.keys() - added
        if missing or extra:
            raise Difference(f"{where}: lacks {sorted(missing)}, has besides {sorted(extra)}")
        for key, value in expected.items():
            self.unify(value, local[key], f"{where}.{key}")

    def _unify_texts(self, recorded: str, local: str, where: str) -> None:
        if _MINTED.sub(_kind, recorded) != _MINTED.sub(_kind, local):
            raise Difference(f"{where}: {local!r} instead of {recorded!r}")
        pairs = zip(_MINTED.finditer(recorded), _MINTED.finditer(local), strict=True)
        for one, other in pairs:
            try:
                self.bind(one.group(), other.group())
            except Difference as difference:
                raise Difference(f"{where}: {difference}") from difference


def _kind(found: re.Match[str]) -> str:
    return f"<{found.lastgroup}>"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
