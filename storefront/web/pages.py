"""The catalogue and the product pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flask import redirect, request, url_for
from werkzeug.exceptions import NotFound, ServiceUnavailable
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import with_campaign
from storefront.catalog import Catalog, CatalogProduct, Search
from storefront.errors import CatalogUnavailable
from storefront.links import read_query, utm_parameters
from storefront.state import State, get_state
from storefront.web.metadata import PageMetadata, catalog_metadata, product_metadata
from storefront.web.responses import ready_page, render, shown_page
from storefront.web.searching import (
    address_of,
    is_written_so,
    make_filters,
    read_search,
    speaks,
)
from storefront.web.site import current_site, product_address

#: Products on one page of the catalogue.
PRODUCTS_PER_PAGE = 24
#: Products that are shown where nothing is found.
_SHOWN_INSTEAD = 3


class ShopUnavailable(ServiceUnavailable):
    """503: nothing was ever read from Polar. The host's own handler for 503 may style it."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            get_state().texts("The shop can't be reached right now. Please try again in a minute."),
            retry_after=int(retry_after) + 1,
        )

    def get_body(self, environ: object = None, scope: object = None) -> str:
        """The page in the shop's layout."""
        return render("storefront/unavailable.html")


class ProductNotFound(NotFound):
    """404 for a product. The host's own handler for 404 may style it.

    ``unsold`` is a product that is there, and can't be bought.
    """

    def __init__(self, unsold: CatalogProduct | None = None) -> None:
        super().__init__()
        self.unsold = unsold

    def get_body(self, environ: object = None, scope: object = None) -> str:
        """The page in the shop's layout."""
        return render("storefront/not_found.html", unsold=self.unsold, page=False)


class PageNotFound(NotFound):
    """404 for a page of the catalogue that it is too short for."""

    def get_body(self, environ: object = None, scope: object = None) -> str:
        """The page in the shop's layout."""
        return render("storefront/not_found.html", unsold=None, page=True)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of the catalogue this is, and the addresses of its neighbours."""

    number: int
    count: int
    #: Gives the address of a page, with the campaign: to be asked while the page is rendered.
    address: Callable[[int], str]

    @property
    def previous_url(self) -> str | None:
        """The address of the page before; None for the first."""
        return self.address(self.number - 1) if self.number > 1 else None

    @property
    def next_url(self) -> str | None:
        """The address of the page after; None for the last."""
        return self.address(self.number + 1) if self.number < self.count else None


def catalog() -> BaseResponse:
    """``GET /``: what is for sale, 24 products a page; ``?page=`` has the others.

    ``q``, ``kind``, ``price`` and ``sort`` look for some of it.
    """
    state = get_state()
    catalog = current_catalog(state)
    query = request.environ.get("QUERY_STRING", "")
    number = 1
    if speaks(query):
        parameters = read_query(query)
        number = asked_page(parameters)
        search = read_search(parameters)
        if ("page" in parameters and number == 1) or not is_written_so(parameters, search):
            # Each page has one address; a form sends also what was left empty in it.
            address = address_of(
                url_for(".catalog"), search, utm_parameters(parameters), number or 1
            )
            return redirect(address, code=301 if search == Search() else 302)
        if search != Search():
            return _search_results(state, catalog, search, number, parameters)
    query_of_page = "" if number == 1 else f"page={number}"
    ready = ready_page(state, catalog, query_of_page)
    if ready is not None:
        return ready
    products, count = _cut(catalog.listed, number)
    base_url = url_for(".catalog")
    return shown_page(
        state,
        catalog,
        "storefront/catalog.html",
        query_of_page,
        products=products,
        paging=Paging(number, count, lambda page: with_campaign(_page_address(page))),
        filtered=False,
        filters=make_filters(
            state.texts,
            catalog,
            Search(),
            base_url=base_url,
            parameters={},
            count=len(catalog),
        ),
        newest=(),
        meta=_metadata(state, products, number),
    )


def asked_page(parameters: Mapping[str, str]) -> int:
    """The number of the page that a query asks for; 0 for one that is no number."""
    given = parameters.get("page", "1")
    # More digits than any catalogue needs would only take time to read.
    return int(given) if re.fullmatch("[0-9]{1,9}", given) else 0


def page_count(total: int, size: int = PRODUCTS_PER_PAGE) -> int:
    """How many pages so many products make; an empty shop has one as well."""
    return max(1, -(-total // size))


def _search_results(
    state: State,
    catalog: Catalog,
    search: Search,
    number: int,
    parameters: Mapping[str, str],
) -> BaseResponse:
    """A page of what a visitor looks for; also when that is nothing."""
    found = catalog.search(search)
    products, count = _cut(found, number)
    base_url = url_for(".catalog")
    campaign = utm_parameters(parameters)
    return shown_page(
        state,
        catalog,
        "storefront/catalog.html",
        None,
        products=products,
        paging=Paging(number, count, lambda page: address_of(base_url, search, campaign, page)),
        filtered=True,
        filters=make_filters(
            state.texts,
            catalog,
            search,
            base_url=base_url,
            parameters=parameters,
            count=len(found),
        ),
        newest=() if found else list(catalog.listed[:_SHOWN_INSTEAD]),
        meta=_metadata(state, products, None),
    )


def _cut(products: Sequence[CatalogProduct], number: int) -> tuple[list[CatalogProduct], int]:
    """The products on a page, and how many pages there are.

    :raises PageNotFound: when there are fewer.
    """
    count = page_count(len(products))
    if not 1 <= number <= count:
        raise PageNotFound()
    first = (number - 1) * PRODUCTS_PER_PAGE
    last = min(first + PRODUCTS_PER_PAGE, len(products))
    return [products[index] for index in range(first, last)], count


def _metadata(state: State, products: Sequence[CatalogProduct], number: int | None) -> PageMetadata:
    """The metadata of a page of the catalogue; None for the number of what somebody searched."""
    address = None if number is None else _page_address(number, external=True)
    return catalog_metadata(
        [(product, product_address(product.slug)) for product in products],
        address,
        1 + ((number or 1) - 1) * PRODUCTS_PER_PAGE,
        current_site(state),
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
    site = current_site(state)
    return shown_page(
        state,
        catalog,
        "storefront/product.html",
        product=found,
        meta=product_metadata(found, product_address(found.slug), site),
    )


def current_catalog(state: State) -> Catalog:
    """The catalogue, or a page that says that the shop can't be reached."""
    try:
        return state.catalog.current()
    except CatalogUnavailable as error:
        raise ShopUnavailable(error.retry_after) from None


def _page_address(number: int, *, external: bool = False) -> str:
    return url_for(".catalog", _external=external, page=number if number > 1 else None)
