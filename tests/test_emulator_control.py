"""A local Polar is controlled while it runs: faults, counts, purchases, renewals, webhooks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from storefront.emulator.faults import Fault, parse_fault, written
from storefront.testing import ShopPolar, local_polar
from tests.contract.test_webhooks import SECRET, listening, wait_for


@pytest.fixture
def polar() -> Iterator[ShopPolar]:
    """A local Polar that sells the demo store."""
    with local_polar() as local:
        yield local


def tell(polar: ShopPolar, path: str, body: Any, status: int = 201) -> Any:
    """Send it a command."""
    answer = requests.post(f"{polar.url}/local/{path}", json=body, timeout=10)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def products(polar: ShopPolar) -> requests.Response:
    """Ask for the products."""
    return requests.get(f"{polar.url}/v1/products/", headers=polar.headers, timeout=10)


def test_faults_are_set_and_cleared_while_it_runs(polar: ShopPolar) -> None:
    """A fault begins with one request and ends with another; both say what is wrong now."""
    wanted = "status:503,path=/v1/products/*,times=2"
    told = tell(polar, "faults", {"faults": [wanted, "latency:0.01"]}, 200)
    assert told == {"faults": [wanted, "latency:0.01"], "count": 0}
    assert products(polar).status_code == 503
    assert requests.get(f"{polar.url}/local/faults", timeout=10).json()["count"] == 1
    cleared = requests.delete(f"{polar.url}/local/faults", timeout=10).json()
    assert cleared["faults"] == []
    assert products(polar).status_code == 200
    refused = tell(polar, "faults", {"faults": ["earthquake"]}, 422)
    assert "is no fault" in refused["detail"][0]["msg"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("hang"),
        Fault("latency", 0.25, path="/v1/*", method="GET", times=3, share=0.5),
        Fault("status", 404.0),
    ],
)
def test_a_fault_is_written_as_it_is_read(fault: Fault) -> None:
    """What one endpoint tells the other one takes."""
    assert parse_fault(written(fault)) == fault


def test_requests_are_counted_by_path(polar: ShopPolar) -> None:
    """Also those that went wrong; what controls it is not counted."""
    products(polar)
    with polar.faults.during("status", 503):
        products(polar)
    requests.get(f"{polar.url}/v1/orders/", headers=polar.headers, timeout=10)
    assert polar.requests.count("/v1/products/*", method="GET") == 2
    told = requests.get(f"{polar.url}/local/requests", timeout=10).json()
    assert told == {"count": 3, "requests": {"GET /v1/products/": 2, "GET /v1/orders/": 1}}
    one = requests.get(f"{polar.url}/local/requests?path=/v1/orders/&method=GET", timeout=10)
    assert one.json()["count"] == 1
    assert requests.delete(f"{polar.url}/local/requests", timeout=10).json()["count"] == 0
    assert polar.requests.count() == 0


def test_purchases_renewals_and_refunds_are_made(polar: ShopPolar) -> None:
    """Several people buy at once; a subscription is renewed; money goes back."""
    wanted = {"link": "monthly", "email": "buyer{n}@example.com", "count": 3}
    bought = tell(polar, "purchases", {**wanted, "query": {"utm_source": "x"}})["purchases"]
    assert len({item["customer_id"] for item in bought}) == 3
    assert all(item["customer_session_token"] for item in bought)
    order = polar.store.orders[bought[0]["order_id"]]
    assert (order["status"], order["metadata"]["utm_source"]) == ("paid", "x")
    renewed = tell(polar, "renewals", {"subscription_id": bought[0]["subscription_id"]})
    assert polar.store.orders[renewed["order_id"]]["billing_reason"] == "subscription_cycle"
    refund = tell(polar, "refunds", {"order_id": bought[0]["order_id"], "amount": 100})
    assert (refund["status"], order["status"]) == ("succeeded", "partially_refunded")
    tell(polar, "purchases", {"link": "nothing like it", "email": "a@example.com"}, 422)
    tell(polar, "renewals", {"subscription_id": bought[0]["customer_id"]}, 404)
    tell(polar, "refunds", {"order_id": bought[0]["order_id"], "amount": 10**6}, 400)


def test_webhooks_are_pointed_at_this_machine(polar: ShopPolar) -> None:
    """An endpoint is added while it runs, tried ten times at its own pace, and taken away."""
    with listening() as shop:
        shop.answers = [500] * 10
        body = {"url": f"{shop.url}/hook", "secret": SECRET, "retry_seconds": 0.01}
        tell(polar, "webhooks", {**body, "events": ["order.paid"]})
        tell(polar, "purchases", {"link": "monthly", "email": "jane@example.com"})
        wait_for(shop, 10)
        assert polar.webhooks.wait_until_idle(timeout=10)
        assert shop.types == ["order.paid"] * 10
        assert len({headers["webhook-id"] for headers, _ in shop.received}) == 1
        requests.delete(f"{polar.url}/local/webhooks", timeout=10)
        tell(polar, "purchases", {"link": "monthly", "email": "joe@example.com"})
        assert polar.webhooks.wait_until_idle(timeout=10)
        assert len(shop.received) == 10
    bad = {"url": "http://127.0.0.1/", "secret": "whsec_not base64!", "key": "standard"}
    tell(polar, "webhooks", bad, 422)


def test_pages_in_a_browser_do_not_control_it(polar: ShopPolar) -> None:
    """What brings an `Origin` finds nothing there, and no other site is let in."""
    origin = {"Origin": "https://evil.example"}
    for path in ("faults", "requests", "purchases", "webhooks"):
        url = f"{polar.url}/local/{path}"
        assert requests.post(url, json={}, headers=origin, timeout=10).status_code in {404, 405}
        asked = requests.options(url, headers=origin, timeout=10)
        assert "Access-Control-Allow-Origin" not in asked.headers
    assert (
        requests.get(f"{polar.url}/local/requests", headers=origin, timeout=10).status_code == 404
    )


def test_a_process_of_its_own_is_controlled_too() -> None:
    """The command takes its pace and its webhook's, and the same endpoints."""
    with listening() as shop:
        shop.answers = [500]
        command = [sys.executable, "-m", "storefront.emulator", "--port", "0", "--json"]
        command += ["--grant-seconds", "0", "--settle-seconds", "0"]
        command += ["--webhook-url", f"{shop.url}/hook", "--webhook-secret", SECRET]
        command += ["--webhook-retry-seconds", "0.01"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = json.loads(process.stdout.readline())["url"]
                body = {"link": "monthly", "email": "jane@example.com"}
                assert requests.post(f"{url}/local/purchases", json=body, timeout=10).ok
                # Fifteen events, one of them twice.
                wait_for(shop, 16)
                assert shop.types.count("checkout.created") == 2
            finally:
                process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
