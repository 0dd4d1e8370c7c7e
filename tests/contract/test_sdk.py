"""Polar's official SDK works against the local Polar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polar.base
import pytest
import requests
from polar.v2026_10 import Polar
from polar.v2026_10 import errors as sdk_errors

from storefront.emulator import LocalPolar, Store
from tests.contract.recordings import REFERENCE_STORE

_UNKNOWN = "11111111-1111-4111-8111-111111111111"
_BUYER = {
    "customer_name": "Jane Doe",
    "customer_billing_address": {
        "country": "FR",
        "line1": "1 rue de la Paix",
        "city": "Paris",
        "postal_code": "75002",
    },
    "confirmation_token_id": "ctoken_fake",
}


#: What a buyer enters into a custom field, by its type; of options the first.
_ANSWERS = {"text": "ACME", "number": 7, "date": "2026-12-24", "checkbox": True}


def _seed(name: str) -> dict[str, Any]:
    if name == "demo":
        demo = pytest.importorskip("storefront.emulator.demo")
        seed: dict[str, Any] = demo.demo_store("http://127.0.0.1:5000/shop")
        return seed
    reference: dict[str, Any] = json.loads(REFERENCE_STORE.read_text(encoding="utf-8"))
    return reference


@pytest.fixture(params=["reference", "demo"])
def bought(request: pytest.FixtureRequest) -> Iterator[LocalPolar]:
    """A local Polar where every product that can be had was bought once."""
    with LocalPolar(Store(_seed(request.param)), settle_seconds=0) as local:
        for number, product in enumerate(list(local.store.products.values())):
            if not product["is_archived"]:
                _buy(local, product["id"], f"buyer{number}@example.com")
        yield local


def _buy(local: LocalPolar, product_id: str, email: str) -> None:
    opened = requests.post(
        f"{local.url}/v1/checkouts/",
        json={"products": [product_id]},
        headers=local.headers,
        timeout=10,
    )
    assert opened.status_code == 201, opened.text
    checkout = opened.json()
    fields = {
        item["custom_field"]["slug"]: _ANSWERS.get(item["custom_field"]["type"]) or _first(item)
        for item in checkout["attached_custom_fields"]
    }
    paid = requests.post(
        f"{local.url}/v1/checkouts/client/{checkout['client_secret']}/confirm",
        json={**_BUYER, "customer_email": email, "custom_field_data": fields},
        timeout=10,
    )
    assert paid.status_code == 200, paid.text


def _first(attached: dict[str, Any]) -> str:
    value: str = attached["custom_field"]["properties"]["options"][0]["value"]
    return value


@pytest.fixture
def sdk(bought: LocalPolar) -> Iterator[Polar]:
    """The SDK, pointed at it."""
    with Polar("polar_oat_local", base_url=bought.url) as client:
        yield client


def test_lists_load(bought: LocalPolar, sdk: Polar) -> None:
    """Every list that a shop needs loads whole, although the SDK insists on every field."""
    store = bought.store
    assert sdk.products.list(limit=100).pagination.total_count == len(store.products)
    assert sdk.checkout_links.list(limit=100).pagination.total_count == len(store.links)
    assert sdk.checkouts.list(limit=100).pagination.total_count == len(store.checkouts)
    assert sdk.orders.list(limit=100).pagination.total_count == len(store.orders) > 0
    assert sdk.customers.list(limit=100).pagination.total_count == len(store.customers)
    assert sdk.subscriptions.list(limit=100).pagination.total_count == len(store.subscriptions)
    assert sdk.discounts.list(limit=100).pagination.total_count == len(store.discounts)
    assert sdk.benefits.list(limit=100).pagination.total_count == len(store.benefits)
    assert sdk.custom_fields.list(limit=100).pagination.total_count == len(store.custom_fields)
    assert [item.id for item in sdk.organizations.list().items] == [store.organization["id"]]


def test_single_objects_load(bought: LocalPolar, sdk: Polar) -> None:
    """Each product, link, checkout, order and customer loads by its id."""
    store = bought.store
    assert {sdk.products.get(key).id for key in store.products} == set(store.products)
    assert {sdk.checkout_links.get(key).id for key in store.links} == set(store.links)
    assert {sdk.checkouts.get(key).id for key in store.checkouts} == set(store.checkouts)
    assert {sdk.orders.get(key).id for key in store.orders} == set(store.orders)
    assert {sdk.customers.get(key).id for key in store.customers} == set(store.customers)
    for secret in store.checkout_ids:
        assert sdk.checkouts.client_get(secret).status == "succeeded"


def test_filters_find(bought: LocalPolar, sdk: Polar) -> None:
    """Orders are found by checkout and by customer, links by product."""
    order = next(iter(bought.store.orders.values()))
    assert [o.id for o in sdk.orders.list(checkout_id=order["checkout_id"]).items] == [order["id"]]
    assert [o.id for o in sdk.orders.list(customer_id=order["customer_id"]).items] == [order["id"]]
    link = next(iter(bought.store.links.values()))
    found = sdk.checkout_links.list(product_id=link["product_ids"][0], limit=100).items
    assert link["id"] in {item.id for item in found}


def test_errors_are_the_sdks_own(bought: LocalPolar, sdk: Polar) -> None:
    """What is not there, malformed or not allowed raises the SDK's own exceptions."""
    with pytest.raises(sdk_errors.ResourceNotFound):
        sdk.products.get(_UNKNOWN)
    with pytest.raises(sdk_errors.HTTPValidationError):
        sdk.products.get("nope")
    with (
        Polar("polar_oat_bogus", base_url=bought.url) as stranger,
        pytest.raises(polar.base.PolarClientError, match="401"),
    ):
        stranger.products.list()
