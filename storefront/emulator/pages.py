"""The pages a customer sees: the checkout, its confirmation and the portal."""

from __future__ import annotations

from storefront.emulator.services import Route


def routes() -> list[Route]:
    """The hosted pages: `/`, `/checkout/<secret>` and its confirmation, `/portal`, assets."""
    return []
