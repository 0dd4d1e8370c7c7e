"""Writing the file from the links that there are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from storefront.linkfile.document import NAME, SITE
from storefront.linkfile.spec import NAME_KEY, LinkSpec, same_url
from storefront.polar import CheckoutLink

_HEADER = """\
# Checkout links as code: what should be there, on every server.
#   flask storefront links plan FILE    shows what is different
#   flask storefront links apply FILE   makes it so
# `adopt` has an existing link become the one of that name; drop it once that is done.
"""
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Exported:
    """A file, and how many of its links are to be adopted."""

    text: str
    links: int
    adopted: int


def write_link_file(
    links: Sequence[CheckoutLink],
    *,
    slug: Callable[[str], str],
    discount: Callable[[str], str],
    success_url: str | None,
) -> Exported:
    """Write all links, so that adopting them changes nothing but their markers.

    ``slug`` gives the name of a product's id, ``discount`` that of a discount's. A success URL
    that is ``success_url``, this site's, is written as ``site``, so that the file is good for
    other sites. Of several links with one name only the oldest keeps it.
    """
    entries: dict[str, dict[str, Any]] = {}
    adopted = 0
    own = {str(link.metadata[NAME_KEY]) for link in links if NAME_KEY in link.metadata}
    for link in links:
        name, adopt = str(link.metadata.get(NAME_KEY, "")), False
        if not name or name in entries or not NAME.fullmatch(name):
            name, adopt = _new_name(link, slug, {*entries, *own}), True
        adopted += adopt
        entries[name] = _entry(link, slug, discount, success_url, adopt=adopt)
    body = yaml.safe_dump(
        {"links": entries} if entries else {"links": {}},
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
    )
    return Exported(f"{_HEADER}{body}", len(entries), adopted)


def _entry(
    link: CheckoutLink,
    slug: Callable[[str], str],
    discount: Callable[[str], str],
    success_url: str | None,
    *,
    adopt: bool,
) -> dict[str, Any]:
    spec = LinkSpec.of(link)
    entry: dict[str, Any] = {"products": [slug(id_) for id_ in spec.products]}
    if spec.label is not None:
        entry["label"] = spec.label
    if spec.discount_id is not None:
        entry["discount"] = discount(spec.discount_id)
    if not spec.allow_discount_codes:
        entry["allow_discount_codes"] = False
    if spec.require_billing_address:
        entry["require_billing_address"] = True
    if spec.success_url is not None:
        ours = success_url is not None and same_url(spec.success_url, success_url)
        entry["success_url"] = SITE if ours else spec.success_url
    if spec.return_url is not None:
        entry["return_url"] = spec.return_url
    if spec.trial_interval and spec.trial_interval_count:
        plural = "" if spec.trial_interval_count == 1 else "s"
        entry["trial"] = f"{spec.trial_interval_count} {spec.trial_interval}{plural}"
    for name in ("seats", "units"):
        if getattr(spec, name) is not None:
            entry[name] = getattr(spec, name)
    if metadata := {key: value for key, value in spec.metadata.items() if key != NAME_KEY}:
        entry["metadata"] = metadata
    if adopt:
        entry["adopt"] = link.id
    return entry


def _new_name(link: CheckoutLink, slug: Callable[[str], str], taken: set[str]) -> str:
    wanted = _plain(link.label or "")
    if not wanted and link.products:
        wanted = _plain(slug(link.products[0].id))
    wanted = wanted or f"link-{link.id[:8]}"
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name


def _plain(text: str) -> str:
    """The text as a name: ASCII letters and digits, with hyphens between."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    ascii_ = "".join(c for c in decomposed if c.isascii())
    return re.sub(r"[^a-z0-9]+", "-", ascii_)[:_LONGEST_NAME].strip("-")
