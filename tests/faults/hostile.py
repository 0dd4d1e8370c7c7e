"""S5: whatever is sent to the webhooks' address, it is answered, and only Polar's word is kept."""

from __future__ import annotations

import io
import random
import sys
from collections import Counter
from pathlib import Path

import sqlalchemy as sa
from flask import Flask
from werkzeug.test import run_wsgi_app

from storefront import Storefront, get_state
from storefront.database.tables import webhooks
from storefront.polar.webhooks import MAX_BODY
from tests.faults.harness import Figure
from tests.webhook_posts import SECRET, body, forged, odd_body, signed


def hostile_webhooks(folder: Path, *, headers: int, bodies: int) -> Figure:
    """S5: forged headers, then odd bodies, half of them signed, half with another's signature."""
    app = _site(folder)
    source = random.Random(20261122)  # noqa: S311
    content = body()
    answers: Counter[int] = Counter()
    for _ in range(headers):
        answers[_post(app, content, forged(source, content))] += 1
    forgeries = answers[202]
    for number in range(bodies):
        odd = odd_body(source) if number % 1000 else b"x" * (MAX_BODY + 1)
        if number % 2:
            answers[_post(app, odd, signed(odd, id=f"odd-{number}"))] += 1
        else:
            status = _post(app, odd, signed(content, id=f"other-{number}"))
            answers[status] += 1
            forgeries += status == 202
    with get_state(app).database.for_short_writes().reading() as connection:
        kept = connection.scalar(sa.select(sa.func.count()).select_from(webhooks)) or 0
    failed = sum(count for status, count in answers.items() if status >= 500)
    told = ", ".join(f"{count} times {status}" for status, count in sorted(answers.items()))
    return Figure(
        f"{failed} errors, {forgeries} forgeries taken, {kept} of {answers[202]} taken are kept, "
        f"in {headers} headers and {bodies} bodies ({told})",
        "0 errors, 0 forgeries, and nothing else is kept",
        kept=failed == forgeries == 0 and kept == answers[202] > 0,
    )


def _site(folder: Path) -> Flask:
    app = Flask("hostile", instance_path=str(folder / "instance"))
    app.config.update(
        POLAR_SERVER="http://127.0.0.1:9",
        POLAR_ACCESS_TOKEN="polar_oat_none",
        POLAR_WEBHOOK_SECRET=SECRET,
        TESTING=True,
    )
    shop = Storefront(app)
    app.register_blueprint(shop.blueprint)
    # What is taken is not acted on: Polar is not there, and nothing here is about it.
    state = get_state(app)
    state.inbox.register("webhook", lambda job: None)
    return app


def _post(app: Flask, content: bytes, headers: dict[str, str]) -> int:
    """Straight to the site, as a server hands it on: no client would send such headers."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/webhooks",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    _, status, _ = run_wsgi_app(app, environ)
    return int(status.split()[0])
