"""QR codes: what a phone reads is the very address of a button."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
import zxingcpp
from flask import Flask
from PIL import Image
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from storefront import Storefront, Visitor
from storefront.emulator import LocalPolar
from storefront.qr import MAX_BORDER, MAX_CHARACTERS, MAX_SCALE, Drawing, draw
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.test_cli import ok, ok_json, refused
from tests.test_pages import PUBLIC

EBOOK = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
SVG = "{http://www.w3.org/2000/svg}"


def get(site: Flask, name: str, **options: Any) -> TestResponse:
    """What the shop answers for a code."""
    return site.test_client().get(f"/shop/qr/{name}", **options)


def read(png: bytes) -> str:
    """What a phone would read from a PNG."""
    with Image.open(io.BytesIO(png)) as image:
        (code,) = zxingcpp.read_barcodes(image.convert("L"))
    assert code.format == zxingcpp.BarcodeFormat.QRCode
    return str(code.text)


def read_svg(svg: bytes) -> str:
    """What a phone would read from an SVG: its strokes, a row of modules each, as pixels."""
    root = ElementTree.fromstring(svg)  # noqa: S314
    side = int(root.attrib["width"])
    (group,) = root.iter(f"{SVG}g")
    scale = int(group.attrib["transform"].removeprefix("scale(").rstrip(")"))
    path = next(path for path in root.iter(f"{SVG}path") if "stroke" in path.attrib)
    image = Image.new("L", (side, side), 255)
    x = y = 0.0
    tokens = path.attrib["d"].replace("M", " M ").replace("m", " m ").replace("h", " h ").split()
    while tokens:
        match tokens.pop(0):
            case "M":
                x, y = float(tokens.pop(0)), float(tokens.pop(0))
            case "m":
                x, y = x + float(tokens.pop(0)), y + float(tokens.pop(0))
            case "h":
                end = x + float(tokens.pop(0))
                box = [int(n * scale) for n in (x, y - 0.5, end, y + 0.5)]
                image.paste(0, (box[0], box[1], box[2], box[3]))
                x = end
    (code,) = zxingcpp.read_barcodes(image)
    return str(code.text)


def url_of(site: Flask, reference: str, **prefill: Any) -> str:
    """Where a button of the shop leads."""
    with site.test_request_context("/"):
        return Storefront().buy_url(reference, **prefill)


@pytest.mark.parametrize("reference", ["ebook-fast-apis", EBOOK, "Pro plans", "pro-yearly"])
def test_a_phone_reads_the_link(site: Flask, reference: str) -> None:
    """A slug, an id and a label give the URL of their button, in both formats."""
    expected = url_of(site, reference)
    assert read(get(site, f"{reference}.png").data) == expected
    assert read_svg(get(site, f"{reference}.svg").data) == expected


def test_the_campaign_goes_along(site: Flask) -> None:
    """The five ``utm_…`` of the query are in the address, encoded; nothing else of it is."""
    campaign = {"utm_source": "Karte & Flyer", "utm_medium": "print", "utm_campaign": "Größe+1"}
    others = {"customer_email": "jane@example.com", "discount_code": "X", "reference_id": "r"}
    png = get(site, "ebook-fast-apis.png", query_string={**campaign, **others}).data
    utm = {name.removeprefix("utm_"): value for name, value in campaign.items()}
    assert read(png) == url_of(site, "ebook-fast-apis", utm=utm)


def test_by_the_shops_own_address(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """``via`` or the setting chooses between the link and the shop's own short address."""
    site = make_site(reference_polar)
    query = {"via": "redirect", "utm_source": "card"}
    short = "http://localhost/shop/buy/ebook-fast-apis?utm_source=card"
    assert read(get(site, "ebook-fast-apis.png", query_string=query).data) == short
    by_default = make_site(reference_polar, STOREFRONT_BUTTONS="redirect")
    query = {"utm_source": "card"}
    assert read(get(by_default, "ebook-fast-apis.png", query_string=query).data) == short
    query = {"via": "link"}
    straight = read(get(by_default, "ebook-fast-apis.png", query_string=query).data)
    assert straight.startswith(f"{reference_polar.url}/v1/checkout-links/")


def test_behind_a_proxy(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The shop's own address is the one that visitors see."""
    site = make_site(reference_polar, STOREFRONT_BUTTONS="redirect")
    site.wsgi_app = ProxyFix(site.wsgi_app, x_host=1, x_proto=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {"X-Forwarded-Host": "shop.example.com", "X-Forwarded-Proto": "https"}
    for prefix in ("", "/en"):
        answer = get(site, "ebook-fast-apis.png", headers={**headers, "X-Forwarded-Prefix": prefix})
        assert read(answer.data) == f"https://shop.example.com{prefix}/shop/buy/ebook-fast-apis"


def test_options(site: Flask) -> None:
    """Size, border and colour are taken from the query; the code stays the same."""
    expected = url_of(site, "ebook-fast-apis")
    plain = get(site, "ebook-fast-apis.png").data
    with Image.open(io.BytesIO(plain)) as image:
        modules = image.width // 8
        assert image.size == (modules * 8, modules * 8)
    query = {"scale": "3", "border": "2", "color": "7a2048"}
    other = get(site, "ebook-fast-apis.png", query_string=query).data
    with Image.open(io.BytesIO(other)) as image:
        assert image.width == (modules - 4) * 3
        assert image.convert("RGB").getpixel((2 * 3, 2 * 3)) == (0x7A, 0x20, 0x48)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert read(other) == expected
    svg = get(site, "ebook-fast-apis.svg", query_string={**query, "color": "#14D"})
    assert b'stroke="#14d"' in svg.data
    assert read_svg(svg.data) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"scale": "0"}, "scale: may be a whole number from 1 to 24."),
        ({"scale": "25"}, "scale: may be a whole number from 1 to 24."),
        ({"scale": "99999999999999999999"}, "scale: may be a whole number from 1 to 24."),
        ({"scale": "٣"}, "scale: may be a whole number from 1 to 24."),
        ({"scale": "2.5"}, "scale: may be a whole number from 1 to 24."),
        ({"border": "17"}, "border: may be a whole number from 0 to 16."),
        ({"border": "-1"}, "border: may be a whole number from 0 to 16."),
        ({"color": "red"}, "color: may be three or six hexadecimal digits, such as 1f4ed8."),
        ({"color": '000"/><script>'}, "color: may be three or six hexadecimal digits, such as"),
        ({"color": "ffd400"}, "color: is too light: on white a phone would not read the code."),
        ({"via": "//evil.example"}, "via: may be link or redirect."),
        ({"utm_source": "x" * 501}, "url: gets "),
        ({"utm_source": "ü" * 100}, "url: gets "),
        ({"utm_source": "x" * 400, "utm_term": "y" * 400}, "utm: may have 500 characters in all"),
    ],
)
def test_options_out_of_bounds(site: Flask, query: dict[str, str], message: str) -> None:
    """What is no good is 400, and the answer says what it may be; nothing of it comes back."""
    for kind in ("svg", "png"):
        response = get(site, f"ebook-fast-apis.{kind}", query_string=query)
        assert response.status_code == 400
        assert response.text.startswith(message)
        assert response.content_type == "text/plain; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert "<" not in response.text


def test_what_has_no_code(site: Flask) -> None:
    """Neither what is not listed or not sold, nor what was never there."""
    links = get_state(site).catalog.current().links.values()
    private = next(link for link in links if link.products[0].name == "Private Product")
    for reference in ("nope", "usage-plan", "private-product", "old-product", private.id, "", ".."):
        for kind in ("svg", "png"):
            assert get(site, f"{reference}.{kind}").status_code == 404, reference
    assert get(site, "ebook-fast-apis.gif").status_code == 404
    assert get(site, "ebook-fast-apis").status_code == 404


def test_headers(site: Flask) -> None:
    """Any cache may keep it, any site may show it, and nothing in it runs."""
    for kind, content_type in (("svg", "image/svg+xml"), ("png", "image/png")):
        response = get(site, f"ebook-fast-apis.{kind}?utm_source=a")
        assert response.content_type == content_type
        assert response.headers["Cache-Control"] == PUBLIC
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'"
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        named = f'inline; filename="ebook-fast-apis-qr.{kind}"'
        assert response.headers["Content-Disposition"] == named
        known = {"If-None-Match": response.headers["ETag"]}
        again = get(site, f"ebook-fast-apis.{kind}?utm_source=a", headers=known)
        assert (again.status_code, again.data) == (304, b"")
        other = get(site, f"ebook-fast-apis.{kind}?utm_source=b", headers=known)
        assert other.status_code == 200
        assert read(other.data).endswith("=b") if kind == "png" else True


def test_nothing_of_a_visitor(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Who is signed in makes no difference to what is printed."""
    shop = Storefront()

    @shop.visitor
    def signed_in() -> Visitor:
        raise AssertionError("nobody is asked for")

    site = make_site(reference_polar, shop=shop)
    assert "customer" not in read(get(site, "ebook-fast-apis.png").data)


def test_labels_of_every_kind(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A label may have slashes and dots in it; the file's name is made of the product's slug."""
    links = reference_polar.store.live_links()
    link = next(link for link in links if link["label"] == "Pro plans")
    for label in ("Mail 11/26", "v2.0.svg", 'a"b; X: y', "Größe #1"):
        link["label"] = label
        site = make_site(reference_polar)
        get_state(site).catalog.sync()
        quoted = urlencode({"": label})[1:].replace("+", "%20")
        response = get(site, f"{quoted}.png?via=redirect")
        assert response.status_code == 200, label
        expected = f"http://localhost/shop/buy/{link['id']}?product_id="
        assert read(response.data).startswith(expected)
        assert '"' not in response.headers["Content-Disposition"][18:-1]


def test_the_largest_code() -> None:
    """The longest address at the largest size is read, and made in little time and memory."""
    url = f"https://shop.example.com/{'x' * (MAX_CHARACTERS - 25)}"
    assert len(url) == MAX_CHARACTERS
    started = time.process_time()
    png = draw(url, "png", Drawing(scale=MAX_SCALE, border=MAX_BORDER))
    svg = draw(url, "svg", Drawing(scale=MAX_SCALE, border=MAX_BORDER))
    assert time.process_time() - started < 2
    assert len(png) < 50_000
    assert len(svg) < 50_000
    assert read(png) == url
    assert read_svg(draw(url, "svg", Drawing())) == url
    with pytest.raises(ValueError, match="has 501 characters"):
        draw(f"{url}x", "svg", Drawing())


def test_the_command(site: Flask, tmp_path: Path) -> None:
    """It writes what the page shows, for a site whose address is given; by the file's ending."""
    where = ("--site", "https://shop.example.com", "--via", "redirect", "--utm-source", "a card")
    for kind in ("png", "svg"):
        file = tmp_path / f"code.{kind}"
        url = "https://shop.example.com/shop/buy/ebook-fast-apis?utm_source=a%20card"
        said = ok(site, "qr", "ebook-fast-apis", "--out", str(file), *where)
        assert said == f"{file} leads to {url}\n"
        assert (read if kind == "png" else read_svg)(file.read_bytes()) == url
    file = tmp_path / "private.png"
    told = ok_json(site, "qr", "private-product", "--out", str(file), *where[:2])
    assert told == {"url": url_of(site, "private-product"), "file": str(file)}
    assert read(file.read_bytes()) == told["url"]


def test_the_command_refuses(site: Flask, tmp_path: Path) -> None:
    """What it can't make or write is said in a sentence, and nothing is left behind."""
    where = ("--site", "https://shop.example.com")
    for arguments, words in (
        (("ebook-fast-apis", "--out", "code.gif"), "end it in .svg or .png"),
        (("ebook-fast-apis", "--out", "none/code.svg"), "can't be written: No such file"),
        (("ebook-fast-apis", "--out", "code.svg", "--scale", "99"), "scale: may be"),
        (("ebook-fast-apis", "--out", "code.svg", "--color", "eee"), "color: is too light"),
        (("ebook-fast-apis", "--out", "code.svg", "--utm-term", "x" * 500), "url: has"),
        (("usage-plan", "--out", "code.svg"), "No checkout link sells 'usage-plan'."),
        (("nope", "--out", "code.svg"), "No product has the slug or id 'nope'"),
    ):
        with chdir(tmp_path):
            assert words in refused(site, "qr", *arguments, *where)
    with chdir(tmp_path):
        words = refused(site, "qr", "ebook-fast-apis", "--out", "code.svg")
    assert "Give --site" in words
    assert list(tmp_path.glob("code*")) == []


def test_segno_is_imported_late() -> None:
    """A site that draws no code does not import what draws them."""
    script = "import storefront, storefront.qr, sys; print('segno' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout == "False\n"
