"""The documentation: everything that a site may rely on is in it, and says what is so."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from blinker import NamedSignal
from flask import Flask

import storefront
from storefront import settings, signals
from storefront.cli.commands import create_commands
from storefront.emulator.__main__ import _parser
from storefront.polar import Server
from storefront.rendering import Helpers
from storefront.secret import Secret
from storefront.web import create_blueprint

PACKAGE = Path(storefront.__file__).parent
ROOT = PACKAGE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
COMMAND_LINE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
LOCAL_POLAR = (ROOT / "docs" / "local-polar.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TEMPLATES = sorted((PACKAGE / "templates" / "storefront").glob("*.html"))


def code(page: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", page))


def words(page: str) -> set[str]:
    """Every name in anything that stands in backticks, outside of blocks."""
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return {name for span in re.findall("`([^`]+)`", prose) for name in re.findall(r"\w+", span)}


def section(page: str, title: str) -> str:
    """A section, down to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    return found[1]


def settings_table() -> dict[str, str]:
    """The names in the table of settings, and what stands there as the default."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|.*\| ([^|]*) \|$", section(README, "Settings"), re.M)
    assert len({name for name, _ in rows}) == len(rows)
    return dict(rows)


def test_every_setting_is_in_the_table() -> None:
    """The table of settings has each of them once, and no other."""
    assert settings_table().keys() == settings.NAMES


def test_every_setting_that_is_read_has_a_name() -> None:
    """``NAMES`` is what ``from_mapping`` looks up: a name left out would be refused."""
    tree = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    read = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("read", "read.raw")
        and isinstance(node.args[0], ast.Constant)
    }
    assert read == settings.NAMES


def _field(name: str) -> str:
    field = name.removeprefix("STOREFRONT_").lower()
    renamed = {
        "polar_server": "server",
        "polar_access_token": "access_token",
        "polar_organization_id": "organization_id",
        "polar_port": "local_port",
        "polar_seed": "local_seed",
        "polar_webhook_secret": "webhook_secrets",
    }
    return renamed.get(field, field)


@pytest.mark.parametrize("name", sorted(settings.NAMES))
def test_the_default_in_the_table_is_the_default(name: str) -> None:
    """A default in the table is the field's; where words stand, there is none or it is empty."""
    fields = {field.name: field for field in dataclasses.fields(settings.Settings)}
    default = fields[_field(name)].default
    shown = settings_table()[name]
    if default is dataclasses.MISSING:
        assert shown.startswith("required")
    elif literal := re.fullmatch("`([^`]+)`", shown):
        written = " ".join(default) if isinstance(default, tuple) else str(default)
        assert literal[1] in (written, f"{default:g}" if type(default) is float else None)
    else:
        assert default in (None, ())


def test_the_defaults_are_in_force() -> None:
    """Without any setting but the server, each field has the default that it declares."""
    made = settings.Settings.from_mapping(
        {"POLAR_SERVER": "sandbox", "POLAR_ACCESS_TOKEN": "t"}, {}
    )
    declared = settings.Settings(server=Server.sandbox(), access_token=Secret("t"))
    assert made == declared


def test_every_unit_is_told() -> None:
    """A setting named by its unit is in seconds in the table as well."""
    rows = section(README, "Settings").splitlines()
    for row in rows:
        if "_SECONDS`" in row:
            assert "| seconds |" in row or "| whole seconds |" in row


@pytest.mark.parametrize("name", storefront.__all__)
def test_public_names_are_documented(name: str) -> None:
    """Each name that can be imported from ``storefront`` is in the reference."""
    assert name in code(section(REFERENCE, "Python"))


@pytest.mark.parametrize("name", storefront.__all__)
def test_members_of_public_names_are_documented(name: str) -> None:
    """Each attribute and method of a public class is in the reference."""
    public = getattr(storefront, name)
    if not inspect.isclass(public):
        members = set(inspect.signature(public).parameters)
    else:
        members = {m for m in vars(public) if not m.startswith("_")}
        members |= set(getattr(public, "__annotations__", {}))
        if dataclasses.is_dataclass(public):
            members |= {field.name for field in dataclasses.fields(public)}
    assert {m for m in members if not m.startswith("_")} - words(REFERENCE) == set()


def test_the_arguments_of_a_button_are_documented() -> None:
    """What ``buy_url`` and the macros take is in one table."""
    from storefront.buttons import Prefill

    table = words(section(REFERENCE, "Macros"))
    assert set(Prefill.__struct_fields__) <= table


def macros() -> Iterator[tuple[str, str]]:
    """The macros' names and arguments as they are declared."""
    source = (PACKAGE / "templates" / "storefront" / "macros.html").read_text(encoding="utf-8")
    for name, arguments in re.findall(r"{%-? macro (\w+)\((.*?)\) -?%}", source, re.DOTALL):
        yield name, " ".join(arguments.split())


@pytest.mark.parametrize(("name", "arguments"), list(macros()))
def test_macros_are_documented(name: str, arguments: str) -> None:
    """Each macro is in the reference, with all its arguments and their defaults."""
    described = section(REFERENCE, "Macros")
    if f"`{name}({arguments})`" in described:
        return
    assert f"`{name}(reference, …)`" in described
    names = re.findall(r"(\w+)(?:=[^,]+)?(?:, |$)", arguments)
    assert names[0] == "reference"
    table = code(described)
    assert set(names[1:]) <= table, "the table of arguments lacks some"


def test_members_of_the_global_are_documented() -> None:
    """What templates find in ``storefront`` is in the reference, and nothing else is."""
    members = {m for m in vars(Helpers) if not m.startswith("_")}
    described = re.findall(r"`storefront\.(\w+)[(`]", section(REFERENCE, "The global `storefront`"))
    assert set(described) == members


def test_routes_are_documented() -> None:
    """Each route of the blueprint is in the table, with its endpoint, and no other."""
    app = Flask("site")
    app.register_blueprint(create_blueprint(), url_prefix="/x")
    rules = {
        (rule.rule.removeprefix("/x"), rule.endpoint)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("storefront.")
    }
    table = re.findall(r"^\| `(/\S*)` \| `([\w.]+)` \|", section(REFERENCE, "Routes"), re.M)
    assert set(table) == rules


def test_signals_are_documented() -> None:
    """Each signal is in the table, and no other."""
    there = {name for name, value in vars(signals).items() if isinstance(value, NamedSignal)}
    table = re.findall(r"^\| `(\w+)` \|", section(REFERENCE, "Signals"), re.M)
    assert set(table) == there


def test_outcomes_are_documented() -> None:
    """Each outcome that the success page tells is in the reference."""
    from storefront.orders.receipt import OutcomeState

    assert set(OutcomeState.__args__) <= code(section(REFERENCE, "Routes"))  # type: ignore[attr-defined]


def test_templates_are_documented() -> None:
    """Each template that can be replaced is in the table, and no other."""
    table = re.findall(r"^\| `storefront/(\S+)` \|", section(REFERENCE, "Templates"), re.M)
    assert sorted(table) == [path.name for path in TEMPLATES]


def test_blocks_are_documented() -> None:
    """Each block is in the table, with the template that has it first."""
    blocks: dict[str, str] = {}
    for path in sorted(TEMPLATES, key=lambda path: path.name != "layout.html"):
        for name in re.findall(r"{%-? block (\w+)", path.read_text(encoding="utf-8")):
            blocks.setdefault(name, path.name)
    table = re.findall(
        r"^\| `(storefront_\w+)` \| `(\S+)` \|", section(REFERENCE, "Templates"), re.M
    )
    assert dict(table) == blocks


def test_custom_properties_are_documented() -> None:
    """Each custom property that the stylesheet sets is in the reference, and no other."""
    css = (PACKAGE / "static" / "storefront" / "storefront.css").read_text(encoding="utf-8")
    described = re.findall(r"`(--storefront-[\w-]+)`", section(REFERENCE, "Custom properties"))
    assert set(described) == set(re.findall(r"^\s*(--storefront-[\w-]+):", css, re.M))


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, below all groups, by its words."""

    def below(words: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from below(f"{words} {name}", command)
            else:
                yield f"{words} {name}", command

    return below("flask storefront", create_commands())


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda value: str(value)[:40])
def test_commands_are_documented(name: str, command: click.Command) -> None:
    """Each command has its section, with all its options, and stands in the reference."""
    assert f"`{name}`" in section(REFERENCE, "Commands")
    table = set(re.findall(r"`(--[\w-]+)`", section(COMMAND_LINE, name)))
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert table == {o for each in options for o in (*each.opts, *each.secondary_opts)}


def test_options_of_the_local_polar_are_documented() -> None:
    """Each option of ``python -m storefront.emulator`` is in the table, with its default."""
    table = dict(
        re.findall(r"^\| `(--[\w-]+)` \|.*\| ([^|]*) \|$", section(LOCAL_POLAR, "On its own"), re.M)
    )
    options: dict[str, Any] = {
        action.option_strings[-1]: action.default
        for action in _parser()._actions
        if action.dest != "help"
    }
    assert table.keys() == options.keys()
    for option, default in options.items():
        assert default is None or table[option] == f"`{default}`"


def test_figures_are_quoted_as_they_were_printed() -> None:
    """What the README says of the promises has the figures of the page about them."""
    promises = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    printed = set(re.findall(r"\d[\d,.]*\d|\d", promises))
    quoted = set(re.findall(r"\d[\d,.]*\d|\d", section(README, "What it promises")))
    assert len(quoted) > 4
    assert quoted <= printed


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link inside the documentation leads to a file, and to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
        slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
        assert not anchor or anchor in slugs, target


def test_no_page_is_forgotten() -> None:
    """Each page of the documentation can be reached from the README."""
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in README


def test_the_changelog_knows_the_version() -> None:
    """The version that is built has a section in the changelog."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', pyproject, re.M)
    assert version is not None
    assert f"\n## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def undocumented() -> Iterator[str]:
    """Public modules, classes and functions without a docstring."""
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(ROOT)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            yield str(where)
        yield from _undocumented_in(tree, str(where))


def _undocumented_in(node: ast.Module | ast.ClassDef, where: str) -> Iterator[str]:
    for child in node.body:
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if child.name.startswith("_"):
            continue
        # The members of a protocol are those of what it stands for.
        is_protocol = isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
        if not ast.get_docstring(child) and not is_protocol:
            yield f"{where}:{child.lineno} {child.name}"
        if isinstance(child, ast.ClassDef):
            yield from _undocumented_in(child, where)


def test_every_public_thing_has_a_docstring() -> None:
    """Each public module, class, function and method says what it is for."""
    assert list(undocumented()) == []
