"""The doctor's look at checkout links. None is ever opened: that would begin a checkout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from storefront.catalog.pricing import running_discount
from storefront.doctor.facts import Facts, Finding
from storefront.errors import LinkError
from storefront.inventory import Inventory, is_hidden, why_not_sold
from storefront.linkfile import NAME_KEY, same_url
from storefront.links import UTM_NAMES
from storefront.polar import CheckoutLink, check_link_fields

_PLACEHOLDER = "{CHECKOUT_ID}"
_SHADOWS = (*UTM_NAMES, "reference_id")


def link_findings(facts: Facts) -> Iterator[Finding]:
    """What is wrong with the links that there are."""
    inventory = facts.inventory
    if inventory is None:
        return
    for link in inventory.links:
        subject = name_link(link)
        yield from _life(link, subject, inventory)
        yield from _success_url(link, subject, facts)
        yield from _metadata(link, subject)
        yield from _discount(link, subject)
    yield from _doubles(inventory)


def name_link(link: CheckoutLink) -> str:
    """The name or label of a link, with its id; the id alone where it has none."""
    name = link.metadata.get(NAME_KEY) or link.label
    return f"{name} ({link.id})" if name else link.id


def _life(link: CheckoutLink, subject: str, inventory: Inventory) -> Iterator[Finding]:
    known = {product.id for product in inventory.products}
    sold = [p for p in link.products if p.id in known and not why_not_sold(p)]
    if not sold or not link.url.startswith(("http://", "https://")):
        yield Finding(
            "error",
            "link-dead",
            subject,
            "The link is dead: "
            + ("Polar gives it no URL." if sold else "nothing on it can be bought."),
            f"Give it a product (flask storefront links update {link.id} --product SLUG), or "
            f"delete it (links delete {link.id}).",
        )
        return
    for product in link.products:
        reason = "is not in the organization" if product.id not in known else why_not_sold(product)
        if reason:
            yield Finding(
                "error",
                "link-product",
                subject,
                f"The product {product.name!r} on the link {reason}.",
                f"Say what it sells: flask storefront links update {link.id} --product SLUG.",
            )


def _success_url(link: CheckoutLink, subject: str, facts: Facts) -> Iterator[Finding]:
    ours, url = facts.success_url, link.success_url
    mend = f"flask storefront links update {link.id} --success-url site"
    if not url:
        if facts.has_pages:
            yield Finding(
                "warning",
                "success-url-missing",
                subject,
                "The link has no success URL: its buyers stay on Polar, and don't come back.",
                f"{mend}.",
            )
        return
    try:
        check_link_fields({"success_url": url}, creating=False)
    except LinkError as error:
        words = str(error).removeprefix("success_url: ")
        yield Finding(
            "error", "success-url-spelling", subject, f"The success URL {words}.", f"{mend}."
        )
        return
    if ours is not None:
        if not same_url(_page(url), _page(ours)):
            yield Finding(
                "warning",
                "success-url-elsewhere",
                subject,
                f"The success URL leads to {url}, and not to this site's success page.",
                f"Leave it so if it is meant; if not, {mend}.",
            )
        elif ("checkout_id", _PLACEHOLDER) not in parse_qsl(urlsplit(url).query):
            yield Finding(
                "error",
                "success-url-without-id",
                subject,
                f"The success URL {url} does not say which purchase it was: it lacks "
                f"checkout_id={_PLACEHOLDER}.",
                f"{mend}.",
            )
    if facts.is_production and url.lower().startswith("http:"):
        yield Finding(
            "warning",
            "success-url-http",
            subject,
            f"The success URL {url} is without https: what it carries can be read on the way.",
            f"{mend}, once the site is served with https.",
        )


def _page(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


def _metadata(link: CheckoutLink, subject: str) -> Iterator[Finding]:
    shadows = [key for key in _SHADOWS if key in link.metadata]
    if shadows and not is_hidden(link):
        yield Finding(
            "warning",
            "metadata-shadows",
            subject,
            f"The link's metadata sets {', '.join(shadows)}, which wins over what a buyer brings "
            "along: all purchases by the shop's buttons are counted for it.",
            "Keep it for one campaign by adding the metadata storefront = hidden, so that the "
            f"shop's own buttons leave it alone (flask storefront links update {link.id} "
            "--metadata storefront=hidden); or take the metadata off.",
        )


def _discount(link: CheckoutLink, subject: str) -> Iterator[Finding]:
    if link.discount is None:
        return
    now = datetime.now(UTC)
    waits = link.discount.starts_at is not None and link.discount.starts_at > now
    if not waits and running_discount(link, now) is None:
        yield Finding(
            "warning",
            "discount-over",
            subject,
            f"The discount {link.discount.name!r} on the link is over: it takes nothing off.",
            f"flask storefront links update {link.id} --clear discount, or give it another.",
        )


def _doubles(inventory: Inventory) -> Iterator[Finding]:
    labels = Counter(link.label for link in inventory.links if link.label)
    names = Counter(
        str(link.metadata[NAME_KEY]) for link in inventory.links if NAME_KEY in link.metadata
    )
    for name, count in names.items():
        if count > 1:
            yield Finding(
                "warning",
                "name-twice",
                name,
                f"{count} links carry the name {name!r} of a file; the oldest counts.",
                "flask storefront links apply FILE --prune deletes the others.",
            )
    for label, count in labels.items():
        if count > 1:
            yield Finding(
                "note",
                "label-twice",
                label,
                f"{count} links have the label {label!r}; a button that names it uses the oldest.",
                "Give each a label of its own: flask storefront links update ID --label LABEL.",
            )
