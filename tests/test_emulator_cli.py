"""The local Polar's command, and the two endpoints that only it has."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from storefront.emulator import LocalPolar, Store
from storefront.emulator.__main__ import main
from tests.contract.recordings import REFERENCE_STORE
from tests.contract.test_webhooks import SECRET, listening, wait_for

SUCCESS = "https://store.example.com/thanks?checkout_id={CHECKOUT_ID}"


def test_command_serves_the_seed_until_it_is_interrupted() -> None:
    """It says in one line where it is and that no money moves, and answers there."""
    command = [sys.executable, "-m", "storefront.emulator", "--port", "0"]
    command += ["--seed", str(REFERENCE_STORE), "--token", "polar_oat_mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(
                r"Local Polar for Reference Store at (http://127\.0\.0\.1:\d+) "
                r"\(no real money moves; Ctrl-C stops it\)\n",
                line,
            )
            assert found is not None, line
            url = found.group(1)
            health = requests.get(f"{url}/local/health", timeout=10)
            assert health.json() == {"store": "Reference Store"}
            token = {"Authorization": "Bearer polar_oat_mine"}
            assert requests.get(f"{url}/v1/products/", headers=token, timeout=10).ok
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""


def test_command_tells_scripts_where_it_is() -> None:
    """With --json its one line is an object with the address and the store's name."""
    command = [sys.executable, "-m", "storefront.emulator", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert told["store"] == "Northlight Studio"
            assert requests.get(f"{told['url']}/local/health", timeout=10).ok
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_command_tells_limits_and_misbehaves() -> None:
    """Started with a webhook, a limit and a fault, it delivers, counts and fails as told."""
    command = [sys.executable, "-m", "storefront.emulator", "--port", "0"]
    command += ["--seed", str(REFERENCE_STORE), "--rate-limit", "3"]
    command += ["--fault", "status:503,path=/v1/products/*,times=1"]
    with listening() as shop:
        command += ["--webhook-url", f"{shop.url}/hook", "--webhook-secret", SECRET]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
                assert found is not None
                with requests.Session() as session:
                    session.headers["Authorization"] = "Bearer polar_oat_local"
                    products = f"{found[0]}/v1/products/"
                    assert session.get(products, timeout=10).status_code == 503
                    product = session.get(products, timeout=10).json()["items"][0]
                    changes = {"description": "Changed"}
                    where = f"{products}{product['id']}"
                    assert session.patch(where, json=changes, timeout=10).status_code == 200
                    wait_for(shop, 1)
                    assert session.get(products, timeout=10).status_code == 200
                    assert session.get(products, timeout=10).status_code == 429
            finally:
                process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
    assert shop.events[0]["data"]["description"] == "Changed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "banana"], r"argument --port: 'banana' is no port; give a number"),
        (["--port", "65536"], r"argument --port: '65536' is no port; give a number"),
        (["--token", ""], r"argument --token: '' is no token; give one word"),
        (["--token", "a b"], r"argument --token: 'a b' is no token; give one word"),
        (["--readonly-token", "polar_oat_local"], r"--token: two tokens are the same"),
        (["--settle-seconds", "-1"], r"argument --settle-seconds: '-1' is no duration"),
        (["--settle-seconds", "nan"], r"argument --settle-seconds: 'nan' is no duration"),
        (["--site", "shop"], r"argument --site: 'shop' is no address; give a URL"),
        (["--seed", "/nowhere.json"], r"argument --seed: /nowhere.json cannot be read: No such"),
        (["--bogus"], r"unrecognized arguments: --bogus"),
    ],
)
def test_bad_option_is_named_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option that cannot be used ends the command with 2 and a line that says what to do."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is no JSON"), ("[]", "is no store"), ('{"organization": {}}', "organization.id")],
)
def test_bad_seed_is_named_in_one_line(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed file that is no store is refused with the file's name and the mistake in it."""
    seed = tmp_path / "store.json"
    seed.write_text(content)
    with pytest.raises(SystemExit) as ended:
        main(["--seed", str(seed)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert f"argument --seed: {seed}" in error
    assert message in error
    assert error.count("\n") == 1


def test_taken_port_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that somebody else has is refused with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["--seed", str(REFERENCE_STORE), "--port", str(port)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert f"argument --port: 127.0.0.1:{port} cannot be listened on" in error
    assert "choose another --port" in error
    assert error.count("\n") == 1


def _reference_store() -> Store:
    return Store(json.loads(REFERENCE_STORE.read_text(encoding="utf-8")))


def test_links_follow_the_demo_shop() -> None:
    """Links that lead into the demo shop get its new address, again and again; no others do."""
    store = _reference_store()
    store.follow_site("https://store.example.com/thanks?")
    before = {key: link["success_url"] for key, link in store.links.items()}
    followers = {key for key, url in before.items() if url == SUCCESS}
    assert len(followers) == 1
    with LocalPolar(store) as polar:
        for origin in ("http://127.0.0.1:5001", "http://localhost:8080"):
            success_url = f"{origin}/shop/success?checkout_id={{CHECKOUT_ID}}"
            body = {"success_url": success_url, "return_url": f"{origin}/shop/"}
            answer = requests.post(f"{polar.url}/local/site", json=body, timeout=10)
            assert answer.status_code == 204
            for key, link in store.links.items():
                expected = success_url if key in followers else before[key]
                assert link["success_url"] == expected


def test_links_of_a_real_store_stay_as_they_are() -> None:
    """A store that is not the demo store has no such endpoint."""
    with LocalPolar(_reference_store()) as polar:
        body = {"success_url": "http://127.0.0.1:5001/"}
        answer = requests.post(f"{polar.url}/local/site", json=body, timeout=10)
        assert answer.status_code == 404
        assert requests.get(f"{polar.url}/local/site", timeout=10).status_code == 405


@pytest.mark.parametrize("body", ["", "[]", '{"success_url": 1}', "{}"])
def test_site_needs_an_address(body: str) -> None:
    """Without a success URL nothing is changed."""
    store = _reference_store()
    store.follow_site("https://store.example.com/")
    with LocalPolar(store) as polar:
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{polar.url}/local/site", data=body, headers=headers, timeout=10)
        assert answer.status_code == 422
    assert SUCCESS in {link["success_url"] for link in store.links.values()}
