from __future__ import annotations

import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from storefront.emulator import LocalPolar, Store
from storefront.errors import (
    LinkError,
    PolarForbidden,
    PolarInvalidRequest,
    PolarNotFound,
    PolarRateLimited,
    PolarUnavailable,
)
from storefront.polar import LINK_KEY, Client, Server
from storefront.polar.checkout_links import CheckoutLinks
from tests.contract.recordings import REFERENCE_STORE, load
from tests.wire import Request, Upstream, answer, sends, upstream

BODIES = {recording.name: recording.body for recording in load()}
PRODUCT_ID = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
OTHER_ID = "86a42a32-be59-48d3-a0ad-6249a2f62ae9"

#: What becomes of the answer to a link that was made.
Fate = Callable[[socket.socket, bytes, threading.Event], None]


def arrives(connection: socket.socket, raw: bytes, over: threading.Event) -> None:
    connection.sendall(raw)


def is_cut(connection: socket.socket, raw: bytes, over: threading.Event) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def is_cut_amid(connection: socket.socket, raw: bytes, over: threading.Event) -> None:
    connection.sendall(raw[: len(raw) // 2])
    connection.shutdown(socket.SHUT_RDWR)


def is_late(connection: socket.socket, raw: bytes, over: threading.Event) -> None:
    over.wait(5)


def is_replaced(connection: socket.socket, raw: bytes, over: threading.Event) -> None:
    connection.sendall(answer(b"<h1>Bad Gateway</h1>", 502))


def is_garbled(connection: socket.socket, raw: bytes, over: threading.Event) -> None:
    connection.sendall(answer(b'{"id": 5}', 201))


class Links:
    """Makes and lists links as Polar does, as far as these tests look."""

    def __init__(self) -> None:
        self.links: list[dict[str, Any]] = []
        self.fate: Fate = arrives
        #: What a link is answered with in place of being made.
        self.refusal: bytes | None = None
        #: What a list is answered with in place of the links.
        self.no_list: bytes | None = None
        #: How many lists are read before the link that is being made is there.
        self.appears_after = 0

    def __call__(self, connection: socket.socket, request: Request, over: threading.Event) -> None:
        if request.method == "GET":
            assert ("sorting", "-created_at") in request.query
            connection.sendall(self.no_list or self.page(int(dict(request.query)["page"])))
        elif self.refusal is not None:
            self.fate(connection, self.refusal, over)
        else:
            self.fate(connection, answer(self.make(json.loads(request.body)), 201), over)

    def make(self, body: dict[str, Any]) -> dict[str, Any]:
        products = [{"id": id} for id in body.pop("products")]
        link = {"id": str(uuid4()), "client_secret": "polar_cl_x", "products": products, **body}
        self.links.append(link)
        return link

    def page(self, number: int) -> bytes:
        links = self.links[:-1] if self.appears_after > 0 else self.links
        self.appears_after -= 1
        first = (number - 1) * 100
        pagination = {"total_count": len(links), "max_page": -(-len(links) // 100)}
        return answer({"items": links[::-1][first : first + 100], "pagination": pagination})

    def fill(self, number: int) -> None:
        """Have that many other links first."""
        for each in range(number):
            self.make({"products": [OTHER_ID], "metadata": {LINK_KEY: f"other {each}"}})


@pytest.fixture
def polar() -> Links:
    return Links()


@pytest.fixture
def server(polar: Links) -> Iterator[Upstream]:
    with upstream(polar) as running:
        yield running


@pytest.fixture
def client(server: Upstream) -> Iterator[Client]:
    client = Client(Server.custom(server.url), "polar_oat_canary", timeout=5)
    yield client
    client.close()


def posts(server: Upstream) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in server.requests if each.method == "POST"]


# --- making ------------------------------------------------------------------------------------


def test_a_link_is_made(server: Upstream, client: Client) -> None:
    """What is asked for is sent, ids in canonical form, with a random key; and nothing else."""
    link = client.checkout_links.create([PRODUCT_ID.upper()])
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/checkout-links/")
    body = json.loads(request.body)
    key = body.pop("metadata").pop(LINK_KEY)
    assert len(key) >= 20
    assert body == {
        "products": [PRODUCT_ID],
        "allow_discount_codes": True,
        "require_billing_address": False,
        "payment_processor": "stripe",
    }
    assert link.metadata == {LINK_KEY: key}
    assert link.url == f"{server.url}/v1/checkout-links/polar_cl_x/redirect"
    client.checkout_links.create([PRODUCT_ID])
    assert posts(server)[1]["metadata"][LINK_KEY] != key


def test_a_link_with_everything(server: Upstream, client: Client) -> None:
    """Each argument is sent under its own name; kinds of strings are sent as strings."""
    metadata = {"source": Markup("home"), "n": 3, "f": 1.5, "b": False}
    everything: dict[str, Any] = {
        "label": Markup("Büro"),
        "discount_id": OTHER_ID.upper(),
        "allow_discount_codes": False,
        "require_billing_address": True,
        "success_url": "https://shop.example.com/thanks?id={CHECKOUT_ID}",
        "return_url": "https://shop.example.com",
        "trial_interval": "week",
        "trial_interval_count": 2,
        "seats": 5,
        "units": 7,
        "metadata": metadata,
    }
    client.checkout_links.create((PRODUCT_ID, OTHER_ID), **everything, key="k")
    (body,) = posts(server)
    assert body.pop("payment_processor") == "stripe"
    assert body == everything | {
        "products": [PRODUCT_ID, OTHER_ID],
        "discount_id": OTHER_ID,
        "metadata": metadata | {LINK_KEY: "k"},
    }
    assert LINK_KEY not in metadata


def test_a_recorded_link(server: Upstream, client: Client) -> None:
    """What Polar answered to a link with metadata is read."""
    recorded = BODIES["checkout-links_create_multi"]
    server.behave = sends(answer(recorded, 201))
    link = client.checkout_links.create([product["id"] for product in recorded["products"]])
    assert link.id == recorded["id"]
    assert link.label == "Pro plans"
    assert link.metadata == recorded["metadata"]
    assert link.created_at == datetime.fromisoformat(recorded["created_at"])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"products": []}, "products"),
        ({"products": [PRODUCT_ID, PRODUCT_ID]}, "products"),
        ({"label": "a\0"}, "label"),
        ({"allow_discount_codes": None}, "allow_discount_codes"),
        ({"require_billing_address": None}, "require_billing_address"),
        ({"success_url": "https://shop.example.com/{checkout_id}"}, "success_url"),
        ({"trial_interval": "day"}, "trial_interval_count"),
        ({"metadata": {"k": float("inf")}}, "metadata"),
        ({"metadata": {LINK_KEY: "k"}}, "metadata"),
        ({"payment_processor": "paddle"}, "payment_processor"),
        ({"key": ""}, "key"),
        ({"key": "k" * 501}, "key"),
    ],
)
def test_what_is_wrong_is_not_sent(
    arguments: dict[str, Any], field: str, server: Upstream, client: Client
) -> None:
    """What Polar would fail on, or keep broken, is refused by name."""
    with pytest.raises(LinkError) as caught:
        client.checkout_links.create(**{"products": [PRODUCT_ID]} | arguments)
    assert caught.value.field == field
    assert server.requests == []


def test_what_polar_refuses(polar: Links, server: Upstream, client: Client) -> None:
    """What only Polar can judge is told by its field, and nothing is looked for."""
    polar.refusal = answer(BODIES["checkout-links_create_archived_product"], 422)
    with pytest.raises(PolarInvalidRequest) as caught:
        client.checkout_links.create([PRODUCT_ID])
    assert [tuple(each) for each in caught.value.problems] == [("products", "Product is archived.")]
    polar.refusal = answer(b"", 307, [("Location", "/v1/checkout-links")])
    with pytest.raises(PolarUnavailable, match="redirect") as redirected:
        client.checkout_links.create([PRODUCT_ID])
    assert redirected.value.key is None
    polar.refusal = answer(b"", 429)
    with pytest.raises(PolarRateLimited):
        client.checkout_links.create([PRODUCT_ID])
    assert [request.method for request in server.requests] == ["POST"] * 3


# --- an answer that is lost --------------------------------------------------------------------


@pytest.mark.parametrize("fate", [is_cut, is_cut_amid, is_late, is_replaced, is_garbled])
@pytest.mark.parametrize("key", [None, "mine"])
def test_a_link_whose_answer_is_lost_is_found(
    fate: Fate, key: str | None, polar: Links, server: Upstream, client: Client
) -> None:
    """However the answer gets lost, the link that was made is found and given, and no second one
    is made."""
    polar.fill(3)
    polar.fate = fate
    link = client.checkout_links.create([PRODUCT_ID], label="once", key=key, timeout=0.5)
    assert link.id == polar.links[3]["id"]
    assert link.label == "once"
    assert len(posts(server)) == 1
    assert len(polar.links) == 4
    assert server.requests[-1].query[:3] == [
        ("page", "1"),
        ("limit", "100"),
        ("sorting", "-created_at"),
    ]


def test_a_link_that_takes_a_moment_to_appear(
    polar: Links, server: Upstream, client: Client
) -> None:
    """Polar may still be at work when the connection breaks: there is a second look."""
    polar.fate, polar.appears_after = is_cut, 1
    assert client.checkout_links.create([PRODUCT_ID]).id == polar.links[0]["id"]
    assert [request.method for request in server.requests] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("key", [None, "mine"])
def test_a_link_that_was_not_made(
    key: str | None, polar: Links, server: Upstream, client: Client
) -> None:
    """When no link has the key, that is said, and the key makes one with the next call."""
    polar.fill(2)
    polar.refusal = answer(b"Internal Server Error", 500)
    with pytest.raises(PolarUnavailable, match="none was made as far as can be seen") as caught:
        client.checkout_links.create([PRODUCT_ID], key=key)
    error = caught.value
    assert (error.method, error.path, error.status) == ("POST", "/v1/checkout-links/", 500)
    assert error.body == "Internal Server Error"
    assert error.key is not None
    assert error.key in str(error)
    assert key in (None, error.key)
    polar.refusal = None
    made = client.checkout_links.create([PRODUCT_ID], key=error.key)
    assert client.checkout_links.create([PRODUCT_ID], key=error.key).id == made.id
    assert len(posts(server)) == 2
    assert len(polar.links) == 3


def test_a_link_that_appears_later_still(polar: Links, server: Upstream, client: Client) -> None:
    """A link that neither look found is found by the next call with the error's key."""
    polar.fate, polar.appears_after = is_cut, 2
    with pytest.raises(PolarUnavailable) as caught:
        client.checkout_links.create([PRODUCT_ID])
    assert caught.value.key is not None
    link = client.checkout_links.create([PRODUCT_ID], key=caught.value.key)
    assert [link.id] == [each["id"] for each in polar.links]
    assert len(posts(server)) == 1


def test_when_nothing_can_be_seen(polar: Links, server: Upstream, client: Client) -> None:
    """A token that may write and not read leaves open whether there is a link, and that is said."""
    polar.fate = is_cut
    polar.no_list = answer(BODIES["checkout-links_create_readonly_scope_403"], 403)
    with pytest.raises(PolarUnavailable, match="can't be seen: Polar forbids GET") as caught:
        client.checkout_links.create([PRODUCT_ID])
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    told.stack[:] = [frame for frame in told.stack if "/tests/" not in frame.filename]
    assert "canary" not in "".join(told.format()) + repr(vars(caught.value))
    with pytest.raises(PolarForbidden):
        client.checkout_links.create([PRODUCT_ID], key="mine")
    assert len(posts(server)) == 1


def test_a_link_that_can_not_have_been_made() -> None:
    """Nothing is looked for when nothing can have been sent, and no key is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = Client(Server.local(port), "polar_oat_x", timeout=5)
    with pytest.raises(PolarUnavailable, match="could not be reached") as unreached:
        client.checkout_links.create([PRODUCT_ID])
    with pytest.raises(PolarUnavailable, match="no time left") as timeless:
        client.checkout_links.create([PRODUCT_ID], timeout=0)
    for caught in (unreached, timeless):
        assert (caught.value.sent, caught.value.key) == (False, None)


def test_a_key_that_has_a_link(polar: Links, server: Upstream, client: Client) -> None:
    """A key of one's own is looked for on every page first; what has it is given as it is."""
    polar.make({"products": [PRODUCT_ID], "label": "first", "metadata": {LINK_KEY: "mine"}})
    polar.fill(100)
    polar.make({"products": [PRODUCT_ID], "metadata": {}})
    link = client.checkout_links.create([OTHER_ID], label="other", key="mine")
    assert (link.label, [product.id for product in link.products]) == ("first", [PRODUCT_ID])
    assert [dict(request.query)["page"] for request in server.requests] == ["1", "2"]
    assert client.checkout_links.create([OTHER_ID], label="new", key="yours").label == "new"


# --- changing and deleting ---------------------------------------------------------------------


def test_a_link_is_changed(server: Upstream, client: Client) -> None:
    """What is given is sent, None to clear; what is left out is not."""
    server.behave = sends(answer(BODIES["checkout-links_update_label"]))
    assert client.checkout_links.update(OTHER_ID.upper(), label="after").label == "after"
    client.checkout_links.update(OTHER_ID)
    clearable = ("label", "discount_id", "success_url", "return_url", "trial_interval")
    cleared: dict[str, Any] = dict.fromkeys((*clearable, "trial_interval_count", "seats", "units"))
    client.checkout_links.update(OTHER_ID, **cleared)
    changed: dict[str, Any] = {
        "products": [OTHER_ID, PRODUCT_ID],
        "label": "",
        "discount_id": OTHER_ID,
        "allow_discount_codes": False,
        "require_billing_address": True,
        "success_url": "https://shop.example.com/",
        "return_url": "http://shop.example.com/",
        "trial_interval": "year",
        "trial_interval_count": 1,
        "seats": 1,
        "units": 1,
        "metadata": {LINK_KEY: "k"},
    }
    client.checkout_links.update(OTHER_ID, **changed)
    client.checkout_links.update(OTHER_ID, metadata={})
    assert {(request.method, request.path) for request in server.requests} == {
        ("PATCH", f"/v1/checkout-links/{OTHER_ID}")
    }
    assert [json.loads(request.body) for request in server.requests] == [
        {"label": "after"},
        {},
        cleared,
        changed,
        {"metadata": {}},
    ]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"id": "zzz"}, "id"),
        ({"id": "../orders"}, "id"),
        ({"id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, "id"),
        ({"products": None}, "products"),
        ({"products": []}, "products"),
        ({"metadata": None}, "metadata"),
        ({"allow_discount_codes": None}, "allow_discount_codes"),
        ({"require_billing_address": None}, "require_billing_address"),
        ({"trial_interval": None}, "trial_interval_count"),
        ({"discount_id": "SUMMER"}, "discount_id"),
    ],
)
def test_a_change_that_is_wrong_is_not_sent(
    arguments: dict[str, Any], field: str, server: Upstream, client: Client
) -> None:
    """A null that Polar fails on, or drops, is refused like any other value."""
    with pytest.raises(LinkError) as caught:
        client.checkout_links.update(**{"id": OTHER_ID} | arguments)
    assert caught.value.field == field
    assert server.requests == []


def test_a_change_whose_answer_is_lost(server: Upstream, client: Client) -> None:
    """A change is not looked for: asking again does no harm."""

    def cut(connection: socket.socket, request: Request, over: threading.Event) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    server.behave = cut
    with pytest.raises(PolarUnavailable) as caught:
        client.checkout_links.update(OTHER_ID, label="x")
    assert (caught.value.method, caught.value.sent) == ("PATCH", True)
    assert len(server.requests) == 1


def test_a_link_is_deleted(server: Upstream, client: Client) -> None:
    """A link is deleted once; the second time there is none."""
    server.behave = sends(b"HTTP/1.1 204 No Content\r\n\r\n")
    client.checkout_links.delete(OTHER_ID.upper())
    client.checkout_links.delete(OTHER_ID)
    assert [(request.method, request.path) for request in server.requests] == [
        ("DELETE", f"/v1/checkout-links/{OTHER_ID}")
    ] * 2
    assert server.connections == 1
    server.behave = sends(answer(BODIES["checkout-links_delete_again_404"], 404))
    with pytest.raises(PolarNotFound):
        client.checkout_links.delete(OTHER_ID)
    with pytest.raises(LinkError, match=r"^id: must be a UUID"):
        client.checkout_links.delete("../orders")
    assert len(server.requests) == 3


def test_the_time_of_a_change(server: Upstream, client: Client) -> None:
    """Times of a changed link are in UTC."""
    server.behave = sends(answer(BODIES["checkout-links_update_label"]))
    modified = client.checkout_links.update(OTHER_ID, label="after").modified_at
    assert modified is not None
    assert modified.tzinfo is UTC


# --- with a local Polar ------------------------------------------------------------------------


class Between:
    """Passes requests on to a local Polar, and loses the answers to those that make something."""

    def __init__(self, polar: LocalPolar) -> None:
        self._polar = urlsplit(polar.url)

    def __call__(self, connection: socket.socket, request: Request, over: threading.Event) -> None:
        assert self._polar.hostname is not None
        onward = HTTPConnection(self._polar.hostname, self._polar.port, timeout=5)
        onward.request(request.method, request.target, request.body, request.headers)
        response = onward.getresponse()
        content = response.read()
        onward.close()
        if request.method == "POST":
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(answer(content, response.status))


def test_a_link_whose_answer_is_lost_exists_once(reference_polar: LocalPolar) -> None:
    """Through a line that loses each answer to a POST, one link is made and it is the one given;
    it can be changed, keeps its key, and is gone once it is deleted."""
    token = next(iter(reference_polar.tokens))
    direct = Client(Server.custom(reference_polar.url), token)
    before = {link.id for link in direct.checkout_links.iterate()}
    with upstream(Between(reference_polar)) as line:
        client = Client(Server.custom(line.url), token)
        link = client.checkout_links.create([PRODUCT_ID], label="once", metadata={"a": 1})
        (made,) = [each for each in direct.checkout_links.iterate() if each.id not in before]
        assert (link.id, link.label, link.metadata["a"]) == (made.id, "once", 1)
        key = link.metadata[LINK_KEY]
        assert client.checkout_links.create([PRODUCT_ID], key=key).id == link.id
        changed = client.checkout_links.update(link.id, label=None, products=[OTHER_ID, PRODUCT_ID])
        assert changed.label is None
        assert [product.id for product in changed.products] == [OTHER_ID, PRODUCT_ID]
        assert changed.metadata == {"a": 1, LINK_KEY: key}
        client.checkout_links.delete(link.id)
        client.close()
    assert {each.id for each in direct.checkout_links.iterate()} == before
    with pytest.raises(PolarNotFound):
        direct.checkout_links.get(link.id)
    direct.close()


@pytest.fixture(scope="module")
def own_link() -> Iterator[tuple[CheckoutLinks, str]]:
    """A link of a local Polar, to be changed at will."""
    store = Store(json.loads(REFERENCE_STORE.read_text()))
    with LocalPolar(store, settle_seconds=0) as polar:
        client = Client(Server.custom(polar.url), next(iter(polar.tokens)))
        yield client.checkout_links, client.checkout_links.create([PRODUCT_ID]).id
        client.close()


TEXT = st.text(st.characters(codec=None), max_size=5) | st.sampled_from(["", "k" * 41, "v" * 501])
SCALARS = TEXT | st.booleans() | st.integers() | st.floats() | st.none()


@given(metadata=st.dictionaries(TEXT, SCALARS, max_size=3))
def test_metadata_is_refused_here_or_kept_there(
    metadata: dict[str, Any], own_link: tuple[CheckoutLinks, str]
) -> None:
    """No metadata passes the check and is then refused, failed on, or changed on its way."""
    links, id = own_link
    try:
        changed = links.update(id, metadata=metadata)
    except LinkError:
        return
    assert changed.metadata == links.get(id).metadata == metadata


PARTS = st.sampled_from(
    ["/", "?", "id=", "&", "#", " ", "%", "%20", "{", "}", ":", "@", "[", "]", ".", "é", "☃", "..",
     "xn--", "0x7f", "1.2", "{CHECKOUT_ID}", "%7BCHECKOUT_ID%7D", "<", "|", "^", "a" * 600]
)  # fmt: skip
HOSTS = st.sampled_from(["shop.example.com", "localhost:5000", "bücher.example", "[::1]:80", "1.1"])


@given(
    host=HOSTS | st.lists(PARTS, max_size=3).map("".join),
    rest=st.lists(PARTS | TEXT, max_size=5).map("".join),
)
def test_a_url_is_refused_here_or_kept_there(
    host: str, rest: str, own_link: tuple[CheckoutLinks, str]
) -> None:
    """No URL passes the check and is then refused; its placeholders are what they should be."""
    links, id = own_link
    url = f"https://{host}/{rest}"
    try:
        kept = links.update(id, success_url=url).success_url
    except LinkError:
        return
    assert kept is not None
    assert kept.startswith("https://")
    path = url.split("/", 3)[3]
    if "." not in path and "%2e" not in path.lower():  # dots are steps, and take some of it away
        whole = url.replace("%7BCHECKOUT_ID%7D", "{CHECKOUT_ID}")
        assert kept.count("{CHECKOUT_ID}") == whole.count("{CHECKOUT_ID}")
