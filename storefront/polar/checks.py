"""What a checkout link may be made of, checked before anything is sent.

Pure functions. Polar answers some of what is refused here with a 500 that says nothing, keeps some
of it and breaks on it later (a ``success_url`` whose placeholder is never filled in), and names
fields of its own code for the rest; here each is a :class:`~storefront.errors.LinkError` that
names the field and says what would be right. What only Polar can know is left to it: whether a
product is for sale, whether a discount applies.

Source: recorded answers of Polar's API, and its OpenAPI document of version 2026-10, 2026-11-22.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlsplit

from msgspec import UNSET

from storefront.errors import LinkError

#: The metadata key by which ``create`` knows the link that it made.
LINK_KEY: Final = "storefront_key"

#: The units of a trial.
TRIAL_INTERVALS: Final = ("day", "week", "month", "year")

MAX_METADATA_PAIRS: Final = 50
MAX_METADATA_KEY_CHARACTERS: Final = 40
MAX_METADATA_VALUE_CHARACTERS: Final = 500
MAX_LINK_URL_CHARACTERS: Final = 2083
MAX_TRIAL_COUNT: Final = 1000
MAX_SEATS: Final = 10_000
MAX_UNITS: Final = 2**31 - 1

# What 64 bits hold, signed or not: the bounds of JSON as it is written here.
_LOWEST_INT, _HIGHEST_INT = -(2**63), 2**64 - 1

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{0,5}))?", re.IGNORECASE)
# What is not ASCII is brought into it by Polar. A name has no longer parts than that.
_LABEL = r"(?!xn--[^.]*[^.\x00-\x7f])[a-z0-9_\x80-\U0010ffff-]{1,63}"
# Not compiled before it is needed, which takes longer than all else in this module together.
_HOST = rf"{_LABEL}(\.{_LABEL})*\.?"
_ENDS_IN_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
# Halves of a surrogate pair can't be sent at all; Polar's database fails on NUL.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_PLACEHOLDER = "{CHECKOUT_ID}"
# Polar puts these two right; %7b and %7d in lower case it leaves as they are.
_PLACEHOLDERS = (_PLACEHOLDER, "%7BCHECKOUT_ID%7D")
# What is meant to be one, in the manner of other services and template languages too.
_MEANT = re.compile(
    r"(?P<open>(?:(?:[${<\[(:]|%(?:25)*(?:24|7b|3c|5b|28))+(?:\s|%20)*)?)"
    r"checkout(?:[_\s-]|%20)*(?:session(?:[_\s-]|%20)*)?id"
    r"(?P<close>(?:(?:\s|%20)*(?:[}>\])]|%(?:25)*(?:7d|3e|5d|29))+)?)",
    re.IGNORECASE,
)

_Check: TypeAlias = Callable[[str, Any], None]


def check_link_fields(fields: Mapping[str, Any], *, creating: bool) -> None:
    """Check what a checkout link is to be made of, or to be changed to.

    ``fields`` are the arguments of the client's ``checkout_links.create`` or ``update`` by name,
    but for ``key`` and ``timeout``; what is left out, or UNSET, is not looked at.

    :raises LinkError: for the first that is wrong, naming it in ``field``.
    """
    given = {name: value for name, value in fields.items() if value is not UNSET}
    checks = _CHECKS | ({"payment_processor": _payment_processor} if creating else {})
    for name, value in given.items():
        if name not in checks:
            hint = "; name the products instead" if name in _OUTDATED else ""
            raise LinkError(
                name, f"is no field of a checkout link{hint}. They are {', '.join(checks)}"
            )
        if value is None and name in _NEVER_NULL:
            raise LinkError(name, _NEVER_NULL[name])
        if value is not None:
            checks[name](name, value)
    if creating:
        if "products" not in given:
            raise LinkError("products", "is missing: a link sells one product at least")
        _room_for_key(given.get("metadata") or {})
    _trial(given, creating=creating)


def check_id(field: str, value: object) -> str:
    """Check an id, and give it in its canonical form.

    :raises LinkError: when it is not a UUID of version 4, as all of Polar's are.
    """
    if isinstance(value, str) and _UUID4.fullmatch(value.lower()):
        return value.lower()
    raise LinkError(
        field, "must be a UUID of version 4, such as 4d9da0c8-624a-4ab4-b70c-408c28772d94"
    )


def check_key(key: object) -> str:
    """Check the key of a link that is to be made, and give it back.

    :raises LinkError: when it could not be the value of a metadata pair.
    """
    if not isinstance(key, str):
        raise LinkError("key", f"must be a string, not {type(key).__name__}")
    _metadata_text("key", "it", key, MAX_METADATA_VALUE_CHARACTERS)
    return key


def _products(field: str, value: object) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise LinkError(field, "must be a list of product ids")
    if not value:
        raise LinkError(field, "is empty: a link sells one product at least")
    seen: set[str] = set()
    for product in value:
        id = check_id(field, product)
        if id in seen:
            raise LinkError(field, f"has {id} twice, which Polar can't cope with")
        seen.add(id)


def _id(field: str, value: object) -> None:
    check_id(field, value)


def _label(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise LinkError(field, f"must be a string, not {type(value).__name__}")
    if found := _CONTROL.search(value):
        raise LinkError(
            field, f"has the character U+{ord(found[0]):04X}, which has no place in a line of text"
        )


def _flag(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise LinkError(field, "must be True or False")


def _count(highest: int, field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
        raise LinkError(field, f"must be a whole number from 1 to {highest:,}")


def _trial_interval(field: str, value: object) -> None:
    if value not in TRIAL_INTERVALS:
        raise LinkError(field, f"must be one of {', '.join(TRIAL_INTERVALS)}")


def _payment_processor(field: str, value: object) -> None:
    if value != "stripe":
        raise LinkError(field, "must be 'stripe', the only one there is")


def _url(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise LinkError(field, f"must be a string, not {type(value).__name__}")
    if not value:
        raise LinkError(field, "is empty; leave it out, or give None, for none")
    if found := _CONTROL.search(value):
        raise LinkError(field, f"has the character U+{ord(found[0]):04X}, which no URL has")
    if value != value.strip():
        raise LinkError(field, "starts or ends with a space")
    if "\\" in value:
        raise LinkError(field, "has a backslash, which is read as a slash; %5C is one that is not")
    # Polar counts before it encodes, and keeps what is encoded: the longer of both is the measure.
    length = len(quote(value, safe="".join(map(chr, range(0x21, 0x7F)))))
    if length > MAX_LINK_URL_CHARACTERS:
        raise LinkError(
            field, f"has {length:,} characters; {MAX_LINK_URL_CHARACTERS:,} are the most"
        )
    try:
        parts = urlsplit(value)
    except ValueError:  # what stands for a host has brackets, or characters that turn into others
        raise LinkError(field, "is no URL: its host can't be one") from None
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not host:
        raise LinkError(
            field, "must be a whole http or https URL, such as https://shop.example.com/thanks"
        )
    found = _HOST_AND_PORT.fullmatch(host)
    if not found or not _is_host(found[1]) or int(found[2] or 0) > 65535:
        raise LinkError(field, f"is no URL: {_short(host)} can't be a host")


def _is_host(host: str) -> bool:
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif _ENDS_IN_NUMBER.fullmatch(host):
            # Browsers read these as addresses, in more ways than people do.
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return host.startswith("[") or re.fullmatch(_HOST, host, re.IGNORECASE) is not None


def _success_url(field: str, value: object) -> None:
    _url(field, value)
    for found in _MEANT.finditer(str(value)):
        if found[0] in _PLACEHOLDERS:
            continue
        before, after = found.string[: found.start()], found.string[found.end() :]
        # A bare name, or a[name] before its value, is no placeholder.
        is_name = after.startswith("=") and "{" not in found["open"]
        is_value = before.endswith("=") or bool(found["open"] or found["close"])
        if is_value and not is_name and not _is_words(found):
            raise LinkError(
                field,
                f"has {found[0]!r}, which Polar does not replace as it is meant: write "
                f"{_PLACEHOLDER}, in capitals and with one brace on each side",
            )


def _is_words(found: re.Match[str]) -> bool:
    """Tell a value that only happens to be called so, such as ``?sort=checkout-id``."""
    return not (found["open"] or found["close"]) and "CHECKOUT" not in found[0]


def _metadata(field: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise LinkError(field, f"must be a mapping, not {type(value).__name__}")
    if len(value) > MAX_METADATA_PAIRS:
        raise LinkError(field, f"has {len(value)} pairs; {MAX_METADATA_PAIRS} are the most")
    for key, each in value.items():
        if not isinstance(key, str):
            raise LinkError(field, f"has the key {_short(key)}, which is no string")
        _metadata_text(field, f"the key {_short(key)}", key, MAX_METADATA_KEY_CHARACTERS)
        _metadata_value(field, f"the value of {_short(key)}", each)


def _metadata_value(field: str, what: str, value: object) -> None:
    match value:
        case str():
            _metadata_text(field, what, value, MAX_METADATA_VALUE_CHARACTERS)
        case bool():
            pass
        case int():
            if not _LOWEST_INT <= value <= _HIGHEST_INT:
                raise LinkError(field, f"{what} is a number of more than 64 bits")
        case float():
            if not math.isfinite(value):
                raise LinkError(field, f"{what} is {value}, which JSON has no number for")
        case _:
            raise LinkError(field, f"{what} must be a string, an int, a float or a bool")


def _metadata_text(field: str, what: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest:
        raise LinkError(field, f"{what} has {len(text)} characters; 1 to {longest} are allowed")
    if found := _UNSTORABLE.search(text):
        raise LinkError(field, f"{what} has U+{ord(found[0]):04X}, which Polar can't store")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _room_for_key(metadata: Mapping[str, Any]) -> None:
    if LINK_KEY in metadata:
        raise LinkError("metadata", f"has {LINK_KEY!r}, which is set by create: give it as key")
    if len(metadata) >= MAX_METADATA_PAIRS:
        raise LinkError(
            "metadata",
            f"has {len(metadata)} pairs; {MAX_METADATA_PAIRS - 1} are the most in a new link, "
            f"for {LINK_KEY} is one more",
        )


def _trial(given: Mapping[str, Any], *, creating: bool) -> None:
    names = ("trial_interval", "trial_interval_count")
    # In a new link None is what leaving out is; in a change it clears, and clears one alone.
    is_there = [given.get(name) is not None for name in names]
    is_told = is_there if creating else [name in given for name in names]
    for name, there, told in zip(names, is_there, is_told, strict=True):
        if (not there and any(is_there)) or (not told and any(is_told)):
            raise LinkError(name, f"is missing: {' and '.join(names)} go together")


_CHECKS: Final[dict[str, _Check]] = {
    "products": _products,
    "label": _label,
    "discount_id": _id,
    "allow_discount_codes": _flag,
    "require_billing_address": _flag,
    "success_url": _success_url,
    "return_url": _url,
    "trial_interval": _trial_interval,
    "trial_interval_count": partial(_count, MAX_TRIAL_COUNT),
    "seats": partial(_count, MAX_SEATS),
    "units": partial(_count, MAX_UNITS),
    "metadata": _metadata,
}

# What one sold by before links had several products. Polar still takes it.
_OUTDATED: Final = ("product_id", "product_price_id")

#: The fields that can't be cleared, and what to do instead.
_NEVER_NULL: Final = {
    "products": "can't be None, which would change nothing: a link sells one product at least",
    "allow_discount_codes": "must be True or False: Polar fails on None",
    "require_billing_address": "must be True or False: Polar fails on None",
    "metadata": "can't be None: give {} to clear it",
    "payment_processor": "must be 'stripe', the only one there is",
}
