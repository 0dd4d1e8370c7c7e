"""The catalogue and the product pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound, ServiceUnavailable
from werkzeug.wrappers import Response as BaseResponse

from storefront.catalog import Catalog, CatalogProduct
from storefront.errors import CatalogUnavailable
from storefront.links import read_query, utm_parameters
from storefront.state import State, get_state
from storefront.web.responses import ready_page, shown_page

#: Products on one page of the catalogue.
PRODUCTS_PER_PAGE = 24


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
    """404 for a product. The host's own handler for 404 may style it.

    ``unsold`` is a product that is there, and can't be bought.
    """

    def __init__(self, unsold: CatalogProduct | None = None) -> None:
        super().__init__()
        self.unsold = unsold

    def get_body(self, environ: object = None, scope: object = None) -> str:
        """The page in the shop's layout."""
        return render_template("storefront/not_found.html", unsold=self.unsold, page=False)


class PageNotFound(NotFound):
    """404 for a page of the catalogue that it is too short for."""

    def get_body(self, environ: object = None, scope: object = None) -> str:
        """The page in the shop's layout."""
        return render_template("storefront/not_found.html", unsold=None, page=True)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of the catalogue this is, and the addresses of its neighbours."""

    number: int
    count: int
    previous_url: str | None
    next_url: str | None


def catalog() -> BaseResponse:
    """``GET /``: what is for sale, 24 products a page; ``?page=`` has the others."""
    state = get_state()
    catalog = current_catalog(state)
    query = request.environ.get("QUERY_STRING", "")
    number = 1
    if "page" in query or "%" in query:
        parameters = read_query(query)
        given = parameters.get("page", "1")
        # More digits than any catalogue needs would only take time to read.
        number = int(given) if re.fullmatch("[0-9]{1,9}", given) else 0
        if "page" in parameters and number == 1:
            # The first page has one address.
            kept = urlencode(utm_parameters(parameters))
            return redirect(url_for(".catalog") + (f"?{kept}" if kept else ""), code=301)
    query_of_page = "" if number == 1 else f"page={number}"
    ready = ready_page(state, catalog, query_of_page)
    if ready is not None:
        return ready
    listed = catalog.listed
    count = max(1, -(-len(listed) // PRODUCTS_PER_PAGE))
    if not 1 <= number <= count:
        raise PageNotFound()
    first = (number - 1) * PRODUCTS_PER_PAGE
    last = min(first + PRODUCTS_PER_PAGE, len(listed))
    return shown_page(
        state,
        catalog,
        "storefront/catalog.html",
        query_of_page,
        products=[listed[index] for index in range(first, last)],
        paging=Paging(
            number,
            count,
            _page_address(number - 1) if number > 1 else None,
            _page_address(number + 1) if number < count else None,
        ),
    )


def product(slug: str) -> BaseResponse:
    """``GET /products/<slug>``: one product; a former address leads to today's (301)."""
    state = get_state()
    catalog = current_catalog(state)
    ready = ready_page(state, catalog)
    if ready is not None:
        return ready
    found = catalog.page(slug)
    if found is None:
        moved = catalog.moved(slug)
        if moved is None:
            raise ProductNotFound()
        return redirect(url_for(".product", slug=moved.slug), code=301)
    return shown_page(state, catalog, "storefront/product.html", product=found)


def current_catalog(state: State) -> Catalog:
    """The catalogue, or a page that says that the shop can't be reached."""
    try:
        return state.catalog.current()
    except CatalogUnavailable as error:
        raise ShopUnavailable(error.retry_after) from None


def _page_address(number: int) -> str:
    return url_for(".catalog") if number == 1 else url_for(".catalog", page=number)
