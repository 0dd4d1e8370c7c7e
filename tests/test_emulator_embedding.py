"""The local Polar's checkout in a frame: who may have it so, and what its pages tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from storefront.emulator.embedding import embedding_origin
from storefront.emulator.errors import EmbedHostError
from tests.browser_form import Page, browse
from tests.hosted_pages import checkout_of, link_url, new_email, open_link

SHOP = "https://shop.example.com"
LISTED = {"embed_hosts": ["shop.example.com", "*.blog.example", "localhost:3000", "app://abc"]}


@pytest.fixture
def polar() -> Iterator[LocalPolar]:
    with LocalPolar(Store(demo_store()), settle_seconds=0) as running:
        yield running


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        (SHOP, SHOP),
        ("HTTPS://Shop.Example.COM:443/a?b#c", SHOP),
        ("https://a.blog.example", "https://a.blog.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("app://abc", "app://abc"),
    ],
)
def test_listed_hosts_may_embed(value: str, origin: str) -> None:
    """Hosts on the organization's list may, their subdomains where it says so, apps by scheme."""
    assert embedding_origin(value, LISTED) == origin


@pytest.mark.parametrize(
    "value",
    [
        "http://shop.example.com",
        "https://shop.example.com:8443",
        "https://blog.example",
        "https://shop.example.com.evil.example",
        "https://shop.example.com@evil.example",
        "http://localhost:3001",
        "http://127.0.0.1:3000",
    ],
)
def test_other_hosts_may_not(value: str) -> None:
    """Where there is a list, all others are refused, and so is http but for local hosts."""
    with pytest.raises(EmbedHostError):
        embedding_origin(value, LISTED)


@pytest.mark.parametrize(
    "value",
    [None, "", "null", "notaurl", "javascript:alert(1)", "https://a b", "https://[", "x://"],
)
@pytest.mark.parametrize("organization", [{}, LISTED])
def test_what_is_no_origin_is_passed_over(
    value: str | None, organization: dict[str, list[str]]
) -> None:
    """A link opens all the same with what is no origin, and its checkout has none."""
    assert embedding_origin(value, organization) is None


def _list_hosts(polar: LocalPolar, *hosts: str) -> None:
    where = f"{polar.url}/v1/organizations/{polar.store.organization['id']}"
    body = {"embed_hosts": hosts}
    assert requests.patch(where, json=body, headers=polar.headers, timeout=5).ok


def test_the_list_can_be_set_while_it_runs(polar: LocalPolar) -> None:
    """An organization without a list lets everybody embed; one that has made one, those on it."""
    url = f"{link_url(polar, 'Starter Templates')}?embed=true&theme=dark&embed_origin={SHOP}"
    assert browse(url).status == 200
    _list_hosts(polar, "other.example.com")
    refused = browse(url)
    assert refused.status == 403
    assert refused.response.json() == {
        "error": "EmbedHostNotAllowed",
        "detail": f"{SHOP} is not allowed to embed this checkout.",
    }
    _list_hosts(polar, "shop.example.com")
    assert browse(url).status == 200


def _told(page: Page) -> dict[str, str]:
    """What the page's script is given to tell."""
    body = page.html[page.html.index("<body") :]
    pairs = (part.partition("=") for part in body[: body.index(">")].split()[1:])
    return {name: value.strip('"') for name, _, value in pairs}


def test_a_purchase_in_a_frame_stays_there(polar: LocalPolar) -> None:
    """Each page of it tells the shop one thing; the last one, where the purchase leads."""
    query = f"?embed=true&theme=dark&embed_origin={SHOP}"
    page = open_link(polar, "Starter Templates", query)
    assert _told(page) == {"data-embedder": SHOP, "data-event": "loaded"}
    assert 'data-theme="dark"' in page.html
    policy = page.response.headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'self'; script-src 'self';" in policy
    waiting = page.submit("pay", customer_email=new_email(), framed="yes")
    assert _told(waiting) == {"data-embedder": SHOP, "data-event": "confirmed"}
    assert "close" not in waiting.html
    onward = waiting.response.headers["Refresh"].partition("url=")[2]
    assert onward == page.response.url.removeprefix(polar.url)
    checkout = checkout_of(polar, page)
    paid = page.browse(polar.url + onward)
    told = _told(paid)
    assert (told["data-event"], told["data-redirect"]) == ("success", "yes")
    assert f"checkout_id={checkout.id}" in told["data-success-url"]
    assert f"customer_session_token={checkout.customer_session_token}" in told["data-success-url"]


def test_a_declined_payment_brings_the_checkout_back(polar: LocalPolar) -> None:
    """After `confirmed` comes `loaded` again, with the reason on the page."""
    page = open_link(polar, "Northlight for Desktop", f"?embed=true&embed_origin={SHOP}")
    page.submit("pay", customer_email=new_email(), card_number="4000 0000 0000 0002", framed="yes")
    again = page.browse(page.response.url)
    assert _told(again)["data-event"] == "loaded"
    assert "Payment declined" in again.text


def test_a_purchase_without_a_success_url_ends_in_the_frame(polar: LocalPolar) -> None:
    """Polar's own thanks are shown in the frame, and the page around is not sent anywhere."""
    for link in polar.store.links.values():
        link["success_url"] = None
    page = open_link(polar, "Starter Templates", f"?embed=true&embed_origin={SHOP}")
    page.press("pay", customer_email=new_email(), framed="yes")
    thanks = page.browse(page.response.url)
    assert "/confirmation?embed=true" in thanks.response.url
    told = _told(thanks)
    assert (told["data-event"], "data-redirect" in told) == ("success", False)


def test_without_a_script_a_frame_pays_in_the_whole_window(polar: LocalPolar) -> None:
    """The form leads out of the frame then, and on to the shop as ever."""
    page = open_link(polar, "Starter Templates", f"?embed=true&embed_origin={SHOP}")
    assert 'formtarget="_top"' in page.html
    answer = page.press("pay", customer_email=new_email())
    assert answer.status_code == 303
    assert "/success?checkout_id=" in answer.headers["Location"]


def test_nobody_is_told_who_did_not_ask(polar: LocalPolar) -> None:
    """A checkout that was opened by itself has no script, and names nobody."""
    for query in ("", "?embed=true", f"?embed_origin={SHOP}", "?embed=true&embed_origin=null"):
        page = open_link(polar, "Starter Templates", query)
        assert _told(page) == {}
        assert "<script" not in page.html
