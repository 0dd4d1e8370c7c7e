from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from storefront.errors import PolarInvalidRequest, PolarUnauthorized, PolarUnavailable
from storefront.polar import Client, Server
from storefront.secret import Secret
from tests.contract.recordings import load
from tests.wire import Request, Upstream, answer, sends, upstream

BODIES = {recording.name: recording.body for recording in load()}
PRODUCT_ID = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
OTHER_ID = "86a42a32-be59-48d3-a0ad-6249a2f62ae9"


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream(sends(answer({}))) as running:
        yield running


@pytest.fixture
def client(server: Upstream) -> Iterator[Client]:
    client = Client(Server.custom(server.url), "polar_oat_test", timeout=5)
    yield client
    client.close()


def page_of(*items: object, total_count: int = 1, max_page: int = 1) -> bytes:
    pagination = {"total_count": total_count, "max_page": max_page}
    return answer({"items": items, "pagination": pagination})


EMPTY = page_of(total_count=0, max_page=0)


# --- lists -------------------------------------------------------------------------------------


def test_a_page_of_products(server: Upstream, client: Client) -> None:
    """A page is iterable and carries the list's totals."""
    recorded = BODIES["products_list_q_page_2_limit_5"]
    server.behave = sends(answer(recorded))
    page = client.products.list(page=2, limit=5)
    assert [product.id for product in page] == [item["id"] for item in recorded["items"]]
    assert len(page) == len(page.items) == 5
    assert page.total_count == recorded["pagination"]["total_count"]
    assert page.max_page == recorded["pagination"]["max_page"]


def test_what_a_list_asks_for(server: Upstream, client: Client) -> None:
    """Filters repeat, ids are in canonical form, and the path is the one Polar doesn't redirect."""
    server.behave = sends(EMPTY)
    page = client.products.list(
        page=3,
        limit=50,
        sorting=("-name",),
        id=[PRODUCT_ID.upper(), OTHER_ID],
        is_archived=False,
        visibility=("public", "private"),
    )
    assert (list(page), page.total_count, page.max_page) == ([], 0, 0)
    request = server.requests[0]
    assert request.path == "/v1/products/"
    assert request.query == [
        ("page", "3"),
        ("limit", "50"),
        ("sorting", "-name"),
        ("id", PRODUCT_ID),
        ("id", OTHER_ID),
        ("is_archived", "false"),
        ("visibility", "public"),
        ("visibility", "private"),
    ]


def test_lists_have_a_fixed_order(server: Upstream, client: Client) -> None:
    """Each list is sorted by a second field too, so that pages neither repeat rows nor skip any."""
    server.behave = sends(EMPTY)
    client.products.list()
    client.checkout_links.list()
    client.orders.list()
    sorted_by = [[v for k, v in request.query if k == "sorting"] for request in server.requests]
    assert sorted_by == [
        ["created_at", "name"],
        ["created_at", "label"],
        ["-created_at", "invoice_number"],
    ]


def numbered(connection: socket.socket, request: Request, over: threading.Event) -> None:
    """Serve three pages of two items each."""
    number = int(dict(request.query)["page"])
    items = [{"id": f"{number}-{each}"} for each in (1, 2)] if number <= 3 else []
    connection.sendall(page_of(*items, total_count=6, max_page=3))


@pytest.mark.parametrize("resource", ["products", "checkout_links", "orders"])
def test_iterating_reads_all_pages(resource: str, server: Upstream, client: Client) -> None:
    """Pages are read one after the other, as their items are asked for."""
    server.behave = numbered
    items = getattr(client, resource).iterate(limit=2)
    assert server.requests == []
    assert next(items).id == "1-1"
    assert len(server.requests) == 1
    assert [item.id for item in items] == ["1-2", "2-1", "2-2", "3-1", "3-2"]
    assert [dict(request.query)["page"] for request in server.requests] == ["1", "2", "3"]


def test_iterating_ends_where_the_items_do(server: Upstream, client: Client) -> None:
    """A list that shrank meanwhile, or that lies about its pages, ends at its first empty page."""
    server.behave = sends(page_of(total_count=9_000, max_page=9_000))
    assert list(client.products.iterate()) == []
    assert len(server.requests) == 1


def test_links_are_completed(server: Upstream, client: Client) -> None:
    """A link of an older answer has its product and its URL, in lists as by itself."""
    older = {"id": OTHER_ID, "client_secret": "polar_cl_x", "product": {"id": PRODUCT_ID}}
    server.behave = sends(page_of(older))
    (link,) = client.checkout_links.list(product_id=PRODUCT_ID)
    assert ("product_id", PRODUCT_ID) in server.requests[0].query
    server.behave = sends(answer(older))
    assert client.checkout_links.get(OTHER_ID) == link
    assert link.url == f"{server.url}/v1/checkout-links/polar_cl_x/redirect"
    assert [product.id for product in link.products] == [PRODUCT_ID]


def test_older_products_are_completed(server: Upstream, client: Client) -> None:
    """A product whose price has the interval has it as well."""
    price = {"id": "p", "recurring_interval": "month"}
    server.behave = sends(answer({"id": PRODUCT_ID, "prices": [price]}))
    assert client.products.get(PRODUCT_ID).recurring_interval == "month"


# --- single things -----------------------------------------------------------------------------


def test_reading_by_id(server: Upstream, client: Client) -> None:
    """A recorded answer of each resource is read, from its own path."""
    for name, read in {
        "products_get_one_time": client.products.get,
        "checkout-links_get_multi": client.checkout_links.get,
        "checkouts_get_free_monthly_succeeded": client.checkouts.get,
        "flow_paid_one_time_6_order_get": client.orders.get,
        "organizations_get": client.organizations.get,
    }.items():
        body = BODIES[name]
        server.behave = sends(answer(body))
        found: Any = read(body["id"].upper())
        assert found.id == body["id"]
    assert [request.path.split("/")[2] for request in server.requests] == [
        "products",
        "checkout-links",
        "checkouts",
        "orders",
        "organizations",
    ]
    assert server.requests[0].path == f"/v1/products/{PRODUCT_ID}"


def test_orders_of_a_checkout(server: Upstream, client: Client) -> None:
    """An order is found by its checkout; it may not be there yet."""
    recorded = BODIES["flow_paid_one_time_5_orders"]
    server.behave = sends(answer(recorded))
    checkout_id = recorded["items"][0]["checkout_id"]
    (order,) = client.orders.list(checkout_id=checkout_id, customer_id=[OTHER_ID], limit=1)
    assert order.paid
    assert order.total_amount == recorded["items"][0]["total_amount"]
    assert server.requests[0].query[-2:] == [
        ("checkout_id", checkout_id),
        ("customer_id", OTHER_ID),
    ]
    server.behave = sends(EMPTY)
    assert len(client.orders.list(checkout_id=checkout_id)) == 0


def test_the_organization_of_a_token(server: Upstream, client: Client) -> None:
    """A token's own organization is the one in the list."""
    server.behave = sends(answer(BODIES["organizations_list"]))
    (organization,) = client.organizations.list()
    assert organization.slug == "reference-store"
    assert organization.embed_hosts == ("store.example.com",)


@pytest.mark.parametrize(
    "id",
    ["", "zzz", "../orders", PRODUCT_ID + "/x", PRODUCT_ID + "\n", f"{{{PRODUCT_ID}}}", "%2e%2e"],
)
def test_an_id_that_is_none_is_not_sent(id: str, server: Upstream, client: Client) -> None:
    """No string of a visitor's becomes part of a path or a query."""
    calls: list[tuple[str, Callable[..., object]]] = [
        ("id", client.products.get),
        ("id", client.checkout_links.get),
        ("id", client.checkouts.get),
        ("id", client.orders.get),
        ("id", client.organizations.get),
        ("id", client.products.list),
        ("organization_id", client.products.list),
        ("product_id", client.checkout_links.list),
        ("checkout_id", client.orders.list),
        ("customer_id", client.orders.list),
        ("product_id", client.orders.list),
        ("customer_id", client.customer_sessions.create),
    ]
    for name, call in calls:
        with pytest.raises(ValueError, match=f"{name} must be a UUID"):
            call(**{name: id})
    assert server.requests == []


@pytest.mark.parametrize("limits", [{"page": 0}, {"page": 10**20}, {"limit": 0}, {"limit": 101}])
def test_limits_that_polar_would_not_take(
    limits: dict[str, int], server: Upstream, client: Client
) -> None:
    """Pages that Polar answers with a 500, and limits that it clamps in silence, are refused."""
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be from 1 to"):
        client.products.list(**limits)  # type: ignore[arg-type]
    assert server.requests == []


def test_a_calls_own_timeout(server: Upstream, client: Client) -> None:
    """Every call may be given less time than the client has."""

    def hang(connection: socket.socket, request: Request, over: threading.Event) -> None:
        over.wait(5)

    server.behave = hang
    with pytest.raises(PolarUnavailable, match=r"within 0\.1 seconds"):
        client.checkouts.get(PRODUCT_ID, timeout=0.1)


# --- customers ---------------------------------------------------------------------------------


def test_a_customers_session(server: Upstream, client: Client) -> None:
    """A session is made for Polar's id of a customer, or for the shop's own."""
    body = BODIES["customer-sessions_create_return_url"]
    server.behave = sends(answer(body, 201))
    session = client.customer_sessions.create(
        customer_id=body["customer_id"], return_url="https://store.example.com/account"
    )
    assert session.customer_portal_url == body["customer_portal_url"]
    client.customer_sessions.create(external_customer_id="user 1")
    assert [request.body for request in server.requests] == [
        f'{{"customer_id":"{body["customer_id"]}",'.encode()
        + b'"return_url":"https://store.example.com/account"}',
        b'{"external_customer_id":"user 1"}',
    ]
    assert (server.requests[0].method, server.requests[0].path) == (
        "POST",
        "/v1/customer-sessions/",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"customer_id": PRODUCT_ID, "external_customer_id": "a"},
        {"external_customer_id": ""},
        {"external_customer_id": "a\0b"},
    ],
)
def test_a_session_needs_one_customer(
    arguments: dict[str, Any], server: Upstream, client: Client
) -> None:
    """Neither none nor two, nor an id that Polar would answer with a 500."""
    with pytest.raises(ValueError, match="external_customer_id"):
        client.customer_sessions.create(**arguments)
    assert server.requests == []


def test_an_unknown_customer(server: Upstream, client: Client) -> None:
    """The problem is listed by the field's name."""
    server.behave = sends(answer(BODIES["customer-sessions_create_unknown"], 422))
    with pytest.raises(PolarInvalidRequest) as caught:
        client.customer_sessions.create(customer_id=PRODUCT_ID)
    assert [problem.field for problem in caught.value.problems] == ["customer_id"]


def test_a_session_that_can_not_be_read_is_not_shown(server: Upstream, client: Client) -> None:
    """An answer of an unexpected shape does not bring its token into the traceback."""
    server.behave = sends(answer({"token": ["polar_cst_canary"]}, 201))
    with pytest.raises(PolarUnavailable) as caught:
        client.customer_sessions.create(customer_id=PRODUCT_ID)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    told.stack[:] = [frame for frame in told.stack if "/tests/" not in frame.filename]
    assert "canary" not in "".join(told.format()) + repr(vars(caught.value))


def test_whose_session_it_is(server: Upstream, client: Client) -> None:
    """A session's token, given as it came, tells its customer's id."""
    server.behave = sends(answer(BODIES["portal_customers_me_session_token"]))
    for token in ("polar_cst_x", Secret("polar_cst_x")):
        found = client.customer_portal.customer_id(token)
        assert found == "81465ad1-2bb8-4814-aeb0-4babd7db1632"
    assert {request.headers["authorization"] for request in server.requests} == {
        "Bearer polar_cst_x"
    }
    server.behave = sends(answer(BODIES["portal_customers_me_bad_token"], 401))
    for token in ("polar_cst_x", "", "no token\r\n"):
        with pytest.raises(PolarUnauthorized):
            client.customer_portal.customer_id(token)


# --- answers that are not what they should be --------------------------------------------------


def broken(**changes: object) -> dict[str, object]:
    return BODIES["products_get_one_time"] | changes  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (broken(name=5), rf"item {PRODUCT_ID}: Expected `str`, got `int` - at `\$\.name`"),
        (broken(prices=[{"id": "p", "price_amount": "9"}]), r"at `\$\.prices\[0\]\.price_amount`"),
        (broken(created_at="yesterday"), rf"item {PRODUCT_ID}: .* at `\$\.created_at`"),
        ({"name": "x"}, "item 2 of the page: .*missing required field `id`"),
        ({"id": ["x"]}, "item 2 of the page: "),
        (None, "item 2 of the page: "),
    ],
)
def test_a_broken_item_fails_its_list(
    item: object, told: str, server: Upstream, client: Client
) -> None:
    """One item that can't be read fails the whole page, and the message says which and where."""
    server.behave = sends(page_of({"id": OTHER_ID}, item))
    with pytest.raises(PolarUnavailable, match=told) as caught:
        client.products.list()
    assert caught.value.path == "/v1/products/"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "raw",
    [
        answer({"items": []}),
        answer({"pagination": {"total_count": 0, "max_page": 0}}),
        answer({"items": {}, "pagination": {"total_count": 0, "max_page": 0}}),
        answer({"items": [], "pagination": {"total_count": "0", "max_page": 0}}),
        answer([]),
        answer(None),
        answer(b""),
        answer(b'{"items": [], "pagination": {"total_count": 0, "max_page": 0}}}'),
        answer(b'{"items": [' + b"[" * 200_000),
        page_of({"id": OTHER_ID, "metadata": {"a": 1}}).replace(b"1}", b"\xff}", 1),
    ],
)
def test_a_list_that_is_none(raw: bytes, server: Upstream, client: Client) -> None:
    """An answer of another shape is no answer."""
    server.behave = sends(raw)
    with pytest.raises(PolarUnavailable, match="can't be understood"):
        client.products.list()


def test_deep_nesting_is_an_error_of_its_item(server: Upstream, client: Client) -> None:
    """Nesting that no parser follows is told like any other fault."""
    deep = b'{"id": "' + OTHER_ID.encode() + b'", "metadata": {"a": ' + b"[" * 50_000
    body = b'{"items": [' + deep + b"]" * 50_000 + b"}}], "
    body += b'"pagination": {"total_count": 1, "max_page": 1}}'
    server.behave = sends(answer(body))
    with pytest.raises(PolarUnavailable, match="nested too deeply"):
        client.products.list()


def test_the_client_does_not_show_its_token() -> None:
    """A token may be given as a string or a Secret; neither is shown."""
    for token in ("polar_oat_canary", Secret("polar_oat_canary")):
        client = Client(Server.sandbox(), token)
        assert repr(client) == "<Client of https://sandbox-api.polar.sh/v1>"
        assert "canary" not in repr(vars(client))
