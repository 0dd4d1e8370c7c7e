"""``storefront.testing``: what the tests of other sites are built from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

import storefront.testing
from storefront.emulator.faults import KINDS
from storefront.testing import PurchaseError, SeedError, ShopPolar, Webhook, local_polar
from tests.contract.recordings import REFERENCE_STORE
from tests.contract.test_webhooks import SECRET, listening, wait_for

LOCAL_POLAR = Path(__file__).parent.parent / "docs" / "local-polar.md"


def order(polar: ShopPolar, order_id: str | None) -> dict[str, object]:
    """An order as the API has it."""
    answer = requests.get(f"{polar.url}/v1/orders/{order_id}", headers=polar.headers, timeout=10)
    body: dict[str, object] = answer.json()
    return body


def test_a_purchase_becomes_an_order() -> None:
    """A purchase gives the ids of a paid order, by a link's label, with a discount."""
    with local_polar() as polar:
        bought = polar.purchase(
            "starter kit",
            email="jane@example.com",
            discount_code="LAUNCH20",
            query={"reference_id": "r-1"},
        )
        placed = order(polar, bought.order_id)
        assert placed["status"] == "paid"
        assert placed["checkout_id"] == bought.checkout_id
        assert placed["customer_id"] == bought.customer_id
        assert placed["metadata"] == {"utm_campaign": "starter-kit", "reference_id": "r-1"}
        assert placed["discount_id"] is not None
    assert bought.success_url is not None
    parts = urlsplit(bought.success_url)
    assert (parts.hostname, parts.path) == ("localhost", "/shop/success")
    assert parse_qs(parts.query)["checkout_id"] == [bought.checkout_id]


def test_everything_in_the_demo_store_can_be_bought() -> None:
    """Every link of the demo store sells, whatever must be filled in."""
    with local_polar() as polar:
        for link in polar.store.live_links():
            assert polar.purchase(link["id"], email="jane@example.com").order_id


@pytest.mark.parametrize("by", ["id", "name", "slug", "url"])
def test_links_are_found(by: str) -> None:
    """A link is found by what it sells, and taken by its address with its parameters."""
    with local_polar(REFERENCE_STORE) as polar:
        link = polar.store.live_links()[0]
        product = polar.store.link_products(link)[0]
        secret = link["client_secret"]
        wanted = {
            "id": product["id"],
            "name": product["name"],
            "slug": "ebook-fast-apis",
            "url": f"{polar.url}/v1/checkout-links/{secret}/redirect?utm_source=mail",
        }
        bought = polar.purchase(wanted[by], email="jane@example.com", product=product["name"])
        placed = order(polar, bought.order_id)
        assert placed["product_id"] == product["id"]
        assert (placed["metadata"] == {"utm_source": "mail"}) == (by == "url")


def test_a_known_buyer_brings_no_token() -> None:
    """The session token is for whoever is new; the customer stays the same."""
    with local_polar() as polar:
        first, second = (polar.purchase("newsletter", email="jane@example.com") for _ in range(2))
    assert first.customer_session_token is not None
    assert second.customer_session_token is None
    assert first.customer_id == second.customer_id


def test_a_declined_payment_places_no_order() -> None:
    """A declined purchase has a checkout, and neither an order nor anywhere to go."""
    with local_polar() as polar:
        declined = polar.purchase("starter kit", email="jane@example.com", declined=True)
        assert (declined.order_id, declined.success_url) == (None, None)
        assert polar.store.checkouts[declined.checkout_id].status == "open"
        assert polar.store.orders == {}


@pytest.mark.parametrize(
    ("link", "options", "message"),
    [
        ("nothing", {}, "no checkout link has the id or label 'nothing', or offers it"),
        ("starter kit", {"product": "nothing"}, "no product has the id, name or slug 'nothing'"),
        ("starter kit", {"discount_code": "NOPE"}, "422 .*Discount does not exist"),
        ("http://127.0.0.1:{port}/v1/checkout-links/polar_cl_x/redirect", {}, "opened no checkout"),
    ],
)
def test_purchases_that_cannot_be(link: str, options: dict[str, Any], message: str) -> None:
    """What stands in the way of a purchase is told."""
    with local_polar() as polar:
        address = link.format(port=urlsplit(polar.url).port)
        with pytest.raises(PurchaseError, match=message):
            polar.purchase(address, email="jane@example.com", **options)


def test_seeds_and_options() -> None:
    """It sells a seed or a file of one, and takes the options of a local Polar."""
    seed = json.loads(REFERENCE_STORE.read_text(encoding="utf-8"))
    with listening() as shop:
        webhook = Webhook(f"{shop.url}/hook", SECRET, events=("order.paid",))
        with local_polar(seed, webhook=webhook, rate_limit=500) as polar:
            assert polar.rate_limit.per_minute == 500
            bought = polar.purchase("Ebook", email="jane@example.com")
            wait_for(shop, 1)
    assert shop.events[0]["data"]["id"] == bought.order_id
    with pytest.raises(SeedError), local_polar({"organization": {}}):
        pass


def test_the_example_in_the_documentation(tmp_path: Path) -> None:
    """The tests of the example run under pytest, and pass."""
    page = LOCAL_POLAR.read_text(encoding="utf-8")
    example = page.partition("<!-- run: local -->\n```python\n")[2].partition("```")[0]
    (tmp_path / "test_shop.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    # Elsewhere than here, where the demo's templates would be the example's.
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert "2 passed" in ran.stdout, ran.stdout


def test_its_names_are_documented() -> None:
    """Each name that it offers is in the documentation."""
    described = LOCAL_POLAR.read_text(encoding="utf-8")
    for name in storefront.testing.__all__:
        assert f"`{name}" in described, name


def test_every_fault_is_documented() -> None:
    """The table of faults has each kind, with the value it has where none is given."""
    section = LOCAL_POLAR.read_text(encoding="utf-8").partition("## Misbehaviour")[2]
    table = re.findall(r"^\| `([\w-]+)` \|.*\| ([\d.]*) ?\|$", section.partition("## In")[0], re.M)
    assert {kind: float(value or 0) for kind, value in table} == dict(KINDS)


def test_its_names_are_there() -> None:
    """Whatever it offers by name is there."""
    assert all(hasattr(storefront.testing, name) for name in storefront.testing.__all__)


def test_many_buy_at_once() -> None:
    """Each address has an order of its own, as paid and as told of as one that was bought alone."""
    with local_polar() as polar:
        emails = [f"buyer{number}@example.com" for number in range(20)]
        bought = polar.purchase_many("starter kit", emails, query={"reference_id": "r-1"})
        alone = order(polar, polar.purchase("starter kit", email="alone@example.com").order_id)
        assert len({item.customer_id for item in bought}) == len(emails)
        for item in bought:
            placed = order(polar, item.order_id)
            assert placed["checkout_id"] == item.checkout_id
            assert placed["metadata"] == {"utm_campaign": "starter-kit", "reference_id": "r-1"}
            assert placed.keys() == alone.keys()
            assert placed["total_amount"] == alone["total_amount"]
            assert item.success_url is not None
            assert item.checkout_id in item.success_url
            assert item.customer_session_token is not None
            assert item.customer_session_token not in repr(item)
        with pytest.raises(PurchaseError, match="no checkout link"):
            polar.purchase_many("nothing like it", emails)


def test_a_customer_who_comes_back_has_a_session() -> None:
    """Who bought before gets no token from the checkout; the test may have one all the same."""
    with local_polar() as polar:
        polar.purchase("starter kit", email="jane@example.com")
        again = polar.purchase("starter kit", email="jane@example.com")
        assert again.customer_session_token is None
        headers = {"Authorization": f"Bearer {polar.customer_session(again.customer_id)}"}
        mine = requests.get(
            f"{polar.url}/v1/customer-portal/orders/", headers=headers, timeout=10
        ).json()
        assert mine["pagination"]["total_count"] == 2
        with pytest.raises(PurchaseError, match="404"):
            polar.customer_session("nobody")
