"""What a checkout costs: price, seats, units, discount, trial. Money is in minor units."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from storefront.emulator.records import Body, Checkout

_METERED = "metered"


@dataclass(frozen=True)
class Totals:
    """The sums of a checkout. `tax` is None until the buyer's country is known.

    The local Polar charges no tax: what it knows it puts at 0.
    """

    amount: int
    discount: int
    net: int
    tax: int | None
    tax_behavior: str | None
    total: int


def choose_price(product: Body, currency: str) -> Body:
    """The price a checkout starts with: a static one in `currency` if there is any."""
    prices: list[Body] = product["prices"]
    static = [price for price in prices if not price["amount_type"].startswith(_METERED)]
    in_currency = [price for price in static if price["price_currency"] == currency]
    return (in_currency or static or prices)[0]


def minimum_seats(price: Body) -> int | None:
    """The fewest seats that can be bought; None where the price does not count seats."""
    if price["amount_type"] != "seat_based":
        return None
    tiers = price["seat_tiers"]
    return int(tiers.get("minimum_seats") or tiers["tiers"][0]["min_seats"])


def maximum_seats(price: Body) -> int | None:
    """The most seats that can be bought; None where there is no end to it."""
    if price["amount_type"] != "seat_based":
        return None
    maximum: int | None = price["seat_tiers"].get("maximum_seats")
    return maximum


def minimum_units(price: Body) -> int | None:
    """The fewest units that can be bought; None where the price does not count units."""
    return int(price["minimum_units"] or 1) if price["amount_type"] == "unit_based" else None


def maximum_units(price: Body) -> int | None:
    """The most units that can be bought; None where there is no end to it."""
    maximum: int | None = price.get("maximum_units")
    return maximum


def amount_fits(price: Body, amount: int) -> bool:
    """Whether a buyer may name this amount: pay-what-you-want prices only, within their range."""
    if price["amount_type"] != "custom":
        return False
    minimum, maximum = price["minimum_amount"], price["maximum_amount"]
    return bool(amount >= (minimum or 0) and (maximum is None or amount <= maximum))


def amount_of(
    price: Body, *, seats: int | None = None, units: int | None = None, named: int | None = None
) -> int:
    """The amount before discount. `named` is what the buyer wants to pay, if it may be named."""
    kind = price["amount_type"]
    if kind == "fixed":
        return int(price["price_amount"])
    if kind == "custom":
        if named is not None and amount_fits(price, named):
            return named
        return int(price["preset_amount"] or price["minimum_amount"] or 0)
    if kind == "seat_based":
        return _seats_amount(price["seat_tiers"], seats or 0)
    if kind == "unit_based":
        return _units_amount(price["tiers"], units or 0)
    return 0


def _seats_amount(seat_tiers: Body, seats: int) -> int:
    tiers = seat_tiers["tiers"]
    if seat_tiers.get("seat_tier_type") == "graduated":
        return sum(
            tier["price_per_seat"]
            * max(0, min(seats, tier["max_seats"] or seats) - tier["min_seats"] + 1)
            for tier in tiers
        )
    reached = [tier for tier in tiers if tier["min_seats"] <= seats] or tiers[:1]
    return int(reached[-1]["price_per_seat"]) * seats


def _units_amount(tiers: Body, units: int) -> int:
    total, start = Decimal(0), 0
    for tier in tiers["tiers"]:
        rate, bound = Decimal(tier["unit_amount"]), tier.get("bound")
        if tiers["type"] == "volume":
            total = rate * units
        else:
            total += rate * (min(units, bound or units) - start)
        if bound is None or units <= bound:
            break
        start = bound
    return int(total.quantize(Decimal(1), ROUND_HALF_UP))


def is_free(product: Body) -> bool:
    """Whether every price is a fixed 0. Pay what you want from 0 is not: it can be paid for."""
    return all(
        price["amount_type"] == "free"
        or (price["amount_type"] == "fixed" and price["price_amount"] == 0)
        for price in product["prices"]
    )


def find_discount(discounts: Iterable[Body], code: str) -> Body | None:
    """The discount of that code, whatever its case."""
    wanted = code.casefold()
    found = (item for item in discounts if (item["code"] or "").casefold() == wanted)
    return next(found, None) if wanted else None


def discount_applies(discount: Body, product: Body, currency: str, now: datetime) -> bool:
    """Whether a discount can be had now, on this product and in this currency."""
    starts, ends, most = discount["starts_at"], discount["ends_at"], discount["max_redemptions"]
    wanted = [item["id"] for item in discount.get("products", [])]
    return (
        not is_free(product)
        and (starts is None or datetime.fromisoformat(starts) <= now)
        and (ends is None or now <= datetime.fromisoformat(ends))
        and (most is None or discount["redemptions_count"] < most)
        and (not wanted or product["id"] in wanted)
        and (discount["type"] == "percentage" or currency in _fixed_amounts(discount))
    )


def _fixed_amounts(discount: Body) -> dict[str, int]:
    return discount.get("amounts") or {discount["currency"]: discount["amount"]}


def discount_amount(discount: Body | None, amount: int, currency: str) -> int:
    """How much a discount takes off; never more than there is."""
    if discount is None:
        return 0
    if discount["type"] == "percentage":
        return (amount * int(discount["basis_points"]) + 5_000) // 10_000
    return min(amount, _fixed_amounts(discount)[currency])


def totals_of(checkout: Checkout) -> Totals:
    """The sums of a checkout as it stands."""
    discount = discount_amount(checkout.discount, checkout.amount, checkout.currency)
    net = checkout.amount - discount
    tax: int | None = None
    behavior: str | None = None
    if net == 0:
        tax = 0
    elif checkout.customer_billing_address is not None:
        tax = 0
        in_america = checkout.customer_billing_address["country"] in {"US", "CA"}
        behavior = "exclusive" if in_america else "inclusive"
    return Totals(checkout.amount, discount, net, tax, behavior, net)


def trial_of(checkout: Checkout) -> tuple[str, int] | None:
    """The trial a checkout begins with, as interval and count; recurring products only.

    One set on the link goes before the product's own.
    """
    if not checkout.allow_trial or not checkout.product["is_recurring"]:
        return None
    sources = (
        (checkout.trial_interval, checkout.trial_interval_count),
        (checkout.product["trial_interval"], checkout.product["trial_interval_count"]),
    )
    for interval, count in sources:
        if interval is not None and count is not None:
            return interval, count
    return None


def later(moment: datetime, interval: str, count: int) -> datetime:
    """A moment so many days, weeks, months or years on; months end where they end."""
    if interval in {"day", "week"}:
        return moment + timedelta(days=count * (7 if interval == "week" else 1))
    months = moment.year * 12 + moment.month - 1 + count * (12 if interval == "year" else 1)
    year, month = divmod(months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))


def is_payment_required(checkout: Checkout) -> bool:
    """Whether money is due right away."""
    return totals_of(checkout).total > 0 and trial_of(checkout) is None


def is_payment_setup_required(checkout: Checkout) -> bool:
    """Whether a card must be kept for later payments."""
    return bool(checkout.product["is_recurring"]) and not is_free(checkout.product)


def is_payment_form_required(checkout: Checkout) -> bool:
    """Whether the buyer has to enter a card."""
    return is_payment_required(checkout) or is_payment_setup_required(checkout)
