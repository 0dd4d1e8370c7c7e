"""``flask storefront links …``: looking at links, making, changing and deleting them."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from storefront.emulator.faults import Fault
from storefront.polar import LINK_KEY
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.test_cli import EBOOK, SITE, ok, ok_json, refused, run

EBOOK_LINK = "b95b2fae-4651-43e9-bfdb-78d6130cc83a"
EBOOK_ID = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
SUCCESS = "https://store.example.com/shop/success?checkout_id={CHECKOUT_ID}"


def stored(polar: LocalPolar, link_id: str) -> dict[str, Any]:
    """A link as Polar has it, without the client's mark."""
    link = dict(polar.store.links[link_id])
    link["metadata"] = {k: v for k, v in link["metadata"].items() if k != LINK_KEY}
    return link


# list, show, open


def test_list(site: Flask) -> None:
    """The table has each link with what it sells and what it has beside."""
    lines = ok(site, "links", "list").splitlines()
    assert lines[0].split() == ["ID", "LABEL", "PRODUCTS", "WITH"]
    assert len(lines) == 1 + 17
    assert lines[4].split("  ")[0] == "7cf4f546-f30a-4c1b-9f6b-f92a792c0463"
    assert "pro-monthly, pro-yearly" in lines[4]
    assert lines[5].endswith("Internal 5 USD off, no codes")
    assert any(line.endswith("seats: 5") for line in lines)


def test_list_of_one_product(site: Flask) -> None:
    """--product leaves those that sell it, each with all its products."""
    links = ok_json(site, "links", "list", "--product", "pro-yearly")["links"]
    assert [[p["slug"] for p in link["products"]] for link in links] == [
        ["pro-monthly", "pro-yearly"]
    ]


def test_list_of_nothing(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """An organization without links is told so."""
    reference_polar.store.links.clear()
    app = make_site(reference_polar)
    assert ok(app, "links", "list") == "No links.\n"
    assert ok_json(app, "links", "list") == {"links": []}
    assert ok(app, "products", "show", EBOOK).endswith("links create ebook-fast-apis\n")


def test_show(site: Flask) -> None:
    """A link is found by its id, label or URL, and everything about it is shown."""
    link = ok_json(site, "links", "show", "No codes")["link"]
    assert link["discount"] == {
        "id": "10272cba-69ca-47a3-9b04-9d8ca77a8f45",
        "name": "Internal 5 USD off",
        "code": None,
    }
    assert link["allow_discount_codes"] is False
    assert link["created_at"].endswith("Z")
    page = ok(site, "links", "show", link["id"])
    assert "discount codes  not allowed\n" in page
    assert page == ok(site, "links", "show", link["url"])


def test_a_link_that_is_not_there(site: Flask) -> None:
    """A reference to nothing ends with 2 and names what there is."""
    assert "The labels are 'Ebook', 'Pro plans', 'No codes'." in refused(
        site, "links", "show", "nope"
    )


def test_a_label_of_several_links(make_site: SiteMaker) -> None:
    """A label that several links have is refused, naming their ids."""
    with LocalPolar(Store(demo_store("http://127.0.0.1:5000/shop"))) as polar:
        told = refused(make_site(polar), "links", "show", "newsletter")
        ids = [id_ for id_, link in polar.store.links.items() if link["label"] == "newsletter"]
    assert "2 links have the label 'newsletter'. Give an id: " in told
    assert all(id_ in told for id_ in ids)


def test_open(reference_polar: LocalPolar, site: Flask) -> None:
    """open prints the URL as the macro builds it, and begins no checkout."""
    options = (
        *("--email", "jane+x@example.com", "--name", "Jane", "--utm-source", "newsletter"),
        *("--discount-code", "LAUNCH20", "--locale", "fr", "--theme", "dark"),
        *("--reference-id", "42"),
    )
    url = ok(site, "links", "open", "pro-yearly", *options).strip()
    assert url.startswith(f"{reference_polar.url}/v1/checkout-links/polar_cl_")
    query = url.partition("?")[2]
    assert query == (
        "product_id=3a3ea65f-f329-4e34-aac4-1a4939a4a4fa&customer_email=jane%2Bx%40example.com&"
        "customer_name=Jane&discount_code=LAUNCH20&locale=fr&reference_id=42&"
        "utm_source=newsletter&theme=dark"
    )
    assert reference_polar.store.checkouts == {}
    assert ok_json(site, "links", "open", "Ebook")["link"] == EBOOK_LINK


def test_open_with_the_fields_of_the_checkout(site: Flask) -> None:
    """Custom fields are compared with those of the product."""
    assert "has no custom field 'nope'" in refused(
        site, "links", "open", EBOOK, "--custom-field", "nope=1"
    )
    assert "write key=value" in refused(site, "links", "open", EBOOK, "--custom-field", "nope")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--email", "jane"), "customer_email: is no email address"),
        (("--amount", "5"), "has no pay-what-you-want price"),
        (("--locale", "tlh"), "Polar's checkout page speaks"),
        (("--product", "pro-yearly"), "sells the product 'pro-yearly'"),
    ],
)
def test_open_with_a_value_that_is_no_good(
    site: Flask, options: tuple[str, ...], told: str
) -> None:
    """What Polar would drop without a word is refused."""
    assert told in refused(site, "links", "open", EBOOK, *options)


def test_open_a_product_that_nothing_sells(site: Flask) -> None:
    """A product without a link is told how to get one."""
    assert "flask storefront links create usage-plan" in refused(
        site, "links", "open", "usage-plan"
    )


# create, update, delete


def test_create(reference_polar: LocalPolar, site: Flask) -> None:
    """create makes the link that was asked for, and the site shows it at once."""
    ok(site, "sync")
    made = ok_json(
        site,
        *("links", "create", "pro-monthly", "pro-yearly", "--label", "Spring"),
        *("--discount", "launch20", "--no-discount-codes", "--require-billing-address"),
        *("--return-url", "https://store.example.com/", "--trial-interval", "day"),
        *("--trial-count", "14", "--metadata", "source=spring", "--metadata", "n=1=1", *SITE),
    )["link"]
    link = stored(reference_polar, made["id"])
    assert link["product_ids"] == [p["id"] for p in made["products"]]
    assert link["label"] == "Spring"
    assert link["discount_id"] == "16f9cdda-3072-44ba-9083-1ee8027abd44"
    assert link["allow_discount_codes"] is False
    assert link["require_billing_address"] is True
    assert link["success_url"] == SUCCESS
    assert (link["trial_interval"], link["trial_interval_count"]) == ("day", 14)
    assert link["metadata"] == {"source": "spring", "n": "1=1"}
    with site.app_context():
        assert made["id"] in get_state().catalog.current().links


def test_create_knows_the_site(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """With SERVER_NAME the success URL is this site's; without, that is told."""
    settings = {"SERVER_NAME": "store.example.com", "PREFERRED_URL_SCHEME": "https"}
    app = make_site(reference_polar, **settings)
    assert ok_json(app, "links", "create", EBOOK)["link"]["success_url"] == SUCCESS
    app = make_site(reference_polar)
    result = run(app, "links", "create", EBOOK)
    assert result.exit_code == 0
    assert "The link has no success URL: this site's address is not known" in result.stderr
    assert "success URL" not in result.stdout
    app = make_site(reference_polar, pages=False)
    assert "has no success page" in run(app, "links", "create", EBOOK, *SITE).stderr
    assert "has no success page" in refused(
        app, "links", "create", EBOOK, *SITE, "--success-url", "site"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "Missing argument 'PRODUCT...'"),
        (("nope",), "No product has the slug or id 'nope'"),
        ((EBOOK, EBOOK), "twice"),
        ((EBOOK, "--discount", "nope"), "No discount has the code, name or id 'nope'"),
        ((EBOOK, "--success-url", "/thanks"), "success_url: must be a whole http or https URL"),
        ((EBOOK, "--success-url", "https://x.example/?id={checkout_id}"), "write {CHECKOUT_ID}"),
        ((EBOOK, "--trial-interval", "day"), "trial_interval_count: is missing"),
        ((EBOOK, "--trial-interval", "eon"), "'eon' is not one of 'day', 'week'"),
        ((EBOOK, "--seats", "0"), "seats: must be a whole number from 1 to 10,000"),
        ((EBOOK, "--metadata", "a"), "'a' is no pair; write key=value."),
        ((EBOOK, "--metadata", "a=1", "--metadata", "a=2"), "'a' is given twice"),
        ((EBOOK, "--metadata", "storefront_name=x"), "is the shop's own"),
    ],
)
def test_create_with_a_value_that_is_no_good(
    reference_polar: LocalPolar, site: Flask, options: tuple[str, ...], told: str
) -> None:
    """What Polar would fail on is refused before anything is made."""
    assert told in refused(site, "links", "create", *options)
    assert len(reference_polar.store.links) == 17


def test_create_what_polar_refuses(site: Flask) -> None:
    """What only Polar can judge ends with 1, in Polar's words."""
    assert "Product is archived" in refused(site, "links", "create", "old-product", code=1)
    assert "seat-based pricing" in refused(site, "links", "create", EBOOK, "--seats", "5", code=1)


def test_update(reference_polar: LocalPolar, site: Flask) -> None:
    """update sets what is given, clears what is to be cleared, and leaves the rest."""
    link = ok_json(site, "links", "create", "pro-monthly", "--label", "A", *SITE)["link"]["id"]
    ok(site, "links", "update", link, "--trial-interval", "week", "--trial-count", "2")
    ok(site, "links", "update", "A", "--metadata", "a=1", "--metadata", "b=2")
    ok(site, "links", "update", "A", "--metadata", "c=3", "--clear", "metadata.a")
    ok(site, "links", "update", "A", "--discount", "LAUNCH20", "--no-discount-codes")
    kept = stored(reference_polar, link)
    assert kept["metadata"] == {"b": "2", "c": "3"}
    assert (kept["trial_interval"], kept["trial_interval_count"]) == ("week", 2)
    assert (kept["success_url"], kept["label"]) == (SUCCESS, "A")
    assert kept["allow_discount_codes"] is False
    cleared = ("trial", "discount", "success-url", "metadata", "label")
    options = [word for field in cleared for word in ("--clear", field)]
    ok(site, "links", "update", "A", *options, "--discount-codes", "--product", EBOOK)
    kept = stored(reference_polar, link)
    assert kept["metadata"] == {}
    for field in ("trial_interval", "trial_interval_count", "discount_id", "success_url", "label"):
        assert kept[field] is None
    assert kept["allow_discount_codes"] is True
    assert kept["product_ids"] == [EBOOK_ID]
    assert LINK_KEY in reference_polar.store.links[link]["metadata"]


def test_update_nothing(reference_polar: LocalPolar, site: Flask) -> None:
    """A change to what is there already sends nothing."""
    assert ok(site, "links", "update", "Ebook", "--label", "Ebook").startswith("Nothing to change")
    assert reference_polar.store.links[EBOOK_LINK]["modified_at"] is None


def test_update_what_can_not_be_cleared(site: Flask) -> None:
    """--clear names the fields there are."""
    told = refused(site, "links", "update", "Ebook", "--clear", "products")
    assert "there is no field 'products'; there are label, discount, success-url" in told
    told = refused(site, "links", "update", "Ebook", "--label", "A", "--clear", "label")
    assert "--clear label: it is given a value as well." in told


def test_delete_asks(reference_polar: LocalPolar, site: Flask) -> None:
    """At a terminal delete asks; only a yes deletes."""
    asked = run(site, "links", "delete", "Ebook", typed="n\n")
    assert asked.exit_code == 1
    assert "Delete the link 'Ebook', which sells ebook-fast-apis? [y/N]" in asked.stderr
    assert EBOOK_LINK in reference_polar.store.links
    ok(site, "links", "delete", "Ebook", typed="y\n")
    assert EBOOK_LINK not in reference_polar.store.links
    with site.app_context():
        assert EBOOK_LINK not in get_state().catalog.current().links


def test_delete_without_a_terminal(reference_polar: LocalPolar, site: Flask) -> None:
    """Where nobody can be asked, delete needs --yes."""
    assert "give --yes if so" in refused(site, "links", "delete", "Ebook")
    assert EBOOK_LINK in reference_polar.store.links
    assert ok_json(site, "links", "delete", "Ebook", "--yes")["deleted"]["id"] == EBOOK_LINK
    assert EBOOK_LINK not in reference_polar.store.links


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_delete_at_a_real_terminal(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """In a process of its own, at a terminal, the question is asked and answered."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("links", "delete", "Ebook"),
        cwd=folder(tmp_path),
        env=environment(reference_polar),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, b"y\n")
        printed, told = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, told
    assert printed == f"Deleted the link {EBOOK_LINK}.\n"


def test_a_sync_that_fails_is_no_failure(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """When the change is made and the sync fails, the command succeeds and says so."""
    app = make_site(reference_polar)
    ok(app, "sync")
    link = EBOOK_LINK

    class Tripwire(dict):  # type: ignore[type-arg]
        """A link after whose change no link can be read."""

        def update(self, *values: Any, **more: Any) -> None:
            super().update(*values, **more)
            for path in ("/v1/products/", f"/v1/checkout-links/{link}"):
                reference_polar.faults.add(Fault("status", 503, path=path, method="GET"))

    reference_polar.store.links[link] = Tripwire(reference_polar.store.links[link])
    result = run(app, "links", "update", link, "--label", "New")
    assert result.exit_code == 0, result.output
    assert "The site shows this only after its next sync" in result.stderr
    assert reference_polar.store.links[link]["label"] == "New"


# ensure, campaign


def test_ensure(reference_polar: LocalPolar, site: Flask) -> None:
    """ensure makes a link for each public product without one, once."""
    planned = ok(site, "links", "ensure", "--dry-run", *SITE)
    assert len(reference_polar.store.links) == 17
    made = ok_json(site, "links", "ensure", *SITE)
    assert sorted(made["products"]) == sorted(planned.split()[i] for i in _first_words(planned))
    assert len(reference_polar.store.links) == 17 + len(made["products"])
    assert {link["success_url"] for link in made["links"]} == {SUCCESS}
    assert ok(site, "links", "ensure", *SITE) == "Every public product has a link.\n"
    with site.app_context():
        assert all(product.offers for product in get_state().catalog.current())


def _first_words(page: str) -> list[int]:
    """Where in the words of a table the first word of each row is."""
    found, count = [], 0
    for number, line in enumerate(page.splitlines()):
        if number:
            found.append(count)
        count += len(line.split())
    return found


def test_ensure_needs_the_site(site: Flask) -> None:
    """Without the site's address ensure makes nothing, unless another URL is given."""
    assert "This site's address is not known" in refused(site, "links", "ensure")
    url = "https://elsewhere.example.com/thanks"
    links = ok_json(site, "links", "ensure", "--success-url", url)["links"]
    assert {link["success_url"] for link in links} == {url}


def test_campaign(reference_polar: LocalPolar, site: Flask) -> None:
    """campaign makes a link a channel, marked and left alone by the shop's own buttons."""
    options = ("--channel", "newsletter", "--channel", "twitter", "--campaign", "launch", *SITE)
    page = ok(site, "links", "campaign", EBOOK, *options, "--medium", "social")
    assert [line.split()[0] for line in page.splitlines()] == ["CHANNEL", "newsletter", "twitter"]
    link = ok_json(site, "links", "show", "Ebook: Fast APIs: twitter (launch)")["link"]
    assert link["metadata"] | {LINK_KEY: ""} == {
        "utm_source": "twitter",
        "utm_campaign": "launch",
        "utm_medium": "social",
        "storefront": "hidden",
        "storefront_channel": f"{EBOOK_ID}/launch/twitter",
        LINK_KEY: "",
    }
    assert link["success_url"] == SUCCESS
    assert ok_json(site, "links", "open", EBOOK)["link"] == EBOOK_LINK
    opened = requests.get(link["url"] + "?utm_source=other", timeout=5)
    assert opened.ok
    (checkout,) = reference_polar.store.checkouts.values()
    assert checkout.metadata["utm_source"] == "twitter"


def test_campaign_again(reference_polar: LocalPolar, site: Flask) -> None:
    """Repeated, campaign gives the same links, adds what is new, and changes what is asked for."""
    options = ("links", "campaign", EBOOK, "--channel", "newsletter", *SITE)
    first = ok_json(site, *options)["links"]
    assert ok_json(site, *options)["links"] == first
    both = ok_json(site, *options, "--channel", "twitter", "--medium", "email")["links"]
    assert [link["channel"] for link in both] == ["newsletter", "twitter"]
    assert both[0]["id"] == first[0]["id"]
    assert both[0]["metadata"]["utm_medium"] == "email"
    assert len(reference_polar.store.links) == 19


# In a process of its own


def folder(tmp_path: Path) -> Path:
    """A folder with a site in it."""
    source = (
        "from flask import Flask\nfrom storefront import Storefront\n\napp = Flask(__name__)\n"
        "shop = Storefront(app)\napp.register_blueprint(shop.blueprint, url_prefix='/shop')\n"
    )
    (tmp_path / "myshop.py").write_text(source)
    return tmp_path


def command(*words: str) -> list[str]:
    """``flask storefront`` with these words."""
    return [sys.executable, "-m", "flask", "--app", "myshop", "storefront", *words]


def environment(polar: LocalPolar, **more: str) -> dict[str, str]:
    """The settings for that site."""
    token = next(iter(polar.tokens))
    return {**os.environ, "POLAR_SERVER": polar.url, "POLAR_ACCESS_TOKEN": token, **more}


def test_the_local_polar(tmp_path: Path, reference_polar: LocalPolar) -> None:
    """emulator takes the options of the local Polar, and serves until it is interrupted."""
    with subprocess.Popen(
        command("emulator", "--port", "0"),
        cwd=folder(tmp_path),
        env=environment(reference_polar),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
    assert line.startswith("Local Polar for ")
    helped = subprocess.run(
        command("emulator", "--help"),
        cwd=tmp_path,
        env=environment(reference_polar),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--settle-seconds" in helped.stdout
