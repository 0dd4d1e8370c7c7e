"""What the doctor looks at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import urljoin

from storefront.inventory import Inventory
from storefront.polar import Organization, WebhookEndpoint

Level = Literal["error", "warning", "note"]


class Need(NamedTuple):
    """A scope that the token lacks."""

    scope: str
    level: Level
    #: What does not work without it, as the end of a sentence.
    without: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. ``code`` names the kind of it, and stays."""

    level: Level
    code: str
    #: What it is about: a link, a product, a setting.
    subject: str
    #: What is wrong.
    message: str
    #: What to do about it.
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was read of the site and of Polar. None: it could not be, or is not there."""

    #: ``production``, ``sandbox``, ``local`` or ``custom``.
    server: str
    #: Why Polar does not take the token; empty when it does.
    token_problem: str = ""
    lacks: tuple[Need, ...] = ()
    inventory: Inventory | None = None
    organization: Organization | None = None
    endpoints: tuple[WebhookEndpoint, ...] | None = None
    #: How many seconds this machine's clock is ahead of Polar's.
    clock_ahead_seconds: float | None = None

    #: Whether the shop's pages are registered.
    has_pages: bool = True
    #: This site's success page, as a link's ``success_url``.
    success_url: str | None = None
    #: Whether ``POLAR_WEBHOOK_SECRET`` is set.
    has_webhook_secret: bool = False
    server_name: str | None = None
    #: The class of the cache that carries the catalogue.
    cache: str = "FileSystemCache"
    debug: bool = False
    testing: bool = False
    raises_unknown_references: bool = False
    has_secret_key: bool = True
    #: Whether a function is registered that says who is signed in.
    asks_for_visitor: bool = False
    #: Whether all buttons are to open the checkout over the page.
    opens_over_page: bool = False

    @property
    def webhooks_url(self) -> str | None:
        """Where this site takes webhooks: beside its success page."""
        return None if self.success_url is None else urljoin(self.success_url, "webhooks")

    @property
    def is_production(self) -> bool:
        """Whether real money is taken."""
        return self.server == "production"
