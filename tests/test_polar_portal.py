"""What a client reads with a customer's own token, and how an order's invoice is had."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import pytest
import requests

from storefront.errors import PolarNotFound, PolarUnauthorized, PolarUnavailable
from storefront.polar import Client, LicenseKey, Page, Server
from storefront.secret import Secret
from storefront.testing import Purchase, ShopPolar, local_polar
from tests.contract.recordings import load
from tests.wire import Upstream, answer, sends, upstream

BODIES = {recording.name: recording.body for recording in load()}
ORDER_ID = "e66fba76-9477-46d2-b43b-150d588742d0"
_UNKNOWN = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream(sends(answer({}))) as running:
        yield running


@pytest.fixture
def recorded(server: Upstream) -> Iterator[Client]:
    """A client of a server that sends what was recorded."""
    client = Client(Server.custom(server.url), "polar_oat_canary", timeout=5)
    yield client
    client.close()


@pytest.fixture(scope="module")
def polar() -> Iterator[ShopPolar]:
    with local_polar() as local:
        yield local


@pytest.fixture
def client(polar: ShopPolar) -> Iterator[Client]:
    """A client of a local Polar."""
    client = Client(Server.custom(polar.url), polar.token, timeout=5)
    yield client
    client.close()


def token_of(bought: Purchase) -> str:
    assert bought.customer_session_token is not None
    return bought.customer_session_token


# --- as recorded -------------------------------------------------------------------------------


def test_recorded_grants(server: Upstream, recorded: Client) -> None:
    """Grants come with their notes and the ids of their keys; the token is the customer's."""
    server.behave = sends(answer(BODIES["portal_benefit_grants"]))
    page = recorded.customer_portal.benefit_grants("polar_cst_x", order_id=ORDER_ID)
    note, key = page.items
    assert (note.benefit.type, note.note) == ("custom", "Join with this **secret** link")
    assert (key.benefit.type, key.note) == ("license_keys", None)
    assert key.license_key_id == "067a41ad-0b2a-4fee-8262-d5fca6ba47ec"
    assert note.license_key_id is None
    assert all(grant.is_granted and grant.order_id == ORDER_ID for grant in page)
    request = server.requests[0]
    assert request.headers["authorization"] == "Bearer polar_cst_x"
    assert request.query == [("page", "1"), ("limit", "100"), ("order_id", ORDER_ID)]


def test_recorded_keys_orders_and_downloads(server: Upstream, recorded: Client) -> None:
    """License keys and orders are read as they came; a customer may have nothing to download."""
    portal = recorded.customer_portal
    server.behave = sends(answer(BODIES["portal_license_keys"]))
    (key,) = portal.license_keys("polar_cst_x")
    assert key.key == "ACME-F2CD5138-9E54-428D-8792-B199E6D06C68"
    assert (key.status, key.display_key, key.limit_usage) == ("granted", "****-D06C68", None)
    server.behave = sends(answer(BODIES["portal_orders_list"]))
    assert [order.id for order in portal.orders("polar_cst_x")] == [ORDER_ID]
    server.behave = sends(answer(BODIES["portal_orders_get"]))
    assert portal.order("polar_cst_x", ORDER_ID).status == "paid"
    server.behave = sends(answer(BODIES["portal_downloadables"]))
    assert len(portal.downloadables("polar_cst_x")) == 0
    assert [request.path for request in server.requests] == [
        "/v1/customer-portal/license-keys/",
        "/v1/customer-portal/orders/",
        f"/v1/customer-portal/orders/{ORDER_ID}",
        "/v1/customer-portal/downloadables/",
    ]


def test_keys_addresses_and_notes_stay_out_of_reprs(server: Upstream, recorded: Client) -> None:
    """Whatever a buyer alone may see is in no repr, nor in a traceback of an answer gone wrong."""
    key = LicenseKey(id="a", key="ACME-CANARY", display_key="****-NARY")
    assert "CANARY" not in repr(Page((key,), 1, 1))
    server.behave = sends(answer(BODIES["portal_benefit_grants"]))
    assert "secret" not in repr(recorded.customer_portal.benefit_grants("polar_cst_x"))
    body = {"items": [{"id": 5, "key": "ACME-CANARY"}], "pagination": {}}
    server.behave = sends(answer({**body, "pagination": {"total_count": 1, "max_page": 1}}))
    with pytest.raises(PolarUnavailable) as caught:
        recorded.customer_portal.license_keys("polar_cst_CANARY")
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    told.stack[:] = [frame for frame in told.stack if "/tests/" not in frame.filename]
    assert "CANARY" not in "".join(told.format()) + repr(vars(caught.value))


# --- against the local Polar -------------------------------------------------------------------


def test_a_buyer_reads_what_they_were_granted(polar: ShopPolar, client: Client) -> None:
    """Key, files and grants of a purchase are read with its session token, and by checkout."""
    bought = polar.purchase("northlight", email="jane@example.com")
    token, portal = token_of(bought), client.customer_portal
    assert portal.customer_id(token) == bought.customer_id
    assert [order.id for order in portal.orders(Secret(token))] == [bought.order_id]
    grants = portal.benefit_grants(token, checkout_id=bought.checkout_id)
    assert [grant.benefit.type for grant in grants] == ["license_keys", "downloadables"]
    (key,) = portal.license_keys(token)
    assert key.id == grants.items[0].license_key_id
    assert (key.key[:6], key.limit_activations) == ("NORTH-", 3)
    files = portal.downloadables(token)
    assert len(files) == 3
    for item in files:
        assert "***" in repr(item)
        assert item.file.download.url not in repr(item)
        got = requests.get(item.file.download.url, timeout=10)
        assert len(got.content) == item.file.size


def test_a_subscription_is_found_by_its_checkout(polar: ShopPolar, client: Client) -> None:
    """What a subscription granted has no order; the checkout finds it."""
    bought = polar.purchase("pro-monthly", email="joe@example.com")
    token = token_of(bought)
    grants = client.customer_portal.benefit_grants(token, checkout_id=bought.checkout_id)
    assert {grant.subscription_id for grant in grants} == {bought.subscription_id}
    assert bought.order_id is not None
    assert len(client.customer_portal.benefit_grants(token, order_id=bought.order_id)) == 0
    assert any(grant.note for grant in grants)


def test_other_peoples_things_are_not_found(polar: ShopPolar, client: Client) -> None:
    """An order of somebody else's is not found; a token that is none is refused, whatever it is."""
    mine = polar.purchase("northlight", email="mine@example.com")
    other = polar.purchase("northlight", email="other@example.com")
    portal = client.customer_portal
    assert other.order_id is not None
    with pytest.raises(PolarNotFound):
        portal.order(token_of(mine), other.order_id)
    for token in ("polar_cst_x", polar.token, "", "no token\r\n"):
        for read in (portal.orders, portal.benefit_grants, portal.license_keys):
            with pytest.raises(PolarUnauthorized):
                read(token)


def test_an_invoice_is_asked_for_and_read(polar: ShopPolar, client: Client) -> None:
    """It is asked for once, and its address leads to a PDF."""
    bought = polar.purchase("northlight", email="invoice@example.com")
    assert bought.order_id is not None
    found = client.orders.invoice(bought.order_id)
    assert found is not None
    assert found.reveal() not in repr(found)
    got = requests.get(found.reveal(), timeout=10)
    assert got.content.startswith(b"%PDF")
    assert client.orders.invoice(bought.order_id) == found
    with pytest.raises(PolarNotFound):
        client.orders.invoice(_UNKNOWN)
    with pytest.raises(ValueError, match="UUID"):
        client.orders.invoice("../x")


def test_an_invoice_that_is_not_there_yet() -> None:
    """Until it is drawn up there is none; it is not asked for in vain."""
    with local_polar(settle_seconds=0.3) as slow:
        client = Client(Server.custom(slow.url), slow.token, timeout=5)
        bought = slow.purchase("northlight", email="jane@example.com")
        assert bought.order_id is not None
        assert client.orders.invoice(bought.order_id) is None
        while client.orders.invoice(bought.order_id) is None:
            pass
        client.close()


def test_an_id_that_is_none_is_not_sent(server: Upstream, recorded: Client) -> None:
    """No string of a visitor's becomes part of a path or a query."""
    portal = recorded.customer_portal
    with pytest.raises(ValueError, match="UUID"):
        portal.order("polar_cst_x", "../me")
    with pytest.raises(ValueError, match="UUID"):
        portal.benefit_grants("polar_cst_x", checkout_id="x")
    assert server.requests == []
