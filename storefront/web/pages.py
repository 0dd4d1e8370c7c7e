"""The catalogue and the product pages."""

from __future__ import annotations

from flask import Response, redirect, render_template, url_for
from werkzeug.exceptions import NotFound, ServiceUnavailable
from werkzeug.wrappers import Response as BaseResponse

from storefront.catalog import Catalog
from storefront.errors import CatalogUnavailable
from storefront.state import get_state
from storefront.web.responses import shown_page


class ShopUnavailable(ServiceUnavailable):
    """503: nothing was ever read from Polar. The host's own handler for 503 may style it."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            get_state().texts("The shop can't be reached right now. Please try again in a minute."),
            retry_after=int(retry_after) + 1,
        )

    def get_body(self, environ: object = None, scope: object = None) -> str:
        """The page in the shop's layout."""
        return render_template("storefront/unavailable.html")


class ProductNotFound(NotFound):
    """404 for a product. The host's own handler for 404 may style it."""

    def get_body(self, environ: object = None, scope: object = None) -> str:
        """The page in the shop's layout."""
        return render_template("storefront/not_found.html")


def catalog() -> Response:
    """``GET /``: everything that is for sale."""
    return shown_page("storefront/catalog.html", products=_catalog().listed)


def product(slug: str) -> BaseResponse:
    """``GET /products/<slug>``: one product; a former address leads to today's (301)."""
    catalog = _catalog()
    found = catalog.page(slug)
    if found is None:
        moved = catalog.moved(slug)
        if moved is None:
            raise ProductNotFound()
        return redirect(url_for(".product", slug=moved.slug), code=301)
    return shown_page("storefront/product.html", product=found)


def _catalog() -> Catalog:
    try:
        return get_state().catalog.current()
    except CatalogUnavailable as error:
        raise ShopUnavailable(error.retry_after) from None
