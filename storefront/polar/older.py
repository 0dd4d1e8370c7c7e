"""Answers of an older Polar, brought into today's shape.

Source: Polar's documentation before its checkout links had several products.
"""

from __future__ import annotations

import msgspec

from storefront.polar.models import CheckoutLink, Product
from storefront.polar.servers import Server


def complete_product(product: Product) -> Product:
    """Bring a product of an older answer into today's shape.

    There the price has the interval of a subscription, and the product none.
    """
    if product.recurring_interval is None:
        for price in product.prices:
            if price.recurring_interval:
                return msgspec.structs.replace(
                    product, recurring_interval=price.recurring_interval, is_recurring=True
                )
    return product


def complete_link(link: CheckoutLink, server: Server) -> CheckoutLink:
    """Bring a checkout link of an older answer into today's shape.

    There it has one ``product`` with, at times, a ``product_price`` beside it, and no ``url``.
    """
    products = link.products or ((link.product,) if link.product is not None else ())
    if len(products) == 1 and not products[0].prices and link.product_price is not None:
        products = (msgspec.structs.replace(products[0], prices=(link.product_price,)),)
    products = tuple(complete_product(product) for product in products)
    url = link.url or (server.link_url(link.client_secret) if link.client_secret else "")
    if products == link.products and url == link.url:
        return link
    return msgspec.structs.replace(link, products=products, url=url)
