"""Webhook deliveries are signed, sent, tried again and listed as they were recorded."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from storefront.emulator import LocalPolar, Store, Webhook
from storefront.emulator.signatures import sign, signing_key
from tests.contract.recordings import REFERENCE_STORE, Recording, load
from tests.demo_processes import free_port

SECRET = "whsec_fixture_0000000000000000000000000000000"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECORDED = {r.name: r for r in load() if "webhook" in r.name}
DELIVERIES = [r for r in RECORDED.values() if r.secret is not None]


class Shop:
    """An endpoint that remembers what it was sent and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        #: Statuses of the next answers; after the last, 202.
        self.answers: list[int] = []
        #: Seconds before an answer.
        self.delay = 0.0
        self.url = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The bodies that came, in order."""
        return [json.loads(body) for _, body in self.received]

    @property
    def types(self) -> list[str]:
        """The types of what came, in order."""
        return [event["type"] for event in self.events]


@contextmanager
def listening() -> Iterator[Shop]:
    """Run such an endpoint."""
    shop = Shop()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            shop.received.append((headers, body))
            time.sleep(shop.delay)
            status = shop.answers.pop(0) if shop.answers else 202
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{shop.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    shop.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An endpoint."""
    with listening() as endpoint:
        yield endpoint


@contextmanager
def polar_for(
    shop: Shop, cls: type[LocalPolar] = LocalPolar, **options: Any
) -> Iterator[LocalPolar]:
    """A local Polar that delivers to an endpoint."""
    seed = json.loads(REFERENCE_STORE.read_text(encoding="utf-8"))
    given = {"retry_after": (0.05,) * 9, **options}
    webhook = Webhook(f"{shop.url}/hook", given.pop("secret", SECRET), **given)
    with cls(Store(seed), settle_seconds=0, webhook=webhook) as polar:
        yield polar


def rename(polar: LocalPolar, name: str = "Another name") -> dict[str, Any]:
    """Change a product, which sets off one event."""
    product_id = next(iter(polar.store.products))
    changed = requests.patch(
        f"{polar.url}/v1/products/{product_id}",
        json={"name": name},
        headers=polar.headers,
        timeout=10,
    )
    assert changed.status_code == 200, changed.text
    body: dict[str, Any] = changed.json()
    return body


def wait_for(shop: Shop, count: int) -> None:
    """Wait until so many deliveries have come."""
    give_up = time.monotonic() + 10
    while len(shop.received) < count:
        assert time.monotonic() < give_up, shop.types
        time.sleep(0.01)


def listed(polar: LocalPolar, query: str = "") -> list[dict[str, Any]]:
    """The deliveries as the API lists them, once none is on its way."""
    assert polar.webhooks.wait_until_idle(timeout=10)
    answer = requests.get(
        f"{polar.url}/v1/webhooks/deliveries?{query}", headers=polar.headers, timeout=10
    )
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def kinds(value: Any) -> Any:
    """The shape of a value: its keys and the types under them."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    return [kinds(item) for item in value[:1]] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize("recording", DELIVERIES, ids=lambda recording: recording.name)
def test_recorded_signatures_are_the_local_polars(recording: Recording) -> None:
    """What the service signed, the local Polar signs alike."""
    headers = recording.request_headers
    body = json.dumps(recording.request_body, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(body) == int(headers["content-length"])
    key = signing_key(recording.secret or "")
    signature = sign(key, headers["webhook-id"], headers["webhook-timestamp"], body)
    assert signature == headers["webhook-signature"]


@pytest.mark.parametrize(("style", "secret"), [("utf8", SECRET), ("standard", STANDARD_SECRET)])
def test_deliveries_verify(shop: Shop, style: Any, secret: str) -> None:
    """A delivery is signed with the key that was chosen, over the bytes that were sent."""
    with polar_for(shop, key=style, secret=secret) as polar:
        renamed = rename(polar)
        wait_for(shop, 1)
    headers, body = shop.received[0]
    recorded = RECORDED["webhook_product.updated"].request_headers
    ours = {"user-agent", "content-type", "accept"}
    assert {name: headers[name] for name in ours} == {name: recorded[name] for name in ours}
    signature = sign(
        signing_key(secret, style), headers["webhook-id"], headers["webhook-timestamp"], body
    )
    assert headers["webhook-signature"] == signature
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 10
    event = json.loads(body)
    assert (event["type"], event["data"]) == ("product.updated", renamed)


def test_a_purchase_is_told_of_in_the_recorded_order(shop: Shop) -> None:
    """A purchase tells of the checkout, the customer, the order, then of what was granted."""
    with polar_for(shop) as polar:
        link = next(item for item in polar.store.links.values() if item["label"] == "Ebook")
        opened = polar.services.checkouts.create({"products": link["product_ids"]})
        polar.services.checkouts.confirm(
            opened.client_secret,
            {
                "customer_email": "jane@example.com",
                "customer_billing_address": {"country": "FR"},
                "confirmation_token_id": "any",
            },
        )
        wait_for(shop, 12)
        assert polar.webhooks.wait_until_idle(timeout=10)
    assert shop.types == [
        "checkout.created",
        "customer.created",
        "checkout.updated",
        "order.created",
        "order.updated",
        "order.paid",
        "checkout.updated",
        "customer.state_changed",
        "customer.updated",
        "benefit_grant.created",
        "benefit_grant.created",
        "customer.state_changed",
    ]
    statuses = [e["data"]["status"] for e in shop.events if e["type"].startswith("checkout.")]
    assert statuses == ["open", "confirmed", "succeeded"]


def test_failures_are_tried_again_with_the_same_id_and_body(shop: Shop) -> None:
    """After failures the same event comes again, signed anew, until it is accepted."""
    shop.answers = [500, 404, 302]
    with polar_for(shop) as polar:
        rename(polar)
        wait_for(shop, 4)
        deliveries = listed(polar, "limit=100")
    assert len({headers["webhook-id"] for headers, _ in shop.received}) == 1
    assert len({body for _, body in shop.received}) == 1
    for headers, body in shop.received:
        stamp = headers["webhook-timestamp"]
        expected = sign(signing_key(SECRET), headers["webhook-id"], stamp, body)
        assert headers["webhook-signature"] == expected
    assert [item["http_code"] for item in deliveries] == [202, 302, 404, 500]
    assert [item["succeeded"] for item in deliveries] == [True, False, False, False]


def test_deliveries_are_listed_as_recorded(shop: Shop) -> None:
    """A delivery that succeeded after one that failed is listed in the recorded shape and words."""
    shop.answers = [500, 500, 500]
    with polar_for(shop) as polar:
        rename(polar)
        wait_for(shop, 4)
        local = listed(polar, "limit=3")
    recorded = RECORDED["webhook-deliveries_list"].body["items"]
    assert [kinds(item) for item in local] == [kinds(item) for item in recorded]
    place = recorded[1]["response"].split("'")[3]
    assert local[1]["response"] == recorded[1]["response"].replace(place, f"{shop.url}/hook")


def test_a_redirect_is_a_failure_and_is_not_followed(shop: Shop) -> None:
    """A 302 counts as a failure that says where it led; nothing is sent there."""
    shop.answers = [302]
    with polar_for(shop, retry_after=()) as polar:
        rename(polar)
        wait_for(shop, 1)
        (delivery,) = listed(polar)
    assert (delivery["succeeded"], delivery["http_code"]) == (False, 302)
    assert f"Redirect location: '{shop.url}/elsewhere'" in delivery["response"]
    assert delivery["webhook_event"]["succeeded"] is False
    assert len(shop.received) == 1


def test_nobody_there_is_a_failure_without_a_status() -> None:
    """Where nothing listens the delivery is noted without a status, and with the reason."""
    shop = Shop()
    shop.url = f"http://127.0.0.1:{free_port()}"
    with polar_for(shop, retry_after=()) as polar:
        rename(polar)
        (delivery,) = listed(polar)
    assert (delivery["succeeded"], delivery["http_code"]) == (False, None)
    assert "refused" in delivery["response"]


def test_a_slow_answer_is_a_failure(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that does not answer in time has failed."""
    monkeypatch.setattr("storefront.emulator.webhooks._TIMEOUT", 0.1)
    shop.delay = 0.5
    with polar_for(shop, retry_after=()) as polar:
        rename(polar)
        wait_for(shop, 1)
        (delivery,) = listed(polar)
    assert (delivery["succeeded"], delivery["response"]) == (False, "timed out")


def test_ten_failed_events_in_a_row_switch_an_endpoint_off(shop: Shop) -> None:
    """After the tenth event that had to be given up the endpoint is told of nothing more."""
    shop.answers = [500] * 10
    with polar_for(shop, retry_after=()) as polar:
        for number in range(12):
            rename(polar, f"Name {number}")
            assert polar.webhooks.wait_until_idle(timeout=10)
        (endpoint,) = polar.store.webhook_endpoints.values()
    assert endpoint["enabled"] is False
    assert len(shop.received) == 10


def test_an_endpoint_hears_only_what_it_asked_for(shop: Shop) -> None:
    """Events that an endpoint does not name are not sent to it."""
    with polar_for(shop, events=("order.paid",)) as polar:
        rename(polar)
        assert listed(polar) == []
    assert shop.received == []


def test_endpoints_are_kept_through_the_api(shop: Shop) -> None:
    """An endpoint can be made, switched off, given another secret, asked again and deleted."""
    with polar_for(shop) as polar:
        base = f"{polar.url}/v1/webhooks"
        wanted = {"url": "https://example.com/x", "format": "raw", "events": []}
        made = requests.post(
            f"{base}/endpoints", json=wanted, headers=polar.headers, timeout=10
        ).json()
        where = f"{base}/endpoints/{made['id']}"
        off = requests.patch(
            where, json={"enabled": False, "url": None}, headers=polar.headers, timeout=10
        ).json()
        assert (off["enabled"], off["url"]) == (False, wanted["url"])
        again = requests.patch(f"{where}/secret", headers=polar.headers, timeout=10).json()
        assert again["secret"].startswith("whsec_")
        assert again["secret"] != made["secret"]
        assert requests.delete(where, headers=polar.headers, timeout=10).status_code == 204
        assert requests.get(where, headers=polar.headers, timeout=10).status_code == 404
        rename(polar)
        wait_for(shop, 1)
        (delivery,) = listed(polar, "event_type=product.updated&succeeded=true")
        event = delivery["webhook_event"]["id"]
        sent = requests.post(f"{base}/events/{event}/redeliver", headers=polar.headers, timeout=10)
        assert sent.status_code == 202
        wait_for(shop, 2)
    assert shop.received[0][1] == shop.received[1][1]


def test_a_secret_that_makes_no_key_is_refused() -> None:
    """A secret that is no base64 is refused where Standard Webhooks' key is asked for."""
    with pytest.raises(ValueError, match="no base64"):
        Webhook("http://127.0.0.1/", "whsec_not base64!", key="standard")
