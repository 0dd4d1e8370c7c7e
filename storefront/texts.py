"""The words on the pages, in the merchant's language.

Messages are English and stand in the code and the templates; their translations are gettext
catalogues in ``storefront/translations/<locale>/LC_MESSAGES/storefront.po``, read as they are:
nothing needs compiling, and a site may be installed from source. Babel is imported by what uses it,
so that a site starts without the parts that it does not need at once.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel import Locale

_INTERVALS = ("day", "week", "month", "year")


class Texts:
    """Words, amounts, durations and dates as one locale writes them."""

    def __init__(self, locale: str) -> None:
        from babel import Locale

        self.locale = Locale.parse(locale)
        self._messages = _read_messages(self.locale)
        self._is_rtl = self.direction == "rtl"

    @property
    def language(self) -> str:
        """The language tag for an ``html`` element: ``en``, ``pt-BR``."""
        return str(self.locale).replace("_", "-")

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``."""
        return self.locale.text_direction

    def __call__(self, message: str, **values: object) -> str:
        """The message in this language, with ``{name}`` replaced by the values."""
        text = self._messages.get(message, message)
        return text.format(**values) if values else text

    def money(self, amount: int | Decimal, currency: str) -> str:
        """An amount in minor units, written with its currency: ``$29.00``.

        Fractions of a minor unit, as usage prices have them, are kept. What has more than 28
        digits, which no price has and a broken answer may, stands there as it came. From right to
        left it is isolated: words beside it that are read the other way must not part it.

        Source: Unicode Standard Annex #9, 2.4, for the isolates.
        """
        from babel.numbers import format_currency, get_currency_precision

        code = currency.upper()
        value = Decimal(amount).scaleb(-get_currency_precision(code))
        exact = isinstance(amount, int) or amount == amount.to_integral_value()
        try:
            text = format_currency(value, code, locale=self.locale, decimal_quantization=exact)
        except InvalidOperation:
            text = f"{value} {code}"
        return (
            f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}" if self._is_rtl else text
        )

    def percent(self, basis_points: int) -> str:
        """Hundredths of a percent as a percentage: 2000 is ``20%``."""
        from babel.numbers import format_percent

        value = Decimal(basis_points) / 10_000
        return format_percent(value, locale=self.locale, decimal_quantization=False)

    def duration(self, interval: str, count: int) -> str:
        """``14 days``; an interval that is not known here is said as it came."""
        from babel.units import format_unit

        if interval in _INTERVALS:
            unit = f"duration-{interval}"
            # Where the long words are missing, as they are for some languages, Babel says the unit.
            for length in ("long", "short"):
                words = format_unit(count, unit, length=length, locale=self.locale)
                if unit not in words:
                    return words
        return f"{count} {interval}"

    def every(self, interval: str, count: int) -> str:
        """How often something is charged: ``per month``, ``every 3 weeks``."""
        if count == 1:
            fixed = {
                "day": self("per day"),
                "week": self("per week"),
                "month": self("per month"),
                "year": self("per year"),
            }.get(interval)
            if fixed:
                return fixed
        return self("every {duration}", duration=self.duration(interval, count))

    def date(self, moment: datetime) -> str:
        """A day, in words: ``Nov 22, 2026`` (in UTC)."""
        from babel.dates import format_date

        return format_date(moment, locale=self.locale)


def exact_amount(amount: int | Decimal, currency: str) -> str:
    """An amount in minor units as machines read it: ``29.00``, of yen ``2900``.

    It has as many decimals as the currency, and more where the amount is a fraction of a minor
    unit.
    """
    from babel.numbers import get_currency_precision

    precision = get_currency_precision(currency.upper())
    sign, digits, exponent = Decimal(amount).as_tuple()
    assert isinstance(exponent, int), "an amount is finite"
    value = Decimal((sign, digits, exponent - precision))
    text = f"{value:f}"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(precision, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _read_messages(locale: Locale) -> dict[str, str]:
    """Translations of the locale, completed by those of its language."""
    messages: dict[str, str] = {}
    names = [locale.language]
    if str(locale) != locale.language:
        names.append(str(locale))
    for name in names:
        file = resources.files("storefront") / "translations" / name / "LC_MESSAGES/storefront.po"
        if not file.is_file():
            continue
        with file.open("rb") as source:
            from babel.messages.pofile import read_po

            for message in read_po(source, locale=name):
                if message.id and message.string and not message.fuzzy:
                    messages[str(message.id)] = str(message.string)
    return messages
