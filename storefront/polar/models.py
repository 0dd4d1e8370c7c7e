"""What Storefront reads of Polar's answers.

Each model takes the fields that are used and ignores the rest, keeps enumerations as plain
strings and gives every field that an older or newer Polar may leave out a default, so that an
API that grows does not break a shop. Amounts are integers in the currency's minor unit; times
are aware datetimes in UTC.

Source: recorded answers of Polar's API, versions 2026-04 and 2026-10, of 2026-11-22, and its
older documentation (a link with singular ``product``, prices with an interval of their own).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

Metadata = dict[str, Any]


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base: immutable, built by keyword; encoded, it is short."""


class TimedModel(Model, frozen=True, kw_only=True):
    """The base of what has times: they are in UTC, also where an answer had them otherwise."""

    def __post_init__(self) -> None:
        for name in _times(type(self)):
            value = getattr(self, name)
            if value is not None and value.tzinfo is not UTC:
                aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
                try:
                    in_utc = aware.astimezone(UTC)
                except OverflowError:
                    # Decoders tell of a ValueError as of all that is no good.
                    raise ValueError(f"{name} is no time in UTC") from None
                msgspec.structs.force_setattr(self, name, in_utc)


@cache
def _times(model: type[TimedModel]) -> tuple[str, ...]:
    """The fields that are times, found once: a large list has tens of thousands of each model."""
    return tuple(
        field.name for field in msgspec.structs.fields(model) if field.type == datetime | None
    )


class SeatTier(Model, frozen=True, kw_only=True):
    """What a seat costs from ``min_seats`` to ``max_seats``, both inclusive."""

    min_seats: int = 1
    max_seats: int | None = None
    price_per_seat: int = 0


class SeatTiers(Model, frozen=True, kw_only=True):
    """A seat-based price. ``volume``: all seats at the tier's rate; ``graduated``: each its own."""

    seat_tier_type: str = "volume"
    tiers: tuple[SeatTier, ...] = ()
    minimum_seats: int = 1
    maximum_seats: int | None = None


class UnitTier(Model, frozen=True, kw_only=True):
    """What a unit costs up to and including ``bound``; a decimal string of minor units."""

    unit_amount: str = "0"
    bound: int | None = None


class UnitTiers(Model, frozen=True, kw_only=True):
    """The tiers of a unit-based price."""

    type: str = "volume"
    tiers: tuple[UnitTier, ...] = ()


class Meter(Model, frozen=True, kw_only=True):
    """What a usage-based price counts."""

    id: str = ""
    name: str = ""


class Price(Model, frozen=True, kw_only=True):
    """One price of a product. ``amount_type`` says which of the amounts is meant.

    ``fixed``: price_amount. ``free``: nothing (older). ``custom``: minimum_amount,
    maximum_amount, preset_amount. ``seat_based``: seat_tiers. ``unit_based``: tiers,
    minimum_units, maximum_units. ``metered_unit``: unit_amount (decimal string of minor units),
    cap_amount, meter.
    """

    id: str
    amount_type: str = "fixed"
    price_currency: str = "usd"
    price_amount: int | None = None
    minimum_amount: int | None = None
    maximum_amount: int | None = None
    preset_amount: int | None = None
    seat_tiers: SeatTiers | None = None
    price_per_seat: int | None = None
    tiers: UnitTiers | None = None
    minimum_units: int | None = None
    maximum_units: int | None = None
    unit_label: Any = None
    unit_amount: str | None = None
    cap_amount: int | None = None
    meter: Meter | None = None
    recurring_interval: str | None = None
    is_archived: bool = False


class Media(Model, frozen=True, kw_only=True):
    """A picture of a product."""

    id: str = ""
    name: str = ""
    mime_type: str = ""
    public_url: str = ""


class Benefit(Model, frozen=True, kw_only=True):
    """What a buyer is granted: ``license_keys``, ``downloadables``, ``custom``, …"""

    id: str = ""
    type: str = "custom"
    description: str = ""


class CustomField(Model, frozen=True, kw_only=True):
    """A question on the checkout page."""

    id: str = ""
    type: str = "text"
    slug: str = ""
    name: str = ""
    properties: dict[str, Any] = {}


class AttachedCustomField(Model, frozen=True, kw_only=True):
    """A custom field as attached to a product."""

    custom_field: CustomField = CustomField()
    required: bool = False
    order: int = 0


class Product(TimedModel, frozen=True, kw_only=True):
    """A product of the organization. ``visibility`` is ``public``, ``private`` or ``draft``."""

    id: str
    name: str = ""
    description: str | None = None
    visibility: str = "public"
    recurring_interval: str | None = None
    recurring_interval_count: int | None = None
    trial_interval: str | None = None
    trial_interval_count: int | None = None
    is_recurring: bool = False
    is_archived: bool = False
    metadata: Metadata = {}
    prices: tuple[Price, ...] = ()
    benefits: tuple[Benefit, ...] = ()
    medias: tuple[Media, ...] = ()
    #: None where the answer does not carry them: products inside a checkout link come without.
    attached_custom_fields: tuple[AttachedCustomField, ...] | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None


class Discount(TimedModel, frozen=True, kw_only=True):
    """A discount. ``percentage`` has basis_points; ``fixed`` has amounts by currency.

    ``products`` are those that it is limited to; none when it is for all of them, and inside a
    checkout link, where Polar leaves them out.
    """

    id: str
    name: str = ""
    type: str = "fixed"
    duration: str = "once"
    duration_in_months: int | None = None
    code: str | None = None
    basis_points: int | None = None
    amount: int | None = None
    currency: str | None = None
    amounts: dict[str, int] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_redemptions: int | None = None
    max_redemptions_per_customer: int | None = None
    redemptions_count: int = 0
    products: tuple[Product, ...] = ()
    created_at: datetime | None = None
    modified_at: datetime | None = None


class CheckoutLink(TimedModel, frozen=True, kw_only=True):
    """A checkout link. ``url`` and ``products`` are filled in by the client where older answers
    have only ``client_secret`` and ``product``."""

    id: str
    client_secret: str = ""
    url: str = ""
    label: str | None = None
    allow_discount_codes: bool = True
    require_billing_address: bool = False
    success_url: str | None = None
    return_url: str | None = None
    discount_id: str | None = None
    discount: Discount | None = None
    trial_interval: str | None = None
    trial_interval_count: int | None = None
    seats: int | None = None
    units: int | None = None
    metadata: Metadata = {}
    products: tuple[Product, ...] = ()
    product: Product | None = None
    product_price: Price | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None


class BillingAddress(Model, frozen=True, kw_only=True):
    """What a buyer typed as their address; ``country`` is an ISO code. The repr leaves it out."""

    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None

    def __repr__(self) -> str:
        return "BillingAddress('***')"


class Checkout(TimedModel, frozen=True, kw_only=True):
    """A checkout session. ``status``: ``open``, ``confirmed`` (not paid yet), ``succeeded``,
    ``expired``, ``failed``. Amounts are integers of ``currency``; ``total_amount`` is None while
    the tax is not known. The repr leaves out who buys."""

    id: str
    status: str = "open"
    client_secret: str = ""
    url: str = ""
    expires_at: datetime | None = None
    success_url: str | None = None
    return_url: str | None = None
    currency: str = "usd"
    amount: int | None = None
    discount_amount: int | None = None
    net_amount: int | None = None
    tax_amount: int | None = None
    total_amount: int | None = None
    product_id: str | None = None
    product: Product | None = None
    discount: Discount | None = None
    seats: int | None = None
    units: int | None = None
    active_trial_interval: str | None = None
    active_trial_interval_count: int | None = None
    trial_end: datetime | None = None
    customer_id: str | None = None
    customer_email: str | None = None
    customer_name: str | None = None
    customer_billing_address: BillingAddress | None = None
    external_customer_id: str | None = None
    subscription_id: str | None = None
    metadata: Metadata = {}
    created_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Checkout(id={self.id!r}, status={self.status!r})"


class OrderItem(Model, frozen=True, kw_only=True):
    """One line of an order; ``amount`` before discount and tax."""

    id: str = ""
    label: str = ""
    amount: int = 0
    tax_amount: int = 0


class OrderCustomer(Model, frozen=True, kw_only=True):
    """Who an order is for. The repr leaves out who that is: it may end up in a log."""

    id: str = ""
    email: str | None = None
    name: str | None = None
    external_id: str | None = None
    organization_id: str | None = None

    def __repr__(self) -> str:
        return f"OrderCustomer(id={self.id!r})"


class OrderSubscription(TimedModel, frozen=True, kw_only=True):
    """The subscription that an order began, or renewed."""

    id: str = ""
    status: str = "active"
    trial_end: datetime | None = None
    current_period_end: datetime | None = None


class Order(TimedModel, frozen=True, kw_only=True):
    """An order. ``status``: ``pending``, ``paid``, ``refunded``, ``partially_refunded``, …

    ``refunded_amount`` is without tax, as ``net_amount`` is.
    """

    id: str
    status: str = "pending"
    paid: bool = False
    currency: str = "usd"
    subtotal_amount: int = 0
    discount_amount: int = 0
    net_amount: int = 0
    tax_amount: int = 0
    total_amount: int = 0
    refunded_amount: int = 0
    billing_reason: str = "purchase"
    invoice_number: str | None = None
    description: str = ""
    items: tuple[OrderItem, ...] = ()
    seats: int | None = None
    units: int | None = None
    customer_id: str | None = None
    product_id: str | None = None
    product: Product | None = None
    discount: Discount | None = None
    subscription_id: str | None = None
    subscription: OrderSubscription | None = None
    checkout_id: str | None = None
    customer: OrderCustomer | None = None
    metadata: Metadata = {}
    custom_field_data: dict[str, Any] = {}
    created_at: datetime | None = None
    modified_at: datetime | None = None


class Organization(Model, frozen=True, kw_only=True):
    """The organization that a token belongs to. ``embed_hosts`` may show its checkout inside their
    own pages; any host may while ``embed_hosts_enforced`` is false."""

    id: str
    name: str = ""
    slug: str = ""
    avatar_url: str | None = None
    website: str | None = None
    email: str | None = None
    status: str = "active"
    embed_hosts: tuple[str, ...] = ()
    embed_hosts_enforced: bool = False
    #: What is switched on for it, such as ``checkout_localization_enabled``.
    feature_settings: dict[str, Any] | None = None
    #: What it may do at the moment, such as ``checkout_payments``.
    capabilities: dict[str, Any] | None = None


class WebhookEndpoint(TimedModel, frozen=True, kw_only=True):
    """Where Polar reports events. ``format``: ``raw``, or one for a chat. Polar switches one off
    (``enabled``) after ten failures in a row. Its secret, which Polar sends too, is not kept."""

    id: str
    url: str = ""
    name: str | None = None
    format: str = "raw"
    events: tuple[str, ...] = ()
    enabled: bool = True
    organization_id: str = ""
    created_at: datetime | None = None
    modified_at: datetime | None = None


class CustomerSession(TimedModel, frozen=True, kw_only=True):
    """A customer's session with the portal. Both values are secrets: redirect, never print."""

    token: str
    customer_portal_url: str = ""
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return "CustomerSession(token='***', customer_portal_url='***')"


class GrantedBenefit(Model, frozen=True, kw_only=True):
    """A benefit as its buyer sees it: ``properties`` may hold what only buyers may know."""

    id: str = ""
    type: str = "custom"
    description: str = ""
    properties: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"GrantedBenefit(id={self.id!r}, type={self.type!r})"


class GrantProblem(Model, frozen=True, kw_only=True):
    """Why a benefit could not be granted: the buyer has to connect an account first, mostly."""

    type: str = ""
    message: str = ""


class BenefitGrant(TimedModel, frozen=True, kw_only=True):
    """What a buyer was granted, for an order or, where the product recurs, a subscription.

    One that waits for the buyer is not ``is_granted``, and has a ``problem``.
    """

    id: str
    benefit_id: str = ""
    customer_id: str | None = None
    order_id: str | None = None
    subscription_id: str | None = None
    is_granted: bool = False
    is_revoked: bool = False
    problem: GrantProblem | None = msgspec.field(default=None, name="error")
    benefit: GrantedBenefit = GrantedBenefit()
    #: What was granted in particular: ``license_key_id`` and ``display_key``, or ``files``.
    properties: dict[str, Any] | None = None
    granted_at: datetime | None = None

    @property
    def note(self) -> str | None:
        """What the seller tells whoever has a ``custom`` benefit, in Markdown."""
        note = (self.benefit.properties or {}).get("note")
        return note if isinstance(note, str) else None

    @property
    def license_key_id(self) -> str | None:
        """The id of the license key that came with it."""
        key = (self.properties or {}).get("license_key_id")
        return key if isinstance(key, str) else None


class LicenseKey(TimedModel, frozen=True, kw_only=True):
    """A license key. ``status``: ``granted``, ``revoked`` or ``disabled``. The repr leaves out the
    key, and has its end."""

    id: str
    key: str
    display_key: str = ""
    status: str = "granted"
    benefit_id: str = ""
    customer_id: str | None = None
    limit_activations: int | None = None
    limit_usage: int | None = None
    usage: int = 0
    expires_at: datetime | None = None
    created_at: datetime | None = None

    def __repr__(self) -> str:
        return f"LicenseKey({self.display_key!r}, status={self.status!r})"


class DownloadAddress(TimedModel, frozen=True, kw_only=True):
    """Where a file can be downloaded, by anybody who knows it, until it expires."""

    url: str
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"DownloadAddress(url='***', expires_at={self.expires_at!r})"


class DownloadableFile(Model, frozen=True, kw_only=True):
    """A file. ``size`` is in bytes."""

    id: str = ""
    name: str = ""
    mime_type: str = ""
    size: int = 0
    version: str | None = None
    checksum_sha256_hex: str | None = None
    download: DownloadAddress


class Downloadable(Model, frozen=True, kw_only=True):
    """A file that a buyer was granted."""

    id: str
    benefit_id: str = ""
    file: DownloadableFile
