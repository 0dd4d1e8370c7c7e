"""``flask storefront …`` as its user runs it: what all commands share, sync, status, products."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import Result
from flask import Flask

from storefront.cli.commands import create_commands
from storefront.cli.tables import table
from storefront.emulator import LocalPolar
from storefront.emulator.app import Token
from storefront.state import get_state
from tests.conftest import SiteMaker

EBOOK = "ebook-fast-apis"
SITE = ("--site", "https://store.example.com")
CANARY = "canary7391"


class Terminal(io.BytesIO):
    """What is typed, at a terminal."""

    def isatty(self) -> bool:
        return True


def run(app: Flask, *arguments: str, typed: str | None = None) -> Result:
    """Give a command; ``typed`` answers its questions at a terminal."""
    typing = Terminal(typed.encode()) if typed is not None else None
    return app.test_cli_runner().invoke(args=["storefront", *arguments], input=typing)


def ok(app: Flask, *arguments: str, typed: str | None = None) -> str:
    """What a command that succeeds prints."""
    result = run(app, *arguments, typed=typed)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def ok_json(app: Flask, *arguments: str) -> Any:
    """What it prints for scripts."""
    return json.loads(ok(app, *arguments, "--json"))


def refused(app: Flask, *arguments: str, code: int = 2) -> str:
    """What a command that fails says; nothing goes to standard output."""
    result = run(app, *arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return str(result.stderr)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, by its words."""

    def below(words: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from below(f"{words}{name} ", command)
            else:
                yield f"{words}{name}", command

    yield from below("", create_commands())


COMMANDS = dict(commands())
#: A way to give each command that succeeds on the reference store, and prints JSON.
GIVEN = {
    "sync": (),
    "status": (),
    "db status": (),
    "db upgrade": (),
    "doctor": (),
    "products list": (),
    "products show": (EBOOK,),
    "links list": (),
    "links show": ("Ebook",),
    "links open": (EBOOK,),
    "links create": (EBOOK, *SITE),
    "links update": ("Ebook", "--label", "E-book"),
    "links delete": ("Ebook", "--yes"),
    "links ensure": SITE,
    "links campaign": (EBOOK, "--channel", "newsletter"),
    "links export": (),
    "links plan": ("{file}",),
    "links apply": ("{file}", "--yes"),
    "orders list": (),
    "orders retry": ("--all",),
    "orders reconcile": (),
    "jobs list": (),
    "jobs retry": ("--all",),
}
#: Tried in files of their own: what serves for ever, what needs an order, what prints no JSON.
TRIED_ELSEWHERE = {"emulator", "orders show", "embed-code", "qr"}
#: What asks the database only, and works while Polar is down.
LOCAL = {
    "status",
    "db status",
    "db upgrade",
    *("orders list", "orders retry", "jobs list", "jobs retry"),
}


def given(name: str, tmp_path: Any) -> list[str]:
    """The words of a command that succeeds."""
    file = tmp_path / "links.yaml"
    file.write_text(f"links:\n  one:\n    products: [{EBOOK}]\n")
    return [*name.split(), *(word.format(file=file) for word in GIVEN[name])]


def test_sync_reports(site: Flask) -> None:
    """sync reads everything and says in one line what it did."""
    result = site.test_cli_runner().invoke(args=["storefront", "sync"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Read 17 products and 17 checkout links in ")
    assert result.output.endswith(": 34 added, 0 changed, 0 removed.\n")
    assert get_state(site).catalog.current().page("pro-monthly") is not None


def test_sync_without_polar(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """When Polar can't be read the command says so and exits with 1."""
    reference_polar.stop()
    result = make_site(reference_polar).test_cli_runner().invoke(args=["storefront", "sync"])
    assert result.exit_code == 1
    assert "Error: No usable answer came from" in result.output


def test_sync_with_a_wrong_token(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A token that Polar does not know gives a hint, and is not shown."""
    app = make_site(reference_polar, POLAR_ACCESS_TOKEN="polar_oat_canary")
    result = app.test_cli_runner().invoke(args=["storefront", "sync"])
    assert result.exit_code == 1
    assert "POLAR_SERVER" in result.output
    assert "canary" not in result.output


def test_sync_for_scripts(site: Flask) -> None:
    """sync --json gives the counts."""
    report = ok_json(site, "sync")
    assert report.pop("seconds") >= 0
    assert report == {"products": 17, "links": 17, "added": 34, "changed": 0, "removed": 0}


def test_help(site: Flask) -> None:
    """The group and its commands say what they are for."""
    result = site.test_cli_runner().invoke(args=["storefront", "--help"])
    assert "sync" in result.output
    assert "Read all products and checkout links" in result.output


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "emulator"])
def test_help_of_each_command(site: Flask, name: str) -> None:
    """--help begins with one sentence, has an example, and says what each option is for."""
    page = ok(site, *name.split(), "--help")
    summary = page.split("\n\n")[1]
    assert summary.strip().endswith(".")
    assert f"flask storefront {name}" in page.partition("Example:")[2]
    for parameter in COMMANDS[name].params:
        assert not isinstance(parameter, click.Option) or parameter.help


@pytest.mark.parametrize("name", GIVEN)
def test_each_command_writes_json(site: Flask, name: str, tmp_path: Any) -> None:
    """With --json there is one object on standard output, and nothing else."""
    get_state(site).catalog.sync()
    get_state(site).database.upgrade()
    assert isinstance(ok_json(site, *given(name, tmp_path)), dict)


def test_no_command_is_forgotten() -> None:
    """Each command is tried above, or in a file of its own."""
    assert GIVEN.keys() | TRIED_ELSEWHERE == COMMANDS.keys()


@pytest.mark.parametrize("name", [name for name in GIVEN if name not in LOCAL])
@pytest.mark.parametrize("failure", ["down", "unauthorized", "forbidden"])
def test_each_command_fails_in_a_sentence(
    reference_polar: LocalPolar, make_site: SiteMaker, name: str, failure: str, tmp_path: Any
) -> None:
    """Without Polar, and with a token that is no good, a command ends with 1 and says why."""
    app = make_site(
        reference_polar,
        POLAR_ACCESS_TOKEN=f"polar_oat_{CANARY}",
        SECRET_KEY=f"{CANARY}-key",
    )
    if failure == "down":
        reference_polar.stop()
    if failure == "forbidden":
        reference_polar.tokens[f"polar_oat_{CANARY}"] = Token(frozenset())
    result = run(app, *given(name, tmp_path))
    if name == "doctor" and failure != "down":
        assert result.exit_code == 3
    else:
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output
    assert CANARY not in result.output


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_command_shows_a_secret(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    name: str,
    form: tuple[str, ...],
    tmp_path: Any,
) -> None:
    """Tokens, keys and the proxy's password are in nothing that is printed."""
    token = next(iter(reference_polar.tokens))
    app = make_site(reference_polar, SECRET_KEY=f"{CANARY}-key")
    printed = run(app, *given(name, tmp_path), *form).output
    assert printed
    assert token not in printed
    assert CANARY not in printed


def test_an_option_that_is_wrong(site: Flask) -> None:
    """What was not given as it has to be ends with 2."""
    assert "No such option" in refused(site, "links", "list", "--colour")
    assert "is no address of a site" in refused(site, "links", "ensure", "--site", "example.com")


# status


def test_status(site: Flask) -> None:
    """status says what there is, how old it is and where it came from."""
    ok(site, "sync")
    page = ok(site, "status")
    assert "products    12 in the shop\n" in page
    assert "links       17 that can be used\n" in page
    assert "from        Polar\n" in page
    assert "cache       FileSystemCache: answers; for this machine\n" in page
    assert re.search(r"^database +SQLite, .*: answers; for this machine$", page, re.MULTILINE)
    assert re.search(r"^POLAR_ACCESS_TOKEN +set$", page, re.MULTILINE)


def test_status_of_another_process(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """status finds what a worker has read, with Polar stopped."""
    ok(make_site(reference_polar), "sync")
    reference_polar.stop()
    catalogue = ok_json(make_site(reference_polar), "status")["catalogue"]
    assert catalogue["source"] == "cache"
    assert (catalogue["listed"], catalogue["links"]) == (12, 17)


def test_status_without_a_catalogue(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Without a catalogue status asks nobody for one, and ends with 3; why it is so it knows."""
    reference_polar.stop()
    app = make_site(reference_polar)
    never = run(app, "status")
    assert never.exit_code == 3
    assert "There is no catalogue. It is read at the first request." in never.output
    assert run(app, "sync").exit_code == 1
    failed = run(make_site(reference_polar), "status")
    assert failed.exit_code == 3
    assert "There is no catalogue: No usable answer came from" in failed.output
    status = json.loads(run(app, "status", "--json").stdout)
    assert status["catalogue"]["source"] is None


def test_status_hides_the_proxy_password(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Of a proxy only its address is shown."""
    app = make_site(
        reference_polar,
        STOREFRONT_PROXY_URL=f"http://user:{CANARY}@127.0.0.1:9",
        STOREFRONT_PAGE_TIMEOUT_SECONDS=1,
    )
    settings = json.loads(run(app, "status", "--json").stdout)["settings"]
    assert settings["STOREFRONT_PROXY_URL"] == "http://127.0.0.1:9"
    assert CANARY not in run(app, "status").output


# db


def test_db_makes_the_tables_and_says_so(site: Flask) -> None:
    """db status tells what is there, db upgrade makes what is not, and nothing the second time."""
    absent = run(site, "db", "status")
    assert absent.exit_code == 3
    assert "none yet. Run: flask storefront db upgrade" in absent.output
    assert "made the tables, version 1." in ok(site, "db", "upgrade")
    assert "are of version 1 already." in ok(site, "db", "upgrade")
    assert "version 1, as needed" in ok(site, "db", "status")


def test_db_that_is_away(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A database that does not answer is said in a sentence, without its password."""
    url = f"postgresql://shop:{CANARY}@127.0.0.1:1/shop"
    app = make_site(reference_polar, STOREFRONT_DATABASE_URL=url)
    for command in ("status", "upgrade"):
        result = run(app, "db", command)
        assert result.exit_code == 1
        assert "The database (PostgreSQL, shop on 127.0.0.1) does not answer" in result.output
        assert CANARY not in result.output


# products


def test_products_list(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has what is for sale, the newest first, and drafts only when asked for."""
    lines = ok(site, "products", "list").splitlines()
    assert lines[0].split() == ["SLUG", "NAME", "PRICE", "LINKS", "STATE"]
    assert len(lines) == 1 + 13
    assert any(line.startswith("ebook-fast-apis") and "$29.00" in line for line in lines)
    everything = ok(site, "products", "list", "--all")
    assert len(everything.splitlines()) == 1 + 17
    assert "draft\n" in everything
    assert "archived\n" in everything
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, ok(site, "products", "list", "--all").splitlines())) <= 60


def test_products_list_for_scripts(site: Flask) -> None:
    """Each product comes with its prices in minor units and the ids of its links."""
    products = ok_json(site, "products", "list")["products"]
    (ebook,) = [product for product in products if product["slug"] == EBOOK]
    assert ebook["prices"] == [
        {"kind": "fixed", "currency": "usd", "minor": 2900, "text": "$29.00"}
    ]
    assert ebook["visibility"] == "public"
    assert ebook["archived"] is False
    assert "b95b2fae-4651-43e9-bfdb-78d6130cc83a" in ebook["links"]


def test_prices_in_the_shops_language(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Amounts are written as the shop's pages write them."""
    app = make_site(reference_polar, STOREFRONT_LOCALE="de")
    assert "29,00\xa0$" in ok_json(app, "products", "show", EBOOK)["product"]["price"]


def test_products_show(site: Flask) -> None:
    """A product is found by its slug and by its id."""
    page = ok(site, "products", "show", EBOOK)
    assert "slug      ebook-fast-apis\n" in page
    assert "b95b2fae-4651-43e9-bfdb-78d6130cc83a  Ebook\n" in page
    assert page == ok(site, "products", "show", "4d9da0c8-624a-4ab4-b70c-408c28772d94")
    without = ok(site, "products", "show", "draft-product")
    assert "No link sells it." in without


def test_a_product_that_is_not_there(site: Flask) -> None:
    """A reference to nothing ends with 2 and names what there is."""
    assert "No product has the slug or id 'nope'. The slugs are" in refused(
        site, "products", "show", "nope"
    )


# Tables


def test_wide_letters_are_aligned() -> None:
    """Letters of two columns, and marks of none, don't move the next column."""
    text = table(("A", "B"), [("商店", "x"), ("e\u0301", "y")], cut=())
    assert text == "A     B\n商店  x\ne\u0301     y"


def test_what_moves_the_cursor_is_not_printed() -> None:
    """A name with escape sequences can't colour the terminal or overwrite a line."""
    assert "\x1b" not in table(("A",), [("\x1b[31mred\r",)], cut=())
