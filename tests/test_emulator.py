"""The local Polar where nothing was recorded: purchases of every kind, time, threads, hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from storefront.emulator import LocalPolar, Store
from storefront.emulator.confirming import DECLINING_TOKEN
from storefront.emulator.server import make_tokens
from storefront.emulator.store import SeedError
from tests.contract.recordings import REFERENCE_STORE

FRANCE = {"country": "FR"}


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now


class Buyer:
    """Somebody with a browser, or a shop's server, in front of a local Polar."""

    def __init__(self, polar: LocalPolar, clock: Clock) -> None:
        self.polar = polar
        self.clock = clock

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """Send a request with the shop's token and check the status of the answer."""
        headers = {**self.polar.headers, **options.pop("headers", {})}
        response = requests.request(
            method,
            f"{self.polar.url}{path}",
            headers=headers,
            timeout=10,
            allow_redirects=False,
            **options,
        )
        assert response.status_code == status, response.text
        if response.status_code == 307:
            return response.headers["Location"]
        return response.json() if response.text else None

    def open(self, product: str, **query: Any) -> dict[str, Any]:
        """Open the first link that offers the product of that name first."""
        link = next(
            item
            for item in self.polar.store.live_links()
            if self.polar.store.link_products(item)[0]["name"] == product
        )
        path = f"/v1/checkout-links/{link['client_secret']}/redirect"
        location = self.call("GET", path, 307, params=query)
        secret = location.partition("/checkout/")[2].partition("?")[0]
        return self.read(secret)

    def read(self, secret: str) -> dict[str, Any]:
        """The session as its page sees it."""
        checkout: dict[str, Any] = self.call("GET", f"/v1/checkouts/client/{secret}")
        return checkout

    def change(self, secret: str, status: int = 200, **changes: Any) -> dict[str, Any]:
        """Fill in something."""
        path = f"/v1/checkouts/client/{secret}"
        answer: dict[str, Any] = self.call("PATCH", path, status, json=changes)
        return answer

    def confirm(self, secret: str, status: int = 200, **changes: Any) -> dict[str, Any]:
        """Click on Pay."""
        body = {
            "customer_email": "jane@example.com",
            "customer_billing_address": FRANCE,
            "confirmation_token_id": "ctoken_fake",
            **changes,
        }
        path = f"/v1/checkouts/client/{secret}/confirm"
        answer: dict[str, Any] = self.call("POST", path, status, json=body)
        return answer

    def buy(self, secret: str, **changes: Any) -> dict[str, Any]:
        """Click on Pay and wait for the order."""
        checkout = self.confirm(secret, **changes)
        self.clock.now += timedelta(seconds=2)
        orders = self.call("GET", "/v1/orders/", params={"checkout_id": checkout["id"]})
        order: dict[str, Any] = orders["items"][0]
        return order


@pytest.fixture
def seed() -> dict[str, Any]:
    """The reference store."""
    loaded: dict[str, Any] = json.loads(REFERENCE_STORE.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def buyer(seed: dict[str, Any]) -> Iterator[Buyer]:
    """A buyer before the reference store."""
    clock = Clock()
    tokens = make_tokens(readonly="polar_oat_ro", other_organization="polar_oat_other")
    with LocalPolar(Store(seed, clock=clock), tokens=tokens, settle_seconds=1.0) as polar:
        yield Buyer(polar, clock)


@pytest.mark.parametrize(
    ("product", "query", "changes", "subtotal", "total"),
    [
        ("Ebook: Fast APIs", {}, {}, 2900, 2900),
        ("Ebook: Fast APIs", {"discount_code": "launch20"}, {}, 2900, 2320),
        ("Ebook: Fast APIs", {"discount_code": "FREE100"}, {}, 2900, 0),
        ("Free Starter", {}, {}, 0, 0),
        ("Pay What You Want incl. zero", {}, {"amount": 700}, 700, 700),
        ("Support Us", {}, {}, 1500, 1500),
        ("Support Us", {"amount": "2000"}, {}, 2000, 2000),
        ("Multi Currency Course", {}, {}, 5000, 5000),
        ("Pro Monthly", {}, {}, 1900, 1900),
        ("Team Seats", {}, {}, 5000, 5000),
        ("Private Product", {}, {}, 1000, 1000),
    ],
)
def test_order_follows_price(
    buyer: Buyer,
    product: str,
    query: dict[str, str],
    changes: dict[str, Any],
    subtotal: int,
    total: int,
) -> None:
    """What a checkout came to is what its order comes to, for every kind of price."""
    secret = buyer.open(product, **query)["client_secret"]
    checkout = buyer.change(secret, **changes)
    assert (checkout["amount"], checkout["total_amount"]) == (subtotal, total)
    order = buyer.buy(secret)
    assert (order["status"], order["paid"]) == ("paid", True)
    assert (order["subtotal_amount"], order["total_amount"]) == (subtotal, total)
    assert order["items"][0]["amount"] == subtotal
    assert order["product"]["name"] == order["description"] == product


def test_price_per_seat_falls_with_the_tier(buyer: Buyer) -> None:
    """Eleven seats cost eleven times the second tier's price; too few are refused."""
    body = {"products": [_id(buyer, "Team Seats")]}
    secret = buyer.call("POST", "/v1/checkouts/", 201, json=body)["client_secret"]
    assert buyer.change(secret, seats=11)["total_amount"] == 8800
    assert buyer.change(secret, 422, seats=1)["detail"][0]["loc"] == ["body", "seats"]
    assert buyer.read(secret)["seats"] == 11


def test_locked_seats_stay(buyer: Buyer) -> None:
    """A link with a number of seats sells exactly that many."""
    secret = buyer.open("Team Seats")["client_secret"]
    buyer.change(secret, 422, seats=6)
    order = buyer.buy(secret)
    assert (order["seats"], order["items"][0]["label"]) == (5, "Team Seats (5 seats)")


def test_trial_costs_nothing_yet(buyer: Buyer) -> None:
    """A trial gives a paid order of 0 and a subscription that is billed when it ends."""
    body = {"products": [_id(buyer, "Pro Yearly")]}
    checkout = buyer.call("POST", "/v1/checkouts/", 201, json=body)
    opened = datetime.fromisoformat(checkout["created_at"])
    assert datetime.fromisoformat(checkout["trial_end"]) - opened == timedelta(days=14)
    order = buyer.buy(checkout["client_secret"])
    assert (order["total_amount"], order["billing_reason"]) == (0, "subscription_create")
    subscription = order["subscription"]
    assert (subscription["status"], subscription["amount"]) == ("trialing", 19000)
    assert subscription["current_period_end"] == checkout["trial_end"]
    assert order["items"][0]["end_timestamp"] == checkout["trial_end"]


def test_period_of_a_subscription_ends_a_month_later(buyer: Buyer) -> None:
    """A subscription made on 31 January runs to the last day of February."""
    buyer.clock.now = datetime(2027, 1, 31, 12, tzinfo=UTC)
    order = buyer.buy(buyer.open("Pro Monthly")["client_secret"])
    assert order["subscription"]["current_period_end"].startswith("2027-02-28T12:00")


def test_decline_reopens_the_session(buyer: Buyer) -> None:
    """A declined payment leaves no order, says why, and can be tried again."""
    checkout = buyer.open("Ebook: Fast APIs")
    secret = checkout["client_secret"]
    confirmed = buyer.confirm(secret, confirmation_token_id=DECLINING_TOKEN)
    assert confirmed["status"] == "confirmed"
    buyer.clock.now += timedelta(seconds=2)
    assert buyer.read(secret)["status"] == "open"
    session = buyer.polar.services.checkouts.get_by_secret(secret)
    assert "declined" in (session.decline_reason or "")
    assert buyer.polar.store.orders == {}
    order = buyer.buy(secret)
    assert order["checkout_id"] == checkout["id"]
    assert session.decline_reason is None


def test_confirmed_is_not_paid(buyer: Buyer) -> None:
    """Between the click on Pay and the order there is a moment with neither."""
    secret = buyer.open("Ebook: Fast APIs")["client_secret"]
    checkout = buyer.confirm(secret)
    find = {"checkout_id": checkout["id"]}
    assert buyer.call("GET", "/v1/orders/", params=find)["items"] == []
    assert buyer.read(secret)["status"] == "confirmed"
    buyer.confirm(secret, 403)
    buyer.clock.now += timedelta(seconds=2)
    assert buyer.read(secret)["status"] == "succeeded"
    assert buyer.call("GET", "/v1/orders/", params=find)["pagination"]["total_count"] == 1


def test_waiting_ends_when_it_is_settled(seed: dict[str, Any]) -> None:
    """Pages can wait for a payment to go through, in real time."""
    with LocalPolar(Store(seed), settle_seconds=60) as polar:
        buyer = Buyer(polar, Clock())
        secret = buyer.open("Ebook: Fast APIs")["client_secret"]
        buyer.confirm(secret)
        wait = polar.services.checkouts.wait_until_settled
        checkout = wait(secret, timeout=0)
        assert checkout.status == "confirmed"
        checkout.settles_at = datetime.now(UTC) + timedelta(seconds=0.1)
        assert wait(secret, timeout=5).status == "succeeded"


def test_session_expires_after_a_day(buyer: Buyer) -> None:
    """After 24 hours the page's routes answer 410; the organization still reads the session."""
    checkout = buyer.open("Ebook: Fast APIs")
    path = f"/v1/checkouts/client/{checkout['client_secret']}"
    buyer.clock.now += timedelta(hours=24)
    gone = buyer.call("GET", path, 410)
    assert gone["error"] == "ExpiredCheckoutError"
    buyer.change(checkout["client_secret"], 410, customer_name="Late")
    buyer.confirm(checkout["client_secret"], 410)
    assert buyer.call("GET", f"/v1/checkouts/{checkout['id']}")["status"] == "open"


def test_customer_session_lasts_an_hour(buyer: Buyer) -> None:
    """The token of a purchase shows its buyer their own orders, for an hour and to nobody else."""
    confirmed = buyer.confirm(buyer.open("Ebook: Fast APIs")["client_secret"])
    buyer.clock.now += timedelta(seconds=2)
    mine = {"Authorization": f"Bearer {confirmed['customer_session_token']}"}
    me = buyer.call("GET", "/v1/customer-portal/customers/me", headers=mine)
    assert me["id"] == confirmed["customer_id"]
    order = buyer.call("GET", "/v1/customer-portal/orders/", headers=mine)["items"][0]
    buyer.call("GET", f"/v1/customer-portal/orders/{order['id']}/invoice", 404, headers=mine)
    buyer.call("POST", f"/v1/customer-portal/orders/{order['id']}/invoice", 202, headers=mine)
    buyer.clock.now += timedelta(seconds=2)
    invoice = buyer.call("GET", f"/v1/customer-portal/orders/{order['id']}/invoice", headers=mine)
    assert order["id"] in invoice["url"]
    theirs = buyer.confirm(
        buyer.open("Free Starter")["client_secret"], customer_email="bob@example.com"
    )
    bobs = {"Authorization": f"Bearer {theirs['customer_session_token']}"}
    buyer.call("GET", f"/v1/customer-portal/orders/{order['id']}", 404, headers=bobs)
    buyer.clock.now += timedelta(hours=1)
    buyer.call("GET", "/v1/customer-portal/customers/me", 401, headers=mine)


def test_known_customer_gets_no_session_by_email(buyer: Buyer) -> None:
    """Whoever types in somebody's address does not get to see that customer's orders."""
    buyer.buy(buyer.open("Free Starter")["client_secret"])
    again = buyer.confirm(
        buyer.open("Free Starter")["client_secret"], customer_email="JANE@Example.com"
    )
    assert again["customer_session_token"] is None
    assert len(buyer.polar.store.customers) == 1


def test_ids_are_found_whatever_their_case(buyer: Buyer) -> None:
    """A UUID in capitals means the same object."""
    checkout = buyer.open("Ebook: Fast APIs")
    upper = checkout["id"].upper()
    assert buyer.call("GET", f"/v1/checkouts/{upper}")["id"] == checkout["id"]
    found = buyer.call("GET", "/v1/products/", params={"id": checkout["product_id"].upper()})
    assert [item["id"] for item in found["items"]] == [checkout["product_id"]]


def test_changes_are_all_or_nothing(buyer: Buyer) -> None:
    """When one value cannot be taken, none is."""
    secret = buyer.open("Ebook: Fast APIs")["client_secret"]
    buyer.change(secret, 422, customer_name="Jane", discount_code="NOPE")
    checkout = buyer.read(secret)
    assert (checkout["customer_name"], checkout["modified_at"]) == (None, None)


def test_custom_fields_are_checked(buyer: Buyer) -> None:
    """A value that does not fit its field is refused with its place; one that fits is kept."""
    secret = buyer.open("Ebook: Fast APIs")["client_secret"]
    refused = buyer.change(secret, 422, custom_field_data={"team_size": "xl"})
    assert refused["detail"][0]["loc"] == ["body", "custom_field_data", "team_size"]
    order = buyer.buy(secret, custom_field_data={"team_size": "s"})
    assert order["custom_field_data"] == {"team_size": "s"}


def test_other_product_of_the_link(buyer: Buyer) -> None:
    """A buyer may change to another product of the link; its price and its trial come along."""
    body = {"products": [_id(buyer, "Pro Monthly"), _id(buyer, "Pro Yearly")]}
    secret = buyer.call("POST", "/v1/checkouts/", 201, json=body)["client_secret"]
    changed = buyer.change(secret, product_id=body["products"][1])
    assert (changed["total_amount"], changed["active_trial_interval_count"]) == (19000, 14)


def test_unknown_product_makes_no_session(buyer: Buyer) -> None:
    """A session for what is not for sale, or for nothing, is refused."""
    for products in ([], ["11111111-1111-4111-8111-111111111111"], [_id(buyer, "Old Product")]):
        buyer.call("POST", "/v1/checkouts/", 422, json={"products": products})
    assert buyer.polar.store.checkouts == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "7"),
        ("amount", True),
        ("seats", 1.5),
        ("product_id", ["x"]),
        ("customer_email", 5),
        ("customer_name", 5),
        ("customer_billing_address", "Paris"),
        ("customer_billing_address", {"line1": "1 rue de la Paix"}),
        ("customer_billing_address", {"country": "france"}),
        ("customer_billing_address", {"country": "FR", "line1": 5}),
        ("custom_field_data", ["s"]),
        ("custom_field_data", {"team_size": 5}),
        ("is_business_customer", "yes"),
        ("discount_code", 20),
        ("success_url", "javascript:alert(1)"),
        ("metadata", 5),
    ],
)
def test_value_of_the_wrong_kind_is_refused(buyer: Buyer, field: str, value: object) -> None:
    """A value of the wrong kind is a 422 that names its field, when changing and when making."""
    secret = buyer.open("Ebook: Fast APIs")["client_secret"]
    body = {"products": [_id(buyer, "Ebook: Fast APIs")], field: value}
    made = buyer.call("POST", "/v1/checkouts/", 422, json=body)
    for answer in (buyer.change(secret, 422, **{field: value}), made):
        assert answer["detail"][0]["loc"][:2] == ["body", field]


@pytest.mark.parametrize(
    "query",
    [
        {"embed_origin": "http://["},
        {"locale": "\0"},
        {"customer_email": "a@.b"},
        {"customer_email": "\0@example.com"},
        {"custom_field_data.": "x"},
        {"amount": "\u0663"},
        {"\0": "1"},
    ],
)
def test_strange_query_still_opens(buyer: Buyer, query: dict[str, str]) -> None:
    """A link opens whatever its query holds, but for what the service itself breaks on."""
    checkout = buyer.open("Ebook: Fast APIs", **query)
    assert (checkout["embed_origin"], checkout["customer_email"]) == (None, None)
    assert checkout["locale"] == "en"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_body_that_is_no_object_is_refused(buyer: Buyer, body: bytes) -> None:
    """A body that is not a JSON object is a 422, never a crash."""
    buyer.call("POST", "/v1/customer-sessions/", 422, data=body)


def test_links_open_from_many_threads(buyer: Buyer) -> None:
    """Opened at once by many, a link makes one session for each, and all are kept."""
    link = next(iter(buyer.polar.store.links.values()))
    url = f"{buyer.polar.url}/v1/checkout-links/{link['client_secret']}/redirect"

    def open_link(_: int) -> str:
        answer = requests.get(url, allow_redirects=False, timeout=30)
        return answer.headers["Location"].rpartition("/")[2]

    with ThreadPoolExecutor(8) as threads:
        secrets = list(threads.map(open_link, range(80)))
    assert len(set(secrets)) == 80
    listed = buyer.call("GET", "/v1/checkouts/", params={"limit": 100})
    assert {item["client_secret"] for item in listed["items"]} == set(secrets)


def test_paying_twice_at_once_makes_one_order(buyer: Buyer) -> None:
    """Of many clicks on Pay one counts."""
    secret = buyer.open("Ebook: Fast APIs")["client_secret"]
    body = {
        "customer_email": "jane@example.com",
        "customer_billing_address": FRANCE,
        "confirmation_token_id": "ctoken_fake",
    }
    url = f"{buyer.polar.url}/v1/checkouts/client/{secret}/confirm"

    def pay(_: int) -> int:
        return requests.post(url, json=body, timeout=30).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(pay, range(8)))
    assert statuses == [200] + [403] * 7
    buyer.clock.now += timedelta(seconds=2)
    assert buyer.call("GET", "/v1/orders/")["pagination"]["total_count"] == 1


def test_addresses_follow_the_host_that_was_asked(buyer: Buyer) -> None:
    """Behind another name, links and pages carry that name."""
    host = {"Host": "polar.shop.internal:8443"}
    links = buyer.call("GET", "/v1/checkout-links/", headers=host, params={"limit": 1})
    origin = "http://polar.shop.internal:8443"
    secret = links["items"][0]["client_secret"]
    assert links["items"][0]["url"] == f"{origin}/v1/checkout-links/{secret}/redirect"
    path = f"/v1/checkout-links/{secret}/redirect"
    assert buyer.call("GET", path, 307, headers=host).startswith(f"{origin}/checkout/polar_c_")


def test_tokens_let_in_as_far_as_they_go(buyer: Buyer) -> None:
    """The reading token reads what is for sale only; another organization's finds nothing."""
    reader = {"Authorization": "Bearer polar_oat_ro"}
    stranger = {"Authorization": "Bearer polar_oat_other"}
    assert buyer.call("GET", "/v1/products/", headers=reader)["items"]
    for path in ("/v1/checkouts/", "/v1/orders/", "/v1/customers/"):
        buyer.call("GET", path, 403, headers=reader)
        assert buyer.call("GET", path, headers=stranger)["items"] == []
    buyer.call("GET", f"/v1/products/{_id(buyer, 'Pro Yearly')}", 404, headers=stranger)


def test_newest_version_is_spoken(buyer: Buyer) -> None:
    """The newest version of the API is understood, and said back."""
    response = requests.get(
        f"{buyer.polar.url}/v1/products/",
        headers={**buyer.polar.headers, "Polar-Version": "2027-01"},
        timeout=10,
    )
    assert (response.status_code, response.headers["Polar-Version"]) == (200, "2027-01")


def test_an_order_is_found_by_time(buyer: Buyer) -> None:
    """Orders can be asked for by when they were placed; a time that is none is refused."""
    order = buyer.buy(buyer.open("Free Starter")["client_secret"])
    made = order["created_at"]
    early, late = "2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z"

    def count(**filters: str) -> int:
        total: int = buyer.call("GET", "/v1/orders/", params=filters)["pagination"]["total_count"]
        return total

    assert count(created_after=early, created_before=late) == 1
    assert count(created_after=made) == count(created_before=early) == 0
    buyer.call("GET", "/v1/orders/", 422, params={"created_after": "yesterday"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"organization": None}, "object under `organization`"),
        ({"organization": {"id": "x", "name": "y"}}, "organization.slug"),
        ({"products": {}}, "`products` must be a list"),
        ({"products": [{"id": "x", "prices": []}]}, r"products\[0\] has no price"),
        ({"products": [{"id": "x", "prices": [{}]}]}, r"products\[0\] lacks 'created_at'"),
        ({"products": [1]}, r"products\[0\] is no object"),
        ({"products": []}, r"checkout_links\[0\] offers the product"),
        ({"discounts": ["x"]}, r"discounts\[0\] is no object"),
        ({"benefits": [{}]}, r"benefits\[0\] lacks 'id'"),
    ],
)
def test_seed_says_what_is_wrong_with_it(
    seed: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    """A seed that is no store is refused with the place of the mistake."""
    with pytest.raises(SeedError, match=message):
        Store({**seed, **change})


def _id(buyer: Buyer, name: str) -> str:
    products = buyer.polar.store.products.values()
    return next(str(item["id"]) for item in products if item["name"] == name)
