"""What products are told apart by in a large shop: how they are paid for, and from how much on."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from storefront.polar.models import Price, Product

#: The kinds, each a bit; a product may be of several. The order is that of the filter.
KINDS: Final = {
    "one-time": 1,
    "subscription": 2,
    "free": 4,
    "pay-what-you-want": 8,
    "per-seat": 16,
    "usage": 32,
}
#: Stands for a price that is known at the checkout only.
UNKNOWN: Final = -1
_MOST: Final = 1 << 62


class Traits(NamedTuple):
    """Of one product."""

    #: Bits of ``KINDS``.
    kinds: int
    #: The least that it costs, in minor units of its first currency; ``UNKNOWN`` where it depends.
    least: int
    #: That currency, as a number: see ``pack_currency``.
    currency: int


def traits_of(product: Product) -> Traits:
    """How a product is paid for."""
    currency = ""
    kinds = 0
    least = UNKNOWN
    recurring = product.recurring_interval is not None
    for price in product.prices:
        if price.is_archived:
            continue
        if not currency:
            currency = price.price_currency
        elif price.price_currency != currency:
            continue
        if price.recurring_interval is not None:
            recurring = True
        match price.amount_type:
            case "metered_unit":
                kinds |= 32
                continue
            case "custom":
                kinds |= 8
            case "seat_based":
                kinds |= 16
            case "free":
                kinds |= 4
            case "fixed" if price.price_amount == 0:
                kinds |= 4
        if least == UNKNOWN:
            least = _least(price)
    if recurring:
        kinds |= 2
    elif not kinds & 4:
        kinds |= 1
    return Traits(kinds, least, pack_currency(currency))


def pack_currency(code: str) -> int:
    """A currency's three letters as one number; 0 for what is no currency."""
    code = code.lower()
    return int.from_bytes(code.encode()) if len(code) == 3 and code.isascii() else 0


def unpack_currency(number: int) -> str:
    """The letters again."""
    return number.to_bytes(3).decode() if number else ""


def _least(price: Price) -> int:
    match price.amount_type:
        case "free":
            amount: int | None = 0
        case "fixed":
            amount = price.price_amount
        case "custom":
            amount = price.minimum_amount or 0
        case "seat_based":
            tiers = price.seat_tiers.tiers if price.seat_tiers else ()
            seats = (tier.price_per_seat for tier in tiers)
            amount = min(seats, default=price.price_per_seat)
        case "unit_based":
            units = [_whole(tier.unit_amount) for tier in price.tiers.tiers] if price.tiers else []
            amount = min(units, default=None)
        case _:
            amount = None
    return UNKNOWN if amount is None or amount < 0 else min(amount, _MOST)


def _whole(amount: str) -> int:
    """Minor units, parts of one rounded down; ``UNKNOWN`` for what is no number."""
    try:
        value = Decimal(amount)
    except InvalidOperation:
        return UNKNOWN
    return int(value) if value.is_finite() and value.adjusted() < 18 else UNKNOWN
