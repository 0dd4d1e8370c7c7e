"""The API's objects, whole, from the few things that differ between them.

Ids and secrets are made from names, so that they are the same at every start: a bookmarked link
of the demo store keeps working, and so does what a shop remembers of it.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final
from uuid import UUID

from storefront.emulator.benefits import stand_in
from storefront.emulator.records import Body, iso

#: Where the pictures are, in the package and on the local Polar.
PICTURES: Final = "static/demo"
PICTURES_PATH: Final = "/assets/demo"

_BENEFIT_PRIVATE: Final = frozenset(
    {"metadata", "visibility", "properties", "visibility_configurable", "is_tax_applicable"}
)
_OPENED: Final = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)


def stable_id(*names: str) -> str:
    """A UUID of version 4 that is always the same for the same names."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return str(UUID(bytes=digest[:16], version=4))


def stable_secret(prefix: str, *names: str) -> str:
    """The prefix and 43 letters and digits, always the same for the same names."""
    digest = hashlib.sha512("/".join(names).encode()).digest()
    letters = base64.b64encode(digest, altchars=b"Nl").decode()
    return prefix + letters[:43]


ORGANIZATION_ID: Final = stable_id("organization")


def moment(day: int) -> str:
    """A time in the life of the store: so many days after it opened."""
    return iso(_OPENED + timedelta(days=day)) or ""


def fixed(amount: int, currency: str = "usd") -> Body:
    """A price that is what it is; 0 is free."""
    return {"amount_type": "fixed", "price_currency": currency, "price_amount": amount}


def custom(*, minimum: int, maximum: int | None = None, preset: int | None = None) -> Body:
    """A price that the buyer names."""
    return {
        "amount_type": "custom",
        "minimum_amount": minimum,
        "maximum_amount": maximum,
        "preset_amount": preset,
    }


def seats(*tiers: tuple[int, int | None, int]) -> Body:
    """A price by the seat: all of them at the price of the tier that their number reaches."""
    return {
        "amount_type": "seat_based",
        "seat_tiers": {
            "seat_tier_type": "volume",
            "tiers": [
                {"min_seats": first, "max_seats": last, "price_per_seat": amount}
                for first, last, amount in tiers
            ],
            "minimum_seats": tiers[0][0],
            "maximum_seats": tiers[-1][1],
        },
        "price_per_seat": tiers[0][2],
    }


def units(label: Body, minimum: int, *tiers: tuple[int | None, str]) -> Body:
    """A price by the unit: each at the price of the range it falls in."""
    return {
        "amount_type": "unit_based",
        "tiers": {
            "type": "graduated",
            "tiers": [{"bound": bound, "unit_amount": amount} for bound, amount in tiers],
        },
        "minimum_units": minimum,
        "maximum_units": tiers[-1][0],
        "unit_label": label,
    }


def metered(meter: str, unit_amount: str, *, cap: int | None) -> Body:
    """A price for what was used, billed at the end of the period."""
    meter_id = stable_id("meter", meter)
    return {
        "amount_type": "metered_unit",
        "unit_amount": unit_amount,
        "cap_amount": cap,
        "meter_id": meter_id,
        "meter": {
            "id": meter_id,
            "name": meter,
            "unit": "scalar",
            "custom_label": None,
            "custom_multiplier": None,
        },
    }


def product(
    key: str,
    name: str,
    *prices: Body,
    day: int,
    description: str | None = None,
    every: tuple[int, str] | None = None,
    trial_days: int | None = None,
    benefits: tuple[Body, ...] = (),
    pictures: tuple[str, ...] = (),
    fields: tuple[tuple[Body, bool], ...] = (),
    metadata: Body | None = None,
    visibility: str = "public",
    is_archived: bool = False,
) -> Body:
    """A product. `every` is how often it is paid for; None: once. `fields` are the custom fields
    that are asked for, and whether each must be filled in."""
    product_id = stable_id("product", key)
    count, interval = every or (None, None)
    return {
        "id": product_id,
        "created_at": moment(day),
        "modified_at": None,
        "trial_interval": "day" if trial_days else None,
        "trial_interval_count": trial_days,
        "name": name,
        "description": description,
        "visibility": visibility,
        "recurring_interval": interval,
        "recurring_interval_count": count,
        "meter_interval": None,
        "meter_interval_count": None,
        "is_recurring": every is not None,
        "is_archived": is_archived,
        "organization_id": ORGANIZATION_ID,
        "metadata": metadata or {},
        "prices": [
            {
                "created_at": moment(day),
                "modified_at": None,
                "id": stable_id("price", key, str(index)),
                "source": "catalog",
                "price_currency": "usd",
                "tax_behavior": None,
                "is_archived": False,
                "product_id": product_id,
                "type": "recurring" if every else "one_time",
                "recurring_interval": interval,
                **price,
            }
            for index, price in enumerate(prices)
        ],
        "benefits": list(benefits),
        "medias": [_picture(name, day) for name in pictures],
        "attached_custom_fields": [
            {
                "custom_field_id": field["id"],
                "custom_field": field,
                "order": order,
                "required": required,
            }
            for order, (field, required) in enumerate(fields)
        ],
    }


def _picture(name: str, day: int) -> Body:
    content = (resources.files("storefront.emulator") / PICTURES / name).read_bytes()
    return {
        "id": stable_id("picture", name),
        "organization_id": ORGANIZATION_ID,
        "name": name,
        "path": f"product_media/{name}",
        "mime_type": mimetypes.guess_type(name)[0],
        "size": len(content),
        "storage_version": None,
        "checksum_etag": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "checksum_sha256_base64": base64.b64encode(hashlib.sha256(content).digest()).decode(),
        "checksum_sha256_hex": hashlib.sha256(content).hexdigest(),
        "last_modified_at": moment(day),
        "version": None,
        "service": "product_media",
        "is_uploaded": True,
        "created_at": moment(day),
        "size_readable": f"{len(content) / 1000:.1f} KB",
        # Without an origin: it is that of the local Polar, wherever it runs.
        "public_url": f"{PICTURES_PATH}/{name}",
    }


def _short_benefit(benefit: Body) -> Body:
    # Links show what a benefit is called, not what it holds.
    return {key: value for key, value in benefit.items() if key not in _BENEFIT_PRIVATE}


def benefit(key: str, kind: str, description: str, properties: Body, **more: Any) -> Body:
    """What a buyer gets."""
    return {
        "id": stable_id("benefit", key),
        "created_at": moment(0),
        "modified_at": None,
        "type": kind,
        "description": description,
        "selectable": True,
        "deletable": True,
        "is_deleted": False,
        "organization_id": ORGANIZATION_ID,
        "metadata": {},
        "visibility": "public",
        "properties": properties,
        "visibility_configurable": True,
        **more,
    }


def installer(name: str) -> Body:
    """A file to download."""
    return {
        "id": stable_id("file", name),
        "organization_id": ORGANIZATION_ID,
        "name": name,
        "mime_type": "application/octet-stream",
        "size": len(stand_in(name)),
        "version": "4.2",
    }


def custom_field(slug: str, kind: str, name: str, **properties: Any) -> Body:
    """A question to the buyer."""
    return {
        "created_at": moment(0),
        "modified_at": None,
        "id": stable_id("custom-field", slug),
        "metadata": {},
        "type": kind,
        "slug": slug,
        "name": name,
        "organization_id": ORGANIZATION_ID,
        "properties": properties,
    }


def discount(
    key: str, name: str, code: str | None, *, duration: str = "once", **terms: Any
) -> Body:
    """A discount; `terms` are its `basis_points`, or its `amounts` by currency, and so on."""
    if "amounts" in terms:
        amounts: dict[str, int] = terms["amounts"]
        currency, amount = next(iter(amounts.items()))
        terms |= {"type": "fixed", "amount": amount, "currency": currency}
    else:
        terms["type"] = "percentage"
    return {
        "duration": duration,
        "created_at": moment(1),
        "modified_at": None,
        "id": stable_id("discount", key),
        "metadata": {},
        "name": name,
        "code": code,
        "starts_at": None,
        "ends_at": None,
        "max_redemptions": None,
        "max_redemptions_per_customer": None,
        "redemptions_count": 0,
        "organization_id": ORGANIZATION_ID,
        "products": [],
        **terms,
    }


def link(
    key: str,
    label: str | None,
    *products: Body,
    day: int,
    success_url: str | None,
    return_url: str | None,
    discount: Body | None = None,
    metadata: Body | None = None,
    seats: int | None = None,
    units: int | None = None,
    trial_days: int | None = None,
    allow_discount_codes: bool = True,
    require_billing_address: bool = False,
) -> Body:
    """A checkout link."""
    offered = [
        {
            **{name: value for name, value in item.items() if name != "attached_custom_fields"},
            "benefits": [_short_benefit(benefit) for benefit in item["benefits"]],
        }
        for item in products
    ]
    preset = None
    if discount is not None:
        preset = {name: value for name, value in discount.items() if name != "products"}
    secret = stable_secret("polar_cl_", key)
    return {
        "id": stable_id("link", key),
        "created_at": moment(day),
        "modified_at": None,
        "trial_interval": "day" if trial_days else None,
        "trial_interval_count": trial_days,
        "metadata": metadata or {},
        "payment_processor": "stripe",
        "client_secret": secret,
        "success_url": success_url,
        "return_url": return_url,
        "label": label,
        "allow_discount_codes": allow_discount_codes,
        "require_billing_address": require_billing_address,
        "discount_id": discount and discount["id"],
        "seats": seats,
        "units": units,
        "organization_id": ORGANIZATION_ID,
        "products": offered,
        "discount": preset,
        "product_id": offered[0]["id"],
        "product_price_id": offered[0]["prices"][0]["id"],
        "product": offered[0],
        "product_price": offered[0]["prices"][0],
        "url": f"/v1/checkout-links/{secret}/redirect",
    }
