"""Replaying what was recorded from the service against the local Polar, over real HTTP.

`python -m tests.contract.replay` prints how far they agree.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from storefront.emulator import LocalPolar, Store
from storefront.emulator.app import Token
from storefront.emulator.records import iso
from storefront.emulator.server import make_tokens
from storefront.emulator.store import Show
from tests.contract.history import BEFORE, History
from tests.contract.recordings import REFERENCE_STORE, Recording, load
from tests.contract.unify import Difference, Unifier

#: What is compared of the headers. Dates, lengths, the server's name and its connection are not.
HEADERS = (
    "location",
    "content-type",
    "cache-control",
    "pragma",
    "allow",
    "www-authenticate",
    "retry-after",
    "polar-version",
    "x-polar-deprecation-notice",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-expose-headers",
)

#: The groups of the table, by the start of a recording's name; the first that fits.
GROUPS = {
    "opening links": ("redirect_",),
    "products": ("products_", "api_v1", "token_in_query", "unknown_path", "sandboxmode_sandbox"),
    "checkout links": ("checkout-links_", "sandboxmode_checkout-links"),
    "checkouts": ("checkouts_",),
    "confirming": ("confirm_",),
    "purchases": ("flow_",),
    "orders": ("orders_",),
    "customers": ("customers_", "customer-sessions_", "subscriptions_"),
    "customer portal": ("portal_",),
    "rest of the catalogue": (
        "benefits_",
        "discounts_",
        "custom-fields_",
        "organizations_",
        "meters_",
    ),
    "benefits granted": ("benefit-grants", "license-keys"),
    "webhook endpoints": ("webhook-endpoints_",),
    "webhook deliveries": ("webhook_",),
    "rate limits": ("sandboxmode_ratelimit",),
    "buy host": ("sandboxmode_buyhost",),
}

#: What the local Polar has no counterpart of, by a pattern of the recording's name, and why.
LEFT_OUT = {
    r"webhook_retry|webhook-deliveries": "retries take half a minute: see test_webhooks",
    r"sandboxmode_buyhost_root": "its front page is its own",
    r"portal_organization": "not offered: the shop does not ask for it",
}


@dataclass
class Result:
    """How the replay went: what agreed, what is different about the rest, and what was left out."""

    agreed: set[str] = field(default_factory=set)
    differences: dict[str, str] = field(default_factory=dict)
    #: What the local Polar answered where it differs.
    answers: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """How much of what was replayed agrees, from 0 to 1."""
        return len(self.agreed) / (len(self.agreed) + len(self.differences))

    def table(self, reasons: Mapping[str, str]) -> list[str]:
        """The lines of the table: agreed and replayed by group, what was left out, and what
        differs, with its known reason or else how."""
        rows = []
        for group in GROUPS:
            names = [name for name, of in self.groups.items() if of == group]
            agreed = sum(name in self.agreed for name in names)
            rows.append(f"{group:<24}{agreed:>6} of {len(names)}")
        total = len(self.agreed) + len(self.differences)
        rows.append(f"{'all':<24}{len(self.agreed):>6} of {total}  ({self.share:.1%})")
        rows += [f"left out: {count:>3}, {reason}" for reason, count in self.left_out.items()]
        rows += [
            f"differs: {name}: {reasons.get(name, what)}" for name, what in self.differences.items()
        ]
        return rows


class Clock:
    """A clock that stands at the time of the recording being replayed, and never goes back."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def reach(self, moment: datetime | None) -> None:
        """Go on to a moment, unless it has passed."""
        if moment is not None:
            self.now = max(self.now, moment)


#: Longer than a confirmed session was ever read before it had settled.
SETTLE_SECONDS = 10.0


class Replay:
    """One run through all recordings."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reference = json.loads(REFERENCE_STORE.read_text(encoding="utf-8"))
        self.unifier = Unifier()
        organization = self.reference["organization"]
        self.unifier.know({**organization, "modified_at": None})
        store = Store({"organization": organization}, clock=self.clock)
        self.tokens = make_tokens(
            "polar_oat_all", readonly="polar_oat_ro", other_organization="polar_oat_other"
        ) | {"polar_oat_prod": Token(frozenset({"products:read"}))}
        self.polar = LocalPolar(store, tokens=self.tokens, settle_seconds=SETTLE_SECONDS)
        # Nothing is sent; what would be is looked at when it happens.
        self.polar.webhooks.stop()
        self.events: list[dict[str, Any]] = []
        store.listeners.append(self._note_event)
        self.history = History(self.polar, self.unifier, self.clock, self.reference)
        self.result = Result()

    def run(self, recordings: Iterable[Recording]) -> Result:
        """Replay them all, in the order given."""
        with self.polar:
            for recording in recordings:
                self._take(recording)
        return self.result

    def _note_event(self, event: str, show: Show) -> None:
        data = json.loads(json.dumps(show(self.polar.url)))
        moment = iso(self.polar.store.now())
        self.events.append({"type": event, "timestamp": moment, "data": data})

    def _take(self, recording: Recording) -> None:
        self.clock.reach(recording.date)
        self.history.limit_rate(recording.name.startswith("sandboxmode_ratelimit"))
        for happening in BEFORE.get(recording.name, ()):
            happening(self.history)
        if _shows_settled(recording):
            self.clock.now += timedelta(seconds=SETTLE_SECONDS + 1)
        for pattern, reason in LEFT_OUT.items():
            if re.match(pattern, recording.name):
                self.result.left_out[reason] += 1
                return
        group = next(group for group, starts in GROUPS.items() if recording.name.startswith(starts))
        self.result.groups[recording.name] = group
        try:
            if recording.name.startswith("webhook_"):
                self._compare_event(recording)
            else:
                self._compare(recording)
        except Difference as difference:
            self.result.differences[recording.name] = str(difference)
        else:
            self.result.agreed.add(recording.name)
            self.result.answers.pop(recording.name, None)

    def _compare(self, recording: Recording) -> None:
        status, headers, body = self._send(recording)
        self.result.answers[recording.name] = body
        if status != recording.status:
            raise Difference(f"status {status} instead of {recording.status}: {str(body)[:200]}")
        for name in HEADERS:
            recorded, local = recording.headers.get(name), headers.get(name)
            if recorded is None or local is None:
                if recorded is not local:
                    raise Difference(f"header {name}: {local!r} instead of {recorded!r}")
            else:
                self.unifier.unify(_one_host(recorded), self._one_host(local), f"header {name}")
        self.unifier.unify(_one_host(recording.body), self._one_host(body))

    def _compare_event(self, recording: Recording) -> None:
        recorded = recording.request_body
        # A grant was seen nowhere before: what it is for tells which it is.
        names = ("order_id", "benefit_id") if "benefit_id" in recorded["data"] else ("id",)
        wanted = [self.unifier.to_local(recorded["data"][name]) for name in names]
        for event in self.events:
            is_it = event["type"] == recorded["type"]
            is_it = is_it and [event["data"][name] for name in names] == wanted
            if is_it and event["data"].get("status") == recorded["data"].get("status"):
                # The recorded deliveries were made minutes late, when customers had changed again.
                recorded, event = _unchanged(recorded), _unchanged(event)
                self.unifier.unify(_one_host(recorded), self._one_host(event))
                return
        raise Difference("no such event")

    def _send(self, recording: Recording) -> tuple[int, dict[str, str], Any]:
        headers = {}
        for name, value in recording.request_headers.items():
            if name == "authorization":
                headers[name] = self._authorization(recording, value)
            elif name != "host":
                headers[name] = value
        body = None
        if isinstance(recording.request_body, str):
            body = recording.request_body.encode()
            headers.setdefault("content-type", "application/json")
        elif recording.request_body is not None:
            changes = self.history.adapt(recording.name, recording.request_body)
            body = self.unifier.to_local(json.dumps(changes)).encode()
            headers["content-type"] = "application/json"
        parts = urlsplit(self.polar.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            target = self.unifier.to_local(recording.target)
            connection.request(recording.method, target, body=body, headers=headers)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        answered = {name.lower(): value for name, value in response.getheaders()}
        text = raw.decode()
        is_json = answered.get("content-type") == "application/json"
        return response.status, answered, (json.loads(text) if is_json and text else text or None)

    def _authorization(self, recording: Recording, masked: str) -> str:
        name = masked.removeprefix("***(").removesuffix(")")
        if not name:
            return "Basic dTpw" if "basic" in recording.name else "Bearer "
        known = {"all", "ro", "prod", "other"}
        return f"Bearer {f'polar_oat_{name}' if name in known else self.unifier.to_local(name)}"

    def _one_host(self, value: Any) -> Any:
        return _replace(value, re.escape(self.polar.url))


def _one_host(value: Any) -> Any:
    """The recorded service's two hosts, its API and its pages, as the one the local Polar is."""
    return _replace(value, r"http://127\.0\.0\.1:(8000|8001|3000)")


def _replace(value: Any, host: str) -> Any:
    text = re.sub(host + r"(?=/|\"|\?|$)", "http://polar", json.dumps(value))
    return json.loads(text)


def _unchanged(value: Any) -> Any:
    """A value in which nothing tells when a customer was changed."""
    if isinstance(value, dict):
        left_out = {"modified_at"} if "email" in value else set()
        return {key: _unchanged(item) for key, item in value.items() if key not in left_out}
    return [_unchanged(item) for item in value] if isinstance(value, list) else value


def _shows_settled(recording: Recording) -> bool:
    """Whether a recording is the first to read a checkout after its payment went through."""
    return bool(
        re.fullmatch(r"flow_.*_\d_get_final|checkouts_get_free_monthly_succeeded", recording.name)
    )


def replay() -> Result:
    """Replay everything that was recorded."""
    return Replay().run(load())


if __name__ == "__main__":
    from tests.contract.test_replay import KNOWN_DIFFERENCES

    sys.stdout.write("\n".join(replay().table(KNOWN_DIFFERENCES)) + "\n")
