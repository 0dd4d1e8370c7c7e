"""Is a webhook Polar's? Pure: bytes and headers in, an event or one error out.

Source: deliveries recorded from the service, 2026-11-22, signed with the whole secret as it stands;
https://www.standardwebhooks.com/ for the key that the secret encodes, which newer secrets follow.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from storefront.errors import InvalidSignature
from storefront.secret import Secret

#: Bytes of the longest body that is looked at. The longest that was recorded has 12,000.
MAX_BODY: Final = 1_000_000
#: What an endpoint has to be told of, so that the shop hears of all that it acts on.
EVENTS: Final = (
    *("order.created", "order.paid", "order.updated", "order.refunded"),
    *("refund.created", "refund.updated", "checkout.updated"),
    *("subscription.created", "subscription.updated", "subscription.active"),
    *("subscription.canceled", "subscription.uncanceled", "subscription.revoked"),
    *("product.created", "product.updated"),
    *("discount.created", "discount.updated", "discount.deleted"),
    *("benefit.created", "benefit.updated"),
)
#: Seconds that a webhook's time may differ from ours, as Standard Webhooks has it.
TOLERANCE: Final = 300

_ID = re.compile(r"[!-~]{1,255}", re.ASCII)
_TIME = re.compile(r"[0-9]{1,11}", re.ASCII)
_SIGNATURES = re.compile(r"[ -~]{1,4096}", re.ASCII)
_TYPE = re.compile(r"[a-z0-9_.:-]{1,128}", re.ASCII | re.IGNORECASE)


class Headers(Protocol):
    """What is needed of a request's headers; names are given in lower case."""

    def get(self, name: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a webhook tells. Shows nobody's data when it is printed."""

    #: The same each time that Polar sends it.
    id: str
    #: Such as ``order.paid``.
    type: str
    #: When it happened, in UTC.
    timestamp: datetime
    #: What it is about, as Polar's API shows it.
    data: dict[str, Any] = field(repr=False)
    #: The bytes that were signed.
    body: bytes = field(repr=False)


def verify(body: bytes, headers: Headers, secrets: Sequence[Secret], *, now: datetime) -> Event:
    """The event, if one of the secrets signed it, at most five minutes from ``now``.

    :raises InvalidSignature: for everything else, whatever is wrong with it.
    """
    id, time = headers.get("webhook-id") or "", headers.get("webhook-timestamp") or ""
    signatures = headers.get("webhook-signature") or ""
    if not (_ID.fullmatch(id) and _TIME.fullmatch(time) and _SIGNATURES.fullmatch(signatures)):
        raise InvalidSignature("The headers are not those of a webhook.")
    if abs(now.timestamp() - int(time)) > TOLERANCE:
        raise InvalidSignature("The webhook is from another time. Is this machine's clock right?")
    signed = b".".join((id.encode(), time.encode(), body))
    given = [part[3:].encode() for part in signatures.split(" ") if part.startswith("v1,")]
    # A body may be long, and a header name many signatures: each key signs it once.
    ours = [_signature(key, signed) for key in _keys(secrets)]
    # All are compared, always: how long it takes tells nothing.
    matches = [hmac.compare_digest(right, one) for right in ours for one in given]
    if not any(matches):
        raise InvalidSignature("No signature is of a secret in POLAR_WEBHOOK_SECRET.")
    return read_event(id, body, sent_at=datetime.fromtimestamp(int(time), UTC))


def read_event(id: str, body: bytes, *, sent_at: datetime) -> Event:
    """The event in a body that is known to be Polar's.

    :raises InvalidSignature: when it is none.
    """
    try:
        content = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InvalidSignature("The webhook's body is no JSON object.")
    kind, data = content.get("type"), content.get("data")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind) or not isinstance(data, dict):
        raise InvalidSignature("The webhook's body has no type, or no data.")
    happened_at = _moment(content.get("timestamp")) or sent_at
    return Event(id=id, type=kind, timestamp=happened_at, data=data, body=body)


def _keys(secrets: Iterable[Secret]) -> Iterator[bytes]:
    """What each secret may stand for: itself, and what it encodes. Never the empty key."""
    for secret in secrets:
        if secret:
            yield secret.reveal().encode()
            decoded = _decoded(secret)
            if decoded:
                yield decoded


def _decoded(secret: Secret) -> bytes:
    try:
        return base64.b64decode(_padded(secret.reveal().removeprefix("whsec_")), validate=True)
    except ValueError:
        return b""


def _padded(encoded: str) -> str:
    return encoded + "=" * (-len(encoded) % 4)


def _signature(key: bytes, signed: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


def _moment(value: object) -> datetime | None:
    """A time of the API's, which always has its zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
