"""What templates call: the global ``storefront``. Everything in it is also there for macros."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from markupsafe import Markup

from storefront.buttons import Button, Prefill, make_button, raises_mistakes
from storefront.catalog import CatalogProduct
from storefront.catalog.description import render_description
from storefront.errors import CatalogUnavailable, UnknownReference
from storefront.state import get_state
from storefront.urls import page_url
from storefront.version import __version__


class Helpers:
    """The Jinja global ``storefront``. Made once; it asks the current app each time."""

    def text(self, message: str, **values: object) -> str:
        """A message in the shop's language, with ``{name}`` replaced by the values."""
        return get_state().texts(message, **values)

    def money(self, amount: int, currency: str) -> str:
        """Minor units with their currency, as the shop's language writes them."""
        return get_state().texts.money(amount, currency)

    def date(self, moment: datetime) -> str:
        """A day in words, in UTC."""
        return get_state().texts.date(moment)

    @property
    def language(self) -> str:
        """The shop's language tag, for ``<html lang>``."""
        return get_state().texts.language

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``, for ``<html dir>``."""
        return get_state().texts.direction

    def button(self, reference: str, **prefill: Any) -> Button:
        """What ``buy_button`` shows; see the macro for the arguments."""
        return make_button(reference, Prefill(**prefill))

    def product(self, reference: str) -> CatalogProduct | None:
        """The product of a slug, an id, or a link's id or label.

        None in production, when there is none or the catalogue can't be read.

        :raises UnknownReference: in development, when there is none.
        """
        state = get_state()
        try:
            return state.catalog.current().find(reference).product
        except UnknownReference:
            if raises_mistakes(state):
                raise
            return None
        except CatalogUnavailable:
            return None

    def product_url(self, product: CatalogProduct) -> str | None:
        """The address of a product's page; None where it has none."""
        return page_url("product", slug=product.slug) if product.listed else None

    def catalog_url(self) -> str | None:
        """The address of the catalogue page; None where the pages are not registered."""
        return page_url("catalog")

    def stylesheet_url(self) -> str | None:
        """The address of the shop's stylesheet; None where the pages are not registered."""
        return page_url("static", filename="storefront.css", v=__version__)

    def script_url(self) -> str | None:
        """The address of the shop's script; None where the pages are not registered."""
        return page_url("static", filename="storefront.js", v=__version__)

    def markdown(self, text: str) -> Markup:
        """Markdown as safe HTML, such as a note of the merchant's for who has bought."""
        hosts = get_state().settings.image_hosts
        return render_description(text, image_hosts=hosts)
