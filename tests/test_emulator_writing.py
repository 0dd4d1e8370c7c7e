"""Writing to the local Polar's catalogue: what no recording shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from storefront.emulator import LocalPolar, Store
from storefront.emulator.errors import InvalidRequestError
from storefront.emulator.web_urls import success_url, web_url
from tests.contract.recordings import REFERENCE_STORE

LINKS = "/v1/checkout-links/"
PROCESSOR = {"payment_processor": "stripe"}


@pytest.fixture(scope="module")
def polar() -> Iterator[LocalPolar]:
    """A local Polar of the recorded store."""
    with LocalPolar(Store(json.loads(REFERENCE_STORE.read_text(encoding="utf-8")))) as local:
        yield local


def send(polar: LocalPolar, method: str, path: str, body: Any = None) -> requests.Response:
    """Ask with the token that may do everything."""
    return requests.request(method, polar.url + path, json=body, headers=polar.headers, timeout=10)


def new_product(polar: LocalPolar, **values: Any) -> dict[str, Any]:
    """Make a product."""
    price = {"amount_type": "fixed", "price_amount": 1000, "price_currency": "usd"}
    made = send(polar, "POST", "/v1/products/", {"name": "New", "prices": [price], **values})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


def new_link(polar: LocalPolar, *product_ids: str, **values: Any) -> dict[str, Any]:
    """Make a link."""
    made = send(polar, "POST", LINKS, {**PROCESSOR, "products": [*product_ids], **values})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_METADATA = st.dictionaries(
    _TEXT.filter(lambda key: 1 <= len(key) <= 40),
    _TEXT.filter(lambda value: 1 <= len(value) <= 500)
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    max_size=8,
)
_TRIAL: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "trial_interval": st.sampled_from(["day", "week", "month", "year"]),
        "trial_interval_count": st.integers(1, 1000),
    }
) | st.just({})
_URL = st.sampled_from(
    ["https://example.com/ok?id={CHECKOUT_ID}", "http://localhost:3000/", "https://a.b/%20#x"]
)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "label": st.none() | _TEXT,
        "metadata": _METADATA,
        "allow_discount_codes": st.booleans(),
        "require_billing_address": st.booleans(),
        "success_url": st.none() | _URL,
        "return_url": st.none() | _URL.map(lambda url: url.partition("{")[0]),
    },
)


@settings(max_examples=60, deadline=None)
@given(body=_BODY, trial=_TRIAL, data=st.data())
def test_links_read_back_equal(
    polar: LocalPolar, body: dict[str, Any], trial: dict[str, Any], data: st.DataObject
) -> None:
    """A link made with any valid body is answered, read, listed and changed with those values."""
    sellable = [
        product["id"]
        for product in polar.store.products.values()
        if not product["is_archived"] and product["visibility"] != "draft"
    ]
    products = data.draw(st.lists(st.sampled_from(sellable), min_size=1, max_size=4, unique=True))
    made = new_link(polar, *products, **body, **trial)
    where = f"{LINKS}{made['id']}"
    assert [product["id"] for product in made["products"]] == products
    assert {name: made[name] for name in (*body, *trial)} == {**body, **trial}
    assert send(polar, "GET", where).json() == made
    cleared = send(polar, "PATCH", where, {"label": None, "metadata": {}}).json()
    assert {**cleared, "modified_at": None} == {**made, "label": None, "metadata": {}}
    again = send(polar, "PATCH", where, {"label": None, **body}).json()
    for name, value in body.items():
        assert again[name] == value
    assert send(polar, "DELETE", where).status_code == 204
    assert send(polar, "GET", where).status_code == 404


def test_archiving_takes_a_product_off_its_links(polar: LocalPolar) -> None:
    """A link keeps its other products, one without any is gone, and neither comes back."""
    first, second = new_product(polar), new_product(polar)
    alone = new_link(polar, first["id"])
    both = new_link(polar, first["id"], second["id"])
    for is_archived in (True, False):
        changed = send(
            polar, "PATCH", f"/v1/products/{first['id']}", {"is_archived": is_archived}
        ).json()
        assert changed["is_archived"] is is_archived
        assert send(polar, "GET", f"{LINKS}{alone['id']}").status_code == 404
        left = send(polar, "GET", f"{LINKS}{both['id']}").json()["products"]
        assert [product["id"] for product in left] == [second["id"]]
    opened = requests.get(alone["url"], allow_redirects=False, timeout=10)
    assert opened.status_code == 404


def test_open_checkouts_show_a_product_as_it_is(polar: LocalPolar) -> None:
    """A product that is renamed while somebody is about to buy it is shown with its new name."""
    product = new_product(polar)
    link = new_link(polar, product["id"])
    opened = requests.get(link["url"], allow_redirects=False, timeout=10)
    secret = opened.headers["Location"].rpartition("/")[2]
    send(polar, "PATCH", f"/v1/products/{product['id']}", {"name": "Another"})
    checkout = send(polar, "GET", f"/v1/checkouts/client/{secret}").json()
    assert checkout["product"]["name"] == "Another"


def test_writes_from_many_threads(polar: LocalPolar) -> None:
    """Links made and changed at the same time are all there, each with its own values."""
    product = new_product(polar)

    def work(number: int) -> dict[str, Any]:
        link = new_link(polar, product["id"], label=f"made {number}")
        changes = {"label": f"changed {number}", "metadata": {"number": number}}
        body: dict[str, Any] = send(polar, "PATCH", f"{LINKS}{link['id']}", changes).json()
        return body

    with ThreadPoolExecutor(8) as pool:
        links = list(pool.map(work, range(80)))
    listed = send(polar, "GET", f"{LINKS}?product_id={product['id']}&limit=100").json()
    assert {item["id"] for item in listed["items"]} == {link["id"] for link in links}
    assert len({link["client_secret"] for link in links}) == 80
    for number, link in enumerate(links):
        read = send(polar, "GET", f"{LINKS}{link['id']}").json()
        assert (read["label"], read["metadata"]) == (f"changed {number}", {"number": number})


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("label", "a\0b", 500),
        ("metadata", {"k": "\0"}, 500),
        ("label", "\ud800", 500),
        ("trial_interval_count", 3, 422),
        ("allow_discount_codes", 2, 422),
        ("seats", 1.5, 422),
        ("seats", "many", 422),
        ("products", ["4d9da0c8-624a-4ab4-b70c-408c28772d94", 5], 422),
        ("metadata", {"k": ["list"]}, 422),
        ("success_url", 5, 422),
    ],
)
def test_changes_that_are_refused(polar: LocalPolar, name: str, value: Any, status: int) -> None:
    """What cannot be kept is refused, or breaks the service as it does, and changes nothing."""
    link = new_link(polar, new_product(polar)["id"])
    refused = send(polar, "PATCH", f"{LINKS}{link['id']}", {"label": "Changed", name: value})
    assert refused.status_code == status, refused.text
    assert send(polar, "GET", f"{LINKS}{link['id']}").json() == link


def test_products_of_every_kind(polar: LocalPolar) -> None:
    """Prices by the unit, by the seat and by use can be made, kept and replaced."""
    meter = send(
        polar,
        "POST",
        "/v1/meters/",
        {"name": "Calls", "filter": {"clauses": []}, "aggregation": {"func": "count"}},
    ).json()
    tiers = {"tiers": [{"bound": 10, "unit_amount": "150"}, {"unit_amount": "100"}]}
    seats = {"tiers": [{"min_seats": 1, "price_per_seat": 500}]}
    prices: dict[str, dict[str, Any]] = {
        "unit_based": {"tiers": tiers, "minimum_units": 2},
        "seat_based": {"seat_tiers": seats},
        "metered_unit": {"meter_id": meter["id"], "unit_amount": 0.25},
    }
    for kind, values in prices.items():
        price = {"amount_type": kind, **values}
        made = new_product(polar, recurring_interval="month", prices=[price])
        kept = {"id": made["prices"][0]["id"]}
        where = f"/v1/products/{made['id']}"
        same = send(polar, "PATCH", where, {"prices": [kept]}).json()
        assert same["prices"][0]["id"] == kept["id"]
        other = send(polar, "PATCH", where, {"prices": [{"id": meter["id"]}]})
        assert other.json()["detail"][0]["msg"] == "Price does not exist."
        opened = requests.get(new_link(polar, made["id"])["url"], allow_redirects=False, timeout=10)
        assert opened.status_code == 307


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/discounts/", {"type": "percentage", "code": "launch20"}, "already exists"),
        ("/v1/discounts/", {"type": "fixed"}, "Field required"),
        ("/v1/discounts/", {"type": "gift"}, "Input should be 'fixed' or 'percentage'"),
        ("/v1/custom-fields/", {"type": "text", "slug": "team_size"}, "already exists"),
        ("/v1/benefits/", {"type": "custom"}, "Field required"),
        ("/v1/products/", {"medias": ["11111111-1111-4111-8111-111111111111"]}, "File does not"),
        ("/v1/products/", {"prices": [{"amount_type": "barter"}]}, "Input tag 'barter' found"),
        ("/v1/products/", {"prices": [{}]}, "Unable to extract tag"),
        (
            "/v1/products/",
            {"prices": [{"amount_type": "fixed", "price_amount": 900, "price_currency": "eur"}]},
            "default presentment currency must be present",
        ),
    ],
)
def test_what_cannot_be_made(
    polar: LocalPolar, path: str, body: dict[str, Any], message: str
) -> None:
    """What is missing, taken already or unknown is named."""
    whole: dict[str, Any] = {
        "name": "Whole",
        "duration": "once",
        "basis_points": 1000,
        "properties": {},
        "prices": [{"amount_type": "fixed", "price_amount": 900}],
    }
    refused = send(polar, "POST", path, {**whole, **body})
    assert refused.status_code == 422, refused.text
    assert any(message in problem["msg"] for problem in refused.json()["detail"]), refused.text


@pytest.mark.parametrize(
    ("given", "saved"),
    [
        ("  https://example.com  ", "https://example.com/"),
        ("HTTPS://EXAMPLE.COM:443/A", "https://example.com/A"),
        ("http://example.com:8080", "http://example.com:8080/"),
        ("https:example.com", "https://example.com/"),
        ("https:\\\\example.com\\a", "https://example.com/a"),
        ("https://a/b/../c/./d/..", "https://a/c/"),
        ("https://u ser:p@ss@a/", "https://u%20ser:p%40ss@a/"),
        ("https://a/x\ty", "https://a/xy"),
        ("https://a?q='x'", "https://a/?q=%27x%27"),
        ("https://[::0:1]/", "https://[::1]/"),
        ("https://münchen.example/", "https://xn--mnchen-3ya.example/"),
        ("https://a/{x}?{y}#{z}", "https://a/%7Bx%7D?{y}#{z}"),
    ],
)
def test_urls_are_saved_as_browsers_write_them(given: str, saved: str) -> None:
    """A URL is normalised by the rules that browsers follow."""
    assert web_url(given, ("body",)) == saved
    assert success_url(given, ("body",)) == saved


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("https://", "empty host"),
        ("https://a:b/", "invalid port number"),
        ("https://a:99999/", "invalid port number"),
        ("https://a b/", "invalid international domain name"),
        ("https://1.2.3.4.5/", "invalid IPv4 address"),
        ("https://[::x]/", "invalid IPv6 address"),
        ("javascript:alert(1)", "URL scheme should be 'http' or 'https'"),
    ],
)
def test_urls_that_are_none(given: str, complaint: str) -> None:
    """A URL that cannot be is refused with the parser's complaint."""
    with pytest.raises(InvalidRequestError, match=complaint):
        web_url(given, ("body",))
