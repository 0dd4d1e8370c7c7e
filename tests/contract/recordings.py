"""What was recorded from the service: 759 exchanges, packed in the order in which they happened.

`python -m tests.contract.recordings DIRECTORY` packs a directory of recordings anew, one JSON file
an exchange: `{request: {method, raw_target, headers, body}, response: {status, headers, body}}`.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

PACKED = Path(__file__).with_name("recordings.jsonl.xz")
REFERENCE_STORE = Path(__file__).with_name("reference-store.json")


@dataclass(frozen=True)
class Recording:
    """One exchange. Bearer tokens in `request_headers` are masked as `***(name)`."""

    name: str
    method: str
    target: str
    request_headers: dict[str, str]
    request_body: Any
    status: int
    headers: dict[str, str]
    body: Any
    #: What a webhook delivery is signed with.
    secret: str | None = None

    @property
    def date(self) -> datetime | None:
        """When it was answered, to the second; None for a delivery made by the service."""
        date = self.headers.get("date")
        return parsedate_to_datetime(date).astimezone(UTC) if date else None


def load() -> list[Recording]:
    """Every recording, in the order in which they happened."""
    with lzma.open(PACKED, "rt", encoding="utf-8") as lines:
        return [_parse(json.loads(line)) for line in lines]


def _parse(entry: dict[str, Any]) -> Recording:
    request, response = entry["request"], entry.get("response") or {}
    headers = response.get("headers")
    return Recording(
        name=entry["name"],
        method=request.get("method", ""),
        target=request.get("raw_target", ""),
        request_headers={name.lower(): value for name, value in _pairs(request.get("headers"))},
        request_body=request.get("body"),
        status=response.get("status") or 0,
        headers=dict(headers) if isinstance(headers, list) else {},
        body=response.get("body"),
        secret=entry.get("secret"),
    )


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """Headers, which were recorded either way."""
    return list(headers.items()) if isinstance(headers, dict) else [tuple(h) for h in headers or ()]


def _entries(directory: Path) -> Iterator[dict[str, Any]]:
    for path in directory.glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        yield {"name": path.stem, "request": document.get("request") or {}, **document}


def _position(entry: dict[str, Any]) -> tuple[Any, ...]:
    """Where an exchange belongs: by its `Date`, which has whole seconds, then by its rank, then by
    what was changed first, then by which of them changed it, then by name, where the steps of a
    flow go by their number."""
    recording = _parse(entry)
    rank = _rank(recording)
    changed = ""
    if rank in {_MAKES, _CHANGES} and isinstance(recording.body, dict):
        changed = recording.body.get("modified_at") or recording.body.get("created_at") or ""
    steps = [part.rjust(9) for part in re.split(r"(\d+)", recording.name)]
    date = recording.date or datetime.max.replace(tzinfo=UTC)
    return date, rank, changed, recording.name not in _CHANGED_IT, steps


#: These changed the link; others of the same second show it as they left it.
_CHANGED_IT = {
    "checkout-links_update_require_billing_address_true",
    "checkout-links_update_trial_null",
}


_MAKES, _OPENS, _READS, _CHANGES, _FOLLOWS, _FOLLOWS_THAT = range(6)


def _rank(recording: Recording) -> int:
    """What goes first within one second: what makes or archives something, before what reads it;
    what changes something afterwards, as the recordings' own times have it."""
    name = recording.name
    if name.startswith(("flow_", "checkouts_confirm", "checkouts_update")):
        return _READS
    if name.startswith("redirect_"):
        # The page's view of a session told its id, with which the organization's was asked for.
        follow_ups = {"then_client_get": _FOLLOWS, "then_checkout_get": _FOLLOWS_THAT}
        return follow_ups.get(name.partition("__")[2], _OPENS)
    if recording.status not in {200, 201} or recording.method not in {"POST", "PATCH"}:
        return _READS
    return _MAKES if recording.method == "POST" or "_archive" in name else _CHANGES


def pack(directory: Path) -> None:
    """Pack a directory of recordings into the file beside this module."""
    entries = sorted(_entries(directory), key=_position)
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    PACKED.write_bytes(lzma.compress(lines.encode(), preset=9))


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
