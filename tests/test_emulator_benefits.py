"""The local Polar grants what was bought, shows it to its buyer only, and takes it back."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from storefront.emulator.demo import demo_store
from storefront.emulator.store import Store, new_id
from storefront.testing import Purchase, ShopPolar, local_polar
from tests.contract.test_sdk import VERSIONS

_PORTAL = "/v1/customer-portal"


@pytest.fixture(scope="module")
def polar() -> Iterator[ShopPolar]:
    """A local Polar that sells the demo store."""
    with local_polar() as local:
        yield local


def read(polar: ShopPolar, path: str, token: str | None = None, **query: Any) -> Any:
    """What the API answers, with a customer's token or with the organization's."""
    headers = {"Authorization": f"Bearer {token}"} if token else polar.headers
    answer = requests.get(f"{polar.url}{path}", params=query, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def status(polar: ShopPolar, path: str, token: str) -> int:
    """The status of an answer to a customer's token."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{polar.url}{path}", headers=headers, timeout=10).status_code


def token_of(bought: Purchase) -> str:
    """The session token that a new customer is given."""
    assert bought.customer_session_token is not None
    return bought.customer_session_token


def test_a_purchase_is_granted_its_benefits(polar: ShopPolar) -> None:
    """A key with its limits, files that can be downloaded, and both as the customer's grants."""
    bought = polar.purchase("northlight", email="grants@example.com")
    token = token_of(bought)
    grants = read(polar, f"{_PORTAL}/benefit-grants/", token, order_id=bought.order_id)["items"]
    assert [grant["benefit"]["type"] for grant in grants] == ["license_keys", "downloadables"]
    assert all(grant["is_granted"] for grant in grants)
    assert all(grant["order_id"] == bought.order_id for grant in grants)
    (key,) = read(polar, f"{_PORTAL}/license-keys/", token)["items"]
    assert key["key"].startswith("NORTH-")
    assert key["display_key"] == f"****-{key['key'][-6:]}" == grants[0]["properties"]["display_key"]
    assert (key["limit_activations"], key["expires_at"]) == (3, None)
    assert read(polar, f"{_PORTAL}/license-keys/{key['id']}", token)["activations"] == []
    files = read(polar, f"{_PORTAL}/downloadables/", token)["items"]
    assert len({item["file"]["name"] for item in files}) == 3
    for item in files:
        got = requests.get(item["file"]["download"]["url"], timeout=10)
        assert got.status_code == 200
        assert len(got.content) == item["file"]["size"]
        assert item["file"]["name"] in got.headers["Content-Disposition"]


def test_what_was_granted_is_shown_to_its_buyer_only(polar: ShopPolar) -> None:
    """Lists hold the customer's own things; other people's are not found by their ids."""
    mine = polar.purchase("northlight", email="mine@example.com")
    other = token_of(polar.purchase("northlight", email="other@example.com"))
    token = token_of(mine)
    for kind in ("orders", "benefit-grants", "license-keys"):
        own = read(polar, f"{_PORTAL}/{kind}/", token)["items"]
        assert own
        assert {item["customer_id"] for item in own} == {mine.customer_id}
        where = f"{_PORTAL}/{kind}/{own[0]['id']}"
        assert status(polar, where, token) == 200
        assert status(polar, where, other) == 404
    for kind in ("orders", "benefit-grants", "license-keys", "downloadables", "subscriptions"):
        assert status(polar, f"{_PORTAL}/{kind}/", "polar_cst_unknown") == 401
        assert status(polar, f"{_PORTAL}/{kind}/", polar.token) == 401


def test_an_expired_session_is_refused(polar: ShopPolar) -> None:
    """A customer's token is good for an hour, and not for a minute longer."""
    token = token_of(polar.purchase("northlight", email="late@example.com"))
    session = polar.store.sessions[token]
    assert session.expires_at - session.created_at == timedelta(hours=1)
    polar.store.sessions[token] = replace(session, expires_at=datetime.now(UTC))
    assert status(polar, f"{_PORTAL}/orders/", token) == 401


def test_a_download_is_over_after_a_while() -> None:
    """The address of a file answers 410 when its time is over, and 404 when it was changed."""
    ahead = [timedelta()]
    store = Store(demo_store("http://localhost/shop"), clock=lambda: datetime.now(UTC) + ahead[0])
    with ShopPolar(store, settle_seconds=0) as polar:
        token = token_of(polar.purchase("northlight", email="jane@example.com"))
        url = read(polar, f"{_PORTAL}/downloadables/", token)["items"][0]["file"]["download"]["url"]
        assert requests.get(f"{url}0", timeout=10).status_code == 404
        ahead[0] = timedelta(minutes=11)
        assert requests.get(url, timeout=10).status_code == 410


def test_benefits_of_every_kind_are_granted(polar: ShopPolar) -> None:
    """Notes come with their text; what needs an account at another service waits for it."""
    seed = demo_store("http://localhost/shop")
    product = next(
        item for item in seed["products"] if item["metadata"].get("slug") == "northlight"
    )
    shape = product["benefits"][0]
    kinds = {
        "custom": {"note": "Hello"},
        "discord": {"guild_id": "1", "role_id": "2", "guild_token": "t", "kick_member": False},
        "github_repository": {
            "repository_owner": "o",
            "repository_name": "r",
            "permission": "pull",
        },
        "license_keys": {
            "prefix": None,
            "expires": {"ttl": 1, "timeframe": "year"},
            "activations": None,
            "limit_usage": 5,
        },
    }
    product["benefits"] = [
        {**shape, "id": new_id(), "type": kind, "properties": properties}
        for kind, properties in kinds.items()
    ]
    with local_polar(seed) as local:
        token = token_of(local.purchase("northlight", email="jane@example.com"))
        grants = read(local, f"{_PORTAL}/benefit-grants/", token)["items"]
        assert [grant["benefit"]["type"] for grant in grants] == list(kinds)
        assert [grant["is_granted"] for grant in grants] == [True, False, False, True]
        assert grants[0]["benefit"]["properties"] == {"note": "Hello"}
        assert grants[1]["error"]["type"] == "BenefitActionRequiredError"
        (key,) = read(local, f"{_PORTAL}/license-keys/", token)["items"]
        assert (key["limit_usage"], key["limit_activations"]) == (5, None)
        made_at = datetime.fromisoformat(key["created_at"])
        assert datetime.fromisoformat(key["expires_at"]) - made_at >= timedelta(days=365)


def test_benefits_may_come_after_the_order() -> None:
    """With `grant_seconds` an order is there before what it grants."""
    ahead = [timedelta()]
    store = Store(demo_store("http://localhost/shop"), clock=lambda: datetime.now(UTC) + ahead[0])
    with ShopPolar(store, settle_seconds=0, grant_seconds=60) as polar:
        bought = polar.purchase("northlight", email="jane@example.com")
        assert bought.order_id is not None
        assert read(polar, "/v1/benefit-grants/")["items"] == []
        ahead[0] = timedelta(seconds=60)
        assert len(read(polar, "/v1/benefit-grants/")["items"]) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sdk_reads_what_was_granted(polar: ShopPolar, version: str) -> None:
    """Grants, keys, downloads and subscriptions load, strict as the SDK is, for either reader."""
    spoken = importlib.import_module(f"polar.{version}")
    bought = polar.purchase("pro-monthly", email=f"{version}@example.com")
    polar.purchase("northlight", email=f"{version}@example.com")
    token = token_of(bought)
    with spoken.Polar(polar.token, base_url=polar.url) as sdk:
        assert sdk.benefit_grants.list(customer_id=bought.customer_id).pagination.total_count == 4
        grant = sdk.benefit_grants.list(limit=1).items[0]
        assert sdk.benefits.grants(grant.benefit_id).pagination.total_count >= 1
        keys = sdk.license_keys.list(limit=100).items
        assert sdk.license_keys.get(keys[0].id).key == keys[0].key
    with spoken.Polar(token, base_url=polar.url) as mine:
        portal = mine.customer_portal
        assert {item.benefit.type for item in portal.benefit_grants.list().items} == {
            "license_keys",
            "downloadables",
            "custom",
        }
        assert len(portal.license_keys.list().items) == 2
        assert portal.downloadables.list().items[0].file.download.url.startswith(polar.url)
        (subscription,) = portal.subscriptions.list().items
        assert portal.subscriptions.get(subscription.id) == subscription
        assert portal.orders.list().pagination.total_count == 2
