"""What a checkout comes to, in words: the lines of its summary and the button that pays it."""

from __future__ import annotations

from dataclasses import dataclass

from storefront.emulator.pricing import (
    discount_amount,
    is_payment_form_required,
    totals_of,
    trial_of,
)
from storefront.emulator.records import Checkout
from storefront.emulator.wording import (
    day,
    discount_in_words,
    duration,
    money,
    number,
    recurrence,
    unit_noun,
    usage_in_words,
)


@dataclass(frozen=True)
class Summary:
    """A checkout's sums, each as it is shown."""

    #: What is bought, with its quantity.
    item: str
    subtotal: str
    #: The discount's name and terms, and what it takes off; None without one.
    discount: tuple[str, str] | None
    #: How long the trial is, and what it takes off today; None without one.
    trial: tuple[str, str] | None
    tax: str
    #: What is paid today.
    due: str
    #: What else the buyer agrees to: renewals, the end of a trial, usage.
    terms: tuple[str, ...]
    #: `Pay $29.00`.
    button: str
    #: Changes whenever what the buyer agrees to does.
    fingerprint: str


def summarize(checkout: Checkout) -> Summary:
    """The sums of a checkout as it stands."""
    totals, currency = totals_of(checkout), checkout.currency
    trial = trial_of(checkout)
    due = 0 if trial else totals.total
    discount = None
    if checkout.discount is not None:
        terms = discount_in_words(checkout.discount, currency)
        discount = (f"{checkout.discount['name']} ({terms})", money(-totals.discount, currency))
    return Summary(
        item=_item(checkout),
        subtotal=money(totals.amount, currency),
        discount=discount,
        trial=(f"{duration(*trial)} free", money(-totals.total, currency)) if trial else None,
        tax="Worked out when you pay" if totals.tax is None else money(totals.tax, currency),
        due=money(due, currency),
        terms=tuple(_terms(checkout)),
        button=_button(checkout, due),
        fingerprint=f"{checkout.product['id']}:{totals.total}:{bool(trial)}",
    )


def _item(checkout: Checkout) -> str:
    name = checkout.product["name"]
    if checkout.seats is not None:
        return f"{name}, {number(checkout.seats)} {'seat' if checkout.seats == 1 else 'seats'}"
    if checkout.units is not None:
        return f"{name}, {number(checkout.units)} {unit_noun(checkout.price, checkout.units)}"
    return str(name)


def _terms(checkout: Checkout) -> list[str]:
    product, currency = checkout.product, checkout.currency
    if not product["is_recurring"]:
        return []
    how_often, discount = recurrence(product), checkout.discount
    full = money(checkout.amount, currency) + how_often
    lasting = discount is not None and discount["duration"] != "once"
    reduced = checkout.amount - discount_amount(discount, checkout.amount, currency)
    renewal = money(reduced, currency) + how_often if lasting else full
    if lasting and discount is not None and discount["duration"] == "repeating":
        months = duration("month", discount["duration_in_months"])
        renewal += f" for {months}, then {full}"
    trial = trial_of(checkout)
    terms = []
    if trial is not None and checkout.trial_end is not None:
        terms.append(f"{duration(*trial)} free, then {renewal}")
        terms.append(f"First payment on {day(checkout.trial_end)}; cancel before, and pay nothing")
    elif checkout.amount:
        terms.append(f"Renews at {renewal}, until you cancel")
    terms += [f"Plus usage: {usage}" for usage in usage_in_words(product)]
    return terms


def _button(checkout: Checkout, due: int) -> str:
    if trial_of(checkout) is not None:
        return "Start free trial"
    if due:
        verb = "Subscribe for" if checkout.product["is_recurring"] else "Pay"
        return f"{verb} {money(due, checkout.currency)}"
    return "Subscribe" if is_payment_form_required(checkout) else "Get for free"
