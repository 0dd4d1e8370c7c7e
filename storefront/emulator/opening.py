"""Opening a checkout link: what its query string fills in, and what stays in the address.

Source: every rule as recorded from the service, 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from storefront.emulator.errors import CrashError
from storefront.emulator.records import Body
from storefront.emulator.validation import check_uuid, email_complaint

#: Taken into the checkout's metadata, and left in the address all the same.
TRACKED = (
    "reference_id",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
)
#: Taken into the checkout and out of the address.
CONSUMED = frozenset(
    {
        "product_id",
        "amount",
        "customer_email",
        "customer_name",
        "discount_code",
        "locale",
        "embed_origin",
    }
)
LOCALES = frozenset(
    ("en", "nl", "es", "fr", "sv", "de", "hu", "it", "pt", "pt-PT", "ko", "ja", "tr", "pl")
)


@dataclass(frozen=True)
class Prefill:
    """What a link's query asks for. Every value is None where it is absent or unusable."""

    #: Parameter names and values, the last one of each, in the order they first came.
    arguments: Mapping[str, str]
    product_id: str | None
    amount: int | None
    customer_email: str | None
    customer_name: str | None
    discount_code: str | None
    locale: str | None
    metadata: Mapping[str, str]


def read_prefill(query: MultiDict[str, str]) -> Prefill:
    """Read the query of a link that is being opened. Of repeated parameters the last one counts.

    :raises InvalidRequestError: `product_id` is no UUID of version 4.
    :raises CrashError: an infinite amount, or a NUL byte where text is kept.
    """
    arguments = {name: values[-1] for name, values in query.lists()}
    product_id = arguments.get("product_id")
    email = arguments.get("customer_email")
    kept = {
        name: arguments[name]
        for name in ("customer_name", "discount_code", *TRACKED)
        if arguments.get(name)
    }
    if any("\0" in value for value in kept.values()):
        raise CrashError
    return Prefill(
        arguments=arguments,
        product_id=None if product_id is None else check_uuid(product_id, ("query", "product_id")),
        amount=_read_amount(arguments.get("amount")),
        customer_email=email if email and email_complaint(email) is None else None,
        customer_name=kept.get("customer_name"),
        discount_code=kept.get("discount_code"),
        locale=arguments.get("locale"),
        metadata={name: kept[name] for name in TRACKED if name in kept},
    )


def _read_amount(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return int(float(value))
    except ValueError:
        return None
    except OverflowError:
        raise CrashError from None


def chosen_locale(wanted: str | None, organization: Body) -> str:
    """The language of the checkout: `en` unless the organization turned localization on."""
    features = organization.get("feature_settings") or {}
    if features.get("checkout_localization_enabled") and wanted in LOCALES:
        return wanted
    return "en"
