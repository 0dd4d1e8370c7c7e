"""``flask storefront links export``, ``plan`` and ``apply``: links as code, over real HTTP."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store
from storefront.linkfile import NAME_KEY, LinkSpec, Wanted, carry_out, make_plan
from storefront.polar import LINK_KEY, Client
from storefront.state import get_state
from tests.conftest import SiteMaker
from tests.test_cli import EBOOK, SITE, ok, ok_json, refused, run
from tests.test_cli_links import EBOOK_ID, EBOOK_LINK, command, environment, folder

TWO = """\
links:
  newsletter:
    products: [pro-monthly, pro-yearly]
    label: Newsletter
    discount: LAUNCH20
    success_url: site
    trial: 14 days
    metadata: {utm_source: newsletter}
  ebook:
    products: [ebook-fast-apis]
    environments:
      sandbox: {label: Only in the sandbox}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two links."""
    path = tmp_path / "links.yaml"
    path.write_text(TWO)
    return path


def names(polar: LocalPolar) -> Counter[str]:
    """How many links carry each name."""
    links = polar.store.links.values()
    return Counter(link["metadata"][NAME_KEY] for link in links if NAME_KEY in link["metadata"])


def untouched(polar: LocalPolar) -> dict[str, Any]:
    """The links that no file manages, as they are."""
    links = polar.store.links.items()
    return {id_: dict(link) for id_, link in links if NAME_KEY not in link["metadata"]}


def test_plan(reference_polar: LocalPolar, site: Flask, file: Path) -> None:
    """plan shows what would be made, and touches nothing."""
    before = untouched(reference_polar)
    page = ok(site, "links", "plan", str(file), *SITE)
    assert page == (
        "+ newsletter\n"
        "    products                  pro-monthly, pro-yearly\n"
        '    label                     "Newsletter"\n'
        '    discount_id               "LAUNCH20"\n'
        '    success_url               "https://store.example.com/shop/success?'
        'checkout_id={CHECKOUT_ID}"\n'
        '    trial_interval            "day"\n'
        "    trial_interval_count      14\n"
        '    metadata.utm_source       "newsletter"\n'
        '    metadata.storefront_name  "newsletter"\n'
        "\n"
        "+ ebook\n"
        "    products                  ebook-fast-apis\n"
        '    metadata.storefront_name  "ebook"\n'
        "\n"
        "custom: 2 to make, 0 to change, 0 to delete, 0 as they should be; "
        "17 not managed by a file.\n"
    )
    assert run(site, "links", "plan", str(file), *SITE, "--exit-code").exit_code == 3
    assert untouched(reference_polar) == before
    plan = ok_json(site, "links", "plan", str(file), *SITE, "--environment", "sandbox")
    assert plan["environment"] == "sandbox"
    assert plan["create"][1]["fields"]["label"] == "Only in the sandbox"


def test_apply(reference_polar: LocalPolar, site: Flask, file: Path) -> None:
    """apply makes it so once; after that there is nothing to do."""
    before = untouched(reference_polar)
    page = ok(site, "links", "apply", str(file), *SITE, "--yes")
    assert "[1/2] + made newsletter  (" in page
    assert "[2/2] + made ebook  (" in page
    assert names(reference_polar) == {"newsletter": 1, "ebook": 1}
    assert untouched(reference_polar) == before
    with site.app_context():
        labels = {link.label for link in get_state().catalog.current().links.values()}
    assert "Newsletter" in labels
    assert "0 to make, 0 to change" in ok(site, "links", "plan", str(file), *SITE, "--exit-code")
    again = ok_json(site, "links", "apply", str(file), *SITE, "--yes")
    assert [each["name"] for each in again["unchanged"]] == ["newsletter", "ebook"]
    assert names(reference_polar) == {"newsletter": 1, "ebook": 1}


def test_apply_changes_and_prunes(reference_polar: LocalPolar, site: Flask, file: Path) -> None:
    """What differs is changed, with old and new value; what is gone goes with --prune only."""
    ok(site, "links", "apply", str(file), *SITE, "--yes")
    before = untouched(reference_polar)
    file.write_text("links:\n  ebook:\n    products: [ebook-fast-apis]\n    label: E-book\n")
    page = ok(site, "links", "plan", str(file))
    assert '    label  (none) → "E-book"\n' in page
    assert "! newsletter  (" in page
    ok(site, "links", "apply", str(file), "--yes")
    assert names(reference_polar) == {"newsletter": 1, "ebook": 1}
    assert run(site, "links", "plan", str(file), "--exit-code").exit_code == 0
    assert run(site, "links", "plan", str(file), "--exit-code", "--prune").exit_code == 3
    assert "- deleted newsletter" in ok(site, "links", "apply", str(file), "--prune", "--yes")
    assert names(reference_polar) == {"ebook": 1}
    assert untouched(reference_polar) == before
    (link,) = [one for one in reference_polar.store.links.values() if one["label"] == "E-book"]
    assert LINK_KEY in link["metadata"]


def test_apply_asks(reference_polar: LocalPolar, site: Flask, file: Path) -> None:
    """apply shows the plan and asks; without a terminal it needs --yes."""
    asked = run(site, "links", "apply", str(file), *SITE, typed="n\n")
    assert asked.exit_code == 1
    assert "+ newsletter" in asked.stdout
    assert "Make it so? [y/N]" in asked.stderr
    result = run(site, "links", "apply", str(file), *SITE)
    assert result.exit_code == 2
    assert "give --yes" in result.stderr
    assert names(reference_polar) == {}
    ok(site, "links", "apply", str(file), *SITE, typed="y\n")
    assert names(reference_polar) == {"newsletter": 1, "ebook": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("links:\n  a:\n    prodcts: x", ":3: the link 'a' has no key 'prodcts'"),
        ("links:\n  a:\n    products: [nope]", ":3: products: No product has the slug"),
        ("links:\n  a:\n    products: [draft-product]", ":2: products: 'draft-product' is a draft"),
        ("links:\n  a:\n    products: [old-product]", ":2: products: 'old-product' is archived"),
        (f"links:\n  a: {{products: {EBOOK}, discount: X}}", ":2: discount: No discount has"),
        (f"links:\n  a: {{products: {EBOOK}, success_url: site}}", ":2: success_url: this site's"),
    ],
)
def test_a_file_that_is_no_good(
    reference_polar: LocalPolar, site: Flask, file: Path, text: str, told: str
) -> None:
    """plan and apply name the file and the line, and nothing is changed."""
    file.write_text(text)
    for words in (("plan",), ("apply", "--yes")):
        assert f"links.yaml{told}" in refused(site, "links", *words, str(file))
    assert len(reference_polar.store.links) == 17


def test_a_file_that_can_not_be_read(site: Flask, tmp_path: Path) -> None:
    """No file, a folder, and bytes that are no text end with 2."""
    assert "can't be read: No such file" in refused(site, "links", "plan", str(tmp_path / "none"))
    assert "is a directory" in refused(site, "links", "plan", str(tmp_path))
    (tmp_path / "bytes").write_bytes(b"links:\n\xff")
    assert "bytes:2: no UTF-8" in refused(site, "links", "plan", str(tmp_path / "bytes"))


# export


@pytest.mark.parametrize("demo", [False, True])
def test_export_and_back(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path, demo: bool
) -> None:
    """What was exported plans its adoption and no more; once applied, nothing."""
    seed = demo_store("https://store.example.com/shop")
    with LocalPolar(Store(seed)) as other:
        polar = other if demo else reference_polar
        app, path = make_site(polar), tmp_path / "links.yaml"
        before = {id_: dict(link) for id_, link in polar.store.links.items()}
        wrote = ok_json(app, "links", "export", str(path), *SITE)
        assert wrote == {"links": len(before), "adopted": len(before), "file": str(path)}
        plan = ok_json(app, "links", "plan", str(path), *SITE, "--prune")
        assert (plan["create"], plan["delete"], plan["unmanaged"]) == ([], [], 0)
        for update in plan["update"]:
            assert update["adopts"]
            assert update["changes"] == {
                f"metadata.{NAME_KEY}": {"old": None, "new": update["name"]}
            }
        ok(app, "links", "apply", str(path), *SITE, "--yes")
        assert run(app, "links", "plan", str(path), *SITE, "--exit-code").exit_code == 0
        for id_, link in polar.store.links.items():
            metadata = {k: v for k, v in link["metadata"].items() if k != NAME_KEY}
            assert {**link, "metadata": metadata, "modified_at": None} == {
                **before[id_],
                "modified_at": None,
            }
        again = yaml.safe_load(ok(app, "links", "export", *SITE))["links"]
        assert len(again) == len(before)
        assert not any("adopt" in entry for entry in again.values())


def test_export_asks_before_it_replaces(site: Flask, file: Path) -> None:
    """A file that is there is replaced after a yes only."""
    assert "give --yes" in refused(site, "links", "export", str(file))
    assert file.read_text() == TWO
    ok(site, "links", "export", str(file), typed="y\n")
    assert "adopt:" in file.read_text()
    assert "can't be written" in refused(site, "links", "export", str(file / "below"))


def test_a_file_from_another_server(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """What one server exported makes the same links on another, with its own site's URL."""
    path = tmp_path / "links.yaml"
    app = make_site(reference_polar)
    ok(app, "links", "create", EBOOK, "--label", "Mine", *SITE)
    ok(app, "links", "export", str(path), *SITE)
    seed = {**_seed(reference_polar), "checkout_links": []}
    with LocalPolar(Store(seed)) as other:
        there = make_site(other)
        local = ("--site", "http://127.0.0.1:5000")
        ok(there, "links", "apply", str(path), *local, "--yes")
        assert len(other.store.links) == len(reference_polar.store.links)
        link = ok_json(there, "links", "show", "Mine")["link"]
        assert link["success_url"].startswith("http://127.0.0.1:5000/shop/success?")
        assert run(there, "links", "plan", str(path), *local, "--exit-code").exit_code == 0


def _seed(polar: LocalPolar) -> dict[str, Any]:
    store = polar.store
    return {
        "organization": store.organization,
        "products": list(store.products.values()),
        "discounts": list(store.discounts.values()),
        "benefits": list(store.benefits.values()),
        "custom_fields": list(store.custom_fields.values()),
    }


# Interruptions


class Tripwire(dict[str, Any]):
    """Links, of which the next but ``after`` kills the process that asked for it.

    It dies when Polar has made the link and not answered yet: the worst of all moments.
    """

    def __init__(self, links: dict[str, Any], after: int) -> None:
        super().__init__(links)
        self.after = after
        self.process: subprocess.Popen[str] | None = None

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.after -= 1
        if self.after == 0 and self.process is not None:
            self.process.kill()
            self.process.wait()


def test_killed_and_run_again(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """Killed at any moment and run again, apply ends with each link once."""
    count = 12
    entries = {
        f"n{number}": {"products": [EBOOK], "label": f"N{number}"} for number in range(count)
    }
    folder(tmp_path)
    (tmp_path / "links.yaml").write_text(yaml.safe_dump({"links": entries}))
    apply = command("links", "apply", "links.yaml", "--yes")
    before = untouched(reference_polar)
    chance = random.Random(1)  # noqa: S311  the same moments each time
    kills = 0
    for _ in range(count):
        wire = Tripwire(reference_polar.store.links, chance.randint(1, 4))
        reference_polar.store.links = wire
        with subprocess.Popen(
            apply,
            cwd=tmp_path,
            env=environment(reference_polar),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            wire.process = process
            printed, _ = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, printed
        kills += 1
    assert process.returncode == 0
    assert kills >= 3
    assert names(reference_polar) == dict.fromkeys(entries, 1)
    assert untouched(reference_polar) == before


def test_answers_that_are_lost(reference_polar: LocalPolar, site: Flask, file: Path) -> None:
    """When Polar fails in the middle, apply says how far it came, and goes on when run again."""

    class Failing(dict[str, Any]):
        """Links of which the second can't be stored."""

        def __setitem__(self, key: str, value: Any) -> None:
            if value["metadata"].get(NAME_KEY) == "ebook":
                reference_polar.store.links = dict(self)
                raise RuntimeError("the disk is full")
            super().__setitem__(key, value)

    reference_polar.store.links = Failing(reference_polar.store.links)
    result = run(site, "links", "apply", str(file), *SITE, "--yes")
    assert result.exit_code == 1
    assert "1 of 2 changes were made. Run the same again to go on." in result.stderr
    ok(site, "links", "apply", str(file), *SITE, "--yes")
    assert names(reference_polar) == {"newsletter": 1, "ebook": 1}


def test_the_limit_of_requests(
    reference_polar: LocalPolar, site: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Polar takes no more requests, the changes wait and go on, and none is made twice."""
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        reference_polar.rate_limit.reset()

    specs = [
        LinkSpec(products=(EBOOK_ID,), metadata={NAME_KEY: f"n{number}"}) for number in range(7)
    ]
    plan = make_plan(
        [Wanted(str(spec.metadata[NAME_KEY]), spec) for spec in specs], [], marker=NAME_KEY
    )
    client: Client = get_state(site).client
    pace = client._transport.pace
    monkeypatch.setattr(pace, "_clock", lambda: time.monotonic() + sum(waited))
    reference_polar.rate_limit.per_minute = 3
    steps = list(carry_out(client, plan, sleep=sleep))
    assert len(steps) == 7
    assert waited == [60.0, 60.0]
    assert set(names(reference_polar).values()) == {1}


# The property, over HTTP


_entries = st.fixed_dictionaries(
    {
        "products": st.lists(
            st.sampled_from([EBOOK, "pro-monthly", "pro-yearly", "free-starter"]),
            min_size=1,
            unique=True,
        )
    },
    optional={
        "label": st.sampled_from(["", "A", "Ärzte", "商店"]),
        "discount": st.sampled_from(["LAUNCH20", "FREE100"]),
        "allow_discount_codes": st.booleans(),
        "require_billing_address": st.booleans(),
        "success_url": st.sampled_from(
            ["site", "https://bücher.example", "https://x.example/th anks/{CHECKOUT_ID}/é?a=b c#d"]
        ),
        "return_url": st.sampled_from(["https://Store.Example.com:443", "http://x.example/a/../b"]),
        "trial": st.sampled_from(["14 days", "1 week", "1000 years"]),
        "metadata": st.dictionaries(
            st.sampled_from(["a", "b", "é"]),
            st.sampled_from([True, False, 0, 1, 1.0, -0.5, "1", "true", 2**40]),
        ),
    },
)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), _entries, max_size=3), max_size=3))
def test_applied_is_as_planned(
    reference_polar: LocalPolar, site: Flask, file: Path, versions: list[dict[str, Any]]
) -> None:
    """After each version of a file was applied, its plan is empty, and the names are its own."""
    for version in versions:
        file.write_text(yaml.safe_dump({"links": version}, allow_unicode=True))
        options = (str(file), *SITE, "--prune")
        ok(site, "links", "apply", *options, "--yes")
        planned = run(site, "links", "plan", *options, "--exit-code")
        assert planned.exit_code == 0, planned.output
        assert names(reference_polar) == dict.fromkeys(version, 1)
    assert EBOOK_LINK in reference_polar.store.links
