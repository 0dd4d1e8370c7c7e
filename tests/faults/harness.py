"""A shop as its user runs it, in processes of its own; whoever visits it; and what befalls both.

::

    with polar(seed(20)) as upstream, Site(folder, upstream).running() as site:
        upstream.faults.set("hang")
        load = visit(site, site.pages, requests=1_000, during=site.kill_workers)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import requests

from storefront.testing import ShopPolar, local_polar
from tests.contract.recordings import REFERENCE_STORE
from tests.demo_processes import ROOT, environment, free_port, is_listening, stop, wait_until

#: A page of the site that does nothing: what the machine and the server take.
CONTROL: Final = "/control"
#: An environment variable: how long the pages of sites wait for their first catalogue, in seconds,
#: where a proof does not say it. A new worker finds it in two on a machine that is not busy.
PATIENCE: Final = "FAULTS_PATIENCE"
STARTUP: Final = Path(__file__).with_name("startup")
#: What may be answered: a page, that it has not changed, and from `/buy` on to the checkout.
GOOD: Final = frozenset({200, 303, 304})


@dataclass(frozen=True)
class Figure:
    """What became of a promise: the figure, what it was to be, and whether it was kept."""

    text: str
    target: str
    kept: bool

    def __str__(self) -> str:
        return f"{self.text} (target: {self.target}): {'kept' if self.kept else 'MISSED'}"


def product_id(number: int) -> str:
    """The id of the product with that number."""
    return f"{number:08x}-0000-4000-8000-000000000001"


def link_id(number: int) -> str:
    """The id of the checkout link with that number."""
    return f"{number:08x}-0000-4000-8000-000000000002"


def product(number: int, generation: int = 0) -> dict[str, Any]:
    """`Item <number>`, as the API shows it, for ten dollars and as many cents as `generation`."""
    body: dict[str, Any] = json.loads(_MODELS)["product"]
    body["id"] = product_id(number)
    body["name"] = f"Item {number}"
    body["created_at"] = _moment(number)
    price = body["prices"][0]
    price["id"] = f"{number:08x}-0000-4000-8000-000000000003"
    price["product_id"] = body["id"]
    price["price_amount"] = 1000 + generation
    return body


def link(number: int, sold: Mapping[str, Any]) -> dict[str, Any]:
    """A checkout link that sells one product."""
    body: dict[str, Any] = json.loads(_MODELS)["link"]
    body["id"] = link_id(number)
    body["label"] = f"Link {number}"
    body["created_at"] = _moment(number)
    body["client_secret"] = f"polar_cl_{number:043d}"
    body["products"] = [sold]
    return body


def seed(count: int, generation: int = 0) -> dict[str, Any]:
    """A store of `count` products, each with a checkout link."""
    products = [product(number, generation) for number in range(count)]
    return {
        "organization": json.loads(_MODELS)["organization"],
        "products": products,
        "checkout_links": [link(number, sold) for number, sold in enumerate(products)],
    }


def _moment(number: int) -> str:
    minutes, seconds = divmod(number, 60)
    hours, minutes = divmod(minutes, 60)
    return f"2026-11-{1 + hours // 24:02d}T{hours % 24:02d}:{minutes:02d}:{seconds:02d}.000000Z"


def _models() -> str:
    store = json.loads(REFERENCE_STORE.read_text())
    by_name = {item["name"]: item for item in store["products"]}
    plain = by_name["Ebook: Fast APIs"]
    return json.dumps(
        {
            "organization": store["organization"],
            "product": {**plain, "medias": [], "benefits": [], "metadata": {}},
            "link": next(
                item
                for item in store["checkout_links"]
                if [sold["id"] for sold in item["products"]] == [plain["id"]]
                and not item["discount_id"]
                and not item["trial_interval"]
            ),
        }
    )


_MODELS: Final = _models()


class Asked(NamedTuple):
    """A request that Polar got: when (monotonic), for what, and from which port."""

    moment: float
    path: str
    port: int


class Upstream:
    """A local Polar that keeps what it is asked; an outage closes its port, or sets a fault."""

    def __init__(self, served: ShopPolar) -> None:
        self.served = served
        self.faults = served.faults
        self.store = served.store
        self.url = served.url
        self.token = served.token
        self.asked: list[Asked] = []
        #: Those that have no whole answer yet.
        self.in_flight: set[Asked] = set()
        answering = served._server.RequestHandlerClass
        upstream = self

        class Counting(answering):  # type: ignore[misc, valid-type]
            def run_wsgi(self) -> None:
                asked = Asked(time.monotonic(), self.path, self.client_address[1])
                upstream.asked.append(asked)
                upstream.in_flight.add(asked)
                try:
                    super().run_wsgi()
                finally:
                    upstream.in_flight.discard(asked)

        served._server.RequestHandlerClass = Counting

    def reader(self, pids: Sequence[int]) -> int | None:
        """Which of these processes waits for an answer; None: none of them."""
        for asked in list(self.in_flight):
            pid = _owner(asked.port, pids)
            if pid is not None:
                return pid
        return None

    def set_generation(self, generation: int) -> None:
        """Change all products at once: what a merchant changes, marked by their common price."""
        with self.store.lock:
            for body in self.store.products.values():
                body["prices"][0]["price_amount"] = 1000 + generation


def _owner(port: int, pids: Sequence[int]) -> int | None:
    """Which of these processes has that port of this machine."""
    sockets = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if int(parts[1].rpartition(":")[2], 16) == port:
            sockets.add(f"socket:[{parts[9]}]")
    for pid in pids:
        with suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(entry) in sockets:
                        return pid
    return None


@contextmanager
def polar(store: Mapping[str, Any], **options: Any) -> Iterator[Upstream]:
    """A local Polar in this process; options are those of `local_polar`."""
    with local_polar(store, **options) as served:
        yield Upstream(served)


class Clock:
    """The clock of the sites that are given it; it may be set ahead while they run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_ahead(0)

    def set_ahead(self, seconds: float) -> None:
        """Let it be so many seconds ahead of the real time."""
        # Rewritten in place: the processes have it mapped.
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("d", seconds))


@dataclass
class Site:
    """One machine: a site's folder, and the gunicorn that serves it there."""

    folder: Path
    upstream: Upstream
    workers: int = 2
    threads: int = 4
    preload: bool = False
    clock: Clock | None = None
    redis_url: str | None = None
    #: What makes the app.
    app: str = "tests.faults.site:create_app()"
    #: Settings of the shop.
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kills.mkdir(exist_ok=True)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def instance(self) -> Path:
        """Its instance folder: cache, database, locks."""
        return self.folder / "instance"

    @property
    def kills(self) -> Path:
        """A file here kills the process that reaches the point it is named after."""
        return self.folder / "kills"

    @property
    def log(self) -> str:
        """All that it printed so far."""
        return (self.folder / "log.txt").read_text(errors="replace")

    @property
    def pages(self) -> list[str]:
        """What a visitor looks at: a page of the site with buttons, and the shop's own."""
        products = [f"/shop/products/item-{number}" for number in range(4)]
        return ["/", "/shop/", *products, "/shop/buy/item-1"]

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its processes."""
        environ = environment(
            self.folder,
            PYTHONPATH=f"{ROOT}{os.pathsep}{STARTUP}",
            POLAR_SERVER=self.upstream.url,
            POLAR_ACCESS_TOKEN=self.upstream.token,
            SITE_FOLDER=str(self.instance),
            SITE_KILLS=str(self.kills),
            **{"STOREFRONT_PAGE_TIMEOUT_SECONDS": os.environ.get(PATIENCE, "2"), **self.settings},
        )
        if self.clock is not None:
            environ["SITE_CLOCK"] = str(self.clock.path)
        if self.redis_url is not None:
            environ["SITE_REDIS"] = self.redis_url
        return environ

    def start(self) -> None:
        """Serve it, and wait until it answers; its shop may be cold."""
        command = [
            *(sys.executable, "-m", "gunicorn", self.app),
            *("--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread"),
            *("--workers", str(self.workers), "--threads", str(self.threads)),
            # The master counts a worker's silence by the clock that is set ahead.
            *("--timeout", "0", "--graceful-timeout", "2", "--keep-alive", "30"),
            *("--backlog", "2048", "--no-control-socket"),
            *(["--preload"] if self.preload else []),
        ]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, 60, f"{self.folder.name} answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-2000:]
        if not is_listening(self.port):
            return False
        try:
            return requests.get(f"{self.url}/control", timeout=30).ok
        except requests.RequestException:
            return False

    def stop(self) -> None:
        """End it as a deployment does."""
        if self.process is not None:
            stop(self.process)

    def kill(self) -> None:
        """End all of its processes at once, without a word."""
        assert self.process is not None
        stop(self.process, signal.SIGKILL)
        wait_until(lambda: not self._has_processes(), 10, "the processes are gone")

    def _has_processes(self) -> bool:
        assert self.process is not None
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    @contextmanager
    def running(self) -> Iterator[Site]:
        """Serve it for as long as the `with` lasts."""
        try:
            self.start()
            yield self
        finally:
            if self.process is not None:
                stop(self.process, signal.SIGKILL)

    def worker_pids(self) -> list[int]:
        """The processes that answer requests."""
        assert self.process is not None
        master = self.process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill_workers(self) -> None:
        """Kill each worker; the master starts others."""
        for pid in self.worker_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def memory(self, kind: str = "VmRSS") -> int:
        """The largest resident memory of a worker, in bytes; `VmHWM`: ever."""
        found = [0]
        for pid in self.worker_pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{kind}:"):
                    found.append(int(line.split()[1]) * 1024)
        return max(found)

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `flask storefront` with these arguments, on this machine."""
        return subprocess.run(
            [
                *(sys.executable, "-m", "flask", "--app", self.app),
                *("storefront", *arguments),
            ],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def get(self, path: str) -> requests.Response:
        """A page; redirects are not followed."""
        return requests.get(f"{self.url}{path}", allow_redirects=False, timeout=30)

    def warm_up(self) -> None:
        """Wait until every page is there, from each worker."""
        wait_until(self._is_warm, 60, f"{self.folder.name} has its catalogue: {self.log[-2000:]}")

    def _is_warm(self) -> bool:
        answers = [self.get(path) for path in self.pages * 2]
        return all(answer.status_code in GOOD for answer in answers)


@dataclass
class Load:
    """What visitors were answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    #: How many answers came.
    answers: int = 0
    #: Requests that got no answer, for a process was killed or not there; they were made again.
    cut: int = 0
    #: Pages that were not what they should be; the first of them.
    wrong: list[str] = field(default_factory=list)
    #: How long each answer took, by the path.
    seconds: dict[str, list[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def slowest(self) -> float:
        """Seconds of the slowest page."""
        return max(self.waits, default=0.0)

    @property
    def control(self) -> float:
        """Seconds of the slowest answer that has nothing to do with the shop."""
        return max(self.seconds.get(CONTROL, ()), default=0.0)

    @property
    def waits(self) -> list[float]:
        """How long each page took."""
        return [wait for path, waits in self.seconds.items() if path != CONTROL for wait in waits]

    @property
    def bad(self) -> int:
        """Answers other than a page, or that it has not changed, or on to a checkout."""
        return self.answers - sum(self.statuses[status] for status in GOOD)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{count:,} x {status}" for status, count in sorted(self.statuses.items())
        )
        return f"{counts}; {self.cut:,} cut off and made again"

    def note(self, path: str, status: int, seconds: float, body: bytes) -> None:
        """Count an answer."""
        with self._lock:
            self.answers += 1
            self.statuses[status] += 1
            self.seconds.setdefault(path, []).append(seconds)
            if status == 200 and not _is_page(path, body) and len(self.wrong) < 10:
                self.wrong.append(f"{path}: {body[:200]!r}")

    def note_cut(self) -> None:
        """Count a request without an answer."""
        with self._lock:
            self.cut += 1


def _is_page(path: str, body: bytes) -> bool:
    if path == CONTROL:
        return body == b"control"
    name = path.rpartition("item-")[2] if "item-" in path else "0"
    return f"Item {name}".encode() in body and b"$10." in body


class Wire:
    """One connection to a site, kept as browsers do: requests are sent on it, and answers read."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send a request, without waiting for its answer.

        :raises OSError: the connection is cut off.
        """
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        lines = [f"{method} {path} HTTP/1.1", "Host: shop.example"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def receive(self) -> tuple[int, dict[str, str], bytes]:
        """The answer to what was sent: status, headers by their names in small letters, body.

        :raises OSError: the connection is cut off.
        """
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(first.split()[1])
        length = 0 if status == 304 else int(headers.get("content-length", 0))
        while len(body) < length:
            body += self._more()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, headers, body

    def _more(self) -> bytes:
        if self._socket is None:
            raise ConnectionResetError
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError
        return data

    def close(self) -> None:
        """Close the connection; the next request makes another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Visitor:
    """One browser: a connection that is kept, and the ETags it was given."""

    def __init__(self, port: int, load: Load) -> None:
        self._port = port
        self._load = load
        self._wire = Wire(port)
        self._tags: dict[str, str] = {}

    def get(self, path: str, *, again_for: float = 60.0) -> int:
        """Ask for a page until an answer comes; its status.

        :raises AssertionError: none came in `again_for` seconds.
        """
        ends = time.monotonic() + again_for
        while True:
            started = time.monotonic()
            tag = self._tags.get(path)
            try:
                self._wire.send("GET", path, {"If-None-Match": tag} if tag else {})
                status, headers, body = self._wire.receive()
            except OSError:
                self.close()
                self._load.note_cut()
                assert time.monotonic() < ends, f"nobody answers on port {self._port}"
                time.sleep(0.02)
                continue
            self._load.note(path, status, time.monotonic() - started, body)
            self._tags[path] = headers.get("etag", "")
            return status

    def close(self) -> None:
        """Close the connection; the next request makes another."""
        self._wire.close()


def visit(
    sites: Site | Sequence[Site],
    paths: Sequence[str],
    *,
    requests: int,
    visitors: int = 4,
    during: Callable[[], None] | None = None,
    load: Load | None = None,
) -> Load:
    """Have visitors ask for pages, at least so many and until `during` is over; what they got.

    `load` is what it is counted in, for `during` to look at.

    :raises AssertionError: a visitor got no answer at all for a minute.
    """
    served = [sites] if isinstance(sites, Site) else list(sites)
    load = Load() if load is None else load
    over, failures = threading.Event(), list[BaseException]()

    def browse(number: int) -> None:
        visitor = Visitor(served[number % len(served)].port, load)
        turn = number
        try:
            while not over.is_set() or load.answers < requests:
                visitor.get(paths[turn % len(paths)])
                turn += 1
        except BaseException as error:
            failures.append(error)
        finally:
            visitor.close()

    threads = [threading.Thread(target=browse, args=(number,)) for number in range(visitors)]
    for thread in threads:
        thread.start()
    try:
        if during is not None:
            during()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return load


def ask_at_once(asked: Sequence[tuple[Site, str]]) -> Load:
    """Ask these sites for these pages, all at the same moment."""
    load, barrier = Load(), threading.Barrier(len(asked))

    def ask(site: Site, path: str) -> None:
        visitor = Visitor(site.port, load)
        barrier.wait()
        visitor.get(path)
        visitor.close()

    threads = [threading.Thread(target=ask, args=each) for each in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load
