"""R8: a webhook is kept and answered at once, however long the site's own functions take."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import requests
import sqlalchemy as sa

from storefront.database import Database
from storefront.database.tables import webhooks
from storefront.secret import Secret
from tests.demo_processes import ROOT, environment, free_port, is_listening, stop, wait_until
from tests.faults.harness import Figure
from tests.faults.slow_site import BEGUN
from tests.webhook_posts import SECRET, body, signed

#: Sent before the measurement.
_FIRST = 8
_TYPES = ("order.paid", "order.updated", "checkout.updated", "subscription.updated", "customer.new")


def acknowledged(
    folder: Path, *, seconds: float, per_second: int = 50, url: str | None = None
) -> Figure:
    """R8: so many webhooks a second, sent over HTTP to gunicorn with one worker of 8 threads.

    ``url`` names a PostgreSQL; without it the site has SQLite. Times are from the moment at which
    one is due, as Polar's would be: one that waits for a slower one before it counts in full.
    """
    (folder / "instance").mkdir(parents=True)
    if url is not None:
        empty = Database(Secret(_psycopg(url)), folder)
        empty.upgrade()
        with empty.writing() as connection:
            connection.execute(webhooks.delete())
        empty.close()
    port = free_port()
    settings = {"STOREFRONT_DATABASE_URL": url} if url else {}
    environ = environment(
        folder,
        PYTHONPATH=str(ROOT),
        POLAR_SERVER="http://127.0.0.1:9",
        POLAR_ACCESS_TOKEN="polar_oat_none",
        POLAR_WEBHOOK_SECRET=SECRET,
        STOREFRONT_SYNC_ON_START="0",
        SITE_FOLDER=str(folder / "instance"),
        **settings,
    )
    command = [
        *(sys.executable, "-m", "gunicorn", "tests.faults.slow_site:create_app()"),
        *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"),
        *("--worker-class", "gthread", "--no-control-socket"),
    ]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: is_listening(port), 30, "the site listens")
            load = _Load(f"http://127.0.0.1:{port}/shop/webhooks")
            load.run(int(seconds * per_second), 1 / per_second)
        finally:
            stop(process)
    database = Database(Secret(_psycopg(url)) if url else None, folder / "instance")
    with database.for_short_writes().reading() as connection:
        kept = connection.scalar(sa.select(sa.func.count()).select_from(webhooks)) or 0
    database.for_short_writes().close()
    begun = folder / "instance" / BEGUN
    return load.figure(kept, len(begun.read_text().splitlines()) if begun.exists() else 0)


def _psycopg(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def _body(type: str) -> bytes:
    """A webhook; each that is of an order is of another one, which was paid just now."""
    if not type.startswith("order."):
        return body(type)
    made_at = datetime.now(UTC).isoformat()
    return body(type, id=str(uuid4()), status="paid", total_amount=4900, created_at=made_at)


class _Load:
    """Whoever sends the webhooks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._took: list[float] = []
        self._answers: Counter[int] = Counter()

    def run(self, count: int, pause: float) -> None:
        """Send them at their times; the first, which open the database, are none of them."""
        with requests.Session() as session:
            for _ in range(_FIRST):
                self._send(session, "customer.new")
        time.sleep(1)
        self._took.clear()
        self._answers.clear()
        numbers = iter(range(count))
        began = time.perf_counter()

        def work() -> None:
            with requests.Session() as session:
                while True:
                    with self._lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    due = began + number * pause
                    time.sleep(max(0.0, due - time.perf_counter()))
                    self._send(session, _TYPES[number % len(_TYPES)], due)

        threads = [threading.Thread(target=work) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def figure(self, kept: int, begun: int) -> Figure:
        """How long they took, and whether each is there; so many orders were being fulfilled."""
        took = sorted(self._took)
        median, late = took[len(took) // 2], took[int(len(took) * 0.99)]
        return Figure(
            f"{len(took)} webhooks, median {median * 1000:.0f} ms, p99 {late * 1000:.0f} ms, "
            f"longest {took[-1] * 1000:.0f} ms, {kept - _FIRST} kept while {begun} orders slept, "
            f"answers {dict(self._answers)}",
            "p99 < 200 ms, none over 2 s, all 202 and kept",
            kept=late < 0.2
            and took[-1] < 2
            and begun > 0
            and set(self._answers) == {202}
            and kept == len(took) + _FIRST,
        )

    def _send(self, session: requests.Session, type: str, due: float | None = None) -> None:
        content = _body(type)
        answer = session.post(self._url, data=content, headers=signed(content), timeout=30)
        took = time.perf_counter() - (due or 0.0)
        with self._lock:
            self._took.append(took)
            self._answers[answer.status_code] += 1
