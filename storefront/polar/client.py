"""The client: Polar's resources as Python calls.

One :class:`Client` serves a whole process: it may be called by many threads at once. Every call
takes ``timeout``, the total number of seconds that it may last, in place of the client's own,
and raises one of :class:`~storefront.errors.PolarError`'s subclasses when it fails.
Ids are checked before anything is sent, so that a visitor's string never shapes a path.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from storefront.errors import PolarError
from storefront.polar.checkout_links import CheckoutLinks
from storefront.polar.portal import CustomerPortal
from storefront.polar.resources import (
    Checkouts,
    CustomerSessions,
    Discounts,
    Orders,
    Organizations,
    Products,
    WebhookEndpoints,
)
from storefront.polar.servers import Server
from storefront.polar.transport import Transport
from storefront.secret import Secret


class Client:
    """Polar's API, with one organization's access token.

    ``timeout`` is the total number of seconds that a call may take, whatever happens on the
    way. ``proxy_url`` and ``ca_bundle`` are used when given; the environment's are not, nor is
    a netrc file. ``user_agent`` replaces ``flask-polar-storefront/<version>``.
    ``rate_limit_share`` is what patient calls may use of Polar's limit a minute.

    All of its calls have one pace. After a 429 none is sent before the time that it named, and
    after five failures in a row only one now and then, until Polar answers again: a call that
    would have to wait fails at once instead, unless it is made by what ``patiently`` gives.

    :raises ValueError: when the token has characters that no token has, such as a line end.
    """

    def __init__(
        self,
        server: Server,
        token: Secret | str | None,
        *,
        timeout: float = 10.0,
        proxy_url: str | None = None,
        ca_bundle: str | None = None,
        user_agent: str | None = None,
        rate_limit_share: float = 0.8,
    ) -> None:
        if isinstance(token, str):
            token = Secret(token)
        self.server = server
        self._attach(
            Transport(
                server,
                token,
                timeout=timeout,
                proxy_url=proxy_url,
                ca_bundle=ca_bundle,
                user_agent=user_agent,
                share=rate_limit_share,
            )
        )

    def _attach(self, transport: Transport) -> None:
        self._transport = transport
        self.products = Products(transport)
        self.checkout_links = CheckoutLinks(transport)
        self.checkouts = Checkouts(transport)
        self.orders = Orders(transport)
        self.discounts = Discounts(transport)
        self.webhook_endpoints = WebhookEndpoints(transport)
        self.organizations = Organizations(transport)
        self.customer_sessions = CustomerSessions(transport)
        self.customer_portal = CustomerPortal(transport)

    def __repr__(self) -> str:
        return f"<Client of {self.server.api_url}>"

    @contextmanager
    def patiently(self, seconds: float) -> Iterator[Client]:
        """Give a client whose calls wait for their turn instead of failing, inside the ``with``.

        It shares connections and pace with this one. ``seconds`` is how long all of its calls may
        take altogether, waiting included; each still ends within its own ``timeout`` after it
        was sent. Calls that wait at the end of the ``with`` fail::

            with client.patiently(900) as patient:
                products = list(patient.products.iterate())
        """
        with self._transport.patiently(seconds) as transport:
            patient = copy.copy(self)
            patient._attach(transport)
            yield patient

    def rest(self, seconds: float) -> bool:
        """Wait before asking again, and tell whether there is patience left to do so.

        False at once for a client that is not patient.
        """
        return self._transport.rest(seconds)

    def server_time(self, *, timeout: float | None = None) -> datetime | None:
        """Ask what time it is at Polar: to the second, in UTC; None when the answer has no date.

        A refusal tells the time as well: the token need not be good. Whoever compares it with
        the own clock allows for a second of rounding, and for the time that the call took.

        :raises PolarUnavailable: when no answer came.
        """
        try:
            # A token may always ask for its own organization, and it is a short answer.
            params = [("limit", "1")]
            return self._transport.request(
                "GET", Organizations.path, params=params, timeout=timeout
            ).date
        except PolarError as exc:
            if exc.status is None:
                raise
            return exc.date

    def close(self) -> None:
        """Close the idle connections. The client stays usable."""
        self._transport.close()
