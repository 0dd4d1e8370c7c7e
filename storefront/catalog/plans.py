"""Subscriptions beside each other: what a pricing table shows of them."""

from __future__ import annotations

import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile
from typing import NamedTuple

from storefront.catalog.catalog import BenefitText, CatalogProduct, Found, Offer
from storefront.polar.models import Price, Product
from storefront.texts import Texts

#: Intervals that are made of one another, in the smaller unit: a month has no number of weeks.
_LENGTHS = {"month": ("month", 1), "year": ("month", 12), "day": ("day", 1), "week": ("day", 7)}


class Saving(NamedTuple):
    """What paying for a longer time saves, beside paying for the shorter one again and again."""

    #: Of what the shorter one costs in that time, rounded down.
    percent: int
    #: How many of the shorter periods are free; 0 where that is no whole number.
    periods: int


@dataclass(frozen=True, slots=True)
class Terms:
    """One way to pay for a plan."""

    #: What the site called it: its button leads to just that.
    reference: str
    product: CatalogProduct
    #: None when no link sells the product.
    offer: Offer | None
    #: ``2 months free``, ``Save 17%``, or empty.
    saving: str = ""
    #: What it comes to in the shorter time, where that is a whole amount; or empty.
    comes_to: str = ""

    @property
    def trial(self) -> str:
        """``14 days free, then …``, or empty."""
        return (self.offer.trial if self.offer else "") or self.product.pricing.trial


@dataclass(frozen=True, slots=True)
class Plan:
    """A column of a pricing table."""

    name: str
    short: Terms
    #: The other way to pay for it, or None where there is only one.
    long: Terms | None = None
    highlighted: bool = False


class Row(NamedTuple):
    """A benefit, and for each plan whether it is in it: by the short terms, and by the long."""

    benefit: BenefitText
    cells: tuple[tuple[bool, bool], ...]


@dataclass(frozen=True, slots=True)
class PlanTable:
    """What a pricing table shows. Without plans, nothing."""

    plans: tuple[Plan, ...] = ()
    #: Every benefit of any plan, in the order of the plans.
    rows: tuple[Row, ...] = ()
    #: The words of the switch: ``Monthly``, ``Yearly``; empty where no plan has two terms.
    short: str = ""
    long: str = ""
    #: What the switch promises: ``2 months free`` where it is so for all, else ``Save up to 20%``.
    saving: str = ""
    #: Short, and the same wherever the plans are the same: tells two tables of a page apart.
    key: str = ""

    @property
    def is_compared(self) -> bool:
        """Whether the plans differ in what they bring, so that a comparison says something."""
        return len(self.plans) > 1 and any(len(set(row.cells)) > 1 for row in self.rows)


def compare_plans(
    columns: Sequence[tuple[tuple[str, Found], tuple[str, Found] | None]],
    texts: Texts,
    *,
    highlighted: Collection[str] = (),
) -> PlanTable:
    """The table of some plans: each a reference and what it found, and the same of its long terms.

    ``highlighted`` are the references of the plans that stand out.
    """
    plans = tuple(_plan(short, long, highlighted, texts) for short, long in columns)
    if not plans:
        return PlanTable()
    paired = next((plan for plan in plans if plan.long), None)
    references = [(short[0], long and long[0]) for short, long in columns]
    key = blake2b(repr(references).encode(), digest_size=4)
    return PlanTable(
        plans=plans,
        rows=_rows(plans),
        short=_rhythm(paired.short.product, texts) if paired else "",
        long=_rhythm(paired.long.product, texts) if paired and paired.long else "",
        saving=_saving_of_all(plans, texts),
        key=key.hexdigest(),
    )


def compute_saving(short: Product, long: Product) -> Saving | None:
    """What the long terms save; None where it is nothing, or can't be told exactly.

    Both have to cost one fixed amount, in the same currency, for times that fit into one another.
    """
    count, once, longer = _periods(short, long), _fixed(short), _fixed(long)
    if count is None or once is None or longer is None or once[1] != longer[1]:
        return None
    usual = once[0] * count
    saved = usual - longer[0]
    percent = saved * 100 // usual
    if percent < 1:
        return None
    periods, rest = divmod(saved, once[0])
    return Saving(percent, 0 if rest else periods)


def common_name(short: str, long: str) -> str:
    """What two products' names have in common: ``Pro`` of ``Pro Monthly`` and ``Pro Yearly``."""
    first, second = short.split(), long.split()
    leading = _common(first, second)
    trailing = _common(first[::-1], second[::-1])[::-1]
    for words in (leading, trailing):
        name = " ".join(words).strip(string.punctuation + string.whitespace + "\u2013\u2014\u00b7")
        if name:
            return name
    return short


def _plan(
    short: tuple[str, Found],
    long: tuple[str, Found] | None,
    highlighted: Collection[str],
    texts: Texts,
) -> Plan:
    reference, found = short
    terms = Terms(reference, found.product, found.offer)
    if long is None:
        return Plan(found.product.name, terms, None, reference in highlighted)
    other, with_other = long
    return Plan(
        common_name(found.product.name, with_other.product.name),
        terms,
        Terms(
            other,
            with_other.product,
            with_other.offer,
            _saving(found.product.source, with_other.product.source, texts),
            _comes_to(found.product.source, with_other.product.source, texts),
        ),
        reference in highlighted or other in highlighted,
    )


def _rows(plans: Sequence[Plan]) -> tuple[Row, ...]:
    brought = [
        (set(plan.short.product.benefits), set((plan.long or plan.short).product.benefits))
        for plan in plans
    ]
    every: dict[BenefitText, None] = {}
    for plan in plans:
        for terms in (plan.short, plan.long or plan.short):
            every.update(dict.fromkeys(terms.product.benefits))
    return tuple(
        Row(benefit, tuple((benefit in short, benefit in long) for short, long in brought))
        for benefit in every
    )


def _saving(short: Product, long: Product, texts: Texts) -> str:
    saving = compute_saving(short, long)
    if saving is None:
        return ""
    if saving.periods:
        count = saving.periods * (short.recurring_interval_count or 1)
        return texts("{duration} free", duration=texts.duration(_interval(short), count))
    return texts("Save {percent}", percent=texts.percent(saving.percent * 100))


def _saving_of_all(plans: Sequence[Plan], texts: Texts) -> str:
    pairs = [(plan.short, plan.long) for plan in plans if plan.long]
    savings = [compute_saving(short.product.source, long.product.source) for short, long in pairs]
    said = {long.saving for _, long in pairs}
    if len(said) == 1:
        return said.pop()
    best = max((saving.percent for saving in savings if saving), default=0)
    return texts("Save up to {percent}", percent=texts.percent(best * 100)) if best else ""


def _comes_to(short: Product, long: Product, texts: Texts) -> str:
    count, price = _periods(short, long), _fixed(long)
    if count is None or price is None or price[0] % count:
        return ""
    amount = texts.money(price[0] // count, price[1])
    every = texts.every(_interval(short), short.recurring_interval_count or 1)
    return texts("That is {price}", price=f"{amount} {every}")


def _rhythm(product: CatalogProduct, texts: Texts) -> str:
    interval, count = product.source.recurring_interval, product.source.recurring_interval_count
    if not interval:
        return texts("One payment")
    if interval in ("month", "year") and (count or 1) == 1:
        return texts("Monthly") if interval == "month" else texts("Yearly")
    return texts.every(interval, count or 1)


def _interval(product: Product) -> str:
    assert product.recurring_interval is not None, "it is a subscription"
    return product.recurring_interval


def _periods(short: Product, long: Product) -> int | None:
    """How many of the short periods make the long one; None where it is no whole number of them."""
    lengths = []
    for product in (short, long):
        unit, length = _LENGTHS.get(product.recurring_interval or "", ("", 0))
        lengths.append((unit, length * (product.recurring_interval_count or 1)))
    (unit, one), (other_unit, other) = lengths
    if not one or unit != other_unit or other <= one or other % one:
        return None
    return other // one


def _fixed(product: Product) -> tuple[int, str] | None:
    """The one fixed price in the currency that is shown, and the currency; None for all else."""
    prices: list[Price] = [price for price in product.prices if not price.is_archived]
    mine = [p for p in prices if p.price_currency.lower() == prices[0].price_currency.lower()]
    if len(mine) != 1 or mine[0].amount_type != "fixed" or not mine[0].price_amount:
        return None
    return mine[0].price_amount, mine[0].price_currency.lower()


def _common(first: Sequence[str], second: Sequence[str]) -> list[str]:
    pairs = zip(first, second, strict=False)
    return [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
