"""The pace at which Polar is asked: one for all threads and calls of a client.

Four things hold a request back:

- the budget: whoever is patient keeps below a share of Polar's limit, in any 60 seconds;
- "not before": the moment that a 429 named is everybody's, not only that of the call it answered;
- the circuit breaker: after some failures in a row one call at a time finds out if Polar is back;
- a token that has never been answered: one call shows it to Polar before several do.

A patient call (a sync's) waits; any other, behind which a visitor stands, fails at once, and is
counted but never held back by the budget: what a sync leaves of the limit is for pages.

Source: Polar limits by organization and minute, to 500 in production and 100 in the sandbox, and a
token that it has not seen before to 60; recorded 2026-11-22.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import SystemRandom
from typing import Final

from storefront.errors import PolarError, PolarRateLimited, PolarUnauthorized, PolarUnavailable

logger = logging.getLogger("storefront")

#: Seconds over which requests are counted.
WINDOW: Final = 60.0
#: The longest that a 429 is heeded, in seconds: a proxy may say a day.
MAX_HOLD: Final = 300.0
#: Failures in a row after which the breaker opens.
FAILURES_TO_OPEN: Final = 5
#: Bounds of the pause before a trial, in seconds; it is doubled after each that fails.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


class Patience:
    """How long several calls may wait for their turns, all in all; or less, when it is ended."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = clock() + seconds
        self._ended = threading.Event()

    def left(self) -> float:
        """Seconds that are left; 0 when it is over."""
        return 0.0 if self._ended.is_set() else max(0.0, self._ends_at - self._clock())

    def rest(self, seconds: float) -> bool:
        """Wait, and tell whether there is patience left for so long and thereafter."""
        left = self.left()
        return seconds < left and not self._ended.wait(seconds)

    def end(self) -> None:
        """Nobody waits for the answers any more."""
        self._ended.set()


class Reason(Enum):
    """Why a call is held back."""

    LIMITED = "limited"
    FAILING = "failing"
    UNKNOWN_TOKEN = "unknown token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Hold:
    """A call may not be sent yet, for so many seconds; infinite while it waits for another."""

    reason: Reason
    seconds: float
    #: How often Polar failed in a row, and what came of it last.
    failures: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A call may be sent, and was counted. Whoever has it gives it back by ``settle``."""

    customer: bool
    #: It finds out for all others whether Polar is back.
    is_trial: bool
    #: It shows the token to Polar before others do.
    is_first: bool


class Pace:
    """Gives calls their turns. Any number of threads may ask; a fork may happen at any moment.

    ``limit`` is what Polar allows in a minute, and ``share`` what of it patient calls may use.
    """

    def __init__(
        self,
        limit: int,
        share: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        #: Requests in any 60 seconds after which a patient call waits.
        self.budget = max(1, int(limit * share))
        self._clock = clock
        # Forked workers would all draw the same of the generator that Python has for all.
        self._jitter = jitter or SystemRandom().random
        self._sent: deque[float] = deque()
        self._not_before = float("-inf")
        self._failures = 0
        self._failure = ""
        self._trial_at = float("-inf")
        self._trials = 0
        self._knows_token = False
        self._trying = False
        self._showing = False
        self._process = os.getpid()
        # One a process: after a fork the parent's may be held by a thread that is not here.
        self._conditions = {self._process: threading.Condition()}

    @property
    def _changed(self) -> threading.Condition:
        process = os.getpid()
        condition = self._conditions.get(process)
        return condition or self._conditions.setdefault(process, threading.Condition())

    def ask(self, *, patient: bool, customer: bool = False) -> Turn | Hold:
        """Ask for a turn, without waiting.

        ``customer`` is a call with a customer's token, for which Polar counts by itself: anybody
        may spend its limit, and must not spend the shop's.
        """
        with self._changed:
            self._notice_fork()
            now = self._clock()
            is_trial = self._failures >= FAILURES_TO_OPEN
            if is_trial and (self._trying or now < self._trial_at):
                seconds = math.inf if self._trying else self._trial_at - now
                return Hold(Reason.FAILING, seconds, self._failures, self._failure)
            is_first = False
            if not customer:
                if now < self._not_before:
                    return Hold(Reason.LIMITED, self._not_before - now)
                is_first = patient and not self._knows_token
                if is_first and self._showing:
                    return Hold(Reason.UNKNOWN_TOKEN, math.inf)
                while self._sent and self._sent[0] <= now - WINDOW:
                    self._sent.popleft()
                if patient and len(self._sent) >= self.budget:
                    # As many as fit into the budget must have left the window.
                    return Hold(Reason.LIMITED, self._sent[-self.budget] + WINDOW - now)
                self._sent.append(now)
            self._trying = self._trying or is_trial
            self._showing = self._showing or is_first
            return Turn(customer, is_trial, is_first)

    def wait(self, patience: Patience, *, customer: bool = False) -> Turn | Hold:
        """Ask for a turn, and wait for it; a ``Hold`` when the patience does not suffice."""
        with self._changed:
            while True:
                answer = self.ask(patient=True, customer=customer)
                left = patience.left()
                if isinstance(answer, Turn) or left <= 0 or left < answer.seconds < math.inf:
                    return answer
                self._changed.wait(min(answer.seconds, left))

    def give_up(self, patience: Patience) -> None:
        """End a patience, and with it the waiting of those who have it."""
        patience.end()
        with self._changed:
            self._changed.notify_all()

    def settle(self, turn: Turn, failure: PolarError | None) -> None:
        """Tell what came of a turn: ``failure`` is what the call raised, None when it succeeded.

        A refusal is an answer: only a ``PolarUnavailable`` that is no 429 counts as a failure.
        """
        failed = isinstance(failure, PolarUnavailable) and not isinstance(failure, PolarRateLimited)
        with self._changed:
            was_open = self._failures >= FAILURES_TO_OPEN
            self._release(turn)
            if failed:
                self._fail(turn, str(failure), was_open)
            else:
                self._failures = self._trials = 0
            if not turn.customer:
                if isinstance(failure, PolarRateLimited):
                    until = self._clock() + min(failure.retry_after, MAX_HOLD)
                    self._not_before = max(self._not_before, until)
                elif not failed and not isinstance(failure, PolarUnauthorized):
                    self._knows_token = True
            is_open = self._failures >= FAILURES_TO_OPEN
            self._changed.notify_all()
        if is_open and not was_open:
            logger.warning(
                "Polar failed %d times in a row; it is asked less often until it answers. %s",
                FAILURES_TO_OPEN,
                failure,
            )
        elif was_open and not is_open:
            logger.info("Polar answers again.")

    def abandon(self, turn: Turn) -> None:
        """Give a turn back of which nothing is known: the caller was interrupted."""
        with self._changed:
            self._release(turn)
            self._changed.notify_all()

    def _release(self, turn: Turn) -> None:
        self._trying = self._trying and not turn.is_trial
        self._showing = self._showing and not turn.is_first

    def _fail(self, turn: Turn, failure: str, was_open: bool) -> None:
        if was_open and not turn.is_trial:
            return  # was sent before it opened: says nothing new
        self._failures += 1
        self._failure = failure
        if self._failures >= FAILURES_TO_OPEN:
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._trials, 10))
            self._trial_at = self._clock() + longest * self._jitter()
            self._trials += 1

    def _notice_fork(self) -> None:
        """Forget turns of threads that did not come along."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._trying = self._showing = False
