"""Where Polar sends its webhooks."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from storefront.errors import DatabaseUnavailable, InvalidSignature
from storefront.inbox import receive
from storefront.polar.webhooks import MAX_BODY, verify
from storefront.state import State, get_state
from storefront.web.success import success

logger = logging.getLogger("storefront")

#: Seconds between two lines of the log that say the same: anybody can send anything here.
_SAY_AGAIN_SECONDS = 600.0
_RETRY_SECONDS = 30
#: Within this a webhook is kept, or Polar is to send it again: a database that hangs must not take
#: all of the server's threads with it.
_KEEP_SECONDS = 2.0


def webhooks() -> Response:
    """``POST /webhooks``: keeps what Polar tells, answers at once, and has it done afterwards."""
    state = get_state()
    secrets = state.settings.webhook_secrets
    if not secrets:
        _say(
            state,
            logging.ERROR,
            "A webhook came and was refused: POLAR_WEBHOOK_SECRET is not set. Set it to the secret "
            "of the endpoint in Polar's dashboard (Settings, Webhooks).",
        )
        return _answer(503, "POLAR_WEBHOOK_SECRET is not set here.")
    try:
        body = _body()
    except HTTPException:
        return _answer(400, "The body did not arrive whole.")
    if body is None:
        return _answer(413, f"A webhook has at most {MAX_BODY} bytes.")
    try:
        event = verify(body, request.headers, secrets, now=datetime.now(UTC))
    except InvalidSignature as error:
        _say(state, logging.WARNING, f"A webhook was refused. {error}")
        return _answer(403, str(error))
    try:
        state.database.within(_KEEP_SECONDS, lambda: receive(state, event))
    except DatabaseUnavailable as error:
        _say(state, logging.ERROR, f"A webhook can't be kept; Polar will send it again. {error}")
        return _answer(503, "It can't be kept now. Send it again.")
    return _answer(202, "")


def exempt_from_csrf(app: Flask) -> None:
    """Tell Flask-WTF's ``CSRFProtect``, where the site has it, which views need no token.

    Only these: a webhook's signature says more than a token would, and the form of the success
    page is the same for everybody and changes nothing but what its visitor is shown. To be called
    when all extensions are there; which one comes first does not matter.
    """
    exempt = getattr(app.extensions.get("csrf"), "exempt", None)
    if callable(exempt):
        exempt(webhooks)
        exempt(success)


def _body() -> bytes | None:
    """The raw body; None when it is too long, of which no more than that is read.

    :raises HTTPException: when it ends too early.
    """
    if (request.content_length or 0) > MAX_BODY:
        return None
    parts, left = [], MAX_BODY + 1
    while left > 0 and (part := request.stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts) if left > 0 else None


def _answer(status: int, text: str) -> Response:
    response = Response(text, status, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    if status == 503:
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _say(state: State, level: int, message: str) -> None:
    now = time.monotonic()
    if now - state.said.get(message, float("-inf")) >= _SAY_AGAIN_SECONDS:
        state.said[message] = now
        logger.log(level, message)
