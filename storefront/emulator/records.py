"""What the local Polar remembers that no seed brings: checkout sessions and customer sessions.

Everything else is kept as the API's own JSON objects, without the parts that are looked up when
they are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Body = dict[str, Any]


def iso(moment: datetime | None) -> str | None:
    """A UTC time as the API writes it: microseconds and a `Z`."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Checkout:
    """One checkout session. Money is in minor units of `currency`, times are aware UTC.

    `status` goes from `open` to `confirmed` to `succeeded`, or from `confirmed` back to `open` when
    the payment was declined; `expired` and `failed` are ends.
    """

    id: str
    client_secret: str
    created_at: datetime
    expires_at: datetime
    product_ids: tuple[str, ...]
    #: The product being bought, as the products endpoint shows it.
    product: Body
    #: The price being paid, one of the product's.
    price: Body
    currency: str
    #: The price before discount.
    amount: int
    modified_at: datetime | None = None
    status: str = "open"
    #: With `{CHECKOUT_ID}` still in it; None stands for Polar's own confirmation page.
    success_url: str | None = None
    return_url: str | None = None
    embed_origin: str | None = None
    custom_field_data: Body = field(default_factory=dict)
    seats: int | None = None
    min_seats: int | None = None
    max_seats: int | None = None
    units: int | None = None
    min_units: int | None = None
    max_units: int | None = None
    discount: Body | None = None
    allow_discount_codes: bool = True
    require_billing_address: bool = False
    allow_trial: bool = True
    #: The trial set on the link, which goes before the product's own.
    trial_interval: str | None = None
    trial_interval_count: int | None = None
    trial_end: datetime | None = None
    customer_id: str | None = None
    customer_external_id: str | None = None
    customer_name: str | None = None
    customer_email: str | None = None
    customer_ip_address: str | None = None
    customer_billing_name: str | None = None
    customer_billing_address: Body | None = None
    customer_tax_id: str | None = None
    is_business_customer: bool = False
    customer_metadata: Body = field(default_factory=dict)
    locale: str = "en"
    metadata: Body = field(default_factory=dict)
    payment_processor_metadata: Body = field(default_factory=dict)
    subscription_id: str | None = None

    # Known to the local Polar only, never in an API answer.

    #: When a confirmed session is due to succeed or to be declined; None: nothing is under way.
    settles_at: datetime | None = None
    #: Whether that payment will be declined.
    will_be_declined: bool = False
    #: A sentence for the buyer, set when a payment came back declined, cleared by the next try.
    decline_reason: str | None = None
    #: For the page to hand over on the way to the success URL; None where the email already
    #: belonged to a customer.
    customer_session_token: str | None = None


@dataclass(frozen=True)
class Session:
    """A customer's access to their own orders, good until `expires_at`."""

    id: str
    token: str
    customer_id: str
    created_at: datetime
    expires_at: datetime
    return_url: str | None = None
