"""``flask storefront embed-code``: what it prints works where it is pasted."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import Result
from flask import Flask

from storefront.embeds import KINDS
from storefront.emulator import LocalPolar
from tests.conftest import SiteMaker
from tests.test_oembed import frame_of

SHOP = "https://shop.example.com"


def run(app: Flask, *arguments: str, code: int = 0) -> Result:
    """Run the command."""
    result = app.test_cli_runner().invoke(args=["storefront", "embed-code", *arguments])
    assert result.exit_code == code, result.output
    return result


def codes(app: Flask, *arguments: str) -> dict[str, str]:
    """What it prints for scripts, by kind."""
    found: dict[str, str] = json.loads(run(app, *arguments, "--json").stdout)
    return found


def test_every_kind(site: Flask) -> None:
    """Without a kind each is printed, with addresses of the site that is given."""
    found = codes(site, "pro-monthly", "--site", SHOP)
    assert list(found) == list(KINDS)
    frame = frame_of(found["iframe"])
    assert frame["src"] == f"{SHOP}/shop/embed/pro-monthly"
    assert frame["title"] == "Pro Monthly"
    assert f'<script src="{SHOP}/shop/embed.js" async></script>' in found["element"]
    assert '<buy-button product="pro-monthly" layout="card">' in found["element"]
    assert found["qr"] == f"{SHOP}/shop/qr/pro-monthly.svg"
    checkout = re.search(r'href="(http[^"]+)"', found["link"])
    assert checkout
    assert found["markdown"] == f"[Buy Pro Monthly]({checkout[1]})"
    assert checkout[1] in found["email"]
    text = run(site, "pro-monthly", "--site", SHOP).output
    for kind, code in found.items():
        assert f"{kind}:\n{code}\n" in text


def test_what_it_names_is_there(site: Flask) -> None:
    """The addresses in the code are answered by the site."""
    client = site.test_client()
    found = codes(site, "pro-monthly", "--site", "http://localhost", "--utm-source", "blog")
    script = re.search(r'src="([^"]+)"', found["element"])
    assert script
    for address in (frame_of(found["iframe"])["src"], script[1], found["qr"]):
        assert client.get(address).status_code == 200, address


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind(site: Flask, kind: str) -> None:
    """With a kind, its code is all that is printed: ready for a pipe."""
    options = ("pro-monthly", "--site", SHOP)
    assert run(site, *options, "--kind", kind).output == f"{codes(site, *options)[kind]}\n"


def test_look_and_campaign(site: Flask) -> None:
    """They go into whatever can show them."""
    options: tuple[str, ...] = ("--theme", "dark", "--accent", "#FD4", "--layout", "row")
    options += ("--utm-source", 'a "b"', "--utm-campaign", "c&d", "--site", SHOP)
    found = codes(site, "pro-monthly", *options)
    said = {
        "theme": ["dark"],
        "accent": ["ffdd44"],
        "layout": ["row"],
        "utm_source": ['a "b"'],
        "utm_campaign": ["c&d"],
    }
    frame = frame_of(found["iframe"])
    assert parse_qs(urlsplit(frame["src"]).query) == said
    assert (frame["width"], frame["height"]) == ("480", "144")
    for attribute in (
        'theme="dark"',
        'accent="ffdd44"',
        'layout="row"',
        'utm-source="a &#34;b&#34;"',
        'utm-campaign="c&amp;d"',
    ):
        assert attribute in found["element"]
    for kind in ("link", "email", "markdown", "qr"):
        assert "utm_campaign=c%26d" in found[kind], kind
    assert "background-color:#ffdd44;color:#000000" in found["email"]


def test_a_link_of_its_own(site: Flask) -> None:
    """One link among several of a product is sold by its own name, in each kind."""
    found = codes(site, "Pro plans", "--site", SHOP)
    assert list(found) == list(KINDS)
    assert frame_of(found["iframe"])["src"] == f"{SHOP}/shop/embed/Pro%20plans"
    assert 'product="Pro plans"' in found["element"]
    client = site.test_client()
    sold = client.get("/shop/products/Pro%20plans.json").get_json()["buy_url"]
    assert sold.replace("&", "&amp;") in found["link"]
    assert sold.replace("&", "&amp;") in found["element"]


def test_what_can_not_be_bought(site: Flask) -> None:
    """It can be shown, and not be linked to."""
    assert list(codes(site, "usage-plan", "--site", SHOP)) == ["iframe", "element"]
    for kind in ("link", "email", "markdown", "qr"):
        failed = run(site, "usage-plan", "--site", SHOP, "--kind", kind, code=2)
        assert "No checkout link sells 'usage-plan'" in failed.output


def test_hostile_names_stay_text(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A name that is HTML or Markdown is neither where it is pasted."""
    product = next(p for p in reference_polar.store.products.values() if p["name"] == "Pro Monthly")
    product["name"] = '"><script>x</script>](//evil.example) *a* `b`\nc'
    product["metadata"] = {"slug": "hostile"}
    found = codes(make_site(reference_polar), "hostile", "--site", SHOP)
    for kind in ("iframe", "element", "link", "email"):
        assert "<script>x" not in found[kind], kind
    assert "\n" not in found["markdown"]
    words = found["markdown"][: found["markdown"].index("](http")]
    assert r"\]" in words
    assert r"\<script\>" in words
    assert r"\*a\* \`b\`" in words


def test_where_the_site_is(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """``SERVER_NAME`` says so, or ``--site``, which goes first; without either it is explained."""
    app = make_site(reference_polar)
    failed = run(app, "pro-monthly", code=2)
    assert "--site https://shop.example.com" in failed.output
    assert "SERVER_NAME" in failed.output
    app = make_site(reference_polar, SERVER_NAME="a.example", PREFERRED_URL_SCHEME="https")
    assert "https://a.example/shop/embed/" in codes(app, "pro-monthly")["iframe"]
    found = codes(app, "pro-monthly", "--site", "http://b.example:8080/app")
    assert frame_of(found["iframe"])["src"] == "http://b.example:8080/app/shop/embed/pro-monthly"
    run(app, "pro-monthly", "--site", "nonsense", code=2)


@pytest.mark.parametrize(
    ("command", "address"),
    [
        (("embed-code", "pro-monthly", "--kind", "qr"), "qr/pro-monthly.svg"),
        (("links", "create", "pro-monthly", "--success-url", "site", "--json"), "success"),
    ],
)
def test_the_shops_address_in_place_of_the_sites(
    site: Flask, command: tuple[str, ...], address: str
) -> None:
    """The shop's prefix would stand there twice: this is said, and what to give instead."""
    run = site.test_cli_runner().invoke
    for given, prefix in (("/shop/", "/shop/shop"), ("/de/shop", "/de/shop/shop")):
        result = run(args=["storefront", *command, "--site", SHOP + given])
        assert result.exit_code == 0, result.output
        assert f"{SHOP}{prefix}/{address}" in result.stdout
        assert f"at {SHOP}{prefix}/." in result.stderr
        assert f"--site {SHOP}{prefix.removesuffix('/shop/shop')}\n" in result.stderr
    for given in ("", "/", "/de", "/workshop"):
        assert run(args=["storefront", *command, "--site", SHOP + given]).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope",), "No product has the slug"),
        (("private-product",), "not listed in the shop"),
        (("pro-monthly", "--accent", "red"), "is no colour"),
        (("pro-monthly", "--kind", "flash"), "'flash' is not one of"),
        (("pro-monthly", "--theme", "pink"), "'pink' is not one of"),
    ],
)
def test_mistakes(site: Flask, arguments: tuple[str, ...], words: str) -> None:
    """A mistake is explained, with exit code 2."""
    assert words in run(site, *arguments, "--site", SHOP, code=2).output


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({"STOREFRONT_EMBED_ANCESTORS": "none"}, ["element", "link", "email", "markdown", "qr"]),
        ({"pages": False}, ["link", "email", "markdown"]),
    ],
)
def test_a_site_without_cards(
    reference_polar: LocalPolar, make_site: SiteMaker, settings: dict[str, Any], kinds: list[str]
) -> None:
    """Where there are none, by setting or without the shop's pages, the rest is printed."""
    app = make_site(reference_polar, **settings)
    assert list(codes(app, "pro-monthly", "--site", SHOP)) == kinds
    run(app, "pro-monthly", "--site", SHOP, "--kind", "iframe", code=2)
