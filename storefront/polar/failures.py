"""From an answer that is none, or that refuses, to an error that helps: the one place."""

from __future__ import annotations

import http.client
import math
import re
import ssl
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec
import requests
import urllib3

from storefront.errors import (
    FieldProblem,
    PolarError,
    PolarForbidden,
    PolarGone,
    PolarInvalidRequest,
    PolarNotFound,
    PolarRateLimited,
    PolarUnauthorized,
    PolarUnavailable,
)
from storefront.polar.pace import Hold, Reason
from storefront.polar.servers import Server
from storefront.secret import Secret

_ERROR_BODY_CHARACTERS = 2000
_DETAIL_CHARACTERS = 300
_DEFAULT_RETRY_AFTER = 60.0

E = TypeVar("E", bound=PolarError)


class TooLargeError(Exception):
    """The body passed MAX_BODY_BYTES."""


class StrangeEncodingError(ValueError):
    """The body is compressed in a way that was not asked for."""


#: What an unusable answer, or none, makes the layers below raise: requests and urllib3 their own,
#: http.client and zlib theirs through gaps in those, ValueError for headers that are no headers.
FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    zlib.error,
)


def late(seconds: float) -> str:
    """Say that the deadline has passed."""
    return f"there was no whole answer within {seconds:g} seconds"


def reason(exc: BaseException, seconds: float) -> str:
    """Say what happened, by the kind of exception: its text may quote the request."""
    if isinstance(exc, (requests.Timeout, TimeoutError)):
        return late(seconds)
    if isinstance(exc, (requests.exceptions.SSLError, ssl.SSLError)):
        return (
            "the connection could not be secured; check the clock, and the CA bundle if one is set"
        )
    if isinstance(exc, requests.exceptions.ProxyError):
        return "the proxy could not be reached, or refused"
    if isinstance(exc, StrangeEncodingError):
        return "the answer is compressed in a way that was not asked for"
    if isinstance(exc, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the answer was complete"
    if is_unreached(exc):
        return "the server could not be reached"
    if isinstance(exc, requests.ConnectionError):
        return "the connection broke before the answer was complete"
    return "the answer is not proper HTTP"


def is_unreached(exc: BaseException) -> bool:
    """Tell whether there was no connection at all, so that nothing can have been sent."""
    return isinstance(exc, requests.ConnectionError) and any(
        isinstance(getattr(cause, "reason", None), urllib3.exceptions.NewConnectionError)
        for cause in exc.args
    )


def answered_at(headers: Mapping[str, str]) -> datetime | None:
    """Read the ``Date`` of an answer, in UTC; None when it has none that can be read."""
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
        # One with -0000 comes without a zone; by RFC 9110 every date is in UTC.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class _ErrorBody(msgspec.Struct):
    """The JSON bodies of errors, all shapes at once. ``detail``: a string, or the list of a 422."""

    error: Any = None
    error_description: Any = None
    detail: Any = None


_error_bodies = msgspec.json.Decoder(_ErrorBody)


class Call:
    """A request as an error tells of it. Knows neither headers nor token."""

    def __init__(self, method: str, path: str, server: Server, *, customer: bool) -> None:
        self.method = method
        self.path = path
        self._server = server
        self._customer = customer

    def failed(self, reason: str, *, sent: bool = True) -> PolarUnavailable:
        """Make the error for a call that has no answer."""
        failed = PolarUnavailable(
            f"No usable answer came from {self._server.api_url} to {self._words}: {reason}.",
            method=self.method,
            path=self.path,
        )
        failed.sent = sent
        return failed

    def held(self, hold: Hold) -> PolarUnavailable:
        """Make the error for a call that was not sent, because it was not its turn."""
        kind, status = PolarUnavailable, "another call is asking it at this moment"
        if hold.seconds < math.inf:
            status = f"the next try may be in {math.ceil(hold.seconds)} seconds"
        if hold.reason is Reason.LIMITED:
            kind = PolarRateLimited
            said = f"Polar was asked too often; {status}."
        elif hold.reason is Reason.FAILING:
            said = f"Polar failed {hold.failures} times in a row; {status}. {hold.failure}"
        else:
            said = f"It is not known yet whether Polar takes the token; {status}."
        held = kind(
            f"{self._words} was not sent: {said}",
            method=self.method,
            path=self.path,
        )
        held.sent = False
        if isinstance(held, PolarRateLimited):
            held.retry_after = hold.seconds
        return held

    def unsent(self) -> PolarUnauthorized:
        """Make the error for a customer's token that no HTTP header can carry."""
        return PolarUnauthorized(
            "The customer's session token is not one of Polar's: it has characters that no token "
            "has. Nothing was sent.",
            method=self.method,
            path=self.path,
        )

    @property
    def _words(self) -> str:
        return f"{self.method} {self.path}"

    def refused(
        self, status: int, headers: Mapping[str, str], content: bytes, secret: Secret | None
    ) -> PolarError:
        """Make the error for an answer whose status is not 2xx.

        Source: recorded answers of Polar's API, 2026-11-22; proxies answer with HTML.
        """
        text = content[: 4 * _ERROR_BODY_CHARACTERS].decode("utf-8", "replace")
        if secret is not None:  # a proxy's error page may show the request's headers
            text = text.replace(secret.reveal(), "***")
        text = text[:_ERROR_BODY_CHARACTERS]
        try:
            parsed = _error_bodies.decode(content)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            parsed = _ErrorBody()
        detail = _detail(parsed, secret)

        def make(kind: type[E], message: str) -> E:
            made = kind(message, method=self.method, path=self.path, status=status, body=text)
            made.date = answered_at(headers)
            return made

        if status == 401:
            return make(PolarUnauthorized, self._unauthorized(secret))
        if status == 403:
            scopes = _scopes(headers.get("WWW-Authenticate", ""))
            forbidden = make(PolarForbidden, self._forbidden(scopes, detail))
            forbidden.scopes = scopes
            return forbidden
        if status == 404:
            return make(
                PolarNotFound,
                f"Polar has nothing at {self._words} that this token may see"
                + (f": {detail}" if detail else "."),
            )
        if status == 410:
            return make(
                PolarGone, f"{self._words} is past its time" + (f": {detail}" if detail else ".")
            )
        if status == 429:
            limited = make(PolarRateLimited, "")
            limited.retry_after = _retry_after(headers.get("Retry-After", ""))
            limited.args = (
                f"Polar answered {self._words} with 429: too many requests. Try again in "
                f"{limited.retry_after:g} seconds.",
            )
            return limited
        if 400 <= status < 500:
            problems = _problems(parsed.detail, secret)
            listed = "; ".join(f"{field}: {said}" for field, said in problems) or detail
            invalid = make(
                PolarInvalidRequest,
                f"Polar refused {self._words} ({status})" + (f": {listed}" if listed else "."),
            )
            invalid.problems = problems
            return invalid
        if 300 <= status < 400:
            # Following it would carry the token to an address that nobody configured, and the
            # paths used here are the canonical ones, which Polar does not redirect: what stands
            # at that address is not the API, so there is no usable answer.
            return make(
                PolarUnavailable,
                f"{self._server.api_url} answered {self._words} with a redirect ({status}), which "
                "is not followed. Check POLAR_SERVER: it must be the API's own address, https "
                "included.",
            )
        return make(
            PolarUnavailable,
            f"{self._server.api_url} answered {self._words} with {status}, which is a failure on "
            "its side. Try again later.",
        )

    def _unauthorized(self, secret: Secret | None) -> str:
        if self._customer:
            return "The customer's session has expired, or its token is not one of Polar's (401)."
        if secret is None:
            return f"{self._words} needs an access token (401): set POLAR_ACCESS_TOKEN."
        return (
            f"Polar does not accept the access token (401 on {self._words}). It may have been "
            "revoked or have expired. A token of the sandbox does not work on production and the "
            f"other way round; POLAR_SERVER is {self._server.name} ({self._server.api_url})."
        )

    def _forbidden(self, scopes: Sequence[str], detail: str) -> str:
        if scopes:
            return (
                f"The access token may not do {self._words} (403). It needs the scope "
                f"{' or '.join(scopes)}: add it to the token in Polar's settings."
            )
        return f"Polar forbids {self._words} (403)" + (f": {detail}" if detail else ".")


def _clean(value: object, secret: Secret | None) -> str:
    """Bring a foreign string into a form fit for one line of an error message."""
    if not isinstance(value, str):
        return ""
    if secret is not None:
        value = value.replace(secret.reveal(), "***")
    return "".join(c if c.isprintable() else " " for c in value)[:_DETAIL_CHARACTERS].strip()


def _detail(body: _ErrorBody, secret: Secret | None) -> str:
    for value in (body.detail, body.error_description, body.error):
        if words := _clean(value, secret):
            return words
    return ""


def _problems(detail: object, secret: Secret | None) -> tuple[FieldProblem, ...]:
    """Read the list of a 422, in which each variant of a union repeats the same complaints."""
    problems: dict[FieldProblem, None] = {}
    for entry in detail if isinstance(detail, list) else ():
        if isinstance(entry, dict):
            loc = entry.get("loc")
            field = _field(loc if isinstance(loc, list) else ())
            problems[FieldProblem(field, _clean(entry.get("msg"), secret))] = None
    return tuple(problems)


def _field(loc: Iterable[object]) -> str:
    """Name the field at which a 422's ``loc`` points.

    Between and after the names stand pydantic's own words for the variants that it tried, such as
    ``function-after[…]``, ``constrained-str`` and ``CheckoutLinkCreateProducts``, and indexes.
    A metadata key follows ``metadata`` and is kept with it.
    """
    names = [str(part) for part in loc if not isinstance(part, int)]
    if "metadata" in names:
        return ".".join(names[names.index("metadata") :][:2])
    fields = [name for name in names if re.fullmatch(r"[a-z][a-z0-9_]*", name)]
    while len(fields) > 1 and fields[-1] in _TYPE_NAMES:
        fields.pop()
    return fields[-1] if fields else "body"


_TYPE_NAMES = {"uuid", "str", "int", "float", "bool"}


def _scopes(challenge: str) -> tuple[str, ...]:
    found = re.search(r'\bscope="([a-z0-9_: -]{1,500})"', challenge)
    return tuple(found[1].split()) if found else ()


def _retry_after(value: str) -> float:
    # A date is possible by the standard; Polar sends seconds.
    if re.fullmatch(r"[0-9]{1,6}", value.strip()):
        return float(value)
    return _DEFAULT_RETRY_AFTER
