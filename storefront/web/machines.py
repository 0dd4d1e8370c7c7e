"""What search engines, feed readers and price comparisons ask for: the same for everybody."""

from __future__ import annotations

from collections.abc import Iterator

from flask import abort, url_for
from werkzeug.wrappers import Response as BaseResponse

from storefront.catalog import Catalog, CatalogProduct
from storefront.catalog.addresses import is_web_address
from storefront.state import get_state
from storefront.web.feeds import (
    MOST_ENTRIES,
    PRODUCTS_PER_FEED,
    URLS_PER_SITEMAP,
    Listing,
    make_atom_feed,
    make_google_feed,
    make_sitemap,
    make_sitemap_index,
)
from storefront.web.pages import current_catalog, page_count
from storefront.web.responses import public_response
from storefront.web.site import current_site, product_address

_XML = "application/xml; charset=utf-8"
_ATOM = "application/atom+xml; charset=utf-8"


def sitemap() -> BaseResponse:
    """``GET /sitemap.xml``: all pages; of a large shop the list of its sitemaps."""
    state = get_state()
    catalog = current_catalog(state)
    count = page_count(len(catalog), URLS_PER_SITEMAP)

    def make() -> bytes:
        if count == 1:
            return make_sitemap(_listings(catalog, 1))
        urls = (
            url_for(".sitemap_part", number=number, _external=True)
            for number in range(1, count + 1)
        )
        return make_sitemap_index(urls, catalog.changed_at)

    return public_response(state, catalog, _XML, make)


def sitemap_part(number: int) -> BaseResponse:
    """``GET /sitemap-<number>.xml``: one of a large shop's sitemaps."""
    state = get_state()
    catalog = current_catalog(state)
    if not 1 <= number <= page_count(len(catalog), URLS_PER_SITEMAP):
        abort(404)
    return public_response(state, catalog, _XML, lambda: make_sitemap(_listings(catalog, number)))


def feed() -> BaseResponse:
    """``GET /feed.atom``: the newest products."""
    state = get_state()
    catalog = current_catalog(state)
    return public_response(
        state,
        catalog,
        _ATOM,
        lambda: make_atom_feed(
            _addressed(catalog, 0, MOST_ENTRIES), current_site(state), catalog.changed_at
        ),
    )


def google_feed(number: int = 1) -> BaseResponse:
    """``GET /feed/google.xml``, ``/feed/google-<number>.xml``: products for Google Merchant Center,
    those among each thousand of the catalogue that it takes."""
    state = get_state()
    catalog = current_catalog(state)
    if not 1 <= number <= page_count(len(catalog), PRODUCTS_PER_FEED):
        abort(404)
    first = (number - 1) * PRODUCTS_PER_FEED
    return public_response(
        state,
        catalog,
        _XML,
        lambda: make_google_feed(
            _addressed(catalog, first, PRODUCTS_PER_FEED), current_site(state)
        ),
    )


def _addressed(catalog: Catalog, first: int, count: int) -> Iterator[tuple[CatalogProduct, str]]:
    for product in catalog.listed[first : first + count]:
        yield product, product_address(product.slug)


def _listings(catalog: Catalog, number: int) -> Iterator[Listing]:
    """The pages of one sitemap; the catalogue's own comes first."""
    first = (number - 1) * URLS_PER_SITEMAP
    if first == 0:
        yield Listing(url_for(".catalog", _external=True), catalog.changed_at)
    for slug, product in catalog.records(first, first + URLS_PER_SITEMAP):
        pictures = (media.public_url for media in product.medias)
        yield Listing(
            product_address(slug),
            product.modified_at or product.created_at,
            tuple(filter(is_web_address, pictures)),
        )
