"""Money, times and prices in words, for the hosted pages. They speak English only."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_precision
from babel.units import format_unit

from storefront.emulator.records import Body

_LOCALE: Final = Locale("en", "US")
# fmt: off
_COUNTRIES: Final = (
    "AT", "AU", "BE", "BR", "CA", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IN",
    "IT", "JP", "MX", "NL", "NO", "NZ", "PL", "PT", "SE", "SG", "US",
)
# fmt: on


def money(amount: int | Decimal, currency: str) -> str:
    """An amount in minor units: `$29.00`. Fractions of a minor unit are kept."""
    code = currency.upper()
    value = Decimal(amount).scaleb(-get_currency_precision(code))
    whole = amount == int(amount)
    return format_currency(value, code, locale=_LOCALE, decimal_quantization=whole)


def amount_typed(amount: int, currency: str) -> str:
    """An amount as one types it into a field: `29.00`."""
    precision = get_currency_precision(currency.upper())
    return f"{Decimal(amount).scaleb(-precision):.{precision}f}"


def read_amount(text: str, currency: str) -> int | None:
    """The minor units of an amount that was typed; None for anything that is no amount."""
    plain = text.strip().lstrip("$€£").replace(",", ".")
    try:
        minor = Decimal(plain).scaleb(get_currency_precision(currency.upper()))
    except InvalidOperation:
        return None
    if not minor.is_finite() or minor != minor.to_integral_value() or not 0 <= minor < 10**9:
        return None
    return int(minor)


def every(interval: str, count: int | None) -> str:
    """How often something is paid: `per month`, `every 3 months`."""
    if (count or 1) == 1:
        return f"per {interval}"
    return f"every {duration(interval, count or 1)}"


def duration(interval: str, count: int) -> str:
    """`14 days`."""
    return format_unit(count, f"duration-{interval}", locale=_LOCALE)


def day(moment: datetime | str) -> str:
    """A day, in UTC: `Nov 22, 2026`."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return format_date(moment.date(), locale=_LOCALE)


def recurrence(product: Body) -> str:
    """` per month` for a subscription, nothing for what is paid once."""
    interval = product["recurring_interval"]
    return f" {every(interval, product['recurring_interval_count'])}" if interval else ""


def unit_noun(price: Body, count: int) -> str:
    """What one buys so many of, as the price calls it: `credits`."""
    nouns = (price["unit_label"] or {}).get("en", {})
    exact: str | None = nouns.get(f"={count}")
    return exact or nouns.get("other") or ("unit" if count == 1 else "units")


def price_in_words(product: Body, price: Body) -> str:
    """What a product costs, before anything is chosen: `$12.00 per month`."""
    currency, how_often = price["price_currency"], recurrence(product)
    match price["amount_type"]:
        case "fixed" if price["price_amount"]:
            return money(price["price_amount"], currency) + how_often
        case "custom":
            return f"Pay what you want{how_often}"
        case "seat_based":
            rates = [tier["price_per_seat"] for tier in price["seat_tiers"]["tiers"]]
            start = "From " if len(rates) > 1 else ""
            return f"{start}{money(min(rates), currency)} per seat{how_often}"
        case "unit_based":
            units = [Decimal(tier["unit_amount"]) for tier in price["tiers"]["tiers"]]
            start = "From " if len(units) > 1 else ""
            return f"{start}{money(min(units), currency)} per {unit_noun(price, 1)}{how_often}"
        case "metered_unit":
            return "Pay for what you use"
        case _:
            return "Free"


def usage_in_words(product: Body) -> list[str]:
    """What is billed afterwards: `$0.0025 per unit of API calls, at most $500.00 …`."""
    lines = []
    for price in product["prices"]:
        if price["amount_type"] == "metered_unit":
            rate = money(Decimal(price["unit_amount"]), price["price_currency"])
            line = f"{rate} per unit of “{price['meter']['name']}”"
            if price["cap_amount"] is not None:
                line += f", at most {money(price['cap_amount'], price['price_currency'])}"
            lines.append(line)
    return lines


def tiers_in_words(price: Body) -> list[tuple[str, str]]:
    """Quantities and what one of them then costs, where that depends on how many there are."""
    currency = price["price_currency"]
    rows: list[tuple[int, int | None, Decimal]] = []
    if price["amount_type"] == "seat_based":
        for tier in price["seat_tiers"]["tiers"]:
            rows.append((tier["min_seats"], tier["max_seats"], Decimal(tier["price_per_seat"])))
    elif price["amount_type"] == "unit_based":
        start = 1
        for tier in price["tiers"]["tiers"]:
            rows.append((start, tier.get("bound"), Decimal(tier["unit_amount"])))
            start = (tier.get("bound") or start) + 1
    if len(rows) < 2:
        return []
    return [
        (f"{number(first)} to {number(last)}" if last else f"{number(first)} or more", each)
        for first, last, each in (
            (first, last, money(rate, currency)) for first, last, rate in rows
        )
    ]


def number(count: int) -> str:
    """A count with its thousands apart: `1,000`."""
    return format_decimal(count, locale=_LOCALE)


def discount_in_words(discount: Body, currency: str) -> str:
    """What a discount takes off, and for how long: `20% off`."""
    if discount["type"] == "percentage":
        share = Decimal(discount["basis_points"]) / 10_000
        return f"{format_percent(share, locale=_LOCALE, decimal_quantization=False)} off"
    amounts = discount.get("amounts") or {discount["currency"]: discount["amount"]}
    return f"{money(amounts[currency], currency)} off"


def countries(chosen: str) -> list[tuple[str, str]]:
    """The countries to choose from, the chosen one among them: codes and names, by name."""
    known = _LOCALE.territories
    codes = {*_COUNTRIES, *([chosen] if chosen in known else [])}
    names = [(code, str(known[code])) for code in codes]
    return sorted(names, key=lambda pair: pair[1])
