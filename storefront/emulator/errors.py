"""What can go wrong in the local Polar, as exceptions.

::

    PolarError                  status, error and detail of an API answer
    ├── NotFoundError           404 ResourceNotFound
    ├── CheckoutExpiredError    410 ExpiredCheckoutError
    ├── CheckoutNotOpenError    403 NotOpenCheckout
    ├── EmbedHostError          403 EmbedHostNotAllowed
    ├── InvoiceMissingError     404 InvoiceDoesNotExist
    ├── RefusedError            what the state of an order or a subscription forbids
    ├── InvalidRequestError     422, every problem with its place
    └── CrashError              500 in plain text, where the service itself breaks
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


class PolarError(Exception):
    """A request that Polar turns down. `str()` of it is a sentence for a person."""

    #: HTTP status of the answer.
    status: int = 400
    #: The name the API gives it, `error` in the body.
    error: str = "PolarError"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body the API answers with."""
        return {"error": self.error, "detail": str(self)}


class NotFoundError(PolarError):
    """Nothing there, or not for this token. Source: recorded from the service, 2026-11-22."""

    status = 404
    error = "ResourceNotFound"

    def __init__(self) -> None:
        super().__init__("Not found")


class CheckoutExpiredError(PolarError):
    """The session is past its 24 hours."""

    status = 410
    error = "ExpiredCheckoutError"

    def __init__(self) -> None:
        super().__init__("This checkout session has expired.")


class CheckoutNotOpenError(PolarError):
    """The session was confirmed, paid, expired or failed already."""

    status = 403
    error = "NotOpenCheckout"

    def __init__(self, checkout_id: str, state: str) -> None:
        super().__init__(f"Checkout {checkout_id} is not open: {state}")
        #: The status that stands in the way, such as `succeeded`.
        self.state = state


class EmbedHostError(PolarError):
    """The organization does not let this origin embed its checkouts."""

    status = 403
    error = "EmbedHostNotAllowed"

    def __init__(self, origin: str) -> None:
        super().__init__(f"{origin} is not allowed to embed this checkout.")


class InvoiceMissingError(PolarError):
    """The order's invoice has not been asked for."""

    status = 404
    error = "InvoiceDoesNotExist"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"No invoice exists for order {order_id}.")


class RefusedError(PolarError):
    """What the state of an order, a subscription or a download forbids."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request, as FastAPI and pydantic write it."""

    type: str
    loc: tuple[str | int, ...]
    msg: str
    input: Any = None
    ctx: dict[str, Any] | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The entry in the `detail` list; `ctx` only where there is one."""
        entry = {"type": self.type, "loc": list(self.loc), "msg": self.msg, "input": self.input}
        return entry if self.ctx is None else {**entry, "ctx": self.ctx}


class InvalidRequestError(PolarError):
    """The request does not hold together. `problems` says where and why."""

    status = 422

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        error: Literal[
            "RequestValidationError", "PolarRequestValidationError"
        ] = "RequestValidationError",
    ) -> None:
        super().__init__("; ".join(problem.msg for problem in problems))
        self.error = error
        #: Every problem, in the order the API lists them.
        self.problems = tuple(problems)

    @property
    def body(self) -> dict[str, Any]:
        """`detail` is the list of problems."""
        return {"error": self.error, "detail": [problem.body for problem in self.problems]}


class CrashError(PolarError):
    """Input on which the real service answers 500. The body is plain text."""

    status = 500

    def __init__(self) -> None:
        super().__init__("Internal Server Error")
