from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from storefront.polar import (
    Checkout,
    CheckoutLink,
    CustomerSession,
    Order,
    Organization,
    Product,
    Server,
)
from storefront.polar.older import complete_link, complete_product
from tests.contract.recordings import Recording, load

MODELS: dict[str, type[msgspec.Struct]] = {
    "/v1/products/": Product,
    "/v1/checkout-links/": CheckoutLink,
    "/v1/checkouts/": Checkout,
    "/v1/orders/": Order,
    "/v1/customer-sessions/": CustomerSession,
    "/v1/organizations/": Organization,
}


def model_of(recording: Recording) -> type[msgspec.Struct] | None:
    if recording.status not in (200, 201) or not isinstance(recording.body, dict):
        return None
    # The pages of a checkout's buyer answer with a shape of their own, which nothing reads.
    if recording.target.startswith("/v1/checkouts/client/"):
        return None
    return next((MODELS[path] for path in MODELS if recording.target.startswith(path)), None)


RECORDED = [
    pytest.param(model, recording.body, id=recording.name)
    for recording in load()
    if (model := model_of(recording)) is not None
]


def assert_same(model: object, raw: Any) -> None:
    """Compare what a model took with the JSON that it took it from, all the way down."""
    if isinstance(model, msgspec.Struct):
        for name in model.__struct_fields__:
            if name in raw:
                assert_same(getattr(model, name), raw[name])
    elif isinstance(model, tuple):
        assert len(model) == len(raw)
        for one, other in zip(model, raw, strict=True):
            assert_same(one, other)
    elif isinstance(model, datetime):
        assert model.tzinfo is UTC
        assert model == datetime.fromisoformat(raw)
    else:
        assert model == raw
        assert type(model) is type(raw)


@pytest.mark.parametrize(("model", "body"), RECORDED)
def test_a_recorded_answer_is_read(model: type[msgspec.Struct], body: dict[str, Any]) -> None:
    """Every value that a model takes is the one that Polar sent."""
    items = body["items"] if "pagination" in body else [body]
    for item in items:
        assert_same(msgspec.json.decode(json.dumps(item), type=model), item)


def test_enough_was_recorded() -> None:
    """The recordings cover each model, so that the test above is not an empty one."""
    seen = {param.values[0] for param in RECORDED}
    assert seen == set(MODELS.values())
    assert len(RECORDED) > 200


@pytest.mark.parametrize("model", [Product, CheckoutLink, Checkout, Order, Organization])
def test_only_the_id_is_needed(model: type[msgspec.Struct]) -> None:
    """An answer that lacks every other field, and has unknown ones, can be read."""
    read = msgspec.json.decode(b'{"id": "a", "brand_new": {"deep": [1]}}', type=model)
    assert read == model(id="a")


def test_unknown_kinds_are_kept() -> None:
    """A kind of price, benefit or status that is not known yet stays a string."""
    product = msgspec.json.decode(
        b'{"id": "a", "visibility": "secret", "prices": [{"id": "p", "amount_type": "barter"}],'
        b'"benefits": [{"id": "b", "type": "hug"}]}',
        type=Product,
    )
    assert product.visibility == "secret"
    assert product.prices[0].amount_type == "barter"
    assert product.benefits[0].type == "hug"


def test_metadata_keeps_its_types() -> None:
    """Strings, integers, floats and booleans arrive as what they are."""
    raw = b'{"id": "a", "metadata": {"s": "x", "i": 3, "f": 1.5, "b": true}}'
    metadata = msgspec.json.decode(raw, type=CheckoutLink).metadata
    assert metadata == {"s": "x", "i": 3, "f": 1.5, "b": True}
    assert type(metadata["i"]) is int
    assert metadata["b"] is True


@pytest.mark.parametrize(
    "time", ["2026-11-22T03:48:15.5Z", "2026-11-22T03:48:15.5", "2026-11-22T05:48:15.5+02:00"]
)
def test_times_are_in_utc(time: str) -> None:
    """A time of another zone, or of none, becomes one in UTC."""
    product = msgspec.json.decode(json.dumps({"id": "a", "created_at": time}), type=Product)
    assert product.created_at == datetime(2026, 11, 22, 3, 48, 15, 500_000, tzinfo=UTC)
    assert product.created_at is not None
    assert product.created_at.tzinfo is UTC


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_does_not_have(time: str) -> None:
    """It is no good like any other value that is none, and nothing else is raised."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps({"id": "a", "created_at": time}), type=Order)


def test_times_given_in_code_are_in_utc_too() -> None:
    """A model built by hand holds to the same."""
    noon = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=2)))
    assert Order(id="a", created_at=noon).created_at == datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_models_do_not_change() -> None:
    """What a page reads can't be altered by another page."""
    with pytest.raises(AttributeError):
        Product(id="a").name = "b"  # type: ignore[misc]


def test_a_customers_session_is_not_shown() -> None:
    """Its token and its URL, which has the token, stay out of logs and tracebacks."""
    session = CustomerSession(token="polar_cst_1", customer_portal_url="https://polar.sh/?t=1")
    assert (
        repr(session) == str(session) == "CustomerSession(token='***', customer_portal_url='***')"
    )


PRICE = {
    "id": "price",
    "amount_type": "fixed",
    "is_archived": False,
    "product_id": "product",
    "type": "recurring",
    "recurring_interval": "month",
    "price_currency": "usd",
    "price_amount": 123,
    "legacy": True,
}
PRODUCT = {
    "created_at": "2023-11-07T05:31:56Z",
    "id": "product",
    "name": "An older product",
    "is_recurring": True,
    "prices": [PRICE],
    "benefits": [{"id": "b", "type": "custom", "selectable": True, "deletable": True}],
    "medias": [],
}
LINK = {
    "created_at": "2023-11-07T05:31:56Z",
    "modified_at": None,
    "id": "link",
    "metadata": {},
    "payment_processor": "stripe",
    "client_secret": "polar_cl_x",
    "discount": {"duration": "once", "type": "fixed", "amount": 123, "currency": "usd", "id": "d"},
}


def read_link(**more: Any) -> CheckoutLink:
    raw = json.dumps(LINK | more)
    return complete_link(msgspec.json.decode(raw, type=CheckoutLink), Server.production())


@pytest.mark.parametrize("absent", [{}, {"products": []}])
def test_a_link_with_one_product(absent: dict[str, Any]) -> None:
    """The single product of an older link is its list of products."""
    link = read_link(product=PRODUCT, **absent)
    assert [product.id for product in link.products] == ["product"]
    assert link.products[0].recurring_interval == "month"
    assert link.products[0].prices[0].price_amount == 123
    assert link.discount is not None
    assert link.discount.amount == 123


def test_a_link_with_a_price_beside_its_product() -> None:
    """A product that came without prices has the link's own."""
    link = read_link(product=PRODUCT | {"prices": []}, product_price=PRICE)
    assert [price.id for price in link.products[0].prices] == ["price"]
    assert link.products[0].recurring_interval == "month"
    assert link.products[0].is_recurring


def test_a_link_with_products_keeps_them() -> None:
    """Today's links also carry the older fields, which then say nothing new."""
    other = PRODUCT | {"id": "other", "prices": []}
    link = read_link(products=[other, PRODUCT], product=PRODUCT, product_price=PRICE)
    assert [product.id for product in link.products] == ["other", "product"]
    assert link.products[0].prices == ()


def test_a_link_without_products() -> None:
    """A link that says nothing of products has none, and can be read."""
    assert read_link().products == ()


@pytest.mark.parametrize(
    ("server", "url"),
    [
        (Server.production(), "https://buy.polar.sh/polar_cl_x"),
        (
            Server.sandbox(),
            "https://sandbox-api.polar.sh/v1/checkout-links/polar_cl_x/redirect",
        ),
        (Server.local(8000), "http://127.0.0.1:8000/v1/checkout-links/polar_cl_x/redirect"),
    ],
)
def test_a_link_without_a_url(server: Server, url: str) -> None:
    """The URL of an older link is made of its secret, as that server's links look."""
    link = msgspec.json.decode(json.dumps(LINK), type=CheckoutLink)
    assert complete_link(link, server).url == url
    given = msgspec.structs.replace(link, url="https://buy.polar.sh/other")
    assert complete_link(given, server) is given


def test_a_product_of_today_is_left_alone() -> None:
    """A product with its interval, and one sold once, need nothing."""
    for product in (Product(id="a", recurring_interval="year"), Product(id="a")):
        assert complete_product(product) is product
