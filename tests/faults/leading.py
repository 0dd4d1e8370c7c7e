"""S3: no address leads a visitor elsewhere, and none adds a header."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser
from werkzeug.test import Client, TestResponse

from storefront.emulator.demo import demo_store
from tests.faults.harness import Figure
from tests.faults.hostile_shop import (
    ADDRESSES,
    ORIGIN,
    PARAMETERS,
    WHOLE,
    HostileSite,
    filled,
    hostile_site,
    sample,
)

EVIL: Final = "evil.example"
_HEADS: Final = (
    *("https://", "HTTPS://", "https:", "https:/", "https:///", "http://", "//", "///", "////"),
    *("/\\", "\\\\", "\\/", "/\\/", "\\\\\\", "https:\\\\", "/%2f", "/%5c", "%2f%2f", "/%09/"),
    *(
        "/\t/",
        "\t//",
        " //",
        "\n//",
        "\r\n//",
        "\0//",
        "ht\ttps://",
        "/./\\",
        "/..//",
        ".//",
        "//;@",
    ),
    *("https://localhost@", "https://localhost:80@", "https://localhost%40", "//localhost@"),
    *("http://localhost\\@", "http://localhost#@", "http://localhost?@", "https://polar.sh@"),
    *(
        "https://buy.polar.sh%2f@",
        "javascript://",
        "data://",
        "ftp://",
        "//%e3%80%82",
        "https://%00",
    ),
    *("https://[::1]@", "//\u2028", "/\u200b/", "https://\uff0f"),
)
_TAILS: Final = (EVIL, f"{EVIL}/shop/", f"{EVIL}%2f..", f"localhost.{EVIL}?a=b#c")
#: New lines, as they are and as sloppy filters make them of others, and what they would bring.
_BREAKS: Final = ("\r\n", "\n", "%0d%0a", "%0a", "\u560d\u560a", "\u2028")
_ADDED: Final = (f"Location: https://{EVIL}/", "Set-Cookie: evil=1")
#: Where a buyer is sent to prove who they are, and the fields of the form there.
_FIELDS: Final = ("email", "checkout_id", "next", "url", "return_url", "Referer")


def tricks() -> list[str]:
    """Addresses that lead elsewhere where they are believed, and lines that add to a header."""
    addresses = [f"{head}{tail}" for tail in _TAILS for head in _HEADS]
    lines = [f"x{end}{added}" for end in _BREAKS for added in _ADDED]
    return addresses[:188] + lines


def led_astray(folder: Path, *, every: int, share: int = 1) -> Figure:
    """Say one of so many tricks in one of ``share`` parameters of each page, so that as many tricks
    in a row meet all; as a stranger and as a buyer."""
    found = tricks()[::every]
    problems: list[str] = []
    answers = redirects = 0
    with hostile_site(folder, demo_store(f"{ORIGIN}/shop"), lane=True) as site:
        site.get("/shop/")
        for client, path, options in _requests(site, found, share):
            response = client.open(path, **options)
            answers += 1
            redirects += "Location" in response.headers
            wrong = list(_wrong(response, site.polar.url))
            if response.status_code == 500:
                wrong.append("status 500")
            problems += [f"{each} at {path[:120]}" for each in wrong]
    believed = sum(not _leads_home(trick, f"{ORIGIN}/shop/", (ORIGIN,)) for trick in found)
    return Figure(
        f"S3: {len(problems)} of {answers:,} answers to {len(found)} tricks lead elsewhere or have "
        f"a header more; {redirects:,} were redirects; who believed them would be led astray by "
        f"{believed}{sample(problems)}",
        "0, and most where they are believed",
        kept=not problems and redirects > 0 and believed > len(found) // 2,
    )


def _requests(
    site: HostileSite, found: Sequence[str], share: int
) -> Iterator[tuple[Client, str, dict[str, Any]]]:
    stranger, buyer = site.app.test_client(use_cookies=False), site.app.test_client()
    bought = site.polar.purchase("northlight", email="buyer@example.com")
    proof = {
        "checkout_id": bought.checkout_id,
        "customer_session_token": bought.customer_session_token or "",
    }
    buyer.get(f"/shop/success?{urlencode(proof)}")
    slug = "northlight-for-desktop"
    mine = f"checkout_id={bought.checkout_id}"
    rules = [
        rule
        for rule in site.app.url_map.iter_rules()
        if rule.endpoint.startswith("storefront.") and "GET" in (rule.methods or ())
    ]
    for number, trick in enumerate(found):
        names = PARAMETERS[number % share :: share]
        everything = urlencode(dict.fromkeys(PARAMETERS, trick))
        for rule in rules:
            for path in (filled(rule.rule, quote(trick, safe="")), filled(rule.rule, trick)):
                if rule.arguments and "?" not in path and "#" not in path:
                    yield stranger, path, {}
            path = filled(rule.rule, slug)
            yield stranger, f"{path}?{everything}", {}
            for name in () if WHOLE.search(rule.rule) else names:
                yield stranger, f"{path}?{urlencode({name: trick})}", {}
            yield stranger, f"{path}?{quote(trick, safe='')}", {}
            yield stranger, path, {"headers": {"Referer": quote(trick, safe=":/@?#")}}
        for path in ("/shop/success", "/shop/success/invoice", "/shop/portal"):
            for name in names:
                yield buyer, f"{path}?{mine}&{urlencode({name: trick})}", {}
        form = dict.fromkeys(_FIELDS, trick)
        yield stranger, f"/shop/success?{mine}", {"method": "POST", "data": form}


def _wrong(response: TestResponse, polar_url: str) -> Iterator[str]:
    """What in an answer leads elsewhere, or came of a line too many."""
    here = response.request.url
    for name, value in response.headers:
        if re.search(r"[\0-\x1f\x7f]", value) or "evil" in name.lower():
            yield f"header {name}"
        # A number that is drawn at random may have any four letters in it.
        told = re.sub(r"[A-Za-z0-9_-]{28,}", "", value.partition(";")[0])
        if name == "Set-Cookie" and "evil" in told.lower():
            yield "a cookie"
        if name == "Location" and not _leads_home(value, here, (ORIGIN, polar_url)):
            yield f"Location {value[:80]}"
        if name == "Refresh" and not _leads_home(value.partition("url=")[2], here, (ORIGIN,)):
            yield f"Refresh {value[:80]}"
    if response.mimetype == "text/html":
        for node in LexborHTMLParser(response.text).css("[href], [src], [action], [formaction]"):
            for name, address in node.attributes.items():
                if name in ADDRESSES and EVIL in _host(address or "", here):
                    yield f"<{node.tag} {name}={address}>"
    elif response.is_json:
        yield from _addresses(json.loads(response.data), here)


def _addresses(value: Any, here: str) -> Iterator[str]:
    """Addresses in data that lead elsewhere."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _addresses(item, here)
    elif isinstance(value, str) and EVIL in _host(value, here):
        yield f"an address {value[:80]}"


def _leads_home(location: str, here: str, homes: Sequence[str]) -> bool:
    """Whether a browser that is sent there ends at one of these origins."""
    try:
        read = urlsplit(_as_read(location, here))
    except ValueError:
        # Nobody knows where it ends.
        return False
    return f"{read.scheme}://{read.netloc}" in homes


def _host(address: str, here: str) -> str:
    try:
        return urlsplit(_as_read(address, here)).netloc
    except ValueError:
        return address


def _as_read(address: str, here: str) -> str:
    """An address as a browser reads it: without what it passes over, with slashes for both kinds.

    Source: the URL standard of WHATWG, state of 2026: for http and https any number of slashes
    follow the scheme, or come first.
    """
    text = re.sub(r"[\t\r\n]", "", address.strip("\0 \t\r\n\f\v"))
    head, mark, tail = text.partition("?")
    text = f"{head.replace(chr(92), '/')}{mark}{tail}"
    text = re.sub(r"^(https?):/*(?=[^/])", r"\1://", text, flags=re.IGNORECASE)
    text = re.sub(r"^//+", "//", text)
    return urljoin(here, text)
