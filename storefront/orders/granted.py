"""What a purchase gave its buyer: license keys, downloads and other benefits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from storefront.errors import PolarError
from storefront.polar import BenefitGrant, Client, LicenseKey, Page
from storefront.secret import Secret

logger = logging.getLogger("storefront")

_T = TypeVar("_T")
#: Pages of a list that are read, of a hundred each: few have more than one.
_MOST_PAGES = 3


@dataclass(frozen=True, slots=True)
class Download:
    """A file, and where it can be had for some minutes; ``size`` in bytes."""

    name: str
    size: int
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A benefit of a purchase, as its buyer sees it."""

    #: In the merchant's words.
    description: str
    #: Polar's word, such as ``license_keys`` or ``downloadables``.
    type: str
    #: Whether the buyer has to do something first, in Polar's portal.
    needs_buyer: bool
    #: What the merchant tells who has it, in Markdown.
    note: str | None = field(repr=False)
    #: A license key that is in force.
    key: str | None = field(repr=False)
    downloads: tuple[Download, ...]


def read_granted(
    client: Client, session: Secret, checkout_id: str, *, seconds: float
) -> tuple[Granted, ...]:
    """Read what a checkout's buyer was granted for it, in so many seconds.

    ``session`` is the customer's own. A key or a file that can't be read is left out.

    :raises PolarError: when Polar does not say what was granted.
    """
    ends = time.monotonic() + seconds

    def left() -> float:
        return max(ends - time.monotonic(), 0.05)

    portal = client.customer_portal
    grants = [
        grant
        for grant in portal.benefit_grants(session, checkout_id=checkout_id, timeout=left()).items
        if not grant.is_revoked
    ]
    wanted = {grant.license_key_id for grant in grants} - {None}
    keys: dict[str, LicenseKey] = {}
    if wanted:
        for key in _over(lambda page: portal.license_keys(session, page=page, timeout=left())):
            if key.id in wanted and key.status == "granted":
                keys[key.id] = key
            if keys.keys() == wanted:
                break
    benefits = [g.benefit_id for g in grants if g.benefit.type == "downloadables" and g.is_granted]
    files: dict[str, list[Download]] = {}
    if benefits:
        for item in _over(
            lambda page: portal.downloadables(
                session, page=page, benefit_id=benefits, timeout=left()
            )
        ):
            download = Download(item.file.name, item.file.size, item.file.download.url)
            if download.url.startswith(("https://", "http://")):
                files.setdefault(item.benefit_id, []).append(download)
    return tuple(_granted(grant, keys, files) for grant in grants)


def _granted(
    grant: BenefitGrant, keys: dict[str, LicenseKey], files: dict[str, list[Download]]
) -> Granted:
    key = keys.get(grant.license_key_id or "")
    return Granted(
        description=grant.benefit.description,
        type=grant.benefit.type,
        needs_buyer=not grant.is_granted and grant.problem is not None,
        note=grant.note if grant.is_granted else None,
        key=key.key if key else None,
        downloads=tuple(files.get(grant.benefit_id, ())) if grant.is_granted else (),
    )


def _over(read: Callable[[int], Page[_T]]) -> Iterator[_T]:
    """The items of some pages, as far as they can be read."""
    for number in range(1, _MOST_PAGES + 1):
        try:
            page = read(number)
        except PolarError as error:
            logger.warning("Not all that a purchase gave can be shown. %s", error)
            return
        yield from page.items
        if number >= page.max_page:
            return
