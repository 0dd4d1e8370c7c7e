"""What a product costs, said truthfully in words.

Prepared once a sync: formatting a price costs as much as building a URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple

from storefront.polar.models import CheckoutLink, Discount, Price, Product
from storefront.texts import Texts

#: Before and after the point, of an amount that a shop can have.
_DIGITS = 24

Kind = Literal["free", "fixed", "custom", "seat", "unit", "metered", "unknown"]


@dataclass(frozen=True, slots=True)
class Tier:
    """One row of a price that depends on the quantity."""

    quantity: str
    amount: str


class TierRow(NamedTuple):
    """What each costs from ``first`` to ``last``, both inclusive; in minor units."""

    first: int
    last: int | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PriceText:
    """One price in words. ``amount`` and ``per`` make the sentence; ``notes`` qualify it."""

    kind: Kind
    currency: str
    #: ``$19.00``, ``Free``, ``Pay what you want``, ``From $8.00``.
    amount: str
    #: ``per seat, per month``, or empty.
    per: str = ""
    notes: tuple[str, ...] = ()
    tiers: tuple[Tier, ...] = ()
    #: Minor units of a fixed price; None for every other kind.
    minor: int | None = None

    def __str__(self) -> str:
        return f"{self.amount} {self.per}".strip()


@dataclass(frozen=True, slots=True)
class Pricing:
    """A product's prices: those of one currency in full, the others in brief."""

    #: Everything a card needs: ``$5.00 per month + usage``.
    headline: str
    prices: tuple[PriceText, ...]
    #: The main price in the further currencies: ``€45.00``.
    other_currencies: tuple[str, ...] = ()
    #: ``14 days free, then $190.00 per year``, or empty.
    trial: str = ""


def describe_pricing(product: Product, texts: Texts) -> Pricing:
    """A product's prices in words."""
    per_currency: dict[str, list[PriceText]] = {}
    for price in product.prices:
        if not price.is_archived:
            described = describe_price(price, product, texts)
            per_currency.setdefault(described.currency, []).append(described)
    if not per_currency:
        return Pricing(headline=texts("Price shown at checkout"), prices=())
    # Polar lists the prices in the organization's own currency first.
    main, *others = per_currency.values()
    headline = _headline(main, texts)
    return Pricing(
        headline=headline,
        prices=tuple(main),
        other_currencies=tuple(_headline(prices, texts) for prices in others),
        trial=describe_trial(
            product.trial_interval, product.trial_interval_count, headline, product, texts
        ),
    )


def describe_price(price: Price, product: Product, texts: Texts) -> PriceText:
    """One price in words."""
    currency = price.price_currency.lower()
    per = ""
    interval = product.recurring_interval or price.recurring_interval
    if interval:
        per = texts.every(interval, product.recurring_interval_count or 1)
    match price.amount_type:
        case "free":
            return PriceText("free", currency, texts("Free"), minor=0)
        case "fixed" if price.price_amount == 0:
            return PriceText("free", currency, texts("Free"), minor=0)
        case "fixed" if price.price_amount is not None:
            amount = texts.money(price.price_amount, currency)
            return PriceText("fixed", currency, amount, per, minor=price.price_amount)
        case "custom":
            return _custom(price, currency, per, texts)
        case "seat_based":
            return _seats(price, currency, per, texts)
        case "unit_based":
            return _units(price, currency, per, texts)
        case "metered_unit":
            return _metered(price, currency, texts)
        case _:
            return PriceText("unknown", currency, texts("Price shown at checkout"))


def describe_trial(
    interval: str | None, count: int | None, headline: str, product: Product, texts: Texts
) -> str:
    """``14 days free, then …``; empty for a product that is not a subscription."""
    if not interval or not count or not product.recurring_interval:
        return ""
    duration = texts.duration(interval, count)
    return texts("{duration} free, then {price}", duration=duration, price=headline)


def describe_discount(discount: Discount, product: Product, texts: Texts) -> str:
    """``20% off``, and for how long where the product is a subscription."""
    if discount.type == "percentage" and discount.basis_points is not None:
        off = texts("{amount} off", amount=texts.percent(discount.basis_points))
    else:
        amounts = _amounts_off(discount)
        shown = (price.price_currency for price in product.prices if not price.is_archived)
        currency = next(shown, "usd").lower()
        if currency not in amounts:
            return ""
        off = texts("{amount} off", amount=texts.money(amounts[currency], currency))
    if not product.recurring_interval:
        return _with_reduced_price(off, discount, product, texts)
    if discount.duration == "forever":
        return texts("{discount} every payment", discount=off)
    if discount.duration == "repeating" and discount.duration_in_months:
        months = texts.duration("month", discount.duration_in_months)
        return texts("{discount} for {duration}", discount=off, duration=months)
    return texts("{discount} the first payment", discount=off)


def reduced_amount(before: int, currency: str, discount: Discount) -> int | None:
    """What an amount comes to with the discount; None where it has to be rounded, and where the
    discount is not meant for the currency (in lower case)."""
    if discount.type == "percentage":
        reduction, rest = divmod(before * (discount.basis_points or 0), 10_000)
        if rest:
            return None  # how Polar rounds is Polar's business
        return max(before - reduction, 0)
    amounts = _amounts_off(discount)
    return max(before - amounts[currency], 0) if currency in amounts else None


def _amounts_off(discount: Discount) -> Mapping[str, int]:
    """What a discount of a fixed amount takes off, by currency in lower case."""
    amounts = discount.amounts or {discount.currency or "usd": discount.amount or 0}
    return {currency.lower(): amount for currency, amount in amounts.items()}


def tier_rows(price: Price) -> tuple[TierRow, ...]:
    """What each costs by quantity, of a price of seats or units; empty where that can't be told."""
    if price.amount_type == "seat_based":
        if price.seat_tiers is not None and price.seat_tiers.tiers:
            return tuple(
                TierRow(tier.min_seats, tier.max_seats, Decimal(tier.price_per_seat))
                for tier in price.seat_tiers.tiers
            )
        if price.price_per_seat is not None:
            return (TierRow(1, None, Decimal(price.price_per_seat)),)
        return ()
    rows: list[TierRow] = []
    start = price.minimum_units or 1
    for tier in price.tiers.tiers if price.tiers else ():
        amount = decimal_amount(tier.unit_amount)
        if amount is None:
            return ()
        rows.append(TierRow(start, tier.bound, amount))
        start = (tier.bound or start) + 1
    return tuple(rows)


def _with_reduced_price(off: str, discount: Discount, product: Product, texts: Texts) -> str:
    """The reduced price along with the discount, where there is one price and no rounding."""
    prices = [price for price in product.prices if not price.is_archived]
    if len(prices) != 1 or prices[0].amount_type != "fixed" or not prices[0].price_amount:
        return off
    before, currency = prices[0].price_amount, prices[0].price_currency.lower()
    after = reduced_amount(before, currency, discount)
    if after is None:
        return off
    return texts(
        "{discount}: {price} instead of {before}",
        discount=off,
        price=texts.money(after, currency) if after else texts("Free"),
        before=texts.money(before, currency),
    )


def running_discount(link: CheckoutLink, now: datetime) -> Discount | None:
    """The link's preset discount, unless its time is over, not come, or its number used up."""
    discount = link.discount
    if discount is None:
        return None
    if discount.starts_at and discount.starts_at > now:
        return None
    if discount.ends_at and discount.ends_at <= now:
        return None
    limit = discount.max_redemptions
    if limit is not None and discount.redemptions_count >= limit:
        return None
    return discount


def _headline(prices: Sequence[PriceText], texts: Texts) -> str:
    fixed = [str(price) for price in prices if price.kind != "metered"]
    if not fixed:
        return texts("Pay for what you use")
    if len(fixed) == len(prices):
        return fixed[0]
    return texts("{price} + usage", price=fixed[0])


def _custom(price: Price, currency: str, per: str, texts: Texts) -> PriceText:
    notes = []
    if price.minimum_amount:
        notes.append(texts("From {amount}", amount=texts.money(price.minimum_amount, currency)))
    elif price.minimum_amount == 0:
        notes.append(texts("Free is fine too"))
    if price.maximum_amount is not None:
        notes.append(texts("Up to {amount}", amount=texts.money(price.maximum_amount, currency)))
    if price.preset_amount:
        suggested = texts.money(price.preset_amount, currency)
        notes.append(texts("Suggested: {amount}", amount=suggested))
    return PriceText("custom", currency, texts("Pay what you want"), per, tuple(notes))


def _seats(price: Price, currency: str, per: str, texts: Texts) -> PriceText:
    rows = tier_rows(price)
    if not rows:
        return PriceText("unknown", currency, texts("Price shown at checkout"))
    per_seat = texts("per seat, {interval}", interval=per) if per else texts("per seat")
    notes = []
    seats = price.seat_tiers
    if seats is not None and seats.minimum_seats > 1:
        notes.append(texts("At least {count} seats", count=seats.minimum_seats))
    if seats is not None and seats.maximum_seats is not None:
        notes.append(texts("Seats: at most {count}", count=seats.maximum_seats))
    if seats is not None and seats.seat_tier_type == "graduated" and len(rows) > 1:
        notes.append(texts("Each seat at the price of its own range"))
    return _tiered("seat", rows, currency, per_seat, notes, texts)


def _units(price: Price, currency: str, per: str, texts: Texts) -> PriceText:
    rows = tier_rows(price)
    if not rows:
        return PriceText("unknown", currency, texts("Price shown at checkout"))
    per_unit = texts("per {unit}", unit=unit_noun(price.unit_label, texts))
    if per:
        per_unit = f"{per_unit}, {per}"
    notes = []
    if price.minimum_units and price.minimum_units > 1:
        notes.append(texts("At least {count}", count=price.minimum_units))
    if price.maximum_units is not None:
        notes.append(texts("At most {count}", count=price.maximum_units))
    if price.tiers and price.tiers.type == "graduated" and len(rows) > 1:
        notes.append(texts("Each unit at the price of its own range"))
    return _tiered("unit", rows, currency, per_unit, notes, texts)


def _metered(price: Price, currency: str, texts: Texts) -> PriceText:
    amount = decimal_amount(price.unit_amount or "")
    if amount is None:
        return PriceText("unknown", currency, texts("Price shown at checkout"))
    notes: tuple[str, ...] = ()
    if price.cap_amount is not None:
        notes = (texts("At most {amount}", amount=texts.money(price.cap_amount, currency)),)
    name = price.meter.name if price.meter and price.meter.name else texts("use")
    per = texts("per unit of “{meter}”", meter=name)
    return PriceText("metered", currency, texts.money(amount, currency), per, notes)


def _tiered(
    kind: Kind,
    rows: Sequence[TierRow],
    currency: str,
    per: str,
    notes: Sequence[str],
    texts: Texts,
) -> PriceText:
    cheapest = texts.money(_whole(min(amount for _, _, amount in rows)), currency)
    if len(rows) == 1:
        return PriceText(kind, currency, cheapest, per, tuple(notes))
    tiers = tuple(
        Tier(
            f"{first}–{last}" if last is not None else f"{first}+",
            texts.money(_whole(amount), currency),
        )
        for first, last, amount in rows
    )
    return PriceText(
        kind, currency, texts("From {amount}", amount=cheapest), per, tuple(notes), tiers
    )


def unit_noun(label: object, texts: Texts) -> str:
    """The singular noun that a unit is called by; Polar keeps one for each locale."""
    if isinstance(label, dict):
        by_locale = label.get(texts.language) or label.get(texts.locale.language)
        chosen = by_locale or label.get("en") or next(iter(label.values()), None)
        if isinstance(chosen, dict):
            chosen = chosen.get("=1") or chosen.get("one") or next(iter(chosen.values()), "")
        if isinstance(chosen, str) and chosen:
            return chosen
    return texts("unit")


def decimal_amount(text: str) -> Decimal | None:
    """Minor units as Polar writes those that may be a fraction; None for what is no number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    # Written out, a number such as 1e999999 would fill the page.
    return value if value.is_finite() and -_DIGITS < value.adjusted() < _DIGITS else None


def _whole(amount: Decimal) -> int | Decimal:
    """Without the trailing zeros that Polar sends: ``2500.000000000000`` is 2500."""
    return int(amount) if amount == amount.to_integral_value() else amount.normalize()
