"""The absolute addresses that a shop tells to machines, as this request sees them."""

from __future__ import annotations

from flask import url_for

from storefront.state import State
from storefront.web.metadata import Site


def current_site(state: State) -> Site:
    """The shop as it is called, and where it is: host, scheme and prefix come from the request."""
    return Site(
        name=state.settings.shop_name,
        catalog_url=url_for(".catalog", _external=True),
        feed_url=url_for(".feed", _external=True),
        texts=state.texts,
    )


def product_address(slug: str) -> str:
    """The absolute address of a product's page."""
    return url_for(".product", slug=slug, _external=True)
