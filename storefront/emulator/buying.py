"""Buying without a browser: a link opened, filled in and paid within this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from storefront.emulator.records import Body, Checkout
from storefront.emulator.services import Services

#: What a buyer enters into a custom field that must be filled in, by its type.
_ANSWERS: Final[Mapping[str, Any]] = {
    "text": "Answer",
    "number": 1,
    "date": "2026-12-24",
    "checkbox": True,
}
_ADDRESS: Final = {
    "line1": "1 Main Street",
    "city": "Springfield",
    "postal_code": "12345",
    "state": "CA",
}


def billing_address(country: str) -> dict[str, str]:
    """An address in a country that is good enough to pay from."""
    return {**_ADDRESS, "country": country}


def required_answers(attached_custom_fields: list[Body]) -> dict[str, Any]:
    """Something for each custom field that must be filled in; of options the first."""
    answers = {}
    for attached in attached_custom_fields:
        field = attached["custom_field"]
        if attached["required"]:
            options = field["properties"].get("options") or [{"value": None}]
            answers[field["slug"]] = _ANSWERS.get(field["type"], options[0]["value"])
    return answers


def buy(
    services: Services,
    link_secret: str,
    *,
    email: str,
    country: str = "FR",
    query: Mapping[str, str] | None = None,
) -> Checkout:
    """Open a checkout link and pay, at once and whatever `settle_seconds` says.

    :raises PolarError: there is no such link, or something was turned down.
    """
    checkouts = services.checkouts
    with services.store.lock:
        checkout = checkouts.open_link(link_secret, MultiDict(query or {})).checkout
        answers = required_answers(checkout.product["attached_custom_fields"])
        checkouts.confirm(
            checkout.client_secret,
            {
                "customer_email": email,
                "customer_name": email.partition("@")[0],
                "customer_billing_address": billing_address(country),
                "custom_field_data": {**answers, **checkout.custom_field_data},
                "confirmation_token_id": "ctoken_paid",
            },
        )
        checkout.settles_at = services.store.now()
        checkouts.settle_due()
        return checkout
