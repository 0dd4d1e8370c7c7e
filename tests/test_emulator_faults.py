"""The local Polar's misbehaviour on demand, and its limits on the rate of requests."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from storefront.emulator import LocalPolar, Store
from storefront.emulator.__main__ import main
from storefront.emulator.faults import KINDS, Fault, Faults, parse_fault
from tests.contract.recordings import REFERENCE_STORE


@pytest.fixture(scope="module")
def running() -> Iterator[LocalPolar]:
    """A local Polar of the recorded store."""
    with LocalPolar(Store(json.loads(REFERENCE_STORE.read_text(encoding="utf-8")))) as polar:
        yield polar


@pytest.fixture
def polar(running: LocalPolar) -> Iterator[LocalPolar]:
    """The same, well again after each test."""
    yield running
    running.faults.clear()
    running.rate_limit.per_minute = None
    running.rate_limit.reset()


def get(
    polar: LocalPolar, path: str = "/v1/products/", *, timeout: float = 10
) -> requests.Response:
    """Read a list."""
    return requests.get(f"{polar.url}{path}", headers=polar.headers, timeout=timeout)


def raw(polar: LocalPolar, path: str = "/v1/products/?limit=1") -> Iterator[bytes]:
    """Everything that comes back, as it comes, piece by piece."""
    parts = urlsplit(polar.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
        token = polar.headers["Authorization"]
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        client.sendall(f"{request}Connection: close\r\n\r\n".encode())
        while piece := client.recv(65536):
            yield piece


def test_latency(polar: LocalPolar) -> None:
    """The whole answer comes, only later."""
    polar.faults.set("latency", 0.3)
    started = time.monotonic()
    assert get(polar).json()["pagination"]["total_count"] == len(polar.store.products)
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_status(polar: LocalPolar, status: int) -> None:
    """Any status can be had; 429 is empty and says when to come back, as the service's is."""
    polar.faults.set("status", status)
    answer = get(polar)
    assert answer.status_code == status
    assert (answer.text == "", answer.headers.get("Retry-After")) == (
        (True, "60") if status == 429 else (False, None)
    )


def test_a_write_that_is_turned_away_changes_nothing(polar: LocalPolar) -> None:
    """A fault befalls a request before the application sees it, and the connection lives on."""
    polar.faults.set("status", 503, method="POST", times=1)
    before = len(polar.store.links)
    body = {"payment_processor": "stripe", "products": polar.store.live_links()[0]["product_ids"]}
    with requests.Session() as session:
        for expected in (503, 201):
            answer = session.post(
                f"{polar.url}/v1/checkout-links/", json=body, headers=polar.headers, timeout=10
            )
            assert answer.status_code == expected, answer.text
    assert len(polar.store.links) == before + 1


def test_hang(polar: LocalPolar) -> None:
    """Nothing comes at all; after its time the connection is closed."""
    polar.faults.set("hang")
    with pytest.raises(requests.exceptions.ReadTimeout):
        get(polar, timeout=0.2)
    polar.faults.set("hang", 0.1)
    assert list(raw(polar)) == []


def test_drip_headers(polar: LocalPolar) -> None:
    """The headers come byte by byte, the body at once."""
    polar.faults.set("drip-headers", 0.002)
    pieces = list(raw(polar))
    headers, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert len(pieces) > len(headers) / 2
    assert json.loads(body)["items"]


def test_drip_body(polar: LocalPolar) -> None:
    """The headers come at once, the body byte by byte."""
    polar.faults.set("drip-body", 0.02)
    pieces = list(raw(polar, "/v1/nothing"))
    assert b"404" in pieces[0]
    assert b"".join(pieces).endswith(b'{"detail":"Not Found"}')
    assert len(pieces) > 10


def test_garbage(polar: LocalPolar) -> None:
    """The body calls itself JSON and is none."""
    polar.faults.set("garbage")
    answer = get(polar)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(ValueError, match=r"utf|codec|JSON|Expecting"):
        answer.json()


def test_not_http(polar: LocalPolar) -> None:
    """What comes is no HTTP."""
    polar.faults.set("not-http")
    with pytest.raises(requests.exceptions.ConnectionError):
        get(polar)


def test_truncated(polar: LocalPolar) -> None:
    """The body ends before its length is reached."""
    polar.faults.set("truncated")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        get(polar)


def test_endless(polar: LocalPolar) -> None:
    """The body does not end."""
    polar.faults.set("endless")
    size = 0
    for piece in raw(polar):
        size += len(piece)
        if size > 5_000_000:
            break
    assert size > 5_000_000


def test_bomb(polar: LocalPolar) -> None:
    """A small body unpacks to as many megabytes as were asked for."""
    polar.faults.set("bomb", 20)
    answer = get(polar)
    assert int(answer.headers["Content-Length"]) < 100_000
    assert len(answer.content) == 20 * 1024 * 1024 + 2


def test_reset(polar: LocalPolar) -> None:
    """The connection is reset."""
    polar.faults.set("reset")
    with pytest.raises(ConnectionResetError):
        list(raw(polar))


def test_faults_befall_what_they_are_meant_for(polar: LocalPolar) -> None:
    """Paths, methods and the number of requests are kept to; the controls are spared."""
    polar.faults.set("status", 503, path="/v1/products/*", times=2)
    assert get(polar, "/v1/checkout-links/").ok
    assert [get(polar).status_code for _ in range(3)] == [503, 503, 200]
    polar.faults.set("status", 503)
    assert get(polar, "/local/health").ok
    with polar.faults.during("status", 500):
        assert get(polar).status_code == 500
    assert get(polar).ok


def test_a_share_of_the_requests() -> None:
    """About the share that was asked for goes wrong, the same ones each time."""
    faults = Faults()
    faults.set("status", share=0.25)
    hit = [faults.befalling("GET", "/") is not None for _ in range(1000)]
    assert 200 < sum(hit) < 300
    assert faults.count == sum(hit)


def test_several_faults() -> None:
    """Of several that fit, the first that is not used up befalls a request."""
    faults = Faults()
    faults.add(Fault("reset", times=1))
    faults.add(Fault("hang"))
    befallen = [faults.befalling("GET", "/") for _ in range(2)]
    assert [fault.kind for fault in befallen if fault] == ["reset", "hang"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written_on_a_command_line(kind: str) -> None:
    """Each kind is read with and without a value and options."""
    assert parse_fault(kind) == Fault(kind)
    written = f"{kind}:300,path=/v1/*,method=get,times=3,share=0.5"
    assert parse_fault(written) == Fault(kind, 300, "/v1/*", "GET", 3, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "meteor"], "'meteor' is no fault; give one of latency, status"),
        (["--fault", "latency:soon"], "'latency:soon' has no number where one belongs"),
        (["--fault", "latency:-1"], "latency cannot have the value -1"),
        (["--fault", "latency:nan"], "latency cannot have the value nan"),
        (["--fault", "status:42"], "42 is no status; give one from 100 to 599"),
        (["--fault", "reset,share=2"], "share=2 is no share; give a number from 0 to 1"),
        (["--fault", "reset,times=0"], "times=0 is no number of requests; give 1 or more"),
        (["--fault", "reset,when=now"], "'when=now' is no option of a fault; give path"),
        (["--rate-limit", "0"], "'0' is no number of requests; give 1 or more"),
        (["--webhook-url", "http://127.0.0.1:1/"], "give both --webhook-url and --webhook-secret"),
        (["--webhook-url", "shop"], "'shop' is no address; give a URL"),
        (
            ["--webhook-url", "http://x/", "--webhook-secret", "é!", "--webhook-key", "standard"],
            "argument --webhook-secret: what follows whsec_ is no base64; give another",
        ),
    ],
)
def test_options_that_cannot_be_used(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that cannot be used ends the command, naming the option and what it takes."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_rate_limit(polar: LocalPolar) -> None:
    """Past its requests an organization is turned away with an empty 429, on every path."""
    polar.rate_limit.per_minute = 3
    assert [get(polar).status_code for _ in range(4)] == [200, 200, 200, 429]
    turned_away = get(polar, "/v1/checkout-links/")
    assert (turned_away.status_code, turned_away.content) == (429, b"")
    assert turned_away.headers["Retry-After"] == "60"
    unknown = {"Authorization": "Bearer polar_oat_unknown"}
    statuses = [
        requests.get(f"{polar.url}/v1/products/", headers=unknown, timeout=10).status_code
        for _ in range(4)
    ]
    assert statuses == [401, 401, 401, 429]
    polar.rate_limit.per_minute = None
    assert get(polar).ok
