"""Prices as they are sent in, and as they are kept.

Source: what is required and complained about as recorded from the service, 2026-11-22; the kinds
that were not recorded follow its OpenAPI document of the same day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from storefront.emulator.bodies import (
    Check,
    Field,
    choice,
    decimal,
    integer,
    invalid,
    list_of,
    mapping,
    nullable,
    object_of,
    tagged,
    text,
    uuid,
)
from storefront.emulator.errors import InvalidRequestError, Problem
from storefront.emulator.records import Body, iso
from storefront.emulator.store import Store, new_id
from storefront.emulator.validation import Loc

_LARGEST = 99_999_999
_CENT_LIMIT = 50
_STATIC: Final = ("fixed", "custom", "seat_based", "unit_based")


def _amount(value: Any, loc: Loc) -> int:
    amount: int = integer(at_least=0, at_most=_LARGEST)(value, loc)
    if 0 < amount < _CENT_LIMIT:
        message = "Amount must be at least $0.50 or 0 for free pricing"
        raise invalid("minimum_price", loc, message, value)
    return amount


_COMMON: Final = (
    Field("price_currency", text(at_least=3, at_most=3), "usd"),
    Field("tax_behavior", nullable(choice(("location", "inclusive", "exclusive"))), None),
)
_SEAT_TIER = object_of(
    Field("min_seats", integer(at_least=1)),
    Field("max_seats", nullable(integer(at_least=1)), None),
    Field("price_per_seat", integer(at_least=0)),
)
_SEAT_TIERS = object_of(
    Field("seat_tier_type", choice(("volume", "graduated")), "volume"),
    Field("tiers", list_of(_SEAT_TIER, at_least=1)),
)
_UNIT_TIER = object_of(
    Field("bound", nullable(integer(at_least=1)), None),
    Field("unit_amount", decimal),
)
_UNIT_TIERS = object_of(
    Field("type", choice(("volume", "graduated")), "volume"),
    Field("tiers", list_of(_UNIT_TIER, at_least=1)),
)
_KINDS: Final[Mapping[str, tuple[Field, ...]]] = {
    "fixed": (*_COMMON, Field("price_amount", _amount)),
    "custom": (
        *_COMMON,
        Field("minimum_amount", _amount, _CENT_LIMIT),
        Field("maximum_amount", nullable(_amount), None),
        Field("preset_amount", nullable(_amount), None),
    ),
    # What a free price was called before a fixed price of nothing was one.
    "free": _COMMON,
    "seat_based": (*_COMMON, Field("seat_tiers", _SEAT_TIERS)),
    "unit_based": (
        *_COMMON,
        Field("tiers", _UNIT_TIERS),
        Field("minimum_units", nullable(integer(at_least=1)), None),
        Field("unit_label", nullable(mapping), None),
    ),
    "metered_unit": (
        *_COMMON,
        Field("meter_id", uuid),
        Field("unit_amount", decimal),
        Field("cap_amount", nullable(integer(at_least=0)), None),
    ),
}

#: A price that is to be made.
new_price: Check = tagged("amount_type", _KINDS)


def new_or_kept_price(value: Any, loc: Loc) -> Body:
    """A price that is to be made, or the `id` of one that is to stay."""
    if isinstance(value, dict) and set(value) == {"id"}:
        return {"id": uuid(value["id"], (*loc, "ExistingProductPrice", "id"))}
    price: Body = new_price(value, loc)
    return price


def check_prices(store: Store, prices: list[Body], *, is_recurring: bool) -> None:
    """Make sure that prices go together, and with their product.

    :raises InvalidRequestError: listing what does not.
    """
    where: Loc = ("body", "prices")
    problems: list[Problem] = []
    usable: list[Body] = []
    for index, price in enumerate(prices):
        complaint = _complaint(store, price, is_recurring=is_recurring)
        if complaint is None:
            usable.append(price)
        else:
            problems.append(Problem("value_error", (*where, index), complaint, price))
    seen: set[tuple[str, str]] = set()
    for price in usable:
        kind = (price["amount_type"], price["price_currency"])
        if kind in seen and kind[0] in _STATIC:
            message = f"Only one {kind[0].replace('_', '-')} price is allowed."
            problems.append(Problem("value_error", where, message, prices))
        seen.add(kind)
    if not usable:
        problems.append(Problem("too_short", where, "At least one price is required.", prices))
    if store.currency not in {price["price_currency"] for price in usable}:
        message = "The organization's default presentment currency must be present in the prices."
        problems.append(Problem("value_error", where, message, prices))
    if problems:
        raise InvalidRequestError(problems, error="PolarRequestValidationError")


def _complaint(store: Store, price: Body, *, is_recurring: bool) -> str | None:
    kind = price["amount_type"]
    if kind == "unit_based" and not is_recurring:
        return "Unit-based pricing is not supported on one-time products."
    if kind == "metered_unit" and not is_recurring:
        return "Metered pricing is not supported on one-time products."
    if kind == "metered_unit" and price["meter_id"] not in store.meters:
        return "Meter does not exist."
    return None


def make_price(store: Store, price: Body, product: Body) -> Body:
    """A checked price as the API shows it, with an id of its own."""
    kind = price["amount_type"]
    made: Body = {
        "created_at": iso(store.now()),
        "modified_at": None,
        "id": new_id(),
        "source": "catalog",
        "is_archived": False,
        "product_id": product["id"],
        "type": "recurring" if product["is_recurring"] else "one_time",
        "recurring_interval": product["recurring_interval"],
        **price,
    }
    if kind == "free":
        made.update(amount_type="fixed", price_amount=0)
    elif kind == "seat_based":
        tiers = price["seat_tiers"]["tiers"]
        limits = {"minimum_seats": tiers[0]["min_seats"], "maximum_seats": tiers[-1]["max_seats"]}
        made["seat_tiers"] = {**price["seat_tiers"], **limits}
        made["price_per_seat"] = tiers[0]["price_per_seat"]
    elif kind == "unit_based":
        made["maximum_units"] = price["tiers"]["tiers"][-1]["bound"]
    elif kind == "metered_unit":
        meter = store.meters[price["meter_id"]]
        shown = ("id", "name", "unit", "custom_label", "custom_multiplier")
        made["meter"] = {key: meter[key] for key in shown}
    return made
