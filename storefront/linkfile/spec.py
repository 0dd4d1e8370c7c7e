"""What a checkout link is made of, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from storefront.polar import LINK_KEY, CheckoutLink

#: The metadata key of a managed link: its value is the link's name in the file.
NAME_KEY: Final = "storefront_name"

_URL_FIELDS = ("success_url", "return_url")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What may stand as it is in a path, a query or a fragment, whoever wrote it. Braces may not:
# Polar writes them both ways, and fills in {CHECKOUT_ID} either way.
_PLAIN = "!#$%&()*+,-./:;=?@[]_~|^"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """Everything about a link that can be chosen. ``products`` are ids, the first preselected."""

    products: tuple[str, ...]
    label: str | None = None
    discount_id: str | None = None
    allow_discount_codes: bool = True
    require_billing_address: bool = False
    success_url: str | None = None
    return_url: str | None = None
    trial_interval: str | None = None
    trial_interval_count: int | None = None
    seats: int | None = None
    units: int | None = None
    #: Without the pair by which the client knows the links that it made.
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @classmethod
    def of(cls, link: CheckoutLink) -> LinkSpec:
        """What an existing link is made of."""
        values = {name: getattr(link, name) for name in FIELDS if name != "products"}
        values["metadata"] = {k: v for k, v in link.metadata.items() if k != LINK_KEY}
        return cls(products=tuple(product.id for product in link.products), **values)

    def values(self) -> dict[str, Any]:
        """The fields by name: the arguments of the client's ``checkout_links.create``."""
        return {name: getattr(self, name) for name in FIELDS}


#: The fields of a link, in the order in which they are shown.
FIELDS: Final = tuple(each.name for each in fields(LinkSpec))


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs. ``field`` is a field's name, or ``metadata.<key>``; None: absent."""

    field: str
    old: Any
    new: Any


def differences(old: LinkSpec, new: LinkSpec) -> tuple[Change, ...]:
    """What has to change to get from one to the other."""
    found = []
    for name in FIELDS:
        before, after = getattr(old, name), getattr(new, name)
        if name == "metadata":
            found += [
                Change(f"metadata.{key}", before.get(key), after.get(key))
                for key in dict.fromkeys([*before, *after])
                if not _same(before.get(key), after.get(key))
            ]
        elif name in _URL_FIELDS and before and after:
            if not same_url(before, after):
                found.append(Change(name, before, after))
        elif not _same(before, after):
            found.append(Change(name, before, after))
    return tuple(found)


def patch(link: CheckoutLink, spec: LinkSpec) -> dict[str, Any]:
    """The arguments of the client's ``checkout_links.update`` that make the link so."""
    values = spec.values()
    names = {change.field.partition(".")[0] for change in differences(LinkSpec.of(link), spec)}
    if names & {"trial_interval", "trial_interval_count"}:
        names |= {"trial_interval", "trial_interval_count"}
    changed = {name: values[name] for name in FIELDS if name in names}
    if "metadata" in changed and LINK_KEY in link.metadata:
        # It is replaced whole, and this pair is the client's.
        changed["metadata"] = {**changed["metadata"], LINK_KEY: link.metadata[LINK_KEY]}
    return changed


def same_url(one: str, other: str) -> bool:
    """Whether two URLs are the same after Polar has saved them.

    It encodes spaces and letters beyond ASCII, writes hosts in small letters and in ASCII, drops
    default ports, and gives a bare host a slash. Source: its recorded answers, 2026-11-22.
    """
    return one == other or _saved(one) == _saved(other)


def _saved(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        port = parts.port
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError:
        return url
    user = parts.netloc.rpartition("@")[0]
    netloc = f"{user}@" if user else ""
    netloc += f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
        netloc += f":{port}"
    origin = f"{parts.scheme}://{netloc}"
    rest = f"?{parts.query}" if parts.query else ""
    rest += f"#{parts.fragment}" if parts.fragment else ""
    path = urljoin(origin, parts.path) if "/." in parts.path else origin + (parts.path or "/")
    return quote(path + rest, safe=_PLAIN)


def _same(one: Any, other: Any) -> bool:
    # In Python True equals 1, and in a buyer's metadata it does not.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
