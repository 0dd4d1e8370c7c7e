"""Buttons that open the checkout over the page: their markup, and what a policy has to allow."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, render_template_string

from storefront import csp_directives
from storefront.emulator import LocalPolar
from storefront.overlay import POLAR_SCRIPT_INTEGRITY, POLAR_SCRIPT_STYLES, POLAR_SCRIPT_URL
from storefront.polar import Server
from tests.conftest import SiteMaker
from tests.test_macros import EBOOK_LINK, render

SCRIPT = "{{ storefront.overlay_script() }}"


def test_a_button_over_the_page(reference_polar: LocalPolar, site: Flask) -> None:
    """A button that opens over the page is the same link, with Polar's attributes and ours."""
    html = render(site, '{{ buy_button("ebook-fast-apis", theme="dark", overlay=True) }}')
    link = next(
        link["id"]
        for link in reference_polar.store.live_links()
        if link["client_secret"] == EBOOK_LINK
    )
    assert html == (
        '<a class="storefront-button" '
        f'href="{reference_polar.url}/v1/checkout-links/{EBOOK_LINK}/redirect?theme=dark" '
        'rel="nofollow" data-polar-checkout data-polar-checkout-theme="dark" '
        f'data-storefront-product="ebook-fast-apis" data-storefront-link="{link}" '
        'aria-label="Buy Now: Ebook: Fast APIs">Buy Now</a>'
    )


@pytest.mark.parametrize(
    ("setting", "asked", "opens"),
    [
        ("off", None, False),
        ("off", True, True),
        ("on", None, True),
        ("on", False, False),
        ("polar", None, True),
        ("polar", False, False),
    ],
)
def test_by_setting_or_by_button(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    setting: str,
    asked: bool | None,
    opens: bool,
) -> None:
    """What a button, a link or a card says stands before the setting."""
    site = make_site(reference_polar, STOREFRONT_OVERLAY=setting)
    for macro in ("buy_button", "buy_link", "product_card"):
        html = render(site, f'{{{{ {macro}("ebook-fast-apis", overlay={asked}) }}}}')
        assert ("data-polar-checkout" in html) is opens
        assert ("data-storefront-link" in html) is opens


@pytest.mark.parametrize("setting", ["off", "on", "polar"])
@pytest.mark.parametrize("path", ["/shop/", "/shop/products/ebook-fast-apis", "/shop/success"])
def test_the_shops_own_pages(
    reference_polar: LocalPolar, make_site: SiteMaker, setting: str, path: str
) -> None:
    """Pages with buttons have the script, and a policy with the checkout's frame, where the
    setting says so; no page has an inline script, and none allows a wildcard."""
    site = make_site(reference_polar, STOREFRONT_OVERLAY=setting)
    page = site.test_client().get(path)
    has_script = "overlay.js" in page.text or POLAR_SCRIPT_URL in page.text
    assert has_script is (setting != "off" and "success" not in path)
    directives = dict(
        directive.split(" ", 1) for directive in page.headers["Content-Security-Policy"].split("; ")
    )
    frames = f"'self' {reference_polar.url}" if setting != "off" else None
    assert directives.get("frame-src") == frames
    assert ("https://cdn.jsdelivr.net" in directives["script-src"]) is (setting == "polar")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    sources = " ".join(directives.values()).split()
    assert not {"*", "http:", "https:"} & set(sources)


def test_the_script_element(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """It is a file of the shop's, in the shop's language, with the origins that may speak to it;
    a nonce and a time limit where they are given, escaped."""
    site = make_site(reference_polar, STOREFRONT_LOCALE="de")
    html = render(site, '{{ storefront.overlay_script(nonce="a\\"b", seconds=7.5) }}')
    assert html.startswith('<script src="/shop/_storefront/overlay.js?v=')
    assert " defer " in html
    assert f'data-storefront-origins="{reference_polar.url}"' in html
    assert 'data-storefront-close="Schließen"' in html
    assert 'data-storefront-seconds="7.5"' in html
    assert html.endswith(' nonce="a&#34;b"></script>')
    address = html.split('"')[1]
    with site.test_client().get(address) as script:
        assert script.mimetype in ("text/javascript", "application/javascript")


def test_without_the_pages(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A site that has not the shop's pages has not its script; Polar's needs none of them."""
    assert render(make_site(reference_polar, pages=False), SCRIPT) == ""
    polars = make_site(reference_polar, pages=False, STOREFRONT_OVERLAY="polar")
    assert POLAR_SCRIPT_URL in render(polars, SCRIPT)


def test_polars_script(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Pinned and with its hash; or where the site has it, which it then answers for. Buttons by
    /buy, whose addresses that script can't read, are left to be links."""
    site = make_site(reference_polar, STOREFRONT_OVERLAY="polar")
    assert render(site, '{{ storefront.overlay_script(nonce="n") }}') == (
        f'<script src="{POLAR_SCRIPT_URL}" defer data-auto-init nonce="n" '
        f'integrity="{POLAR_SCRIPT_INTEGRITY}" crossorigin="anonymous"></script>'
    )
    html = render(site, '{{ buy_button("ebook-fast-apis", via="redirect") }}')
    assert "data-polar-checkout" not in html
    own = make_site(
        reference_polar,
        STOREFRONT_OVERLAY="polar",
        STOREFRONT_POLAR_SCRIPT_URL="/static/polar.js",
    )
    assert render(own, SCRIPT) == '<script src="/static/polar.js" defer data-auto-init></script>'
    with own.test_request_context():
        assert csp_directives()["script-src"] == ["'self'"]


@pytest.mark.parametrize(
    ("server", "origins"),
    [
        (Server.production(), ("https://buy.polar.sh", "https://polar.sh")),
        (Server.sandbox(), ("https://sandbox-api.polar.sh", "https://sandbox.polar.sh")),
        (Server.local(8787), ("http://127.0.0.1:8787",)),
        (Server.custom("https://polar.example:444/api/v1"), ("https://polar.example:444",)),
    ],
)
def test_where_checkouts_are(server: Server, origins: tuple[str, ...]) -> None:
    """The frame is allowed for links, and for what they lead to."""
    assert server.checkout_origins == origins
    link = urlsplit(server.link_url("polar_cl_x"))
    assert f"{link.scheme}://{link.netloc}" in origins


def test_what_a_policy_has_to_allow(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The site itself, the pictures of the catalogue and of descriptions; the checkout's frame
    where buttons open it; and what Polar's script needs where that is chosen."""
    site = make_site(reference_polar, STOREFRONT_IMAGE_HOSTS="img.example.com")
    plain = {
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "http://127.0.0.1:9000", "https://img.example.com"],
        "connect-src": ["'self'"],
    }
    frame = ["'self'", reference_polar.url]
    with site.test_request_context():
        assert csp_directives() == plain
        assert csp_directives(overlay=True) == {**plain, "frame-src": frame}
    polars = make_site(reference_polar, STOREFRONT_OVERLAY="polar")
    with polars.test_request_context():
        directives = csp_directives()
        assert directives["frame-src"] == frame
        assert directives["script-src"] == ["'self'", "https://cdn.jsdelivr.net"]
        assert directives["style-src"] == ["'self'", *POLAR_SCRIPT_STYLES]
        assert "frame-src" not in csp_directives(overlay=False)


def test_what_a_policy_allows_while_polar_is_down(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Without a catalogue there are no pictures to allow; nothing raises."""
    site = make_site(reference_polar, STOREFRONT_PAGE_TIMEOUT_SECONDS=0.2)
    reference_polar.stop()
    with site.test_request_context():
        assert csp_directives()["img-src"] == ["'self'"]


def test_no_header_on_the_sites_own_pages(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """The shop's policy is on its own pages: a page of the site's with a button keeps its headers,
    and so does one that is not there."""
    site = make_site(reference_polar, STOREFRONT_OVERLAY="on")
    template = '{% from "storefront/macros.html" import buy_button %}'
    template += SCRIPT + '{{ buy_button("ebook-fast-apis") }}'
    site.add_url_rule("/own", "own", lambda: render_template_string(template))
    for path in ("/own", "/nowhere", "/static/nothing.css"):
        headers = site.test_client().get(path).headers
        assert {name for name, _ in headers} <= {"Content-Type", "Content-Length"}


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("embed=true&embed_origin=http%3A%2F%2Flocalhost", "http://localhost"),
        ("embed=true&embed_origin=https%3A%2F%2Flocalhost&theme=dark", "https://localhost"),
        ("embed=true&embed_origin=https%3A%2F%2Fevil.example", None),
        ("embed=true&embed_origin=https%3A%2F%2Flocalhost.evil.example", None),
        ("embed=true&embed_origin=https%3A%2F%2Flocalhost%40evil.example", None),
        ("embed=true&embed_origin=javascript%3A%2F%2Flocalhost", None),
        ("embed=true&embed_origin=localhost", None),
        ("embed=yes&embed_origin=http%3A%2F%2Flocalhost", None),
        ("embed=true", None),
        ("embed_origin=http%3A%2F%2Flocalhost", None),
    ],
)
def test_buy_in_a_frame(site: Flask, query: str, sent: str | None) -> None:
    """/buy passes on that it stands in a frame of this very site, and of no other."""
    answer = site.test_client().get(f"/shop/buy/ebook-fast-apis?{query}")
    assert answer.status_code == 303
    target = parse_qs(urlsplit(answer.headers["Location"]).query)
    expected = {} if sent is None else {"embed": ["true"], "embed_origin": [sent]}
    if "theme" in query:
        expected["theme"] = ["dark"]
    assert {name: target[name] for name in target if name != "reference_id"} == expected


def test_a_prepared_page_is_the_rendered_one(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Nothing that the overlay adds to a page depends on its visitor."""
    pages = []
    for choice in ("always", "never"):
        site = make_site(
            reference_polar,
            STOREFRONT_OVERLAY="on",
            STOREFRONT_BUTTONS="redirect",
            STOREFRONT_PREPARED_PAGES=choice,
        )
        client = site.test_client()
        client.get("/shop/products/pro-yearly")
        pages.append(client.get("/shop/products/pro-yearly?utm_source=a%26b").data)
    assert pages[0] == pages[1]
    assert b"data-storefront-product" in pages[0]
