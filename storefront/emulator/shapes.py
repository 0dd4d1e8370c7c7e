"""The API's JSON objects, put together from what the store holds.

Source: every shape as recorded from the service, 2026-11-22, with `is_deletable` and the item
timestamps that the official SDK of October 2026 requires.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from storefront.emulator.pricing import (
    choose_price,
    is_free,
    is_payment_form_required,
    is_payment_required,
    is_payment_setup_required,
    totals_of,
    trial_of,
)
from storefront.emulator.records import Body, Checkout, Session, iso
from storefront.emulator.store import Store

#: Keys under which there may be an address without an origin.
ADDRESSES = ("public_url", "avatar_url")
_ADDRESS_FIELDS = ("country", "state", "city", "postal_code", "line1", "line2")

#: What an organization shows to its own tokens only.
_ORGANIZATION_PRIVATE = frozenset(
    {
        "onboarding_resubmission_requested_at",
        "sso_enforced",
        "default_presentment_currency",
        "default_tax_behavior",
        "customer_portal_settings",
        "dispute_settings",
        "embed_hosts",
        "embed_hosts_enforced",
        "country",
        "account_id",
        "payout_account_id",
        "capabilities",
        "notification_settings",
    }
)
_BENEFIT_PUBLIC = (
    "id",
    "created_at",
    "modified_at",
    "type",
    "description",
    "selectable",
    "deletable",
    "is_deleted",
    "organization_id",
)
_ORDER_PRIVATE = frozenset(
    {
        "metadata",
        "custom_field_data",
        "platform_fee_amount",
        "platform_fee_currency",
        "customer",
        "user",
        "discount",
    }
)
#: What a customer's state tells of each of their subscriptions.
_SUBSCRIPTION_STATE = (
    "id",
    "created_at",
    "modified_at",
    "custom_field_data",
    "metadata",
    "status",
    "amount",
    "currency",
    "recurring_interval",
    "current_period_start",
    "current_period_end",
    "trial_start",
    "trial_end",
    "cancel_at_period_end",
    "canceled_at",
    "started_at",
    "ends_at",
    "product_id",
    "discount_id",
    "seats",
    "units",
)
#: What a customer's state tells of each of their benefits.
_GRANT_STATE = ("id", "created_at", "modified_at", "granted_at", "benefit_id", "properties")
_CUSTOMER_OF_PORTAL = (
    "created_at",
    "modified_at",
    "id",
    "email",
    "email_verified",
    "name",
    "billing_name",
    "billing_address",
    "tax_id",
    "default_payment_method_id",
    "type",
    "locale",
)


def without(body: Body, keys: Iterable[str]) -> Body:
    """A copy of an object that lacks some of its keys."""
    left_out = frozenset(keys)
    return {key: value for key, value in body.items() if key not in left_out}


def with_origin(body: Any, base_url: str) -> Any:
    """An object in which the addresses of pictures are absolute.

    Those that a seed gives without an origin are the local Polar's own, wherever it runs.
    """
    if isinstance(body, list):
        return [with_origin(item, base_url) for item in body]
    if not isinstance(body, dict):
        return body
    absolute = {key: with_origin(value, base_url) for key, value in body.items()}
    for key in ADDRESSES:
        address = body.get(key)
        if isinstance(address, str) and address.startswith("/"):
            absolute[key] = f"{base_url}{address}"
    return absolute


def full_product(product: Body, *, benefits: frozenset[str] | None = None) -> Body:
    """A product as the products endpoints give it. `benefits` cuts its benefits down to these
    ids, as a filtered list does."""
    kept = [item for item in product["benefits"] if benefits is None or item["id"] in benefits]
    return {**product, "benefits": kept, "is_deletable": True}


def link_product(product: Body) -> Body:
    """A product as it stands in a checkout link: of its benefits only what a buyer may know."""
    benefits = [{key: item[key] for key in _BENEFIT_PUBLIC} for item in product["benefits"]]
    return {**without(product, ["attached_custom_fields"]), "benefits": benefits}


def checkout_product(product: Body) -> Body:
    """A product as it stands in a checkout."""
    return without(link_product(product), ["metadata"])


def order_product(product: Body) -> Body:
    """A product as it stands in an order."""
    return without(product, ["attached_custom_fields", "prices", "benefits", "medias"])


def public_organization(organization: Body) -> Body:
    """An organization as a buyer sees it."""
    return without(organization, _ORGANIZATION_PRIVATE)


def link(store: Store, item: Body, base_url: str, *, only: frozenset[str] | None = None) -> Body:
    """A checkout link. `only` cuts its products down to these ids, as a filtered list does."""
    products = [
        product for product in store.link_products(item) if only is None or product["id"] in only
    ]
    first = products[0]
    price = choose_price(first, store.currency)
    discount = store.discounts.get(item["discount_id"] or "")
    return {
        **without(item, ["product_ids"]),
        "products": [link_product(product) for product in products],
        "discount": without(discount, ["products"]) if discount else None,
        "product_id": first["id"],
        "product_price_id": price["id"],
        "product": link_product(first),
        "product_price": price,
        "url": f"{base_url}/v1/checkout-links/{item['client_secret']}/redirect",
    }


def success_url(checkout: Checkout, base_url: str) -> str:
    """Where a buyer is sent afterwards: `{CHECKOUT_ID}` is replaced wherever it stands."""
    if checkout.success_url is None:
        return f"{base_url}/checkout/{checkout.client_secret}/confirmation"
    return checkout.success_url.replace("{CHECKOUT_ID}", checkout.id)


def address_modes(checkout: Checkout) -> dict[str, str]:
    """Whether each part of the billing address is `required`, `optional` or `disabled`."""
    address = checkout.customer_billing_address or {}
    american = address.get("country") == "US" and is_payment_form_required(checkout)
    if checkout.require_billing_address or checkout.is_business_customer or american:
        modes = dict.fromkeys(_ADDRESS_FIELDS, "required")
        return {**modes, "state": "required" if american else "optional", "line2": "optional"}
    return {**dict.fromkeys(_ADDRESS_FIELDS, "disabled"), "country": "required"}


def _checkout(store: Store, checkout: Checkout, base_url: str) -> Body:
    totals = totals_of(checkout)
    trial = trial_of(checkout)
    modes = address_modes(checkout)
    discount = checkout.discount
    products = [store.products[product_id] for product_id in checkout.product_ids]
    return {
        "id": checkout.id,
        "created_at": iso(checkout.created_at),
        "modified_at": iso(checkout.modified_at),
        "custom_field_data": checkout.custom_field_data,
        "payment_processor": "stripe",
        "status": checkout.status,
        "client_secret": checkout.client_secret,
        "url": f"{base_url}/checkout/{checkout.client_secret}",
        "expires_at": iso(checkout.expires_at),
        "success_url": success_url(checkout, base_url),
        "return_url": checkout.return_url,
        "embed_origin": checkout.embed_origin,
        "amount": totals.amount,
        "seats": checkout.seats,
        "min_seats": checkout.min_seats,
        "max_seats": checkout.max_seats,
        "units": checkout.units,
        "min_units": checkout.min_units,
        "max_units": checkout.max_units,
        "discount_amount": totals.discount,
        "net_amount": totals.net,
        "tax_amount": totals.tax,
        "tax_behavior": totals.tax_behavior,
        "total_amount": totals.total,
        "currency": checkout.currency,
        "allow_trial": checkout.allow_trial,
        "active_trial_interval": trial and trial[0],
        "active_trial_interval_count": trial and trial[1],
        "trial_end": iso(checkout.trial_end),
        "organization_id": store.organization["id"],
        "product_id": checkout.product["id"],
        "product_price_id": checkout.price["id"],
        "discount_id": discount and discount["id"],
        "allow_discount_codes": checkout.allow_discount_codes,
        "require_billing_address": checkout.require_billing_address,
        "is_discount_applicable": not is_free(checkout.product),
        "is_free_product_price": is_free(checkout.product),
        "is_payment_required": is_payment_required(checkout),
        "is_payment_setup_required": is_payment_setup_required(checkout),
        "is_payment_form_required": is_payment_form_required(checkout),
        "customer_id": checkout.customer_id,
        "is_business_customer": checkout.is_business_customer,
        "customer_name": checkout.customer_name,
        "customer_email": checkout.customer_email,
        "customer_ip_address": checkout.customer_ip_address,
        "customer_billing_name": checkout.customer_billing_name,
        "customer_billing_address": checkout.customer_billing_address,
        "customer_tax_id": checkout.customer_tax_id,
        "locale": checkout.locale,
        "payment_method_type": None,
        "payment_processor_metadata": {
            "publishable_key": "pk_test_fake",
            **checkout.payment_processor_metadata,
        },
        "customer_billing_address_fields": {
            name: mode == "required" for name, mode in modes.items()
        },
        "billing_address_fields": modes,
        "products": [checkout_product(product) for product in products],
        "product": checkout_product(checkout.product),
        "product_price": checkout.price,
        "prices": {product["id"]: product["prices"] for product in products},
        "discount": discount and checkout_discount(discount),
        "attached_custom_fields": checkout.product["attached_custom_fields"],
        "subtotal_amount": totals.net,
    }


def checkout_discount(discount: Body) -> Body:
    """A discount as it stands in a checkout."""
    keys = ("duration", "type", "basis_points", "amount", "currency", "amounts", "id", "name")
    return {key: discount[key] for key in (*keys, "code") if key in discount}


def checkout(store: Store, item: Checkout, base_url: str) -> Body:
    """A checkout as the organization reads it."""
    return {
        **_checkout(store, item, base_url),
        "trial_interval": item.trial_interval,
        "trial_interval_count": item.trial_interval_count,
        "metadata": item.metadata,
        "external_customer_id": item.customer_external_id,
        "customer_external_id": item.customer_external_id,
        "subscription_id": item.subscription_id,
        "customer_metadata": item.customer_metadata,
    }


def public_checkout(store: Store, item: Checkout, base_url: str) -> Body:
    """A checkout as its page reads it, by client secret."""
    body = _checkout(store, item, base_url)
    return {**body, "organization": public_organization(store.organization)}


def order(store: Store, item: Body) -> Body:
    """An order as the organization reads it."""
    product = store.products[item["product_id"]]
    prices = {price["id"]: price for price in product["prices"]}
    discount = store.discounts.get(item["discount_id"] or "")
    subscription = store.subscriptions.get(item["subscription_id"] or "")
    customer = store.customers[item["customer_id"]]
    return {
        **without(item, ["short_id"]),
        "is_invoice_generated": store.has_invoice(item["id"]),
        "customer": public_customer(customer),
        "user_id": customer["id"],
        "user": user(customer),
        "product": order_product(product),
        "product_price": prices.get(item["product_price_id"]),
        "discount": without(discount, ["products"]) if discount else None,
        "subscription": without(subscription, ["custom_field_data"]) if subscription else None,
    }


def portal_order(store: Store, item: Body) -> Body:
    """An order as the customer who placed it reads it."""
    product = checkout_product(store.products[item["product_id"]])
    body = without(order(store, item), _ORDER_PRIVATE)
    return {
        **body,
        "product": {**product, "organization": portal_organization(store.organization)},
    }


def portal_organization(organization: Body) -> Body:
    """An organization as its customers' portal sees it."""
    features = organization.get("feature_settings") or {}
    shown = ("member_model_enabled", "checkout_localization_enabled")
    return {
        **public_organization(organization),
        "customer_portal_settings": organization.get("customer_portal_settings"),
        "organization_features": {name: bool(features.get(name)) for name in shown},
    }


def subscription(store: Store, item: Body) -> Body:
    """A subscription as the organization reads it."""
    product = store.products[item["product_id"]]
    prices = [price for price in product["prices"] if price["id"] == item["price_id"]]
    discount = store.discounts.get(item["discount_id"] or "")
    customer = store.customers[item["customer_id"]]
    return {
        **item,
        "customer": public_customer(customer),
        "user": user(customer),
        "product": full_product(product),
        "discount": without(discount, ["products"]) if discount else None,
        "price": prices[0] if prices else None,
        "prices": prices,
        "meters": [],
        "pending_update": None,
    }


def portal_subscription(store: Store, item: Body) -> Body:
    """A subscription as the customer who has it reads it."""
    product = checkout_product(store.products[item["product_id"]])
    organization = portal_organization(store.organization)
    left_out = ("metadata", "custom_field_data", "customer", "user", "discount")
    return {
        **without(subscription(store, item), left_out),
        "product": {**product, "organization": organization},
    }


def public_customer(customer: Body) -> Body:
    """A customer as the organization reads it."""
    return without(customer, ["short_id", "orders_count", "processor_id", "member_id"])


def portal_customer(customer: Body) -> Body:
    """A customer as they read themselves."""
    return {**{key: customer[key] for key in _CUSTOMER_OF_PORTAL}, "oauth_accounts": {}}


def customer_state(store: Store, customer: Body) -> Body:
    """A customer with all they have. Meters count nothing here."""
    subscriptions = [
        {**{key: item[key] for key in _SUBSCRIPTION_STATE}, "meters": []}
        for item in store.subscriptions_of.get(customer["id"], ())
        if item["status"] in {"active", "trialing"}
    ]
    grants = []
    for item in store.grants_of.get(customer["id"], ()):
        if item["is_granted"]:
            benefit = store.benefit(item["benefit_id"])
            grants.append(
                {
                    **{key: item[key] for key in _GRANT_STATE},
                    "benefit_type": benefit["type"],
                    "benefit_metadata": benefit.get("metadata", {}),
                }
            )
    return {
        **public_customer(customer),
        "active_subscriptions": subscriptions,
        "granted_benefits": grants,
        "active_meters": [],
    }


def member(customer: Body) -> Body:
    """The one person that a customer is, as its team has them."""
    return {
        "id": customer["member_id"],
        "created_at": customer["created_at"],
        "modified_at": None,
        "customer_id": customer["id"],
        "email": customer["email"],
        "name": customer["name"],
        "external_id": None,
        "role": "owner",
    }


def grant(store: Store, item: Body) -> Body:
    """A benefit's grant as the organization reads it."""
    customer = store.customers[item["customer_id"]]
    return {
        **item,
        "customer": public_customer(customer),
        "member": member(customer),
        "benefit": store.benefit(item["benefit_id"]),
        "user_id": customer["id"],
    }


def portal_grant(store: Store, item: Body) -> Body:
    """A benefit's grant as the customer who has it reads it."""
    benefit = store.benefit(item["benefit_id"])
    properties = benefit["properties"]
    if benefit["type"] == "downloadables":
        properties = {"active_files": item["properties"].get("files", [])}
    return {
        **item,
        "customer": portal_customer(store.customers[item["customer_id"]]),
        "benefit": {
            **{key: benefit[key] for key in _BENEFIT_PUBLIC},
            "organization": public_organization(store.organization),
            "properties": properties,
        },
    }


def license_key(store: Store, item: Body) -> Body:
    """A license key, with the key itself. Keys of the members of a team are not made here."""
    customer = store.customers[item["customer_id"]]
    return {
        **item,
        "user_id": customer["id"],
        "user": without(user(customer), ["github_username"]),
        "customer": public_customer(customer),
        "member_id": None,
        "member": None,
    }


def download(grant: Body, file: Body, url: str, expires_at: str) -> Body:
    """A file that a customer may download, with the address it is at for a while."""
    return {
        "id": f"{grant['id'][:24]}{file['id'][24:]}",
        "benefit_id": grant["benefit_id"],
        "file": {
            **without(file, ["created_at", "public_url", "flagged_malicious_at"]),
            "download": {"url": url, "headers": {}, "expires_at": expires_at},
        },
    }


def user(customer: Body) -> Body:
    """The older name for a customer, still sent along."""
    return {
        "id": customer["id"],
        "email": customer["email"],
        "public_name": customer["email"][0].upper(),
        "avatar_url": customer["avatar_url"],
        "github_username": None,
    }


def session(store: Store, item: Session, portal_url: str) -> Body:
    """A customer session as it is answered when it is made; `token` is shown this once."""
    body: dict[str, Any] = {
        "created_at": iso(item.created_at),
        "modified_at": None,
        "id": item.id,
        "token": item.token,
        "expires_at": iso(item.expires_at),
        "return_url": item.return_url,
        "customer_portal_url": portal_url,
        "customer_id": item.customer_id,
        "customer": public_customer(store.customers[item.customer_id]),
    }
    return body
