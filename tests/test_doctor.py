"""``flask storefront doctor``: each defect is found, and a healthy site has none."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import requests
from cachelib.serializers import JSONSerializer
from flask import Flask
from flask_caching import Cache

import storefront.doctor
from storefront import Storefront, Visitor
from storefront.catalog import Catalog, Snapshot
from storefront.catalog.records import encode_link, encode_product
from storefront.doctor import Facts, Finding, Level, examine
from storefront.emulator import LocalPolar
from storefront.emulator.app import Token
from storefront.inventory import Inventory
from storefront.polar import CheckoutLink, Discount, Organization, Product, WebhookEndpoint
from storefront.polar.webhooks import EVENTS
from storefront.texts import Texts
from tests.conftest import SiteMaker
from tests.test_cli import ok, ok_json, run

SUCCESS = "https://store.example.com/shop/success?checkout_id={CHECKOUT_ID}"
WEBHOOKS = "https://store.example.com/shop/webhooks"
SETTINGS = {
    "POLAR_WEBHOOK_SECRET": "whsec_of_the_endpoint",
    "SERVER_NAME": "store.example.com",
    "PREFERRED_URL_SCHEME": "https",
    "TESTING": False,
    "SECRET_KEY": "a long one",
}
EBOOK = Product(id="p1", name="Ebook")
GOOD = CheckoutLink(id="l1", url="https://x.example/l1", success_url=SUCCESS, products=(EBOOK,))


def inventory(
    *links: CheckoutLink, products: tuple[Product, ...] = (EBOOK,), known: bool = True
) -> Inventory:
    """What Polar has, made up."""
    texts = Texts("en")
    slugs = {product.id: product.name.lower() for product in products}
    snapshot = Snapshot.of(
        {product.id: encode_product(product) for product in products},
        {link.id: encode_link(link) for link in links} if known else {},
        read_at=datetime.now(UTC),
    )
    catalog = Catalog(snapshot, texts, image_hosts=())
    return Inventory(products, links, slugs, catalog, texts)


def facts(*links: CheckoutLink, **values: Any) -> Facts:
    """A site in which all is well, but for what is given."""
    well: dict[str, Any] = {
        "server": "production",
        "inventory": inventory(*(links or (GOOD,))),
        "organization": Organization(id="o1"),
        "clock_ahead_seconds": 0.4,
        "success_url": SUCCESS,
        "server_name": "store.example.com",
        "has_webhook_secret": True,
    }
    return Facts(**(well | values))


def link(**values: Any) -> CheckoutLink:
    """A good link, but for what is given."""
    base = {name: getattr(GOOD, name) for name in ("id", "url", "success_url", "products")}
    return CheckoutLink(**(base | values))


def endpoint(**values: Any) -> WebhookEndpoint:
    """An endpoint as it should be, but for what is given."""
    well: dict[str, Any] = {"id": "w", "url": WEBHOOKS, "events": EVENTS}
    return WebhookEndpoint(**(well | values))


def codes(found: tuple[Finding, ...]) -> list[tuple[str, str]]:
    """Levels and kinds."""
    return [(finding.level, finding.code) for finding in found]


def test_all_is_well() -> None:
    """A site in which all is well gives no finding."""
    assert examine(facts()) == ()
    assert examine(facts(has_pages=False, success_url=None, server_name=None)) == ()


PAST = datetime(2026, 1, 1, tzinfo=UTC)
DRAFT = Product(id="p2", name="Draft", visibility="draft")
OLD = Product(id="p3", name="Old", is_archived=True)
SHADOW = {"utm_source": "x", "reference_id": "y"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(link(success_url=None)), [("warning", "success-url-missing")]),
        (
            facts(
                link(success_url="https://store.example.com/shop/success?checkout_id={checkout_id}")
            ),
            [("error", "success-url-spelling")],
        ),
        (
            facts(link(success_url=SUCCESS.replace("{CHECKOUT_ID}", "%7bCHECKOUT_ID%7d"))),
            [("error", "success-url-spelling")],
        ),
        (
            facts(link(success_url="https://store.example.com/shop/success")),
            [("error", "success-url-without-id")],
        ),
        (
            facts(link(success_url=SUCCESS.replace("checkout_id=", "id="))),
            [("error", "success-url-without-id")],
        ),
        (
            facts(link(success_url="https://other.example.com/thanks")),
            [("warning", "success-url-elsewhere")],
        ),
        (
            facts(link(success_url=SUCCESS.replace("https", "http"))),
            [("warning", "success-url-elsewhere"), ("warning", "success-url-http")],
        ),
        (facts(link(success_url=SUCCESS.replace("{CHECKOUT_ID}", "%7BCHECKOUT_ID%7D"))), []),
        (facts(link(metadata=SHADOW)), [("warning", "metadata-shadows")]),
        (facts(GOOD, link(id="l2", metadata={**SHADOW, "storefront": "hidden"})), []),
        (
            facts(link(discount_id="d", discount=Discount(id="d", ends_at=PAST))),
            [("warning", "discount-over")],
        ),
        (facts(link(discount_id="d", discount=Discount(id="d"))), []),
        (facts(GOOD, link(id="l2", products=())), [("error", "link-dead")]),
        (facts(GOOD, link(id="l2", url="")), [("error", "link-dead")]),
        (
            facts(
                inventory=inventory(GOOD, link(products=(EBOOK, DRAFT)), products=(EBOOK, DRAFT))
            ),
            [("error", "link-product")],
        ),
        (
            facts(inventory=inventory(link(products=(EBOOK, OLD)), products=(EBOOK, OLD))),
            [("error", "link-product")],
        ),
        (
            facts(inventory=inventory(link(products=(EBOOK, OLD)), known=False)),
            [("error", "link-product")],
        ),
        (facts(link(label="a"), link(id="l2", label="a")), [("note", "label-twice")]),
        (
            facts(
                link(metadata={"storefront_name": "a"}),
                link(id="l2", metadata={"storefront_name": "a"}),
            ),
            [("warning", "name-twice")],
        ),
        (facts(inventory=inventory()), [("warning", "product-without-link")]),
        (facts(inventory=inventory(products=())), [("warning", "nothing-for-sale")]),
        (facts(server_name=None, success_url=None), [("warning", "server-name")]),
        (
            facts(server_name=None, success_url=None, server="sandbox"),
            [("note", "server-name")],
        ),
        (
            facts(
                link(success_url=SUCCESS.replace("https", "http")),
                success_url=SUCCESS.replace("https", "http"),
            ),
            [("warning", "success-url-http"), ("warning", "url-scheme")],
        ),
        (facts(cache="SimpleCache"), [("warning", "cache")]),
        (facts(cache="NullCache"), [("warning", "cache")]),
        (facts(cache="RedisCache"), []),
        (facts(debug=True), [("error", "debug")]),
        (facts(testing=True), [("error", "debug")]),
        (facts(debug=True, testing=True, server="sandbox"), []),
        (facts(raises_unknown_references=True), [("warning", "unknown-reference")]),
        (facts(has_secret_key=False), [("warning", "secret-key")]),
        (facts(has_secret_key=False, has_pages=False, success_url=None), []),
        (
            facts(has_secret_key=False, has_pages=False, success_url=None, asks_for_visitor=True),
            [("warning", "secret-key")],
        ),
        (facts(clock_ahead_seconds=-45.0), [("warning", "clock")]),
        (facts(clock_ahead_seconds=None), []),
        (facts(token_problem="No.", inventory=None), [("error", "token")]),
        (
            facts(organization=Organization(id="o", embed_hosts_enforced=True)),
            [("note", "embed-host")],
        ),
        (
            facts(
                organization=Organization(
                    id="o", embed_hosts_enforced=True, embed_hosts=("store.example.com",)
                )
            ),
            [],
        ),
        (
            facts(
                organization=Organization(
                    id="o", embed_hosts_enforced=True, embed_hosts=("*.Example.com",)
                )
            ),
            [],
        ),
        (
            facts(
                organization=Organization(
                    id="o", embed_hosts_enforced=True, embed_hosts=("*.store.example.com",)
                ),
                opens_over_page=True,
            ),
            [("warning", "embed-host")],
        ),
        (
            facts(
                server="sandbox",
                organization=Organization(
                    id="o", embed_hosts_enforced=True, embed_hosts=("localhost:5000",)
                ),
                inventory=None,
                success_url="http://localhost:5000/success?checkout_id={CHECKOUT_ID}",
            ),
            [],
        ),
        (
            facts(
                endpoints=(
                    endpoint(enabled=False),
                    WebhookEndpoint(id="v", url="https://other.example.com/hook", enabled=False),
                )
            ),
            [("warning", "webhook-off")],
        ),
        (facts(endpoints=(endpoint(events=("order.paid",)),)), [("warning", "webhook-events")]),
        (facts(endpoints=(endpoint(format="slack"),)), [("warning", "webhook-format")]),
        (facts(endpoints=(endpoint(),)), []),
        (
            facts(endpoints=(endpoint(),), has_webhook_secret=False),
            [("error", "webhook-secret")],
        ),
        (
            facts(endpoints=(endpoint(url="https://store.example.com/hook"),)),
            [("warning", "webhook-absent")],
        ),
        (facts(endpoints=(), has_webhook_secret=False), [("note", "webhook-absent")]),
    ],
)
def test_each_defect(given: Facts, expected: list[tuple[str, str]]) -> None:
    """Each defect is found, alone, at its level, and told with what to do about it."""
    found = examine(given)
    assert codes(found) == expected
    for finding in found:
        assert finding.message.endswith(".")
        assert finding.remedy.endswith(".")
        assert finding.subject


def test_the_worst_comes_first() -> None:
    """Errors stand before warnings, and these before notes."""
    found = examine(
        facts(
            link(success_url=None, label="a"),
            link(id="l2", label="a", url=""),
            debug=True,
            cache="NullCache",
        )
    )
    levels = [finding.level for finding in found]
    assert levels == sorted(levels, key=get_args(Level).index)
    assert len(set(levels)) == 3


def test_every_kind_is_documented() -> None:
    """Each kind of finding is in the documentation, and no other."""
    package = Path(storefront.doctor.__file__).parent
    calls = [
        node
        for path in package.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"
    ]
    kinds = {ast.literal_eval(call.args[1]) for call in calls}
    page = (package.parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    assert kinds == set(re.findall(r"^\| `([a-z-]+)` \| (?:error|warning|note)", page, re.M))


# Over HTTP


def take_webhooks(polar: LocalPolar) -> None:
    """What a merchant adds in the dashboard: an endpoint on the site that is told of orders."""
    made = requests.post(
        f"{polar.url}/v1/webhooks/endpoints",
        json={
            "url": WEBHOOKS,
            "format": "raw",
            "events": EVENTS,
        },
        headers=polar.headers,
        timeout=5,
    )
    assert made.status_code == 201, made.text


def test_a_healthy_site(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A site whose links were made by these commands is told that all is well."""
    reference_polar.store.links.clear()
    app = make_site(reference_polar, **SETTINGS)
    take_webhooks(reference_polar)
    ok(app, "links", "ensure")
    assert ok(app, "doctor") == "All is well.\n"
    assert ok_json(app, "doctor") == {"findings": [], "errors": 0, "warnings": 0, "notes": 0}
    assert reference_polar.store.checkouts == {}


def test_a_broken_site(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Each defect of a broken site is found, and named with its link."""
    store, shop = reference_polar.store, Storefront(cache=(cache := Cache()))
    shop.visitor(lambda: Visitor())
    links = list(store.links.values())
    for found in links:
        found["success_url"] = SUCCESS
    links[0]["success_url"] = SUCCESS.replace("CHECKOUT_ID", "checkout_id")
    links[1]["success_url"] = "https://store.example.com/shop/success"
    links[2]["success_url"] = "https://other.example.com/"
    links[4]["success_url"] = None
    links[5]["product_ids"] = ["aabf7567-d5c8-4c9b-a227-008ac8456b01"]
    links[6]["label"] = links[7]["label"] = "the same"
    links[8]["discount_id"] = over = "05ad2e51-a8b1-4058-811d-8e59fb4bf927"
    store.discounts[over]["ends_at"] = "2026-01-01T00:00:00Z"
    app = Flask("site")
    app.config.update(SETTINGS, CACHE_TYPE="SimpleCache", CACHE_SERIALIZER=JSONSerializer)
    app.config.update(POLAR_SERVER=reference_polar.url, POLAR_ACCESS_TOKEN="polar_oat_local")
    app.config.update(SECRET_KEY=None, SERVER_NAME="elsewhere.example.com:8000")
    cache.init_app(app)
    shop.init_app(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    site = ("--site", "https://store.example.com")
    result = run(app, "doctor", *site, "--json")
    assert result.exit_code == 3
    told = {(each["code"], each["subject"]) for each in json.loads(result.stdout)["findings"]}
    ids = [each["id"] for each in links]
    assert told >= {
        ("success-url-spelling", f"Ebook ({ids[0]})"),
        ("success-url-without-id", ids[1]),
        ("success-url-elsewhere", ids[2]),
        ("metadata-shadows", f"Pro plans ({ids[3]})"),
        ("success-url-missing", f"No codes ({ids[4]})"),
        ("link-dead", ids[5]),
        ("label-twice", "the same"),
        ("discount-over", ids[8]),
        ("product-without-link", "usage-plan"),
        ("cache", "CACHE_TYPE"),
        ("secret-key", "SECRET_KEY"),
    }
    page = run(app, "doctor", *site)
    assert page.exit_code == 3
    assert f"ERROR  Ebook ({ids[0]})  [success-url-spelling]\n" in page.stdout
    assert f"links update {ids[0]} --success-url site" in page.stdout.replace("\n    ", " ")
    assert reference_polar.store.checkouts == {}


def test_what_the_doctor_says_mends(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The commands that are named as remedies leave nothing to mend."""
    reference_polar.store.organization["embed_hosts_enforced"] = False
    app = make_site(reference_polar, **SETTINGS)
    for _ in range(2):
        for finding in json.loads(run(app, "doctor", "--json").stdout)["findings"]:
            for words in re.findall(
                r"flask storefront (links (?:update|ensure)[^,;.()]*)", finding["remedy"]
            ):
                ok(app, *words.split())
    take_webhooks(reference_polar)
    assert ok(app, "doctor") == "All is well.\n"


def test_missing_scopes(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Each scope that the token lacks is named, with what does not work without it."""
    reference_polar.tokens["polar_oat_some"] = Token(
        frozenset({"products:read", "checkout_links:read", "organizations:read", "discounts:read"})
    )
    app = make_site(reference_polar, POLAR_ACCESS_TOKEN="polar_oat_some", **SETTINGS)
    result = run(app, "doctor", "--json")
    assert result.exit_code == 3
    found = [each for each in json.loads(result.stdout)["findings"] if each["code"] == "scope"]
    assert [(each["level"], each["message"].split(":")[0].split()[-1]) for each in found] == [
        ("error", "checkouts"),
        ("error", "orders"),
        ("note", "checkout_links"),
    ]


def test_a_token_of_another_server(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A token that Polar does not take is told, with the usual reason."""
    app = make_site(reference_polar, POLAR_ACCESS_TOKEN="polar_oat_unknown", **SETTINGS)
    result = run(app, "doctor")
    assert result.exit_code == 3
    assert "ERROR  POLAR_ACCESS_TOKEN  [token]\n" in result.stdout
    assert "A token of the sandbox does not work on production" in result.stdout
    assert "unknown" not in result.stdout


def test_strict(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """With --strict a warning is enough for 3."""
    reference_polar.store.links.clear()
    app = make_site(reference_polar, **SETTINGS)
    assert run(app, "doctor").exit_code == 0
    assert run(app, "doctor", "--strict").exit_code == 3


def test_the_doctor_changes_nothing(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Nothing on Polar is changed by looking."""
    store = reference_polar.store
    before = json.dumps([store.links, store.products], sort_keys=True)
    run(make_site(reference_polar, **SETTINGS), "doctor")
    assert json.dumps([store.links, store.products], sort_keys=True) == before
