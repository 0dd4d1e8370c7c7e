"""Running a local Polar: in a thread for tests and an embedded demo, or on its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from werkzeug.serving import make_server

from storefront.emulator import control
from storefront.emulator.app import Application, Token, make_services
from storefront.emulator.counting import Requests
from storefront.emulator.faults import Faults
from storefront.emulator.limits import RateLimit
from storefront.emulator.misbehaving import make_handler
from storefront.emulator.store import Store
from storefront.emulator.webhooks import Webhook

#: The access token that lets in where nothing else is chosen.
DEFAULT_TOKEN = "polar_oat_local"  # noqa: S105

_READ_ONLY = frozenset(
    f"{resource}:read"
    for resource in (
        "products",
        "checkout_links",
        "discounts",
        "benefits",
        "custom_fields",
        "organizations",
    )
)


def make_tokens(
    token: str = DEFAULT_TOKEN,
    *,
    readonly: str | None = None,
    other_organization: str | None = None,
) -> dict[str, Token]:
    """The tokens of a local Polar: one that may do everything; one that may read what is for sale
    and nothing about buyers; one of another organization, which has nothing."""
    tokens = {token: Token()}
    if readonly is not None:
        tokens[readonly] = Token(_READ_ONLY)
    if other_organization is not None:
        tokens[other_organization] = Token(is_other_organization=True)
    return tokens


class LocalPolar:
    """A local Polar on a port of this machine, in a thread.

    ::

        with LocalPolar(Store(seed)) as polar:
            requests.get(f"{polar.url}/v1/products/", headers=polar.headers)
    """

    def __init__(
        self,
        store: Store,
        *,
        tokens: Mapping[str, Token] | None = None,
        settle_seconds: float = 1.0,
        grant_seconds: float = 0.0,
        webhook: Webhook | None = None,
        rate_limit: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Bind to `host` and `port`; port 0 takes any that is free. `settle_seconds` is how long
        a confirmed checkout takes to succeed, `grant_seconds` how long an order takes to be
        granted its benefits; `webhook` is told of what happens; `rate_limit` is
        how many requests an organization has in a minute.

        :raises OSError: the port cannot be had.
        """
        self.store = store
        self.services = make_services(
            store, settle_seconds=settle_seconds, grant_seconds=grant_seconds
        )
        self.tokens = dict(make_tokens() if tokens is None else tokens)
        self.webhooks = self.services.webhooks
        #: What goes wrong on purpose.
        self.faults = Faults()
        #: How often it was asked for what.
        self.requests = Requests()
        #: `rate_limit.per_minute` can be changed while it runs.
        self.rate_limit = RateLimit(rate_limit)
        application = Application(
            self.services,
            self.tokens,
            rate_limit=self.rate_limit,
            routes=control.routes(self.faults, self.requests),
        )
        # Bound here and not by werkzeug, which ends the process when a port is taken.
        self._socket = socket.create_server((host, port))
        self._server = make_server(
            host,
            port,
            application,
            threaded=True,
            request_handler=make_handler(self.faults, self.requests),
            fd=self._socket.fileno(),
        )
        self._host = host
        # Kept, so that the address can still be told when the socket is closed.
        self._port = self._socket.getsockname()[1]
        self._thread: threading.Thread | None = None
        self.webhooks.base_url = self.url
        if webhook is not None:
            self.webhooks.add(webhook)

    @property
    def url(self) -> str:
        """The origin to talk to, without a trailing slash."""
        return f"http://{self._host}:{self._port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs to be let in with the first token."""
        return {"Authorization": f"Bearer {next(iter(self.tokens))}"}

    def serve(self) -> None:
        """Answer requests until `stop` is called from another thread, or an interrupt."""
        self._server.serve_forever(poll_interval=0.05)

    def start(self) -> Self:
        """Answer requests in a thread of its own."""
        self._thread = threading.Thread(target=self.serve, name="local-polar", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and delivering, and free the port."""
        self.faults.is_over.set()
        self.webhooks.stop()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._socket.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()
