"""The demo store: everything there is to sell, and pictures to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import requests
from polar.v2026_10 import Polar

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store

SITE = "http://127.0.0.1:5000/shop"
Body = dict[str, Any]


@pytest.fixture(scope="module")
def polar() -> Iterator[LocalPolar]:
    with LocalPolar(Store(demo_store())) as running:
        yield running


def _get(url: str, **options: Any) -> requests.Response:
    return requests.get(url, timeout=5, **options)


def _kinds(product: Body) -> list[str]:
    return [price["amount_type"] for price in product["prices"]]


def _every(count: int, interval: str) -> Callable[[Body], bool]:
    def check(product: Body) -> bool:
        recurs = (product["recurring_interval_count"], product["recurring_interval"])
        return recurs == (count, interval)

    return check


def _custom(product: Body) -> Body | None:
    return next((p for p in product["prices"] if p["amount_type"] == "custom"), None)


PRODUCTS: dict[str, Callable[[Body], bool]] = {
    "one-time": lambda p: not p["is_recurring"] and _kinds(p) == ["fixed"],
    "monthly": _every(1, "month"),
    "yearly": _every(1, "year"),
    "every three months": _every(3, "month"),
    "trial": lambda p: (p["trial_interval"], p["trial_interval_count"]) == ("day", 14),
    "free": lambda p: p["prices"][0].get("price_amount") == 0,
    "pay what you want": lambda p: bool(
        (c := _custom(p)) and c["minimum_amount"] and c["maximum_amount"] and c["preset_amount"]
    ),
    "pay what you want, or nothing": lambda p: bool((c := _custom(p)) and not c["minimum_amount"]),
    "seats by volume": lambda p: (
        p["prices"][0].get("seat_tiers", {}).get("seat_tier_type") == "volume"
        and len(p["prices"][0]["seat_tiers"]["tiers"]) > 1
    ),
    "units by range": lambda p: (
        _kinds(p) == ["unit_based"]
        and p["prices"][0]["tiers"]["type"] == "graduated"
        and p["prices"][0]["unit_label"]["en"]["other"] == "credits"
    ),
    "metered beside a fixed price": lambda p: _kinds(p) == ["fixed", "metered_unit"],
    "several currencies": lambda p: (
        [price["price_currency"] for price in p["prices"]] == ["usd", "eur", "gbp"]
    ),
    "several pictures": lambda p: len(p["medias"]) > 2,
    "a PNG": lambda p: "image/png" in [media["mime_type"] for media in p["medias"]],
    "no picture": lambda p: not p["medias"],
    "no description": lambda p: p["description"] is None,
    "license key and download": lambda p: (
        [benefit["type"] for benefit in p["benefits"]] == ["license_keys", "downloadables"]
    ),
    "custom fields": lambda p: len(p["attached_custom_fields"]) > 1,
    "archived": lambda p: p["is_archived"],
    "private": lambda p: p["visibility"] == "private",
    "draft": lambda p: p["visibility"] == "draft",
    "slug in its metadata": lambda p: "slug" in p["metadata"],
    "named so that its slug is pro-monthly": lambda p: p["name"] == "Pro Monthly",
    "rich description": lambda p: all(
        sign in (p["description"] or "")
        for sign in ("# ", "## ", "\n- ", "\n1. ", "| ---", "```python", "](https://", "\n> ", "**")
    ),
}


@pytest.mark.parametrize("kind", PRODUCTS)
def test_the_demo_sells_every_kind_of_product(kind: str) -> None:
    """Whatever kind of product a shop must show, the demo store has one."""
    assert any(PRODUCTS[kind](product) for product in demo_store()["products"])


LINKS: dict[str, Callable[[Body], bool]] = {
    "monthly or yearly": lambda li: (
        [p["recurring_interval"] for p in li["products"]] == ["month", "year"]
    ),
    "several products": lambda li: len(li["products"]) > 2,
    "preset discount": lambda li: bool(li["discount"] and li["discount"]["basis_points"] == 2000),
    "newsletter": lambda li: (
        li["label"] == "newsletter" and li["metadata"]["utm_source"] == "newsletter"
    ),
    "conference": lambda li: (
        li["label"] == "conference" and li["metadata"]["utm_source"] == "conference"
    ),
    "partner, to a private product": lambda li: (
        li["label"] == "partner" and li["products"][0]["visibility"] == "private"
    ),
    "seats already counted": lambda li: li["seats"] == 5,
    "trial of its own": lambda li: li["trial_interval_count"] == 30,
    "no codes": lambda li: not li["allow_discount_codes"],
    "full address": lambda li: li["require_billing_address"],
    "no label": lambda li: li["label"] is None,
}


@pytest.mark.parametrize("kind", LINKS)
def test_the_demo_has_every_kind_of_link(kind: str) -> None:
    """Whatever a checkout link can be, the demo store has one."""
    assert any(LINKS[kind](link) for link in demo_store()["checkout_links"])


def test_some_public_product_has_no_link() -> None:
    """One public product cannot be bought, for the shop to show so."""
    store = demo_store()
    linked = {product["id"] for link in store["checkout_links"] for product in link["products"]}
    assert any(
        product["id"] not in linked
        for product in store["products"]
        if product["visibility"] == "public" and not product["is_archived"]
    )


def test_discounts_of_every_kind() -> None:
    """There are codes for a share, for everything, and for an amount in three currencies."""
    codes = {item["code"]: item for item in demo_store()["discounts"]}
    assert codes["LAUNCH20"]["basis_points"] == 2000
    assert codes["FREE100"]["basis_points"] == 10000
    assert codes["WELCOME10"]["amounts"] == {"usd": 1000, "eur": 900, "gbp": 800}
    assert codes["FIRST3"]["duration_in_months"] == 3


def test_links_lead_into_the_shop() -> None:
    """Buyers come back to the site that the store was made for."""
    for link in demo_store("http://localhost:9999/buy/")["checkout_links"]:
        assert link["success_url"] == (
            "http://localhost:9999/buy/success?checkout_id={CHECKOUT_ID}"
        )
        assert link["return_url"] == "http://localhost:9999/buy/"


def test_ids_are_uuids_that_stay() -> None:
    """Every id is a UUID of version 4, all are different, and the next start has the same."""
    store = demo_store()
    assert store == demo_store()
    ids = [
        item["id"]
        for name in ("products", "checkout_links", "discounts", "custom_fields", "benefits")
        for item in store[name]
    ]
    ids += [price["id"] for product in store["products"] for price in product["prices"]]
    ids.append(store["organization"]["id"])
    assert len(set(ids)) == len(ids)
    assert {UUID(item).version for item in ids} == {4}
    for link in store["checkout_links"]:
        assert re.fullmatch(r"polar_cl_[A-Za-z0-9]{43}", link["client_secret"])


def test_every_picture_is_served(polar: LocalPolar) -> None:
    """The pictures' addresses are absolute, on the local Polar, and give what they say."""
    headers = polar.headers
    products = _get(f"{polar.url}/v1/products/?limit=100", headers=headers).json()["items"]
    medias = [media for product in products for media in product["medias"]]
    assert len(medias) > 12
    for media in medias:
        assert media["public_url"].startswith(f"{polar.url}/assets/demo/")
        answer = _get(media["public_url"])
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, media["mime_type"])
        assert len(answer.content) == media["size"] < 40_000
    links = _get(f"{polar.url}/v1/checkout-links/", headers=headers).json()["items"]
    assert links[0]["product"]["medias"][0]["public_url"].startswith(polar.url)
    organization = _get(f"{polar.url}/v1/organizations/", headers=headers).json()
    assert _get(organization["items"][0]["avatar_url"]).status_code == 200


@pytest.mark.parametrize("name", ["../pages.py", "..%2fpages.py", "demo", "", "none.png", "/etc/x"])
def test_nothing_but_assets_is_served(polar: LocalPolar, name: str) -> None:
    """Assets do not lead out of their folder."""
    assert _get(f"{polar.url}/assets/{name}").status_code == 404


def test_a_picture_that_is_known_is_not_sent_again(polar: LocalPolar) -> None:
    """A browser that has a picture is told that it still has it."""
    url = f"{polar.url}/assets/demo/aurora.png"
    tag = _get(url).headers["ETag"]
    assert _get(url, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    "resource",
    ["products", "checkout_links", "discounts", "custom_fields", "benefits", "organizations"],
)
def test_the_official_sdk_reads_the_demo(polar: LocalPolar, resource: str) -> None:
    """The official SDK, which is strict, loads the whole store page by page."""
    api = getattr(Polar("polar_oat_local", base_url=polar.url), resource)
    expected = 1 if resource == "organizations" else len(demo_store()[resource])
    items: list[Any] = []
    page = 1
    while len(items) < expected:
        items += api.list(page=page).items
        page += 1
    assert len(items) == expected
