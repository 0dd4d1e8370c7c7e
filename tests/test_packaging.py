"""The package: built, installed by pip alone into another site's environment, and used there."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

import storefront
from tests.conftest import REQUIRED
from tests.demo_processes import free_port
from tests.test_readme import fetch, wait_until_gone

PACKAGE = Path(storefront.__file__).parent
ROOT = PACKAGE.parent

SITE = """
import storefront
from flask import Flask
from storefront import Storefront


def create_app():
    app = Flask(__name__)
    app.config.update(POLAR_SERVER="local", STOREFRONT_LOCALE="de")
    shop = Storefront(app)
    app.register_blueprint(shop.blueprint, url_prefix="/laden")
    app.add_url_rule("/where", "where", lambda: storefront.__file__)
    return app
"""

TYPED = """
from flask import Flask
from storefront import CatalogProduct, Receipt, Storefront, Visitor

app = Flask(__name__)
shop = Storefront(app)


@shop.visitor
def signed_in() -> Visitor | None:
    return Visitor(email="jane@example.com")


@shop.on_success
def thank(receipt: Receipt) -> None:
    reveal_type(receipt.total)


def first() -> CatalogProduct:
    reveal_type(shop.buy_url("x"))
    return next(iter(shop.catalog))
"""

MISTYPED = """
from storefront import Storefront

shop = Storefront(cache="redis")
shop.buy_url(42)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this repository."""
    target = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target)]
    _check([sys.executable, "-m", "pip", *build, str(ROOT)])
    (built,) = target.glob("*.whl")
    return built


class Environment(NamedTuple):
    """A virtual environment that has the wheel and what it depends on, and nothing else of ours."""

    python: str
    path: Path
    #: Whether pip got the dependencies; else they are those of this environment.
    from_index: bool


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Another site's virtual environment, after ``pip install``."""
    path = tmp_path_factory.mktemp("site") / "venv"
    _check([sys.executable, "-m", "venv", str(path)])
    python = str(path / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*install, "--retries", "1", str(wheel)], capture_output=True, text=True, timeout=180
    )
    if done.returncode == 0:
        return Environment(python, path, from_index=True)
    # Without the index: the wheel from pip, and what it depends on from here.
    assert "index" not in REQUIRED, done.stderr
    _check([*install, "--no-deps", str(wheel)])
    packages = next(path.glob("lib/python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Environment(python, path, from_index=False)


def _check(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=cwd)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_wheel_holds_the_whole_package(wheel: Path) -> None:
    """Every file of the package is in the wheel, and nothing else but what describes it."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        described = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}
    package = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == package
    assert described == {"METADATA", "WHEEL", "RECORD", "licenses/LICENSE"}


@pytest.mark.parametrize(
    "name",
    [
        "storefront/py.typed",
        "storefront/templates/storefront/layout.html",
        "storefront/static/storefront/storefront.css",
        "storefront/translations/de/LC_MESSAGES/storefront.po",
        "storefront/emulator/templates/checkout.html",
        "storefront/emulator/static/pages.css",
    ],
)
def test_the_wheel_holds_more_than_code(wheel: Path, name: str) -> None:
    """Templates, styles, translations and the mark of a typed package are in the wheel."""
    assert name in zipfile.ZipFile(wheel).namelist()


def test_the_package_names_what_it_imports(wheel: Path) -> None:
    """Each library that the package imports is among its requirements, or comes with one."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = archive.read(name).decode()
    required = set(re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata, re.MULTILINE))
    brought = {"click", "jinja2", "markupsafe", "werkzeug"}  # by Flask
    brought |= {"cachelib"}  # by Flask-Caching
    brought |= {"urllib3"}  # by Requests
    renamed = {
        "markdown_it": "markdown-it-py",
        "flask_caching": "flask-caching",
        "yaml": "pyyaml",
    }
    optional = {"brotli"}  # where it is installed: the extra of that name
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for module in (name.partition(".")[0] for name in names):
                ours = module in ("storefront", "_typeshed")  # the latter is the type checker's
                if not ours and module not in sys.stdlib_module_names:
                    imported.add(renamed.get(module, module))
    assert imported <= required | brought | optional
    assert required <= imported


def test_another_site_sells_with_it(environment: Environment, tmp_path: Path) -> None:
    """In an environment of its own, a site shows a product and its local Polar a checkout."""
    (tmp_path / "laden.py").write_text(SITE)
    port, polar_port = free_port(), free_port()
    command = [environment.python, "-m", "flask", "--app", "laden", "run", "--port", str(port)]
    variables = {**os.environ, "POLAR_PORT": str(polar_port)}
    origin = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, cwd=tmp_path, env=variables) as server:
        try:
            assert Path(fetch(f"{origin}/where")).is_relative_to(environment.path)
            page = fetch(f"{origin}/laden/products/northlight")
            style = re.search(r'rel="stylesheet" href="([^"]+)"', page)
            picture = re.search(r'<img class="storefront-picture"[^>]* src="([^"]+)"', page)
            button = re.search(r'<a class="storefront-button[^"]*" href="([^"]+)"', page)
            assert style is not None
            assert picture is not None
            assert button is not None
            assert "--storefront-accent" in fetch(origin + style[1])
            assert requests.get(picture[1], timeout=5).headers["Content-Type"] == "image/svg+xml"
            checkout = requests.get(button[1].replace("&amp;", "&"), timeout=5)
        finally:
            server.terminate()
            server.wait(10)
    wait_until_gone(polar_port)
    assert "49,00\xa0$" in page
    assert "Jetzt kaufen" in page
    assert checkout.url.startswith(f"http://127.0.0.1:{polar_port}/checkout/polar_c_")
    assert "Northlight for Desktop" in checkout.text


def test_another_site_sees_its_types(environment: Environment, tmp_path: Path) -> None:
    """A type checker knows the package's types, without any setting."""
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(TYPED)
    bad.write_text(MISTYPED)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", environment.python]
    mypy += ["--config-file", os.devnull, "--cache-dir", str(tmp_path / "cache")]
    shown = _check([*mypy, str(good)], cwd=tmp_path)
    assert 'Revealed type is "int"' in shown.replace("builtins.", "")
    assert 'Revealed type is "str"' in shown.replace("builtins.", "")
    assert "Success: no issues found" in shown
    done = subprocess.run([*mypy, str(bad)], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.count("error:") == 2, done.stdout
