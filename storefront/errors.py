"""Every exception that Storefront raises.

::

    StorefrontError
    ├── ConfigurationError (ValueError)      a setting is missing or wrong: raised by init_app
    ├── LinkError (ValueError)               a value can't go into a checkout link, or its URL
    ├── UnknownReference (LookupError)       no product or checkout link goes by that name
    ├── CatalogUnavailable                   nothing was ever read from Polar, and it can't be now
    ├── DatabaseUnavailable                  the database does not answer, or has no tables
    ├── InvalidSignature                     a webhook that is not Polar's, or not of now
    └── PolarError                           a call to Polar's API did not give what it should
        ├── PolarUnauthorized                401: the token is missing, wrong, or another server's
        ├── PolarForbidden                   403: the token lacks a scope, or the state forbids it
        ├── PolarNotFound                    404: no such thing, or it belongs to somebody else
        ├── PolarGone                        410: a checkout session past its time
        ├── PolarInvalidRequest              422 and other 4xx: Polar refuses what was sent
        └── PolarUnavailable                 no usable answer: network, deadline, 5xx, garbage
            └── PolarRateLimited             429: too many requests

Errors that a visitor sees are ``werkzeug`` HTTP exceptions made in ``storefront.web`` from
these, so that the host's own error handlers style them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple


class StorefrontError(Exception):
    """The base of all of them."""


class ConfigurationError(StorefrontError, ValueError):
    """A setting is missing or wrong. The message names it and says what to do."""

    #: The setting's name, as in ``app.config``.
    key: str

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key


class LinkError(StorefrontError, ValueError):
    """A value that Polar would drop in silence, keep broken, or answer with an error."""

    #: The keyword argument that is wrong: of ``checkout_url``, or of the client's
    #: ``checkout_links.create`` and ``update``.
    field: str

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class UnknownReference(StorefrontError, LookupError):
    """No product slug or id, and no link id or label, equals the reference."""

    #: What was looked for.
    reference: str

    def __init__(self, reference: str, message: str) -> None:
        super().__init__(message)
        self.reference = reference


class CatalogUnavailable(StorefrontError):
    """The catalogue was never read, and Polar can't be read now."""

    #: Seconds after which it is worth trying again.
    retry_after: float

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DatabaseUnavailable(StorefrontError):
    """The database can't be reached, is too slow, or its tables are missing or too old.

    The message holds neither password nor user.
    """


class InvalidSignature(StorefrontError):
    """What came is no webhook, is signed by nobody that we know, or is from another time."""


class FieldProblem(NamedTuple):
    """One complaint of a 422 answer."""

    #: The last meaningful name of Polar's ``loc``, such as ``customer_email``.
    field: str
    #: Polar's own words.
    message: str


class PolarError(StorefrontError):
    """A call to Polar's API failed. Never holds the token, nor the request's headers."""

    #: ``GET``, ``POST``, …
    method: str
    #: The path below the server's origin, without the query.
    path: str
    #: The HTTP status, or None when no whole answer came.
    status: int | None
    #: The answer's body, at most 2,000 characters of it, or "".
    body: str
    #: When Polar answered, by its own clock and to the second; None when it did not say.
    date: datetime | None = None

    def __init__(
        self, message: str, *, method: str, path: str, status: int | None = None, body: str = ""
    ) -> None:
        super().__init__(message)
        self.method = method
        self.path = path
        self.status = status
        self.body = body


class PolarUnauthorized(PolarError):
    """401."""


class PolarForbidden(PolarError):
    """403."""

    #: The scopes any of which would have sufficed; empty when the reason is another.
    scopes: tuple[str, ...] = ()


class PolarNotFound(PolarError):
    """404."""


class PolarGone(PolarError):
    """410."""


class PolarInvalidRequest(PolarError):
    """422, and every other 4xx that has no class of its own."""

    #: What is wrong with which field; empty when the body said nothing that could be read.
    problems: Sequence[FieldProblem] = ()


class PolarUnavailable(PolarError):
    """No usable answer came in time."""

    #: False when nothing can have been sent: Polar was not reached, or there was no time to ask.
    sent: bool = True
    #: The key with which ``checkout_links.create`` may be called again; None for other calls.
    key: str | None = None


class PolarRateLimited(PolarUnavailable):
    """429."""

    #: Seconds to wait, from ``Retry-After``; 60 when the header is absent or unreadable.
    retry_after: float = 60.0
