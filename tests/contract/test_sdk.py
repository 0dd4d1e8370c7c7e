"""Polar's official SDK works against the local Polar."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

import polar.base
import pytest
import requests
from polar.v2026_10 import Polar
from polar.v2026_10 import errors as sdk_errors

from storefront.emulator import LocalPolar, Store
from storefront.testing import local_polar
from tests.contract.recordings import REFERENCE_STORE
from tests.contract.test_webhooks import SECRET, STANDARD_SECRET, listening, polar_for, wait_for

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


#: The versions of the API that the SDK speaks.
VERSIONS = ("v2026_04", "v2026_10", "v2027_01")


@pytest.fixture(params=VERSIONS)
def spoken(request: pytest.FixtureRequest) -> Any:
    """The SDK in one of its versions of the API."""
    return importlib.import_module(f"polar.{request.param}")


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


def test_checkout_links_can_be_written(spoken: Any) -> None:
    """In each version of the API the SDK makes, changes, lists, reads and deletes a link."""
    with (
        local_polar(REFERENCE_STORE) as local,
        spoken.Polar(local.token, base_url=local.url) as sdk,
    ):
        product = local.store.live_links()[0]["product_ids"][0]
        wanted = {
            "label": "From the SDK",
            "success_url": "https://example.com/ok?checkout_id={CHECKOUT_ID}",
            "metadata": {"campaign": "spring", "rank": 1, "share": 0.5, "is_new": True},
            "allow_discount_codes": False,
        }
        made = sdk.checkout_links.create(payment_processor="stripe", products=[product], **wanted)
        assert {name: getattr(made, name) for name in wanted} == wanted
        assert made.url == f"{local.url}/v1/checkout-links/{made.client_secret}/redirect"
        changed = sdk.checkout_links.update(made.id, label=None, metadata={"only": "this"})
        assert (changed.label, changed.metadata) == (None, {"only": "this"})
        assert changed.success_url == wanted["success_url"]
        listed = sdk.checkout_links.list(product_id=product, limit=100).items
        assert made.id in {item.id for item in listed}
        assert sdk.checkout_links.get(made.id) == changed
        assert sdk.checkout_links.delete(made.id) is None
        with pytest.raises(spoken.errors.ResourceNotFound):
            sdk.checkout_links.get(made.id)


def test_refused_writes_raise_the_sdks_own_errors(spoken: Any) -> None:
    """401, 404, 422, 429 and 5xx are what the SDK takes them for."""
    unknown = {"payment_processor": "stripe", "products": [_UNKNOWN]}
    with (
        local_polar(REFERENCE_STORE) as local,
        spoken.Polar(local.token, base_url=local.url) as sdk,
    ):
        with pytest.raises(spoken.errors.ResourceNotFound):
            sdk.checkout_links.update(_UNKNOWN, label="x")
        with pytest.raises(spoken.errors.ResourceNotFound):
            sdk.checkout_links.delete(_UNKNOWN)
        with pytest.raises(spoken.errors.HTTPValidationError) as refused:
            sdk.checkout_links.create(**unknown)
        assert [item.msg for item in refused.value.error.detail] == ["Product does not exist."]
        with (
            spoken.Polar("polar_oat_bogus", base_url=local.url) as stranger,
            pytest.raises(polar.base.PolarClientError, match="401"),
        ):
            stranger.checkout_links.create(**unknown)
        with (
            local.faults.during("status", 503),
            pytest.raises(polar.base.PolarServerError, match="503"),
        ):
            sdk.checkout_links.create(**unknown)
        with (
            local.faults.during("status", 429),
            pytest.raises(polar.base.PolarRateLimitError),
        ):
            sdk.checkout_links.create(**unknown)


@pytest.mark.parametrize(("style", "secret"), [("utf8", SECRET), ("standard", STANDARD_SECRET)])
def test_deliveries_are_the_sdks_events(spoken: Any, style: Any, secret: str) -> None:
    """Every delivery about a purchase and a change verifies and loads, strict as the SDK is."""
    with (
        listening() as shop,
        polar_for(
            shop,
            key=style,
            secret=secret,
            api_version=spoken.__name__.partition(".v")[2].replace("_", "-"),
        ) as local,
    ):
        sellable = next(
            product["id"]
            for product in local.store.products.values()
            if product["is_recurring"] and not product["is_archived"] and len(product["prices"]) < 2
        )
        _buy(local, sellable, "jane@example.com")
        wait_for(shop, 12)
        requests.patch(
            f"{local.url}/v1/products/{sellable}",
            json={"description": "Changed"},
            headers=local.headers,
            timeout=10,
        )
        wait_for(shop, 13)
    assert len(set(shop.types)) >= 10
    webhooks = importlib.import_module(f"{spoken.__name__}.webhooks")
    for headers, body in shop.received:
        if json.loads(body)["data"].get("active_subscriptions"):
            # The SDK mistakes the status of a customer's subscription for that of a benefit.
            continue
        event = webhooks.validate_event(body, headers, secret)
        assert event.type == json.loads(body)["type"]
