"""The checkout in a frame on somebody's page: who may have it so, and what it tells that page.

Source: the refusals as recorded from the service, 2026-11-22; which hosts an entry stands for, its
API description of 2026-10; the messages, the script that it publishes for such pages
(`@polar-sh/checkout` 0.4).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from werkzeug.wrappers import Request

from storefront.emulator.errors import EmbedHostError
from storefront.emulator.records import Body, Checkout

#: What can stand in a header without changing its meaning.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9_.:\[\]-]+")
_PORTS: Final = {"http": 80, "https": 443}

#: `close` is not among them: that is for the visitor to say.
Event: TypeAlias = Literal["loaded", "confirmed", "success"]


@dataclass(frozen=True)
class Message:
    """What a page tells the one around it once it is shown."""

    event: Event
    #: Where the purchase leads, with `success`.
    success_url: str = ""
    #: Whether the page around is to go there.
    redirect: bool = False
    #: Whether the visitor may close the checkout: not while a payment is on its way.
    can_close: bool = True


def embedding_origin(value: str | None, organization: Body) -> str | None:
    """The origin that wants to embed the checkout; None for anything that is no web origin.

    :raises EmbedHostError: the organization lists the hosts that may, and this is not one.
    """
    hosts = [host.lower() for host in organization.get("embed_hosts") or []]
    try:
        parts = urlsplit(value or "")
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if not host or not (parts.scheme in _PORTS or f"{parts.scheme}://{host}" in hosts):
        return None
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS.get(parts.scheme):
        shown = f"{shown}:{port}"
    origin = f"{parts.scheme}://{shown}"
    if not _ORIGIN.fullmatch(origin):
        return None
    is_checked = hosts or organization.get("embed_hosts_enforced")
    if is_checked and origin not in hosts and not _is_listed(parts.scheme, host, shown, hosts):
        raise EmbedHostError(origin)
    return origin


def _is_listed(scheme: str, host: str, shown: str, hosts: list[str]) -> bool:
    if scheme != "https" and not _is_local(host):
        return False
    wildcards = [entry[1:] for entry in hosts if entry.startswith("*.")]
    return shown in hosts or shown.endswith(tuple(wildcards))


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def embedder(checkout: Checkout) -> str | None:
    """The origin that may frame a checkout's pages, fit for a header."""
    origin = checkout.embed_origin
    return origin if origin and _ORIGIN.fullmatch(origin) else None


def is_embedded(request: Request, checkout: Checkout) -> bool:
    """Whether the page was asked for as one that stands in a frame."""
    return request.args.get("embed") == "true" and embedder(checkout) is not None


def is_framed(request: Request, checkout: Checkout) -> bool:
    """Whether a form was sent from inside a frame, as the page's script tells."""
    return is_embedded(request, checkout) and request.form.get("framed") == "yes"
