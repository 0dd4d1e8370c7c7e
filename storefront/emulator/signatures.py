"""Signing webhook deliveries.

Source: deliveries recorded from the service, 2026-11-22, for the key that is the secret as it
stands; https://www.standardwebhooks.com/ for the key that the secret encodes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Literal, TypeAlias

#: What the key is: `utf8`, the whole secret with its prefix, as the service has it; or `standard`,
#: the bytes of which what follows `whsec_` is the base64, as Standard Webhooks has it.
KeyStyle: TypeAlias = Literal["utf8", "standard"]

_PREFIX = "whsec_"


def signing_key(secret: str, style: KeyStyle = "utf8") -> bytes:
    """The bytes that deliveries are signed with.

    :raises ValueError: the style is `standard`, and what follows `whsec_` is no base64.
    """
    if style == "utf8":
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:
        raise ValueError("what follows whsec_ is no base64") from error


def sign(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
