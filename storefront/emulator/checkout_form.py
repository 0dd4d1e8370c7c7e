"""The checkout page's form: what stands in it, what a buyer's answers change, what is wrong.

The names of its fields are those of the API, `custom_field_data.<slug>` for custom fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from storefront.emulator.confirming import DECLINING_TOKEN, check_complete
from storefront.emulator.errors import InvalidRequestError, Problem
from storefront.emulator.pricing import (
    is_payment_form_required,
    maximum_seats,
    maximum_units,
    minimum_seats,
    minimum_units,
)
from storefront.emulator.records import Body, Checkout
from storefront.emulator.services import Services
from storefront.emulator.wording import amount_typed, money, number, read_amount, unit_noun

#: The country chosen for a buyer of whom nothing is known: one that asks for no full address.
_COUNTRY: Final = "GB"
_ADDRESS: Final = ("country", "line1", "line2", "city", "state", "postal_code")
_PAYING: Final = "4242424242424242"
_DECLINED: Final = "4000000000000002"
_PAYING_TOKEN: Final = "ctoken_card_ok"  # noqa: S105
_CUSTOM: Final = "custom_field_data."
_PLACES: Final = (
    "product_id",
    "seats",
    "units",
    "amount",
    "discount_code",
    "customer_email",
    "customer_name",
    _CUSTOM,
    *_ADDRESS,
    "card_number",
    "card_expiry",
    "card_cvc",
)
_MISSING: Final = {
    "country": "Choose a country.",
    "line1": "Enter a street and number.",
    "city": "Enter a city.",
    "state": "Enter a state.",
    "postal_code": "Enter a postal code.",
}

#: Messages by the name of the field they belong to.
Errors = dict[str, str]


def filled_in(checkout: Checkout) -> dict[str, str]:
    """What the form says before the buyer has changed anything. The card is a test card."""
    address = checkout.customer_billing_address or {"country": _COUNTRY}
    values = {
        "product_id": checkout.product["id"],
        "seats": str(checkout.seats or ""),
        "units": str(checkout.units or ""),
        "amount": amount_typed(checkout.amount, checkout.currency),
        "customer_email": checkout.customer_email or "",
        "customer_name": checkout.customer_name or "",
        "discount_code": "",
        "card_number": "4242 4242 4242 4242",
        "card_expiry": f"12 / {(datetime.now().astimezone().year + 2) % 100:02d}",
        "card_cvc": "123",
    }
    values |= {part: address.get(part) or "" for part in _ADDRESS}
    for field, _ in custom_fields(checkout):
        value = checkout.custom_field_data.get(field["slug"])
        values[_CUSTOM + field["slug"]] = "" if value in (None, False) else str(value)
    return values


def custom_fields(checkout: Checkout) -> list[tuple[Body, bool]]:
    """The custom fields in their order, and whether each must be filled in."""
    attached = sorted(checkout.product["attached_custom_fields"], key=lambda item: item["order"])
    return [(item["custom_field"], bool(item["required"])) for item in attached]


def take(services: Services, checkout: Checkout, form: Mapping[str, str]) -> Errors:
    """Take a buyer's answers, one group after the other, so that a wrong one spoils no other.

    :raises PolarError: the checkout cannot be changed any more.
    """
    errors: Errors = {}
    for changes in _changes(checkout, form, errors):
        try:
            services.checkouts.update(checkout.client_secret, changes)
        except InvalidRequestError as invalid:
            errors |= _messages(checkout, invalid.problems)
    return errors


def missing(checkout: Checkout, form: Mapping[str, str]) -> Errors:
    """What still stands in the way of paying."""
    errors: Errors = {}
    if not form.get("customer_email", "").strip():
        errors["customer_email"] = "Enter your email address."
    try:
        check_complete(checkout, confirmation(checkout, form), has_token=True)
    except InvalidRequestError as invalid:
        errors |= _messages(checkout, invalid.problems)
    if is_payment_form_required(checkout):
        errors |= _card_errors(form)
    return errors


def in_order(errors: Errors) -> Errors:
    """The errors as one meets their fields on the page."""

    def place(name: str) -> int:
        return _PLACES.index(name if name in _PLACES else _CUSTOM)

    return {name: errors[name] for name in sorted(errors, key=place)}


def confirmation(checkout: Checkout, form: Mapping[str, str]) -> dict[str, Any]:
    """What is sent to pay: the answers that must be repeated, and a token that stands for the
    card. The card's number goes no further."""
    changes: dict[str, Any] = {"custom_field_data": checkout.custom_field_data}
    if is_payment_form_required(checkout):
        declines = _digits(form, "card_number") == _DECLINED
        changes["confirmation_token_id"] = DECLINING_TOKEN if declines else _PAYING_TOKEN
    return changes


def _changes(
    checkout: Checkout, form: Mapping[str, str], errors: Errors
) -> Iterator[dict[str, Any]]:
    shown = checkout.product["id"]
    if form.get("product_id"):
        yield {"product_id": form["product_id"]}
    if checkout.product["id"] == shown:
        # Of another product one knows neither the quantities nor the custom fields yet.
        yield from _quantities(checkout, form, errors)
        if checkout.product["attached_custom_fields"]:
            yield {"custom_field_data": dict(_custom_values(checkout, form))}
    if form.get("customer_email", "").strip():
        yield {"customer_email": form["customer_email"].strip()}
    if "customer_name" in form:
        yield {"customer_name": form["customer_name"].strip()}
    if form.get("country"):
        yield {"customer_billing_address": {part: form.get(part, "").strip() for part in _ADDRESS}}
    if form.get("discount_code", "").strip():
        yield {"discount_code": form["discount_code"].strip()}


def _quantities(
    checkout: Checkout, form: Mapping[str, str], errors: Errors
) -> Iterator[dict[str, Any]]:
    for name in ("seats", "units"):
        if name in form and getattr(checkout, name) is not None:
            text = form[name].strip()
            if re.fullmatch(r"[0-9]{1,7}", text):
                yield {name: int(text)}
            else:
                errors[name] = _limits(checkout, name)
    if "amount" in form and checkout.price["amount_type"] == "custom":
        amount = read_amount(form["amount"], checkout.currency)
        if amount is None:
            errors["amount"] = _limits(checkout, "amount")
        else:
            yield {"amount": amount}


def _custom_values(checkout: Checkout, form: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for field, _ in custom_fields(checkout):
        text = form.get(_CUSTOM + field["slug"], "").strip()
        if text:
            yield field["slug"], True if field["type"] == "checkbox" else text


def _messages(checkout: Checkout, problems: tuple[Problem, ...]) -> Errors:
    errors: Errors = {}
    for problem in problems:
        names = [str(part) for part in problem.loc[1:]]
        if names[0] == "customer_billing_address":
            part = names[1] if len(names) > 1 else "country"
            errors[part] = _MISSING.get(part, "This is not right.")
        elif names[0] == "custom_field_data":
            errors[_CUSTOM + names[1]] = _custom_message(checkout, names[1], problem)
        else:
            errors[names[0]] = _message(checkout, names[0])
    return errors


def _message(checkout: Checkout, name: str) -> str:
    match name:
        case "customer_email":
            return "Enter an email address, such as jane@example.com."
        case "discount_code":
            return "There is no such code for this purchase."
        case "seats" | "units" | "amount":
            return _limits(checkout, name)
        case _:
            return "This cannot be chosen here."


def _limits(checkout: Checkout, name: str) -> str:
    price, currency = checkout.price, checkout.currency
    if name == "amount":
        least, most = money(price["minimum_amount"] or 0, currency), price["maximum_amount"]
        limit = f" and no more than {money(most, currency)}" if most is not None else ""
        return f"Enter an amount of at least {least}{limit}."
    least_count = (minimum_seats if name == "seats" else minimum_units)(price) or 1
    most = (maximum_seats if name == "seats" else maximum_units)(price)
    noun = "seats" if name == "seats" else unit_noun(price, 2)
    limit = f" and no more than {number(most)}" if most is not None else ""
    return f"Enter a number of {noun}: at least {number(least_count)}{limit}."


def _custom_message(checkout: Checkout, slug: str, problem: Problem) -> str:
    kinds = {field["slug"]: field for field, _ in custom_fields(checkout)}
    field = kinds[slug]
    label = field["properties"].get("form_label") or field["name"]
    if problem.type == "missing":
        verb = {"select": "Choose", "checkbox": "Tick"}.get(field["type"], "Fill in")
        return f"{verb} “{label}”."
    least, most = field["properties"].get("min_length"), field["properties"].get("max_length")
    if field["type"] == "text" and (least or most):
        return f"“{label}” takes {least or 0} to {most or 'any number of'} characters."
    if field["type"] == "number":
        bounds = (field["properties"].get("ge"), field["properties"].get("le"))
        limits = [
            f"{word} {n}" for word, n in zip(("at least", "at most"), bounds, strict=True) if n
        ]
        return f"“{label}” takes a whole number{': ' if limits else ''}{', '.join(limits)}."
    return f"This does not fit “{label}”."


def _digits(form: Mapping[str, str], name: str) -> str:
    return re.sub(r"[\s-]", "", form.get(name, ""))


def _card_errors(form: Mapping[str, str]) -> Errors:
    errors: Errors = {}
    if _digits(form, "card_number") not in {_PAYING, _DECLINED}:
        # So that nobody types a real card into a toy.
        errors["card_number"] = "Use a test card: 4242 4242 4242 4242 or 4000 0000 0000 0002."
    expiry = re.fullmatch(r"(\d{1,2})/?(?:20)?(\d{2})", _digits(form, "card_expiry"))
    today = datetime.now().astimezone()
    if (
        expiry is None
        or not 1 <= int(expiry[1]) <= 12
        or (int(expiry[2]), int(expiry[1])) < (today.year % 100, today.month)
    ):
        errors["card_expiry"] = "Enter a month and year to come, such as 12 / 34."
    if not re.fullmatch(r"\d{3,4}", _digits(form, "card_cvc")):
        errors["card_cvc"] = "Enter three or four digits."
    return errors
