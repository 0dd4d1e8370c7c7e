"""The demo store, whole: the studio, its discounts, and the links that lead into a shop."""

from __future__ import annotations

from functools import partial
from typing import Any

from storefront.emulator.demo.objects import (
    ORGANIZATION_ID,
    PICTURES_PATH,
    discount,
    link,
    moment,
    stable_id,
)
from storefront.emulator.demo.products import Goods, demo_goods
from storefront.emulator.records import Body


def demo_store(site_url: str = "http://127.0.0.1:5000/shop") -> dict[str, Any]:
    """The seed of Northlight Studio, a small maker's shop with one product of every kind.

    Links send buyers on to `{site_url}/success`, and back to `{site_url}/`.
    """
    site = site_url.rstrip("/")
    goods = demo_goods()
    discounts = _discounts()
    return {
        "organization": _organization(),
        "products": list(goods.all),
        "checkout_links": _links(goods, discounts, site),
        "discounts": list(discounts.values()),
        "custom_fields": list(goods.custom_fields),
        "benefits": list(goods.benefits),
        "files": list(goods.files),
    }


def _discounts() -> dict[str, Body]:
    return {
        "launch": discount("launch", "Launch week", "LAUNCH20", basis_points=2000),
        "welcome": discount(
            "welcome", "Welcome", "WELCOME10", amounts={"usd": 1000, "eur": 900, "gbp": 800}
        ),
        "free": discount("free", "On the house", "FREE100", duration="forever", basis_points=10000),
        "quarter": discount(
            "quarter",
            "Half off for a quarter",
            "FIRST3",
            duration="repeating",
            duration_in_months=3,
            basis_points=5000,
        ),
        "over": discount(
            "over",
            "Last summer",
            "SUMMER",
            basis_points=1500,
            starts_at="2026-06-01T00:00:00Z",
            ends_at="2026-08-31T00:00:00Z",
        ),
    }


def _links(goods: Goods, discounts: dict[str, Body], site: str) -> list[Body]:
    to_shop = partial(
        link,
        success_url=f"{site}/success?checkout_id={{CHECKOUT_ID}}",
        return_url=f"{site}/",
    )
    newsletter = {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "october"}
    conference = {"utm_source": "conference", "utm_medium": "qr", "utm_campaign": "quietconf"}
    return [
        to_shop("desktop", "website", goods.desktop, day=61),
        to_shop("desktop-newsletter", "newsletter", goods.desktop, day=62, metadata=newsletter),
        to_shop(
            "desktop-conference",
            "conference",
            goods.desktop,
            day=63,
            metadata=conference,
            discount=discounts["launch"],
        ),
        to_shop("plans", "plans", goods.pro_monthly, goods.pro_yearly, day=64),
        to_shop("pro-monthly", "monthly", goods.pro_monthly, day=65),
        to_shop(
            "pro-newsletter",
            "newsletter",
            goods.pro_monthly,
            day=66,
            metadata=newsletter,
            trial_days=30,
        ),
        to_shop("pro-yearly", "yearly", goods.pro_yearly, day=67),
        to_shop("sync", None, goods.sync, day=68),
        to_shop("teams", "teams", goods.teams, day=69),
        to_shop("teams-five", "team of five", goods.teams, day=70, seats=5),
        to_shop("course", "website", goods.course, day=71),
        to_shop("course-launch", "launch", goods.course, day=72, discount=discounts["launch"]),
        to_shop(
            "starter-kit",
            "starter kit",
            goods.course,
            goods.desktop,
            goods.field_notes,
            day=73,
            metadata={"utm_campaign": "starter-kit"},
        ),
        to_shop("field-notes", None, goods.field_notes, day=74),
        to_shop("support", None, goods.support, day=75),
        to_shop("templates", "website", goods.templates, day=76),
        to_shop("credits", "website", goods.credits, day=77),
        to_shop("api", None, goods.api, day=78, require_billing_address=True),
        to_shop("letter", None, goods.letter, day=79, allow_discount_codes=False),
        to_shop("agency", "partner", goods.agency, day=80, metadata={"utm_source": "partner"}),
    ]


def _organization() -> Body:
    return {
        "created_at": moment(0),
        "modified_at": None,
        "id": ORGANIZATION_ID,
        "name": "Northlight Studio",
        "slug": "northlight-studio",
        "avatar_url": f"{PICTURES_PATH}/avatar.svg",
        "proration_behavior": "prorate",
        "allow_customer_updates": True,
        "bio": "Quiet tools and courses, made by two people",
        "company": None,
        "blog": None,
        "location": None,
        "twitter_username": None,
        "pledge_minimum_amount": 0,
        "pledge_badge_show_amount": False,
        "default_upfront_split_to_contributors": None,
        "email": "hello@northlight.example",
        "website": "https://northlight.example",
        "socials": [{"platform": "github", "url": "https://github.com/northlight-example"}],
        "status": "active",
        "details_submitted_at": moment(0),
        "onboarding_resubmission_requested_at": None,
        "sso_enforced": False,
        "default_presentment_currency": "usd",
        "default_tax_behavior": "location",
        "feature_settings": {
            "issue_funding_enabled": False,
            "seat_based_pricing_enabled": True,
            "unit_based_pricing_enabled": True,
            "wallets_enabled": False,
            "member_model_enabled": True,
            "checkout_localization_enabled": False,
            "overview_metrics": None,
            "reset_proration_behavior_enabled": False,
            "off_session_charges_enabled": False,
            "meter_cycling_enabled": False,
            "slack_benefit_enabled": False,
            "preview_access_enabled": False,
            "disputes_enabled": False,
            "sso_enabled": False,
            "dispute_auto_accept_enabled": False,
            "compass_enabled": False,
            "merchant_migration_enabled": False,
        },
        "subscription_settings": {
            "allow_multiple_subscriptions": True,
            "proration_behavior": "prorate",
            "benefit_revocation_grace_period": 0,
            "prevent_trial_abuse": False,
            "allow_customer_updates": True,
        },
        "customer_email_settings": dict.fromkeys(
            (
                "order_confirmation",
                "payment_method_expiration_reminder",
                "subscription_cancellation",
                "subscription_confirmation",
                "subscription_cycled",
                "subscription_cycled_after_trial",
                "subscription_past_due",
                "subscription_paused",
                "subscription_resumed",
                "subscription_renewal_reminder",
                "subscription_revoked",
                "subscription_trial_conversion_reminder",
                "subscription_uncanceled",
                "subscription_updated",
            ),
            True,
        ),
        "customer_portal_settings": {
            "usage": {"show": True},
            "subscription": {"update_seats": True, "update_plan": True},
            "customer": {"allow_email_change": False},
        },
        "dispute_settings": {"auto_accept_below_amount": None},
        # No list: the demo site may embed the checkout from whichever port it runs on.
        "embed_hosts": [],
        "embed_hosts_enforced": False,
        "country": "SE",
        "account_id": stable_id("account"),
        "payout_account_id": stable_id("payout-account"),
        "capabilities": dict.fromkeys(
            (
                "checkout_payments",
                "subscription_renewals",
                "payouts",
                "refunds",
                "api_access",
                "dashboard_access",
            ),
            True,
        ),
        "notification_settings": {
            "new_order": True,
            "new_subscription": True,
            "chargeback_prevention": True,
            "subscription_renewal": False,
        },
    }
