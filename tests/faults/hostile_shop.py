"""A shop in which all that can be text is hostile, and a walker that finds what would run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID
from xml.etree import ElementTree

from flask import Flask, render_template_string, request
from selectolax.lexbor import LexborHTMLParser
from werkzeug.test import TestResponse

from storefront import Storefront, get_state
from storefront.emulator.demo import demo_store
from storefront.testing import ShopPolar, local_polar
from tests.contract.recordings import REFERENCE_STORE
from tests.faults.harness import link, product

#: What the test client asks for.
ORIGIN: Final = "http://localhost"
_FILES: Final = "https://files.example"
#: Benefits of one product that is bought: each shows another payload on the buyer's page.
BUNDLE: Final = 100
#: Parameters that some page of the shop reads, or might.
PARAMETERS: Final = (
    *("q", "kind", "price", "sort", "page", "product", "product_id", "amount", "locale", "lang"),
    *("theme", "accent", "layout", "radius", "label", "size", "scale", "format", "url", "callback"),
    *("maxwidth", "maxheight", "checkout_id", "customer_session_token", "reference_id", "email"),
    *("name", "customer_name", "customer_email", "discount_code", "custom_field_data.x", "next"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "return_url", "to"),
)
_CAMPAIGN: Final = tuple(name for name in PARAMETERS if name.startswith("utm_"))
#: Everything that a description may be made of.
_PLAIN: Final = (
    "# One\n\n## Two\n\n### Three\n\n#### Four\n\n##### Five\n\n###### Six\n\nA **bold** and "
    "*soft* word, ~~gone~~, `code`, a [link](https://example.com 'title') and <https://example.com>.\n\n"
    "![picture](https://files.example/a.png 'title')\n\n- a\n- b\n\n3. c\n4. d\n\n> said\n\n```py\n"
    "code\n```\n\n    code\n\n| a | b |\n|:--|--:|\n| c | d |\n\n---\n\nhard  \nbreak"
)
_HOST_PAGE: Final = """
{% import "storefront/macros.html" as shop with context %}
<!doctype html><html lang="en"><head><title>Host</title></head><body><main><h1>Host</h1>
{{ shop.buy_button(reference, utm=utm) }} {{ shop.buy_link(reference, label=words) }}
{{ shop.buy_button(reference, **{"class": words, "via": "redirect", "utm": utm}) }}
{{ shop.price(reference) }} {{ shop.product_card(reference, label=words) }}
{{ shop.pricing_table([reference, other], yearly=[other, None]) }}
</main></body></html>
"""


def hostile_seed(payloads: Sequence[str]) -> dict[str, Any]:
    """A store with a product and a link of each payload, and bundles of benefits with a hundred."""
    reference = json.loads(REFERENCE_STORE.read_text())
    demo = demo_store("https://shop.example/shop")
    sold_there = [*reference["products"], *demo["products"]]
    kinds = {price["amount_type"]: price for sold in sold_there for price in sold["prices"]}
    kinds.pop("free", None)
    models = _Models(
        list(kinds.values()),
        next(sold["medias"][0] for sold in reference["products"] if sold["medias"]),
        next(
            sold["attached_custom_fields"][0]
            for sold in reference["products"]
            if sold["attached_custom_fields"]
        ),
        next(item for item in reference["benefits"] if item["type"] == "custom"),
        next(item for item in reference["discounts"] if item["type"] == "percentage"),
    )
    products, links, discounts, benefits = [], [], [], []
    for number, text in enumerate(payloads):
        sold = models.product(number, text)
        discount = models.discount(number, text) if number % 3 == 0 else None
        products.append(sold)
        links.append(models.link(number, text, sold, discount))
        benefits += sold["benefits"]
        discounts += [discount] if discount else []
    for first in range(0, len(payloads), BUNDLE):
        number = len(products)
        sold = product(number)
        sold["name"] = payloads[first]
        sold["benefits"] = [
            models.benefit(len(payloads) + first + index, text)
            for index, text in enumerate(payloads[first : first + BUNDLE])
        ]
        benefits += sold["benefits"]
        products.append(sold)
        links.append({**link(number, sold), "label": f"bundle {first}"})
    return {
        "organization": reference["organization"],
        "products": products,
        "checkout_links": links,
        "discounts": discounts,
        "benefits": benefits,
    }


def _id(number: int, kind: int) -> str:
    return str(UUID(f"{number:08x}-0000-4000-8000-{kind:012x}"))


@dataclass(frozen=True)
class _Models:
    prices: list[dict[str, Any]]
    media: dict[str, Any]
    custom_field: dict[str, Any]
    plain_benefit: dict[str, Any]
    percentage: dict[str, Any]

    def product(self, number: int, text: str) -> dict[str, Any]:
        body = product(number)
        line = " ".join(text.split())
        body["name"] = text
        body["description"] = (
            f"{text}\n\n[{line}]({line}) [x](<{line}> '{line}') ![{line}]({line}) <{line}>\n\n"
            f"| {line} |\n|---|\n| {line} |\n\n```{line}\n{text}\n```\n\n[r]\n\n[r]: {line}"
        )
        body["metadata"] = {"slug" if number % 2 else "note": text, text[:40]: text[:500]}
        body["benefits"] = [self.benefit(number, text)]
        urls = (text, f"https://files.example/{text}", f"https://{text}", f"https://x:1/;{text}")
        body["medias"] = [
            {**self.media, "id": _id(number, 80 + index), "name": text, "public_url": url}
            for index, url in enumerate(urls)
        ]
        asked = deepcopy(self.custom_field)
        asked["custom_field"] |= {"name": text, "properties": {"form_label": text}}
        body["attached_custom_fields"] = [asked]
        price = deepcopy(self.prices[number % len(self.prices)])
        price |= {"id": _id(number, 3), "product_id": body["id"]}
        if price.get("meter"):
            price["meter"]["name"] = text
        if price.get("unit_label"):
            price["unit_label"] = {"en": {"=1": text, "one": text, "other": text}}
        body["prices"] = [price]
        return body

    def benefit(self, number: int, text: str) -> dict[str, Any]:
        told = {"description": text, "properties": {"note": f"{text}\n\n[x]({text})"}}
        return {**self.plain_benefit, "id": _id(number, 90), **told}

    def discount(self, number: int, text: str) -> dict[str, Any]:
        return {**self.percentage, "id": _id(number, 70), "name": text, "code": text[:20]}

    def link(
        self, number: int, text: str, sold: dict[str, Any], discount: dict[str, Any] | None
    ) -> dict[str, Any]:
        body = link(number, sold)
        body |= {"label": text, "metadata": {text[:40]: text[:500]}, "return_url": text}
        body |= {"discount_id": discount and discount["id"], "discount": discount}
        return body


def plain_seed() -> dict[str, Any]:
    """The same store with words that harm nobody: what its pages are made of, is allowed."""
    seed = hostile_seed(["Plain words", "https://files.example/picture.png", "other"] * 20)
    for number, sold in enumerate(seed["products"]):
        sold["description"] = _PLAIN
        pictures = [{**item, "public_url": f"{_FILES}/a.png"} for item in sold["medias"]]
        sold["medias"] = pictures[: number % 4]
    return seed


@dataclass
class HostileSite:
    """A site with the shop, and with a page that uses every macro."""

    app: Flask
    polar: ShopPolar

    def get(self, path: str, **options: Any) -> TestResponse:
        """What the site answers."""
        return self.app.test_client(use_cookies=False).get(path, **options)

    def slugs(self) -> list[str]:
        """The slugs of all products, in the order of the corpus."""
        with self.app.app_context():
            listed = get_state().catalog.current().listed
            found = {item.id: item.slug for item in listed}
        return [found[id] for id in self.polar.store.products if id in found]


@contextmanager
def hostile_site(
    folder: Path, seed: Mapping[str, Any], *, lane: bool = False, escapes: bool = True
) -> Iterator[HostileSite]:
    """A site that sells that store, below ``/shop``.

    With ``lane`` the fast lane is before it. Without ``escapes`` its templates write everything as
    it comes: that is the control, in which what is hostile has to be found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with local_polar(dict(seed)) as polar:
        app = Flask("hostile", root_path=str(folder), instance_path=str(folder / "instance"))
        app.config.update(
            POLAR_SERVER=polar.url,
            POLAR_ACCESS_TOKEN=polar.token,
            SECRET_KEY="of the hostile",
            STOREFRONT_PAGE_TIMEOUT_SECONDS=60,
            STOREFRONT_OVERLAY="on",
        )
        shop = Storefront(app)
        app.register_blueprint(shop.blueprint, url_prefix="/shop")
        if not escapes:
            app.jinja_env.autoescape = False

        @app.get("/host")
        def host() -> str:
            words = request.args.get("words", "")
            return render_template_string(
                _HOST_PAGE,
                reference=request.args["reference"],
                other=request.args["other"],
                words=words,
                utm={"source": words, "campaign": words},
            )

        if lane:
            app.wsgi_app = shop.fast_lane(app.wsgi_app)  # type: ignore[method-assign,assignment]
        yield HostileSite(app, polar)


#: Whether a rule's pages hold the whole shop, and are asked for more seldom.
WHOLE: Final = re.compile(r"\.xml$|\.atom$|products\.json$|^/shop/qr/")


def paths(
    app: Flask, number: int, text: str, slugs: Sequence[str], *, share: int, seldom: bool
) -> Iterator[str]:
    """The addresses of one payload: all pages of its product, and one of ``share`` of those where
    a query or a path has it, so that as many payloads in a row meet all.

    Every page that the shop has is among them. ``seldom`` has those, too, that hold the whole shop.
    """
    asked = list(_asked(app, number, text, slugs, seldom=seldom))
    for index, (is_own, path) in enumerate(asked):
        if is_own or seldom or (index + number) % share == 0:
            yield path


def _asked(
    app: Flask, number: int, text: str, slugs: Sequence[str], *, seldom: bool
) -> Iterator[tuple[bool, str]]:
    """Whether an address shows the payload's product, and the address."""
    slug, other = slugs[number], slugs[number - 1]
    hostile = quote(text, safe="")
    everything = urlencode(dict.fromkeys(PARAMETERS, text))
    campaign = urlencode(dict.fromkeys(_CAMPAIGN, text))
    one = urlencode({PARAMETERS[number % len(PARAMETERS)]: text, text[:80]: "1"})
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("storefront.") or "GET" not in (rule.methods or ()):
            continue
        if rule.endpoint == "storefront.static" or (WHOLE.search(rule.rule) and not seldom):
            continue
        if rule.arguments:
            yield True, f"{filled(rule.rule, slug)}?{campaign}"
            yield False, f"{filled(rule.rule, slug)}?{everything}"
            yield False, filled(rule.rule, hostile)
            continue
        yield False, f"{rule.rule}?{campaign}"
        yield False, f"{rule.rule}?{everything}"
        yield False, f"{rule.rule}?{one}"
        yield False, f"{rule.rule}?{urlencode({'q': text})}"
        if "oembed" in rule.rule:
            page = f"{ORIGIN}/shop/products/{slug}"
            yield True, f"{rule.rule}?{urlencode({'url': page, 'maxwidth': text})}"
            yield False, f"{rule.rule}?{urlencode({'url': f'{page}?{campaign}'})}"
            yield False, f"{rule.rule}?{urlencode({'url': f'{page}/{text}', 'format': 'xml'})}"
    yield True, f"/host?{urlencode({'reference': slug, 'other': other, 'words': text})}"


def filled(rule: str, value: str) -> str:
    """An address of a rule: numbers are 1, choices the first one, the rest is the value."""

    def fill(match: re.Match[str]) -> str:
        converter = match[1] or ""
        if converter.startswith("int"):
            return "1"
        return converter[4:-2].split(",")[0] if converter.startswith("any(") else value

    return re.sub(r"<(?:([^:<>]+):)?[^<>]+>", fill, rule)


#: Attributes that name an address, and elements whose address has to be the shop's own.
ADDRESSES: Final = frozenset(
    (
        "href",
        "src",
        "action",
        "formaction",
        "poster",
        "data",
        "cite",
        "background",
        "ping",
        "srcset",
    )
) | {"xlink:href", "longdesc", "manifest", "codebase", "archive", "icon", "lowsrc", "dynsrc"}
_OWN: Final = frozenset(("script", "iframe", "link", "form", "object", "embed", "base"))
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):")
_SOURCE: Final = re.compile(
    r"'self'|'none'|data:|https?://[A-Za-z0-9._-]+(:[0-9]+)?|'nonce-[\w-]+'"
)


@dataclass
class Walker:
    """Knows what plain pages are made of, and finds what others have besides."""

    elements: set[str] = field(default_factory=set)
    attributes: set[tuple[str, str]] = field(default_factory=set)
    equivalents: set[str] = field(default_factory=set)
    xml: set[str] = field(default_factory=set)
    #: Directives of policies other than that for pictures.
    directives: set[str] = field(default_factory=set)
    #: Learning takes all for allowed.
    learns: bool = False

    def response(self, response: TestResponse) -> list[str]:
        """What in an answer could run a script, or is no longer what it says it is."""
        problems = list(self._headers(response))
        kind = response.mimetype or ""
        if kind == "text/html":
            problems += self.html(response.text)
        elif kind in ("application/json", "application/ld+json") or kind.endswith("+json"):
            problems += self.json(json.loads(response.data))
        elif kind.endswith("xml"):
            problems += self._xml(response.data)
        return problems

    def html(self, text: str) -> list[str]:
        """What in a page could run a script."""
        problems = []
        for node in LexborHTMLParser(text).css("*"):
            tag, attributes = node.tag or "", node.attributes
            if self.learns:
                self.elements.add(tag)
            elif tag not in self.elements:
                problems.append(f"<{tag}>")
            if tag == "script" and "src" not in attributes:
                problems += self._data(attributes.get("type"), node.text())
            for name, value in attributes.items():
                problems += self._attribute(tag, name, value or "")
        return problems

    def _data(self, kind: str | None, text: str) -> list[str]:
        if kind != "application/ld+json":
            return [f"<script type={kind}>"]
        try:
            return self.json(json.loads(text)) + (["< in data"] if "<" in text else [])
        except ValueError:
            return ["data that are no JSON"]

    def _attribute(self, tag: str, name: str, value: str) -> Iterator[str]:
        if self.learns:
            self.attributes.add((tag, name))
            if name == "http-equiv":
                self.equivalents.add(value)
        elif (tag, name) not in self.attributes:
            yield f"<{tag} {name}>"
        elif name == "http-equiv" and value not in self.equivalents:
            yield f"<{tag} http-equiv={value}>"
        if name in ADDRESSES:
            yield from self._address(tag, name, value)

    def _address(self, tag: str, name: str, value: str) -> Iterator[str]:
        # As browsers read it: they pass over what is no character of an address.
        address = re.sub(r"[\0- \x7f]", "", value).lower().replace("\\", "/")
        scheme = _SCHEME.match(address)
        if scheme and scheme[1] not in ("http", "https", "mailto"):
            yield f"<{tag} {name}={value[:40]}>"
        elif tag in _OWN and not (
            address.startswith((f"{ORIGIN}/", "?", "#"))
            or (address.startswith("/") and not address.startswith("//"))
            or address == ""
        ):
            yield f"<{tag} {name}={value[:40]}>, which is not the shop's"

    def json(self, value: Any, key: str = "") -> list[str]:
        """What in data is HTML, and could run a script."""
        if isinstance(value, dict):
            return [each for name, item in value.items() for each in self.json(item, name)]
        if isinstance(value, list):
            return [each for item in value for each in self.json(item, key)]
        return self.html(value) if isinstance(value, str) and key.endswith("html") else []

    def _xml(self, data: bytes) -> list[str]:
        try:
            root = ElementTree.fromstring(data)  # noqa: S314  it is our own
        except ElementTree.ParseError as error:
            return [f"no XML: {error}"]
        problems = []
        for node in root.iter():
            if self.learns:
                self.xml.add(node.tag)
            elif node.tag not in self.xml:
                problems.append(f"<{node.tag}>")
            if node.get("type") == "html":
                problems += self.html(node.text or "")
            for name, value in node.attrib.items():
                if name.rpartition("}")[2] in ADDRESSES:
                    problems += self._address(node.tag, name, value)
        return problems

    def _headers(self, response: TestResponse) -> Iterator[str]:
        for name, value in response.headers:
            if re.search(r"[\0-\x1f\x7f]", value):
                yield f"{name} has a control character"
            if name == "Content-Security-Policy":
                yield from self._policy(value)
        is_other = response.mimetype != "text/html" and response.status_code == 200
        if is_other and response.headers.get("X-Content-Type-Options") != "nosniff":
            yield f"{response.mimetype} may be taken for something else"

    def _policy(self, policy: str) -> Iterator[str]:
        for directive in policy.split(";"):
            name, *sources = directive.split()
            if name == "img-src":
                yield from (f"img-src {each}" for each in sources if not _SOURCE.fullmatch(each))
                continue
            # The local Polar of each site has another port.
            plain = re.sub(r"http://127\.0\.0\.1:[0-9]+", "polar", directive.strip())
            plain = re.sub(r"'nonce-[^']*'", "'nonce'", plain)
            if self.learns:
                self.directives.add(plain)
            elif plain not in self.directives:
                yield f"policy {plain}"


def purchases(
    site: HostileSite, texts: Sequence[str], visit: Callable[[TestResponse], None]
) -> None:
    """Buy each bundle, and look at the buyer's pages."""
    for first in range(0, len(texts), BUNDLE):
        name = texts[first]
        bought = site.polar.purchase(
            f"bundle {first}", email=f"buyer{first}@example.com", name=name
        )
        client = site.app.test_client()
        query = urlencode(
            {
                "checkout_id": bought.checkout_id,
                "customer_session_token": bought.customer_session_token or "",
                "utm_source": name,
            }
        )
        visit(client.get(f"/shop/success?{query}"))
        visit(client.get(f"/shop/success?checkout_id={bought.checkout_id}"))


def learn(walker: Walker, folder: Path) -> None:
    """Have a walker see every page of a plain shop, those for what is not there, too."""
    walker.learns = True
    words = ["Plain words", "https://files.example/picture.png", "other", "pictures", "a" * 90]
    with hostile_site(folder, plain_seed()) as site:
        site.get("/shop/")
        slugs = site.slugs()
        for number in range(len(words)):
            text, whole = words[number], number == 0
            for path in paths(site.app, number, text, slugs, share=1, seldom=whole):
                walker.response(site.get(path))
        for slug in slugs:
            walker.response(site.get(f"/shop/products/{slug}"))
            walker.response(site.get(f"/host?reference={slug}&other={slugs[0]}&words=some"))
        for page in ("/shop/", "/shop/?page=2", "/shop/?q=nothing+at+all", "/shop/products/none"):
            walker.response(site.get(page))
        walker.response(site.get(f"/shop/products/{next(iter(site.polar.store.products))}"))

        def visit(response: TestResponse) -> None:
            walker.response(response)

        purchases(site, words[:1] * 5, visit)
    walker.learns = False


def raw(text: str) -> str:
    """The control: a page that neither escapes nor sanitizes."""
    return f'<!doctype html><title>x</title><p>{text}</p><a href="{text}">x</a><img alt="{text}">'


def sample(items: Iterable[str], most: int = 8) -> str:
    """Some of what went wrong, for a figure."""
    found = sorted(set(items))
    return "".join(f"\n  {each}" for each in found[:most])
