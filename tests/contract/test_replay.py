"""The local Polar answers as the service was recorded to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from storefront.emulator.shapes import without
from tests.contract.recordings import load
from tests.contract.replay import Result
from tests.contract.test_webhooks import kinds

_TIES = "where the sort key is the same, the service's database has them in an order of its own"
_MORE_SESSIONS = "counts sessions that were opened while nothing was recorded"
_MORE_ORDERS = "has orders that were placed while nothing was recorded"
_NO_NAME_SERVER = "the recorded service asked a name server for example.com; the local one does not"
_OVERTAKEN = "the service's workers took care of the grants of two orders the other way round"

#: The recordings that the local Polar does not answer alike, each with the reason.
KNOWN_DIFFERENCES = {
    "products_list_q_sorting_price_amount": _TIES,
    "products_list_sorting_minus_name": _TIES,
    "products_list_sorting_minus_price_amount": _TIES,
    "checkout-links_list_q_sorting_label": _TIES,
    "checkout-links_list_q_sorting_success_url": _TIES,
    "checkout-links_list_q_sorting_allow_discount_codes": _TIES,
    "checkout-links_list_sorting_minus_label": _TIES,
    "confirm_error_email_domain_does_not_exist_422": (
        f"{_NO_NAME_SERVER}, and the session was not recorded"
    ),
    "checkouts_create_error_email_domain_does_not_exist_422": _NO_NAME_SERVER,
    "checkouts_list": _MORE_SESSIONS,
    "portal_checkouts_list_by_product": _MORE_SESSIONS,
    "portal_orders_sorting_minus_created_at": _MORE_ORDERS,
    "portal_orders_filter_product_twice": _MORE_ORDERS,
    "webhook_checkout.updated_confirmed": (
        "the service tells of it before the customer is made; here both are one step"
    ),
    "webhook_checkout.updated_open": "the session was not recorded",
    "webhook_customer.created": (
        "was delivered late, when the customer had a billing name already"
    ),
    "license-keys_list": _OVERTAKEN,
    "benefit-grants": _OVERTAKEN,
    "sandboxmode_checkout-links_get": "links were on a buy host there; here they have one form",
}


def test_every_recording_agrees_or_is_a_known_difference(replayed: Result) -> None:
    """No recording differs that is not listed, and none is listed that agrees."""
    unexpected = {
        name: difference
        for name, difference in replayed.differences.items()
        if name not in KNOWN_DIFFERENCES
    }
    assert unexpected == {}
    assert KNOWN_DIFFERENCES.keys() - replayed.differences.keys() == set()


def test_nearly_all_recordings_agree(replayed: Result) -> None:
    """At least 97 of 100 replayed recordings agree."""
    assert replayed.share >= 0.97


def test_every_recording_is_replayed_or_left_out_for_a_reason(replayed: Result) -> None:
    """All 759 recordings are accounted for."""
    replayed_names = len(replayed.agreed) + len(replayed.differences)
    assert replayed_names + sum(replayed.left_out.values()) == len(load()) == 759


def test_opening_links_and_purchases_agree_without_exception(replayed: Result) -> None:
    """What a buyer goes through, from the link to the order, agrees to the last value."""
    groups = {replayed.groups[name] for name in replayed.differences}
    assert groups.isdisjoint({"opening links", "purchases", "buy host"})


def test_every_write_agrees(replayed: Result) -> None:
    """What is made, changed, archived or deleted in the catalogue agrees to the last value."""
    writes = {
        recording.name
        for recording in load()
        if recording.method in {"POST", "PATCH", "PUT", "DELETE"}
        and recording.name.partition("_")[0] in _WRITTEN
    }
    assert len(writes) > 150
    assert writes <= replayed.agreed


_WRITTEN = {
    "benefits",
    "checkout-links",
    "custom-fields",
    "discounts",
    "meters",
    "organizations",
    "products",
    "webhook-endpoints",
}


@pytest.mark.parametrize("name", ["license-keys_list", "benefit-grants"])
def test_what_was_granted_differs_in_its_order_only(replayed: Result, name: str) -> None:
    """As many license keys and grants as recorded, of the same shape, for the same benefit."""
    recorded = next(recording.body for recording in load() if recording.name == name)
    local = replayed.answers[name]
    assert local["pagination"] == recorded["pagination"]
    for one, other in zip(local["items"], recorded["items"], strict=True):
        assert kinds(without(one, {"member", "member_id"})) == kinds(
            without(other, {"member", "member_id"})
        )


def _price_amount(product: dict[str, Any]) -> int | None:
    price = product["prices"][0]
    amount: int | None = price.get("price_amount", price.get("minimum_amount"))
    return amount


def _named(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda item: item[key]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("products_list_q_sorting_price_amount", _price_amount),
        ("products_list_sorting_minus_name", _named("name")),
        ("products_list_sorting_minus_price_amount", _price_amount),
        ("checkout-links_list_q_sorting_label", _named("label")),
        ("checkout-links_list_q_sorting_success_url", _named("success_url")),
        ("checkout-links_list_q_sorting_allow_discount_codes", _named("allow_discount_codes")),
        ("checkout-links_list_sorting_minus_label", _named("label")),
    ],
)
def test_sorted_lists_differ_among_equals_only(
    replayed: Result, name: str, key: Callable[[dict[str, Any]], Any]
) -> None:
    """Lists whose order differs have the same sort keys in the same order, and the same totals."""
    recorded = next(recording.body for recording in load() if recording.name == name)
    local = replayed.answers[name]
    assert [key(item) for item in local["items"]] == [key(item) for item in recorded["items"]]
    assert local["pagination"] == recorded["pagination"]
