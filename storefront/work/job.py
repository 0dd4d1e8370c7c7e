"""One job, as its handler gets it, and as the command line shows it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import sqlalchemy as sa

#: Addresses of people, passwords in URLs, Polar's tokens and secrets. What stands before an @ has
#: 64 characters at the most, and without that bound a long text without one would take hours.
_PRIVATE = re.compile(
    r"[^\s<>\"'=,;:()\[\]{}]{1,64}@[^\s<>\"',;:()\[\]{}]+|//[^\s/@]+@|(?:polar_[a-z]{1,8}_|whsec_)[\w+/=-]+"
)
_LONGEST_REASON = 500


class Postpone(Exception):
    """Raised by a handler that can't do its work yet: it is asked again, and no attempt is lost.

    What it wrote is undone.
    """

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job's row in the hands of one process."""

    id: int
    kind: str
    key: str
    payload: bytes
    #: 1 the first time.
    attempt: int
    #: The name under which the process has it.
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A job as it stands in the database."""

    kind: str
    key: str
    created_at: datetime
    #: None: parked.
    due_at: datetime | None
    attempts: int
    last_error: str | None


class Job:
    """What a handler gets: done when that returns, and its transaction is committed."""

    def __init__(self, claimed: Claimed, connect: Callable[[], sa.Connection]) -> None:
        self._claimed = claimed
        self._connect = connect
        self._connection: sa.Connection | None = None
        #: Seconds after which it is to be done again, although it succeeded; None: it is over.
        self.repeat_after: float | None = None

    @property
    def kind(self) -> str:
        """What sort of work it is."""
        return self._claimed.kind

    @property
    def key(self) -> str:
        """What it is about."""
        return self._claimed.key

    @property
    def attempt(self) -> int:
        """How often it was begun, this time included: 1 the first time."""
        return self._claimed.attempt

    @property
    def payload(self) -> dict[str, Any]:
        """What it was added with."""
        decoded: dict[str, Any] = msgspec.json.decode(self._claimed.payload)
        return decoded

    @property
    def connection(self) -> sa.Connection:
        """The transaction that ends the job: what is written here is done exactly once.

        It begins when this is first asked for. From then on SQLite's other writers wait, so what
        takes long is better done before.

        :raises DatabaseUnavailable: when the database does not do it.
        """
        if self._connection is None:
            self._connection = self._connect()
        return self._connection


def scrubbed(text: str) -> str:
    """The text without addresses of people, passwords, tokens and secrets."""
    return _PRIVATE.sub("…", text)


def reason(error: BaseException) -> str:
    """Why it failed, in one line that may be kept and shown."""
    message = str(error).strip().partition("\n")[0]
    return scrubbed(f"{type(error).__name__}: {message}")[:_LONGEST_REASON]


def trace(error: BaseException) -> str:
    """The traceback, for the log: lines of code, no values."""
    return scrubbed("".join(traceback.format_exception(error))).rstrip()
