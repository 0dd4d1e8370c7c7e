"""What a buyer may change on a checkout, and what must be there before it can be paid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from storefront.emulator.errors import InvalidRequestError, Problem
from storefront.emulator.fields import filled_fields, missing_fields
from storefront.emulator.pricing import (
    amount_fits,
    amount_of,
    choose_price,
    discount_applies,
    find_discount,
    is_payment_form_required,
    later,
    maximum_seats,
    maximum_units,
    minimum_seats,
    minimum_units,
    trial_of,
)
from storefront.emulator.records import Body, Checkout
from storefront.emulator.shapes import address_modes
from storefront.emulator.store import Store
from storefront.emulator.validation import email_problem

#: A `confirmation_token_id` whose payment is declined.
DECLINING_TOKEN: Final = "ctoken_card_declined"  # noqa: S105

_ADDRESS_PARTS = ("line1", "line2", "postal_code", "city", "state", "country")
#: The order in which the service lists what is missing. Source: recorded, 2026-11-22.
_ADDRESS_ASKED = ("country", "line1", "line2", "state", "city", "postal_code")
_TEXTS = (
    "customer_name",
    "customer_billing_name",
    "customer_tax_id",
    "customer_ip_address",
    "external_customer_id",
    "customer_external_id",
    "discount_code",
    "discount_id",
    "embed_origin",
    "locale",
    "product_id",
    "return_url",
    "success_url",
)
_OBJECTS = ("custom_field_data", "customer_metadata", "metadata")
_FLAGS = ("allow_discount_codes", "is_business_customer", "require_billing_address")
_NUMBERS = ("amount", "seats")
#: What a field of the wrong kind is told, in pydantic's words.
_KINDS: tuple[tuple[tuple[str, ...], type, str, str], ...] = (
    (_TEXTS, str, "string_type", "Input should be a valid string"),
    (_OBJECTS, dict, "dict_type", "Input should be a valid dictionary"),
    (_FLAGS, bool, "bool_type", "Input should be a valid boolean"),
    (_NUMBERS, int, "int_type", "Input should be a valid integer"),
)


def _reject(field: str, message: str, value: Any = None) -> InvalidRequestError:
    problem = Problem("value_error", ("body", field), message, value)
    return InvalidRequestError([problem], error="PolarRequestValidationError")


def apply_changes(store: Store, checkout: Checkout, changes: Mapping[str, Any]) -> bool:
    """Take a buyer's changes; all of them or, when one is wrong, none.

    :return: whether anything is different now.
    :raises InvalidRequestError: a value that cannot be taken.
    """
    check_shapes(changes)
    before = {item.name: getattr(checkout, item.name) for item in fields(checkout)}
    try:
        _apply(store, checkout, changes)
    except InvalidRequestError:
        for name, value in before.items():
            setattr(checkout, name, value)
        raise
    return any(getattr(checkout, name) != value for name, value in before.items())


def check_shapes(changes: Mapping[str, Any]) -> None:
    """Make sure that every field that is there is of its kind.

    :raises InvalidRequestError: listing those that are not.
    """
    problems = []
    email = changes.get("customer_email")
    if email is not None:
        problem = email_problem(email, ("body", "customer_email"))
        problems += [problem] if problem else []
    for names, kind, error, message in _KINDS:
        for name in names:
            value = changes.get(name)
            # A bool is an int to Python, and no number to anybody else.
            fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
            if value is not None and not fits:
                problems.append(Problem(error, ("body", name), message, value))
    for name in ("return_url", "success_url"):
        url = changes.get(name)
        if isinstance(url, str) and not url.startswith(("http://", "https://")):
            message = "Input should be a valid URL, relative URL without a base"
            problems.append(Problem("url_parsing", ("body", name), message, url))
    address = changes.get("customer_billing_address")
    if address is not None:
        problems += _address_problems(address)
    if problems:
        raise InvalidRequestError(problems)


def _address_problems(address: Any) -> list[Problem]:
    loc = ("body", "customer_billing_address")
    if not isinstance(address, Mapping):
        return [Problem("dict_type", loc, "Input should be a valid dictionary", address)]
    country = address.get("country")
    if country is None:
        return [Problem("missing", (*loc, "country"), "Field required", dict(address))]
    if not isinstance(country, str) or not re.fullmatch("[A-Z]{2}", country):
        message = "Input should be a two-letter country code in capitals"
        return [Problem("enum", (*loc, "country"), message, country)]
    return [
        Problem("string_type", (*loc, part), "Input should be a valid string", address[part])
        for part in _ADDRESS_PARTS
        if not isinstance(address.get(part), str | None)
    ]


def _apply(store: Store, checkout: Checkout, changes: Mapping[str, Any]) -> None:
    _apply_product(store, checkout, changes)
    if changes.get("customer_email") is not None:
        checkout.customer_email = changes["customer_email"]
    for name in ("customer_name", "customer_billing_name", "customer_tax_id"):
        if name in changes:
            setattr(checkout, name, changes[name] or None)
    if changes.get("is_business_customer") is not None:
        checkout.is_business_customer = changes["is_business_customer"]
    if changes.get("customer_billing_address") is not None:
        address = changes["customer_billing_address"]
        checkout.customer_billing_address = {
            part: address.get(part) or None for part in _ADDRESS_PARTS
        }
    if changes.get("custom_field_data") is not None:
        stored, problems = filled_fields(checkout.product, changes["custom_field_data"])
        if problems:
            raise InvalidRequestError(problems)
        checkout.custom_field_data = stored
    _apply_discount(store, checkout, changes)


def _apply_product(store: Store, checkout: Checkout, changes: Mapping[str, Any]) -> None:
    product_id = changes.get("product_id")
    if product_id is not None and product_id != checkout.product["id"]:
        if product_id not in checkout.product_ids:
            raise _reject("product_id", "Product is not available in this checkout.", product_id)
        checkout.product = store.products[product_id]
        checkout.price = choose_price(checkout.product, store.currency)
        checkout.currency = checkout.price["price_currency"]
        checkout.seats = minimum_seats(checkout.price)
        checkout.units = minimum_units(checkout.price)
        checkout.amount = amount_of(checkout.price, seats=checkout.seats, units=checkout.units)
        checkout.custom_field_data = {}
        trial = trial_of(checkout)
        checkout.trial_end = later(store.now(), *trial) if trial else None
        if checkout.discount and not discount_applies(
            checkout.discount, checkout.product, checkout.currency, store.now()
        ):
            checkout.discount = None
    if changes.get("amount") is not None and checkout.price["amount_type"] == "custom":
        if not amount_fits(checkout.price, changes["amount"]):
            raise _reject("amount", "Amount is outside of what can be paid.", changes["amount"])
        checkout.amount = changes["amount"]
    if changes.get("seats") is not None:
        _apply_seats(checkout, changes["seats"])
    if changes.get("units") is not None:
        _apply_units(checkout, changes["units"])


def _apply_seats(checkout: Checkout, seats: int) -> None:
    fewest = checkout.min_seats or minimum_seats(checkout.price)
    if fewest is None:
        raise _reject("seats", "This product is not sold by the seat.", seats)
    most = checkout.max_seats or maximum_seats(checkout.price)
    if seats < fewest or (most is not None and seats > most):
        raise _reject("seats", f"Seats must be at least {fewest}, at most {most or 'any'}.", seats)
    checkout.seats = seats
    checkout.amount = amount_of(checkout.price, seats=seats)


def _apply_units(checkout: Checkout, units: int) -> None:
    fewest = checkout.min_units or minimum_units(checkout.price)
    if fewest is None:
        raise _reject("units", "This product is not sold by the unit.", units)
    most = checkout.max_units or maximum_units(checkout.price)
    if units < fewest or (most is not None and units > most):
        raise _reject("units", f"Units must be at least {fewest}, at most {most or 'any'}.", units)
    checkout.units = units
    checkout.amount = amount_of(checkout.price, units=units)


def _apply_discount(store: Store, checkout: Checkout, changes: Mapping[str, Any]) -> None:
    # Where codes are not allowed one is ignored without a word, as recorded.
    if "discount_code" not in changes or not checkout.allow_discount_codes:
        return
    code = changes["discount_code"]
    if not code:
        checkout.discount = None
        return
    discount = find_discount(store.discounts.values(), str(code))
    if discount is None or not discount_applies(
        discount, checkout.product, checkout.currency, store.now()
    ):
        raise _reject("discount_code", "Discount does not exist.")
    checkout.discount = discount


def check_complete(checkout: Checkout, changes: Mapping[str, Any], *, has_token: bool) -> None:
    """Make sure that a checkout, with the changes that come along, can be paid.

    :raises InvalidRequestError: listing everything that is missing.
    """
    check_shapes(changes)
    address: Body | None = (
        changes.get("customer_billing_address") or checkout.customer_billing_address
    )
    with_changes = replace(checkout, customer_billing_address=address)
    needs_payment = is_payment_form_required(checkout)
    problems = []
    if needs_payment or checkout.require_billing_address:
        modes = address_modes(with_changes)
        problems += [
            _missing("customer_billing_address", part)
            for part in _ADDRESS_ASKED
            if modes[part] == "required" and not (address or {}).get(part)
        ]
    if not (changes.get("customer_email") or checkout.customer_email):
        problems.append(_missing("customer_email"))
    if needs_payment and address is None:
        problems.append(_missing("customer_billing_address"))
    problems += missing_fields(checkout.product, changes.get("custom_field_data") or {})
    if needs_payment and not has_token:
        loc = ("body", "confirmation_token_id")
        problems.append(Problem("missing", loc, "Confirmation token is required."))
    if problems:
        raise InvalidRequestError(problems, error="PolarRequestValidationError")


def _missing(*loc: str) -> Problem:
    return Problem("missing", ("body", *loc), "Field is required.")
