"""Products and links as the commands write them: JSON for scripts, lines for people."""

from __future__ import annotations

from typing import Any

from storefront.catalog.pricing import describe_pricing
from storefront.inventory import Inventory, is_hidden
from storefront.linkfile import NAME_KEY, LinkSpec
from storefront.polar import CheckoutLink, Product


def product_json(product: Product, inventory: Inventory) -> dict[str, Any]:
    """A product for a script."""
    pricing = describe_pricing(product, inventory.texts)
    return {
        "id": product.id,
        "slug": inventory.slugs[product.id],
        "name": product.name,
        "visibility": product.visibility,
        "archived": product.is_archived,
        "price": pricing.headline,
        "prices": [
            {
                "kind": price.kind,
                "currency": price.currency,
                "minor": price.minor,
                "text": str(price),
            }
            for price in pricing.prices
        ],
        "links": [link.id for link in inventory.links_of(product)],
    }


def link_json(link: CheckoutLink, inventory: Inventory) -> dict[str, Any]:
    """A link for a script."""
    discount = link.discount
    return {
        "id": link.id,
        "url": link.url,
        "name": link.metadata.get(NAME_KEY),
        "label": link.label,
        "products": [
            {
                "id": product.id,
                "slug": inventory.slugs.get(product.id),
                "name": product.name,
            }
            for product in link.products
        ],
        "discount": None
        if link.discount_id is None
        else {
            "id": link.discount_id,
            "name": discount.name if discount else None,
            "code": discount.code if discount else None,
        },
        "allow_discount_codes": link.allow_discount_codes,
        "require_billing_address": link.require_billing_address,
        "success_url": link.success_url,
        "return_url": link.return_url,
        "trial": None
        if link.trial_interval is None
        else {"interval": link.trial_interval, "count": link.trial_interval_count},
        "seats": link.seats,
        "units": link.units,
        "metadata": dict(link.metadata),
        "created_at": link.created_at,
        "modified_at": link.modified_at,
    }


def sold_by(link: CheckoutLink, inventory: Inventory) -> str:
    """The slugs of a link's products."""
    return ", ".join(inventory.slugs.get(product.id, product.id) for product in link.products)


def extras(link: CheckoutLink) -> str:
    """In a few words, what a link has that a plain one has not."""
    found = []
    if link.discount_id is not None:
        found.append(link.discount.name if link.discount else "discount")
    if not link.allow_discount_codes:
        found.append("no codes")
    if link.require_billing_address:
        found.append("billing address")
    if link.trial_interval is not None:
        found.append(trial(link))
    if link.seats is not None:
        found.append(f"seats: {link.seats}")
    if link.units is not None:
        found.append(f"units: {link.units}")
    if NAME_KEY in link.metadata:
        found.append(f"name: {link.metadata[NAME_KEY]}")
    if is_hidden(link):
        found.append("hidden")
    return ", ".join(found)


def trial(link: CheckoutLink) -> str:
    """``14 days free``."""
    plural = "" if link.trial_interval_count == 1 else "s"
    return f"{link.trial_interval_count} {link.trial_interval}{plural} free"


def link_lines(link: CheckoutLink, inventory: Inventory) -> list[tuple[str, str]]:
    """Everything about a link, a line each; what is not set is left out."""
    discount = link.discount
    pairs = [
        ("id", link.id),
        ("url", link.url),
        ("label", link.label or ""),
        ("products", sold_by(link, inventory)),
        ("discount", (discount.code or discount.name) if discount else link.discount_id or ""),
        ("discount codes", "allowed" if link.allow_discount_codes else "not allowed"),
        ("billing address", "required" if link.require_billing_address else ""),
        ("success URL", link.success_url or ""),
        ("return URL", link.return_url or ""),
        ("trial", trial(link) if link.trial_interval else ""),
        ("seats", "" if link.seats is None else str(link.seats)),
        ("units", "" if link.units is None else str(link.units)),
    ]
    metadata = LinkSpec.of(link).metadata.items()
    pairs += [(f"metadata.{key}", written(value)) for key, value in metadata]
    if link.created_at:
        pairs.append(("created", f"{link.created_at:%Y-%m-%d %H:%M} UTC"))
    return [(name, value) for name, value in pairs if value]


def written(value: object) -> str:
    """A value of the metadata, as YAML has it: ``true``, ``5``, ``"text"`` only where needed."""
    return str(value).lower() if isinstance(value, bool) else str(value)
