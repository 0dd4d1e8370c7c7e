"""What templates call: the global ``storefront``. Everything in it is also there for macros."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from storefront.buttons import Button, Prefill, make_button, raises_mistakes
from storefront.catalog import CatalogProduct, Found
from storefront.catalog.description import render_description
from storefront.catalog.plans import PlanTable, compare_plans
from storefront.errors import CatalogUnavailable, LinkError, UnknownReference
from storefront.overlay import chosen_overlay, script_tag
from storefront.state import get_state
from storefront.urls import page_url
from storefront.version import __version__

logger = logging.getLogger("storefront")


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
        found = _find(reference)
        return found.product if found else None

    def plans(
        self,
        references: Sequence[str],
        yearly: Sequence[str | None] | None = None,
        highlight: str | None = None,
    ) -> PlanTable:
        """What ``pricing_table`` shows: plans beside each other, and what they bring.

        ``yearly`` has the other terms of each plan, in the order of ``references``, with None
        where there are none. What goes by no name is left out in production.

        :raises UnknownReference: in development, when there is no such product or link.
        :raises LinkError: in development, when ``yearly`` is not as long as ``references``.
        """
        columns = []
        longer = list(yearly or ())
        if yearly is not None and len(longer) != len(references):
            _mistake(
                LinkError(
                    "yearly",
                    f"has {len(longer)} references for {len(references)} plans: give one for "
                    "each, or None for a plan that has no other terms.",
                )
            )
        longer += [None] * (len(references) - len(longer))
        if highlight is not None and highlight not in {*references, *longer}:
            _mistake(UnknownReference(highlight, f"No plan of the table is {highlight!r}."))
        for reference, other in zip(references, longer, strict=False):
            found = _find(reference)
            with_other = _find(other) if other is not None else None
            if found is not None:
                columns.append(
                    (
                        (reference, found),
                        (other, with_other) if other is not None and with_other else None,
                    )
                )
        highlighted = (highlight,) if highlight is not None else ()
        return compare_plans(columns, get_state().texts, highlighted=highlighted)

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

    def file_url(self, name: str) -> str | None:
        """The address of another of our files; None where the pages are not registered."""
        return page_url("static", filename=name, v=__version__)

    def accent_url(self, colour: str) -> str | None:
        """The address of a card's stylesheet for six hexadecimal digits of a colour."""
        return page_url("embed_accent", colour=colour, v=__version__)

    def oembed_url(self, product: CatalogProduct, format: str) -> str | None:
        """Where other sites learn how to show a product's page: ``json`` or ``xml``.

        None where the product has no page, and where the shop has no cards.
        """
        if not product.listed or not get_state().settings.embed_ancestors:
            return None
        page = page_url("product", external=True, slug=product.slug)
        return page_url("oembed", external=True, url=page, format=format) if page else None

    @property
    def overlay(self) -> str:
        """How buttons open the checkout, by the setting: ``off``, ``on`` or ``polar``."""
        return get_state().settings.overlay

    def overlay_script(self, nonce: str | None = None, seconds: float | None = None) -> Markup:
        """The script element for a page with buttons that open the checkout over it.

        ``nonce`` is for a policy that has one; ``seconds`` is how long the checkout may take to
        load before the link is followed instead. Empty where the pages are not registered.
        """
        return script_tag(get_state(), nonce=nonce, seconds=seconds)

    def overlay_attributes(
        self, button: Button, overlay: bool | None = None, theme: str | None = None
    ) -> Markup:
        """What the link of a button has to have so that the script opens it over the page."""
        chosen = chosen_overlay(get_state(), overlay)
        if chosen == "off" or button.url is None or button.found is None:
            return Markup("")
        if chosen == "polar" and not button.url.startswith("http"):
            # Polar's script takes full addresses only: by /buy, this button leads there.
            return Markup("")
        attributes = Markup(" data-polar-checkout")
        if theme:
            attributes += Markup(' data-polar-checkout-theme="{}"').format(theme)
        attributes += Markup(' data-storefront-product="{}"').format(button.found.product.slug)
        if button.found.offer is not None:
            link = button.found.offer.link.id
            attributes += Markup(' data-storefront-link="{}"').format(link)
        return attributes

    def markdown(self, text: str) -> Markup:
        """Markdown as safe HTML, such as a note of the merchant's for who has bought."""
        hosts = get_state().settings.image_hosts
        return render_description(text, image_hosts=hosts)


def _find(reference: str) -> Found | None:
    """What goes by that name; None in production, when nothing does or it can't be told.

    :raises UnknownReference: in development, when there is none.
    """
    try:
        return get_state().catalog.current().find(reference)
    except UnknownReference as error:
        _mistake(error)
    except CatalogUnavailable:
        pass
    return None


def _mistake(error: UnknownReference | LinkError) -> None:
    """Raise it in development; say it in the log otherwise."""
    if raises_mistakes(get_state()):
        raise error
    logger.error("A template is mistaken. %s", error)
