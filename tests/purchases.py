"""Buyers of the demo store, as the shop's pages see them."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from storefront import get_state
from storefront.orders.proof import Recent
from storefront.testing import Purchase, ShopPolar

EMAIL = "canary-bea@example.com"
KEY = "canary-secret-key"


def address(bought: Purchase) -> str:
    """The success page of a purchase, as it stays in the browser."""
    return f"/shop/success?checkout_id={bought.checkout_id}"


def by_buy(polar: ShopPolar, client: FlaskClient, **options: Any) -> Purchase:
    """Somebody follows the shop's own way to the checkout, and pays."""
    options.setdefault("email", EMAIL)
    reference = options.pop("reference", "northlight")
    query = options.pop("asked", "")
    response = client.get(f"/shop/buy/{reference}{query}")
    return polar.purchase(response.headers["Location"], **options)


def arrive(client: FlaskClient, bought: Purchase) -> TestResponse:
    """The buyer is sent back by Polar, with the token."""
    token = bought.customer_session_token
    return client.get(f"{address(bought)}&customer_session_token={token}")


def forget(site: Flask) -> None:
    """Some seconds later: Polar's answers are not remembered any more."""
    get_state(site).proofs.checkouts = Recent(2)
    get_state(site).proofs.pages = Recent(2)


def cookies(response: TestResponse) -> dict[str, str]:
    """What is planted: the value of each cookie with its attributes."""
    planted = response.headers.getlist("Set-Cookie")
    return {each.partition("=")[0]: each.partition("=")[2] for each in planted}
