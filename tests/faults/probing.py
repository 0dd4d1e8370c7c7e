"""S1: without proof the success page is one page, whatever the id is of."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import requests
from flask import Flask

from storefront import Storefront
from storefront.testing import ShopPolar, local_polar
from tests.faults.harness import Figure

#: What somebody may have in their browser without having bought what they ask for.
_BROWSERS: Final = ("", "buyer", "forged", "another purchase")


def probing(folder: Path, *, count: int) -> Figure:
    """Ask for so many ids, of everything and nothing, and compare what is answered."""
    with local_polar() as polar:
        app = Flask("probed", root_path=str(folder), instance_path=str(folder / "instance"))
        app.config.update(
            POLAR_SERVER=polar.url,
            POLAR_ACCESS_TOKEN=polar.token,
            SECRET_KEY="of the probed",
            TESTING=True,
        )
        shop = Storefront(app)
        app.register_blueprint(shop.blueprint, url_prefix="/shop")
        return probes(app, polar, count=count)


def probes(site: Flask, polar: ShopPolar, *, count: int) -> Figure:
    """The same, of a site that is there."""
    source = random.Random(20261122)  # noqa: S311
    cookies = _cookies(site, polar)
    makers = _makers(source, polar)
    # The headers tell which hosts' pictures the catalogue has: it has to be there.
    site.test_client().get("/shop/")
    answers: dict[str, set[tuple[int, bytes, tuple[tuple[str, str], ...]]]] = {}
    lookups = 0
    for number in range(count):
        cookie = cookies[_BROWSERS[number % len(_BROWSERS)]]
        id = makers[source.randrange(len(makers))]()
        path = ("/shop/success", "/shop/portal")[number % 7 == 6]
        seen = polar.requests.count()
        response = site.test_client(use_cookies=False).get(
            path, query_string={"checkout_id": id}, headers={"Cookie": cookie} if cookie else None
        )
        lookups += polar.requests.count() - seen
        answer = (response.status_code, response.data, tuple(response.headers))
        answers.setdefault(path, set()).add(answer)
    different = sum(len(each) - 1 for each in answers.values())
    return Figure(
        f"S1: {different} answers differ in {count:,} probes of ids that are paid, open, expired, "
        f"refunded, unknown or malformed, without a cookie and with three that prove something "
        f"else; {lookups} requests to Polar",
        "0 differ, and at most 60 requests a minute",
        kept=different == 0 and 0 < lookups <= max(120, count // 10),
    )


def _cookies(site: Flask, polar: ShopPolar) -> dict[str, str]:
    client = site.test_client()
    planted = client.get("/shop/buy/northlight").headers["Set-Cookie"].partition(";")[0]
    mine = polar.purchase("starter-templates", email="probing@example.com")
    back = client.get(
        "/shop/success",
        query_string={
            "checkout_id": mine.checkout_id,
            "customer_session_token": mine.customer_session_token,
        },
    )
    proved = back.headers["Set-Cookie"].partition(";")[0]
    return {
        "": "",
        "buyer": planted,
        "forged": f"storefront_purchases={planted.partition('=')[2]}",
        "another purchase": proved,
    }


def _makers(source: random.Random, polar: ShopPolar) -> list[Callable[[], str]]:
    paid = polar.purchase("northlight", email="canary@example.com").checkout_id
    refunded = polar.purchase("pro-monthly", email="canary@example.com")
    free = polar.purchase("starter-templates", email="canary@example.com").checkout_id
    declined = polar.purchase("northlight", email="no@example.com", declined=True).checkout_id
    opened, expired = _open(polar), _open(polar)
    polar.store.checkouts[expired].status = "expired"
    known = [paid, refunded.checkout_id, free, declined, opened, expired]
    odd = ["", "x", "{CHECKOUT_ID}", "../orders", "\0", "é", paid[:-1], paid + "0", "1" * 3000]
    return [
        *(lambda id=id: id for id in known),
        lambda: str(UUID(int=source.getrandbits(128), version=4)),
        lambda: str(UUID(int=source.getrandbits(128), version=1)),
        lambda: source.choice(odd),
        lambda: source.choice(known).upper(),
    ]


def _open(polar: ShopPolar) -> str:
    link = next(
        each
        for each in polar.store.live_links()
        if polar.store.link_products(each)[0]["name"].startswith("Northlight")
    )
    where = f"{polar.url}/v1/checkout-links/{link['client_secret']}/redirect"
    opened = requests.get(where, allow_redirects=False, timeout=10)
    secret = urlsplit(opened.headers["Location"]).path.rpartition("/")[2]
    return polar.store.checkout_ids[secret]
