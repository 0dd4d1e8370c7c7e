from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from storefront.emulator import LocalPolar
from storefront.errors import (
    PolarError,
    PolarForbidden,
    PolarInvalidRequest,
    PolarNotFound,
    PolarRateLimited,
    PolarUnauthorized,
    PolarUnavailable,
)
from storefront.polar import Client, Server
from tests.contract.recordings import Recording, load
from tests.wire import Upstream, answer, sends, upstream

RECORDINGS = load()
BODIES = {recording.name: recording.body for recording in RECORDINGS}
PRODUCT_ID = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
ENDPOINT_ID = "df282730-37d2-445b-b1e3-25ca5db35d7f"


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream(sends(answer({}))) as running:
        yield running


@pytest.fixture
def client(server: Upstream) -> Iterator[Client]:
    client = Client(Server.custom(server.url), "polar_oat_canary", timeout=5)
    yield client
    client.close()


# --- discounts and webhook endpoints -----------------------------------------------------------


def test_discounts(server: Upstream, client: Client) -> None:
    """Discounts are listed with their codes and bounds, oldest first."""
    server.behave = sends(answer(BODIES["discounts_list"]))
    page = client.discounts.list(query="launch", organization_id=PRODUCT_ID)
    assert server.requests[0].path == "/v1/discounts/"
    assert server.requests[0].query == [
        ("page", "1"),
        ("limit", "100"),
        ("sorting", "created_at"),
        ("sorting", "name"),
        ("organization_id", PRODUCT_ID),
        ("query", "launch"),
    ]
    bounded, hundred, internal, launch = page
    assert (bounded.code, bounded.basis_points) == ("OLD10", 1000)
    assert bounded.ends_at == datetime(2027, 12, 31, tzinfo=UTC)
    assert (hundred.duration, hundred.redemptions_count) == ("forever", 2)
    assert (internal.type, internal.amounts, internal.code) == ("fixed", {"usd": 500}, None)
    assert (launch.products, launch.max_redemptions_per_customer) == ((), None)
    assert [each.code for each in client.discounts.iterate(query="x")] == [
        each.code for each in page
    ]


def test_a_discount_for_some_products(server: Upstream, client: Client) -> None:
    """A discount is read by its id, with the products it is limited to."""
    body = BODIES["discounts_list"]["items"][0] | {
        "products": [{"id": PRODUCT_ID, "name": "Ebook", "visibility": "public"}]
    }
    server.behave = sends(answer(body))
    found = client.discounts.get(body["id"].upper())
    assert server.requests[0].path == f"/v1/discounts/{body['id']}"
    assert [product.name for product in found.products] == ["Ebook"]


def test_webhook_endpoints(server: Upstream, client: Client) -> None:
    """Endpoints are listed at a path without a slash at its end, and read without their secret."""
    server.behave = sends(answer(BODIES["webhook-endpoints_list"]))
    (endpoint,) = client.webhook_endpoints.list()
    assert server.requests[0].target == "/v1/webhooks/endpoints?page=1&limit=100"
    assert endpoint.url == "https://example.com/polar-hook"
    assert (endpoint.name, endpoint.format, endpoint.enabled) == ("Store hook", "raw", True)
    assert "order.paid" in endpoint.events
    assert b"whsec" not in msgspec.json.encode(endpoint)
    assert list(client.webhook_endpoints.iterate()) == [endpoint]
    server.behave = sends(answer(BODIES["webhook-endpoints_get"]))
    assert client.webhook_endpoints.get(ENDPOINT_ID).id == ENDPOINT_ID
    assert server.requests[-1].target == f"/v1/webhooks/endpoints/{ENDPOINT_ID}"


def test_endpoints_that_can_not_be_read_keep_their_secret(server: Upstream, client: Client) -> None:
    """An endpoint of an unexpected shape does not bring its secret into the traceback."""
    broken = BODIES["webhook-endpoints_get"] | {"url": 5}
    server.behave = sends(answer(broken))
    with pytest.raises(PolarUnavailable, match=r"at `\$\.url`") as caught:
        client.webhook_endpoints.get(ENDPOINT_ID)
    assert "whsec_" not in told(caught.value)


def test_tolerance(server: Upstream, client: Client) -> None:
    """What an older or newer Polar leaves out, or adds, is no reason to fail."""
    server.behave = sends(answer({"id": PRODUCT_ID, "novelty": {"a": 1}, "type": "gift"}))
    assert client.discounts.get(PRODUCT_ID).type == "gift"
    assert client.webhook_endpoints.get(PRODUCT_ID).events == ()
    organization = client.organizations.get(PRODUCT_ID)
    assert organization.embed_hosts == ()
    assert organization.feature_settings is None


def test_what_a_doctor_looks_at(server: Upstream, client: Client) -> None:
    """An organization tells who may embed it, what is switched on and what it may do."""
    server.behave = sends(answer(BODIES["organizations_list"]))
    (organization,) = client.organizations.iterate()
    assert (organization.slug, organization.name) == ("reference-store", "Reference Store")
    assert organization.embed_hosts == ("store.example.com",)
    assert organization.embed_hosts_enforced
    assert organization.status == "active"
    assert organization.feature_settings is not None
    assert organization.feature_settings["checkout_localization_enabled"] is False
    assert organization.capabilities is not None
    assert organization.capabilities["checkout_payments"] is True


# --- iterating ---------------------------------------------------------------------------------


def test_iterating_from_a_later_page(server: Upstream, client: Client) -> None:
    """Iterating takes what listing takes, the page to start with included."""
    items = [{"id": PRODUCT_ID}]
    server.behave = sends(answer({"items": items, "pagination": {"total_count": 3, "max_page": 3}}))
    assert len(list(client.products.iterate(page=2, limit=1, id=PRODUCT_ID))) == 2
    assert [request.query[:2] for request in server.requests] == [
        [("page", "2"), ("limit", "1")],
        [("page", "3"), ("limit", "1")],
    ]
    with pytest.raises(ValueError, match="page must be from 1"):
        next(client.products.iterate(page=0))
    wrong: Any = {"colour": "red"}
    with pytest.raises(TypeError, match="colour"):
        next(client.products.iterate(**wrong))


# --- the time ----------------------------------------------------------------------------------

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("Sun, 22 Nov 2026 12:00:00 GMT", NOON),
        ("Sun, 22 Nov 2026 12:00:00 -0000", NOON),
        ("Sun, 22 Nov 2026 14:00:00 +0200", NOON),
        ("Sunday, 22-Nov-26 12:00:00 GMT", NOON),
        ("yesterday", None),
        ("", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_the_time_at_polar(
    date: str | None, time: datetime | None, status: int, server: Upstream, client: Client
) -> None:
    """Any answer tells the time, whatever else it says; a date that is none is no time."""
    headers = [("Content-Type", "application/json")] + (
        [("Date", date)] if date is not None else []
    )
    server.behave = sends(answer(BODIES["organizations_list"], status, headers))
    assert client.server_time() == time
    assert server.requests[0].target == "/v1/organizations/?limit=1"


def test_the_time_of_a_polar_that_is_not_there(server: Upstream, client: Client) -> None:
    """No answer is no time, and fails like any other call."""
    server.stop()
    with pytest.raises(PolarUnavailable):
        client.server_time()


def test_the_time_in_utc(server: Upstream, client: Client) -> None:
    """The time has a zone, so that it can be compared."""
    server.behave = sends(answer({}, 200, [("Date", "Sun, 22 Nov 2026 14:00:00 +0200")]))
    time = client.server_time()
    assert time is not None
    assert time.utcoffset() == timedelta(0)


# --- every recorded answer ---------------------------------------------------------------------

ERRORS: dict[int, type[PolarError]] = {
    307: PolarUnavailable,
    401: PolarUnauthorized,
    403: PolarForbidden,
    404: PolarNotFound,
    405: PolarInvalidRequest,
    422: PolarInvalidRequest,
    429: PolarRateLimited,
    500: PolarUnavailable,
}


def call_of(recording: Recording) -> Callable[[Client], object] | None:
    """The client's call that such an answer would come to; None when it has none."""
    path = urlsplit(recording.target).path.strip("/").split("/")
    resource = {
        "checkout-links": "checkout_links",
        "discounts": "discounts",
        "organizations": "organizations",
        "webhooks": "webhook_endpoints",
    }.get(path[1] if path[0] == "v1" else "")
    below = path[3 if resource == "webhook_endpoints" else 2 :]
    if resource is None or len(below) > 1:
        return None
    match recording.method, bool(below):
        case "GET", False:
            return lambda client: getattr(client, resource).list()
        case "GET", True:
            return lambda client: getattr(client, resource).get(PRODUCT_ID)
        case "POST", False if resource == "checkout_links":
            return lambda client: client.checkout_links.create([PRODUCT_ID])
        case "PATCH", True if resource == "checkout_links":
            return lambda client: client.checkout_links.update(PRODUCT_ID, label="x")
        case "DELETE", True if resource == "checkout_links":
            return lambda client: client.checkout_links.delete(PRODUCT_ID)
    return None


CALLS = [(each, call) for each in RECORDINGS if (call := call_of(each)) is not None]


def raw(recording: Recording) -> bytes:
    body = recording.body
    content = b"" if body is None else body.encode() if isinstance(body, str) else body
    kept = {"content-type", "location", "retry-after", "www-authenticate", "date"}
    headers = [each for each in recording.headers.items() if each[0] in kept]
    return answer(content, recording.status, headers)


def told(exc: BaseException) -> str:
    """All that an error report could show of it, local variables of the package included."""
    report = traceback.TracebackException.from_exception(exc, capture_locals=True)
    report.stack[:] = [frame for frame in report.stack if "/tests/" not in frame.filename]
    return "".join(report.format()) + repr(vars(exc))


def test_recordings_are_not_forgotten() -> None:
    """There are answers to each kind of call, good ones and bad ones."""
    kinds = {(each.method, each.status) for each, _ in CALLS}
    assert len(CALLS) > 150
    assert kinds >= {("GET", 200), ("POST", 201), ("PATCH", 200), ("DELETE", 204)}
    assert kinds >= {("POST", 422), ("POST", 500), ("POST", 307), ("PATCH", 500), ("DELETE", 403)}


@pytest.mark.parametrize(
    ("recording", "call"), CALLS, ids=[recording.name for recording, _ in CALLS]
)
def test_every_recorded_answer(
    recording: Recording, call: Callable[[Client], Any], server: Upstream, client: Client
) -> None:
    """Each answer is read, or raises its error, which keeps what was asked and not the token."""
    server.behave = sends(raw(recording))
    if recording.status < 300:
        result = call(client)
        expected = recording.body
        if recording.status == 204:
            assert result is None
        elif recording.method == "GET" and "items" in expected:
            assert [item.id for item in result] == [item["id"] for item in expected["items"]]
            assert result.total_count == expected["pagination"]["total_count"]
        else:
            assert result.id == expected["id"]
        return
    with pytest.raises(PolarError) as caught:
        call(client)
    error = caught.value
    assert type(error) is ERRORS[recording.status]
    assert (error.method, error.status) == (recording.method, recording.status)
    assert error.path == server.requests[0].path
    assert error.date == recording.date
    if isinstance(error, PolarInvalidRequest) and recording.status == 422:
        assert error.problems
    assert "canary" not in told(error)


def test_a_local_polar(reference_polar: LocalPolar) -> None:
    """What is read of the service is read of a local Polar as well, its clock included."""
    client = Client(Server.custom(reference_polar.url), next(iter(reference_polar.tokens)))
    codes = {discount.code for discount in client.discounts.iterate(limit=2)}
    assert {"LAUNCH20", "FREE100", None} <= codes
    assert list(client.webhook_endpoints.list()) == []
    (organization,) = client.organizations.list()
    assert organization.slug == "reference-store"
    time = client.server_time()
    assert time is not None
    assert abs(datetime.now(UTC) - time) < timedelta(seconds=5)
    client.close()
