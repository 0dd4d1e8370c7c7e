"""The house stands as ``docs/architecture.md`` draws it: who may import whom."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import storefront

PACKAGE = Path(storefront.__file__).parent
PICTURE = PACKAGE.parent / "docs" / "architecture.md"
FLASK_FROM = 4
#: Below floor 4, and handed a Flask app all the same: it asks Flask-Caching for its caches.
TAKES_AN_APP = {"caching"}

MODULES = [
    ".".join(("storefront", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
]


def floors() -> dict[str, int]:
    """Room by room, the floor that the picture in the documentation puts it on."""
    rows = re.findall(r"^\| (\d) \| (.+?) \|", PICTURE.read_text(encoding="utf-8"), re.MULTILINE)
    rooms = [(int(floor), re.findall(r"`(\w+)(?:\.py|/)`", names)) for floor, names in rows]
    return {name: floor for floor, names in rooms for name in names}


def room(module: str) -> str:
    """The room a module is in: ``storefront.polar.client`` is in ``polar``."""
    parts = module.removesuffix(".__init__").split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(module: str) -> Iterator[str]:
    """What a module imports when it runs, wherever it says so; not what only types need."""
    path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: an import says whole names"
            yield node.module or ""


def inside(module: str) -> set[str]:
    """The rooms of the package that a module imports from."""
    return {room(name) for name in imports(module) if name.split(".")[0] == "storefront"}


def test_every_room_is_in_the_picture() -> None:
    """The picture has each module and package of the plugin, and nothing that is not there."""
    rooms = {room(module) for module in MODULES} - {"emulator"}
    assert set(floors()) == rooms


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """No module imports from its own floor's other rooms, or from one above."""
    here = room(module)
    if here == "emulator":
        assert inside(module) <= {"emulator"}, "the local Polar stands for itself"
        return
    picture = floors()
    allowed = {name for name, floor in picture.items() if floor < picture[here]} | {here}
    if here in {"embedded", "testing"}:
        allowed.add("emulator")
    assert inside(module) <= allowed


@pytest.mark.parametrize("module", [m for m in MODULES if room(m) != "emulator"])
def test_flask_stays_upstairs(module: str) -> None:
    """What Polar says, and what is for sale, is known without Flask."""
    here = room(module)
    if floors()[here] < FLASK_FROM and here not in TAKES_AN_APP:
        frameworks = {name.split(".")[0] for name in imports(module)}
        assert not frameworks & {"flask", "flask_caching", "werkzeug"}


@pytest.mark.parametrize("module", MODULES)
def test_the_package_needs_neither_the_demo_nor_the_tests(module: str) -> None:
    """Installed alone, the package imports: nothing of it is left in the repository."""
    assert not {name.split(".")[0] for name in imports(module)} & {"app", "tests", "conftest"}
