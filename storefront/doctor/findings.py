"""From facts to findings: pure functions, one for each side of the matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from storefront.doctor.facts import Facts, Finding, Level
from storefront.doctor.links import link_findings
from storefront.linkfile import same_url
from storefront.polar import WebhookEndpoint
from storefront.polar.webhooks import EVENTS

_ORDER: dict[Level, int] = {"error": 0, "warning": 1, "note": 2}
#: Rounding to seconds and a slow answer are no skew.
_CLOCK_SECONDS = 30.0
#: What keeps the catalogue to one process, or keeps nothing.
_UNSHARED_CACHES = ("SimpleCache", "NullCache")


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Everything that is not as it should be, the worst first."""
    found = [
        *_token(facts),
        *link_findings(facts),
        *_products(facts),
        *_settings(facts),
        *_organization(facts),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.level]))


def _token(facts: Facts) -> Iterator[Finding]:
    if facts.token_problem:
        yield Finding(
            "error",
            "token",
            "POLAR_ACCESS_TOKEN",
            facts.token_problem,
            "Make an organization access token on the server that POLAR_SERVER names "
            f"({facts.server}), under Settings, Developers; or set POLAR_SERVER to the server "
            "that this token is of.",
        )
    for need in facts.lacks:
        yield Finding(
            need.level,
            "scope",
            "POLAR_ACCESS_TOKEN",
            f"The token lacks the scope {need.scope}: without it {need.without}.",
            f"Add {need.scope} to the token in Polar's dashboard (Settings, Developers).",
        )
    ahead = facts.clock_ahead_seconds
    if ahead is not None and abs(ahead) > _CLOCK_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            "warning",
            "clock",
            "clock",
            f"This machine's clock is {abs(ahead):.0f} seconds {way} Polar's.",
            "Have the machine keep time by NTP: discounts and sessions begin and end by it.",
        )


def _products(facts: Facts) -> Iterator[Finding]:
    inventory = facts.inventory
    if inventory is None:
        return
    if not inventory.catalog.listed:
        yield Finding(
            "warning",
            "nothing-for-sale",
            "products",
            "The shop is empty: no product is public.",
            "Make a product public in Polar's dashboard (Products).",
        )
    for product in inventory.without_link():
        slug = inventory.slugs[product.id]
        yield Finding(
            "warning",
            "product-without-link",
            slug,
            f"{product.name!r} is public, and no checkout link sells it: its page has no button.",
            f"flask storefront links ensure, or links create {slug}; or make it private.",
        )


def _settings(facts: Facts) -> Iterator[Finding]:
    serious: Level = "warning" if facts.is_production else "note"
    if facts.has_pages and facts.server_name is None and facts.success_url is None:
        yield Finding(
            serious,
            "server-name",
            "SERVER_NAME",
            "Not set: outside of a request the site does not know its own address, so that success "
            "URLs can't be compared and new links get none by themselves.",
            "Set SERVER_NAME (such as shop.example.com) and PREFERRED_URL_SCHEME to 'https'; or "
            "give the commands --site https://shop.example.com.",
        )
    if facts.is_production and (facts.success_url or "").startswith("http:"):
        yield Finding(
            "warning",
            "url-scheme",
            "PREFERRED_URL_SCHEME",
            f"The site's own address is {facts.success_url}: without https.",
            "Set PREFERRED_URL_SCHEME to 'https'.",
        )
    if facts.cache in _UNSHARED_CACHES:
        yield Finding(
            "warning",
            "cache",
            "CACHE_TYPE",
            f"The catalogue is kept in a {facts.cache}, which workers can't share: each reads "
            "Polar for itself, and a sync reaches none of them.",
            "Pass no cache, so that files in the instance folder carry it (and let that folder be "
            "written), or one that is shared, such as RedisCache.",
        )
    if facts.is_production and (facts.debug or facts.testing):
        name = "DEBUG" if facts.debug else "TESTING"
        yield Finding(
            "error",
            "debug",
            name,
            f"{name} is on, and the shop takes real money: errors show the site's insides.",
            f"Turn {name} off where POLAR_SERVER is 'production'.",
        )
    elif facts.is_production and facts.raises_unknown_references:
        yield Finding(
            "warning",
            "unknown-reference",
            "STOREFRONT_UNKNOWN_REFERENCE",
            "Set to 'raise' in production: archiving a product takes down the pages that name it.",
            "Leave it at 'auto'.",
        )
    if not facts.has_secret_key and (facts.has_pages or facts.asks_for_visitor):
        yield Finding(
            "warning",
            "secret-key",
            "SECRET_KEY",
            "Not set: buyers can't prove that they bought, so that the success page shows no "
            "order to them, and nobody can be signed in."
            if facts.has_pages
            else "Not set, although @shop.visitor asks who is signed in: Flask's sessions need it.",
            "Set SECRET_KEY to a long random value that all workers share.",
        )


def _organization(facts: Facts) -> Iterator[Finding]:
    organization, host = facts.organization, urlsplit(facts.success_url or "").netloc.lower()
    if (
        organization is not None
        and host
        and organization.embed_hosts_enforced
        and not _may_embed(host, organization.embed_hosts)
    ):
        allowed = ", ".join(organization.embed_hosts) or "none"
        yield Finding(
            "warning" if facts.opens_over_page else "note",
            "embed-host",
            host,
            f"Polar does not show its checkout inside pages of {host}; it does for: {allowed}."
            + (
                " With STOREFRONT_OVERLAY buttons wait for it in vain, and follow their link then."
                if facts.opens_over_page
                else ""
            ),
            "Add the host in Polar's dashboard (Settings)."
            if facts.opens_over_page
            else "Nothing, unless a button opens the checkout over its page, or you embed it "
            "yourself: then add the host in Polar's dashboard (Settings).",
        )
    if facts.webhooks_url is not None and facts.endpoints is not None:
        yield from _webhooks(facts, facts.webhooks_url, facts.endpoints)


def _may_embed(host: str, hosts: Sequence[str]) -> bool:
    """Whether the list has the host, with its port if it has one, or all subdomains of its domain.

    Source: Polar's API description of 2026-10.
    """
    listed = [entry.lower() for entry in hosts]
    return host in listed or any(
        entry.startswith("*.") and host.endswith(entry[1:]) for entry in listed
    )


def _webhooks(facts: Facts, url: str, endpoints: Sequence[WebhookEndpoint]) -> Iterator[Finding]:
    """A shop works without them: it looks for itself, and hears of everything later."""
    ours = [endpoint for endpoint in endpoints if same_url(endpoint.url, url)]
    if ours and not facts.has_webhook_secret:
        yield Finding(
            "error",
            "webhook-secret",
            "POLAR_WEBHOOK_SECRET",
            f"Not set, although Polar sends webhooks to {url}: all of them are refused, and after "
            "ten Polar stops.",
            "Set it to the endpoint's secret in Polar's dashboard (Settings, Webhooks).",
        )
    if not ours:
        yield Finding(
            "warning" if facts.has_webhook_secret else "note",
            "webhook-absent",
            url,
            "No webhook endpoint leads here: the site hears of orders, and of changes in the "
            "catalogue, only when it looks for itself.",
            "In Polar's dashboard (Settings, Webhooks) add an endpoint with this address and all "
            "events of orders, refunds, checkouts, subscriptions, products, discounts and "
            "benefits; and set POLAR_WEBHOOK_SECRET to its secret.",
        )
    for endpoint in ours:
        if not endpoint.enabled:
            yield Finding(
                "warning",
                "webhook-off",
                endpoint.url,
                "Polar has switched this webhook endpoint off, as it does after ten failures.",
                "See in its dashboard (Settings, Webhooks) what failed, mend it, and switch the "
                "endpoint on again.",
            )
        elif endpoint.format != "raw":
            yield Finding(
                "warning",
                "webhook-format",
                endpoint.url,
                f"This webhook endpoint has the format {endpoint.format!r}, which is for chats.",
                "Give it the format Raw in Polar's dashboard (Settings, Webhooks).",
            )
        elif lacking := [event for event in EVENTS if event not in endpoint.events]:
            yield Finding(
                "warning",
                "webhook-events",
                endpoint.url,
                f"Polar does not tell this endpoint of {', '.join(lacking)}.",
                "Add these events in Polar's dashboard (Settings, Webhooks).",
            )
