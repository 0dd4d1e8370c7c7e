"""The page about the command line: each command in it is run, and prints what stands there.

``python -m tests.test_cli_docs`` writes what they print now into the page.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from flask import Flask

import storefront
from storefront import Storefront
from storefront.emulator import LocalPolar, Store
from storefront.emulator.demo import demo_store

PAGE = Path(storefront.__file__).parent.parent / "docs" / "cli.md"
SITE = "https://shop.example.com/shop"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^<!-- file: (\S+) -->\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What differs from run to run, and what stands for it when two runs are compared.
_MASKS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"polar_cl_\w+", "SECRET"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "TIME"),
    (r"\b\d+ seconds", "SECONDS"),
    (r"\d+\.\d s\b", "SECONDS"),
    (r"version( +)[0-9a-f]{16}", r"version\1VERSION"),
    (r"/\S*/instance/", "FOLDER/"),
    (r"POLAR_PORT( +)\d+", r"POLAR_PORT\1PORT"),
)


def run_page(page: str) -> Iterator[tuple[str, str]]:
    """Run the page's commands in their order: each block, and what it prints now."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalPolar(Store(demo_store(SITE))) as polar,
        chdir(folder),
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("COLUMNS", "100")
        for name, text in _FILE.findall(page):
            Path(name).write_text(text)
        app = Flask("myshop", instance_path=f"{folder}/instance")
        app.config.update(
            POLAR_SERVER="local",
            POLAR_PORT=int(polar.url.rpartition(":")[2]),
            POLAR_ACCESS_TOKEN="polar_oat_local",
            SERVER_NAME="shop.example.com",
            PREFERRED_URL_SCHEME="https",
            SECRET_KEY="signs who bought",
        )
        shop = Storefront(app)
        app.register_blueprint(shop.blueprint, url_prefix="/shop")
        for block in _BLOCK.findall(page):
            printed = ""
            for line in block.splitlines():
                if line.startswith("$ "):
                    words = shlex.split(line)[1:]
                    assert words[:4] == ["flask", "--app", "myshop", "storefront"]
                    runner = app.test_cli_runner()
                    result = runner.invoke(
                        args=words[3:], prog_name="flask", terminal_width=100, color=False
                    )
                    assert result.exit_code == 0, result.output
                    printed += f"{line}\n{result.output}"
            yield block, printed


def masked(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, stands_for in _MASKS:
        text = re.sub(pattern, stands_for, text)
    return text


def test_the_page_shows_what_is_printed() -> None:
    """Each command on the page prints what the page says that it prints."""
    page = PAGE.read_text(encoding="utf-8")
    blocks = list(run_page(page))
    assert len(blocks) >= 15
    for written, printed in blocks:
        assert masked(printed) == masked(written)


def main() -> None:
    """Write the page anew."""
    page = PAGE.read_text(encoding="utf-8")
    for written, printed in list(run_page(page)):
        printed = re.sub(r"/\S*/instance/", "/srv/myshop/instance/", printed)
        printed = re.sub(r"(127\.0\.0\.1:|POLAR_PORT +)\d+", r"\g<1>8787", printed)
        page = page.replace(f"```console\n{written}```", f"```console\n{printed}```", 1)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
