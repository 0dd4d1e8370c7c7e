"""The pace: a budget, "not before", a breaker and a new token, by a clock that tests turn."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storefront.emulator import LocalPolar
from storefront.errors import (
    PolarError,
    PolarNotFound,
    PolarRateLimited,
    PolarUnauthorized,
    PolarUnavailable,
)
from storefront.polar import Client, Server
from storefront.polar.pace import Hold, Pace, Patience, Reason, Turn
from tests.wire import Request, Upstream, answer, sends, upstream

TOKEN = "polar_oat_canaryPace7"
PRODUCT_ID = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
EMPTY = answer({"items": [], "pagination": {"total_count": 0, "max_page": 0}})


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Polite:
    """A pace by a clock of its own; it has known the token for long."""

    def __init__(self, limit: int = 500, share: float = 0.8, *, known: bool = True) -> None:
        self.clock = Clock()
        self.jitter = 1.0
        self.pace = Pace(limit, share, clock=self.clock, jitter=lambda: self.jitter)
        if known:
            self.answered(self.turn())
            self.clock.now += 60

    def turn(self, *, patient: bool = False, customer: bool = False) -> Turn:
        answer = self.pace.ask(patient=patient, customer=customer)
        assert isinstance(answer, Turn), answer
        return answer

    def hold(self, *, patient: bool = False, customer: bool = False) -> Hold:
        answer = self.pace.ask(patient=patient, customer=customer)
        assert isinstance(answer, Hold), answer
        return answer

    def answered(self, turn: Turn) -> None:
        self.pace.settle(turn, None)

    def failed(self, turn: Turn) -> None:
        self.pace.settle(turn, failure(PolarUnavailable))

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.failed(self.turn())


def failure(kind: type[PolarError]) -> PolarError:
    return kind("no luck", method="GET", path="/v1/products/")


def limited(seconds: float) -> PolarRateLimited:
    error = PolarRateLimited("too many", method="GET", path="/v1/products/", status=429)
    error.retry_after = seconds
    return error


# --- the budget --------------------------------------------------------------------------------


def test_patient_calls_keep_to_their_share() -> None:
    """A sync waits when its share of a minute is used, until the first of it is a minute old."""
    polite = Polite(limit=100, share=0.5)
    for _ in range(50):
        polite.answered(polite.turn(patient=True))
        polite.clock.now += 0.5
    hold = polite.hold(patient=True)
    assert hold.reason is Reason.LIMITED
    assert hold.seconds == pytest.approx(35)
    polite.clock.now += hold.seconds
    polite.answered(polite.turn(patient=True))
    assert polite.hold(patient=True).seconds == pytest.approx(0.5)


def test_a_page_takes_of_the_rest_and_is_counted() -> None:
    """A visitor's call goes out whatever the budget says; a sync then has so much less."""
    polite = Polite(limit=100, share=0.5)
    for _ in range(60):
        polite.answered(polite.turn())
    assert polite.hold(patient=True).reason is Reason.LIMITED
    polite.answered(polite.turn())
    polite.clock.now += 60
    polite.turn(patient=True)


@given(
    steps=st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60),
    share=st.floats(0.05, 1.0),
)
def test_no_minute_has_more_than_the_share(steps: list[tuple[float, bool]], share: float) -> None:
    """In any 60 seconds there are no more patient calls than the share, whatever else is sent."""
    polite = Polite(limit=20, share=share)
    sent: list[float] = []
    for seconds, patient in steps:
        polite.clock.now += seconds
        for _ in range(6):
            answer = polite.pace.ask(patient=patient)
            if isinstance(answer, Turn):
                polite.answered(answer)
                sent += [polite.clock.now] if patient else []
            else:
                assert patient
                assert 0 < answer.seconds <= 60
    for start in sent:
        assert sum(start <= moment < start + 60 for moment in sent) <= polite.pace.budget


@pytest.mark.parametrize(
    ("server", "limit"),
    [
        (Server.production(), 500),
        (Server.sandbox(), 100),
        (Server.custom("https://sandbox-api.polar.sh"), 100),
        (Server.local(8787), 500),
    ],
)
def test_limits_of_the_servers(server: Server, limit: int) -> None:
    """Each server's limit is known; a client keeps to the share that it is given."""
    assert server.requests_per_minute == limit
    assert Client(server, TOKEN, rate_limit_share=0.5)._transport.pace.budget == limit // 2


# --- not before --------------------------------------------------------------------------------


def test_a_429_is_heeded_by_all() -> None:
    """After a 429 nobody is sent before the time it named, and the longest of several counts."""
    polite = Polite()
    one, two = polite.turn(patient=True), polite.turn()
    polite.pace.settle(one, limited(60))
    polite.pace.settle(two, limited(20))
    for patient in (True, False):
        hold = polite.hold(patient=patient)
        assert (hold.reason, hold.seconds) == (Reason.LIMITED, 60)
    polite.clock.now += 59.9
    polite.hold()
    polite.clock.now += 0.2
    polite.turn()


def test_a_429_is_not_heeded_for_a_day() -> None:
    """A Retry-After of hours, as a proxy may send it, is cut to five minutes."""
    polite = Polite()
    polite.pace.settle(polite.turn(), limited(86400))
    assert polite.hold().seconds == 300


def test_customers_do_not_spend_the_shops_limit() -> None:
    """A 429 to a customer's token, which anybody may bring about, holds back nobody else."""
    polite = Polite()
    polite.pace.settle(polite.turn(customer=True), limited(60))
    polite.pace.settle(polite.turn(), limited(60))
    polite.turn(customer=True)
    polite.hold()


# --- the breaker -------------------------------------------------------------------------------


def test_the_breaker_opens_and_lets_one_through() -> None:
    """After five failures in a row calls fail at once; later one tries, and closes it."""
    polite = Polite()
    polite.fail(4)
    polite.answered(polite.turn())
    polite.fail(5)
    hold = polite.hold()
    assert (hold.reason, hold.seconds, hold.failures) == (Reason.FAILING, 1, 5)
    polite.clock.now += 1
    trial = polite.turn()
    assert trial.is_trial
    assert polite.hold(patient=True).seconds == float("inf")
    assert polite.hold(customer=True).reason is Reason.FAILING
    polite.answered(trial)
    assert not polite.turn().is_trial


def test_pauses_grow_to_a_minute_with_full_jitter() -> None:
    """Each failed trial doubles the longest pause, up to 60 s; chance takes a part of it."""
    polite = Polite()
    polite.fail(5)
    pauses = []
    for jitter in (1.0, 1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0):
        pauses.append(polite.hold().seconds)
        polite.clock.now += pauses[-1]
        polite.jitter = jitter
        trial = polite.turn()
        polite.failed(trial)
        if jitter == 0.0:  # at once
            polite.jitter = 1.0
            polite.failed(polite.turn())
    assert pauses == [1, 2, 4, 4, 32, 60, 60, 60]
    polite.clock.now += 60
    polite.answered(polite.turn())
    polite.fail(5)
    assert polite.hold().seconds == 1


@pytest.mark.parametrize("kind", [PolarUnauthorized, PolarNotFound, PolarRateLimited])
def test_refusals_are_answers(kind: type[PolarError]) -> None:
    """A 401, a 404 and a 429 show that Polar is there."""
    polite = Polite()
    polite.fail(4)
    polite.pace.settle(polite.turn(), failure(kind))
    polite.clock.now += 60
    polite.fail(4)
    polite.turn()


def test_calls_sent_before_it_opened() -> None:
    """Stragglers that fail change nothing; one that succeeds closes the breaker."""
    polite = Polite()
    stragglers = [polite.turn() for _ in range(8)]
    for straggler in stragglers[:7]:
        polite.failed(straggler)
    assert polite.hold().failures == 5
    polite.answered(stragglers[7])
    polite.turn()


def test_an_interrupted_trial_is_given_back() -> None:
    """A trial whose caller was interrupted does not keep the breaker open for ever."""
    polite = Polite()
    polite.fail(5)
    polite.clock.now += 1
    polite.pace.abandon(polite.turn())
    assert polite.turn().is_trial


def test_changes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The breaker's opening and closing are one line each, however many calls fail."""
    caplog.set_level(logging.INFO, "storefront")
    polite = Polite()
    for _ in range(2):
        polite.fail(5)
        for _ in range(3):
            polite.clock.now += 60
            polite.failed(polite.turn())
        polite.clock.now += 60
        polite.answered(polite.turn())
    lines = [record.message for record in caplog.records]
    assert [line.split(";")[0] for line in lines] == [
        "Polar failed 5 times in a row",
        "Polar answers again.",
    ] * 2


# --- a new token -------------------------------------------------------------------------------


def test_a_new_token_is_shown_alone() -> None:
    """The first patient call goes alone until it is answered; a page is not kept waiting."""
    polite = Polite(known=False)
    first = polite.turn(patient=True)
    assert first.is_first
    assert polite.hold(patient=True).reason is Reason.UNKNOWN_TOKEN
    polite.failed(first)
    second = polite.turn(patient=True)
    polite.hold(patient=True)
    polite.turn()
    polite.answered(second)
    polite.turn(patient=True)
    polite.turn(patient=True)


@pytest.mark.parametrize("kind", [PolarUnauthorized, PolarRateLimited, PolarUnavailable])
def test_what_does_not_make_a_token_known(kind: type[PolarError]) -> None:
    """A token that was refused, or not looked at, is as new as before."""
    polite = Polite(known=False)
    polite.pace.settle(polite.turn(patient=True), failure(kind))
    polite.clock.now += 60
    assert polite.turn(patient=True).is_first


# --- waiting -----------------------------------------------------------------------------------


def test_waiting_ends_with_the_turn_and_with_patience() -> None:
    """A patient call waits for what others find out, and no longer than its patience."""
    pace = Pace(500, 0.8)
    first = pace.ask(patient=True)
    assert isinstance(first, Turn)
    threading.Timer(0.1, pace.settle, (first, None)).start()
    assert isinstance(pace.wait(Patience(30)), Turn)
    turn = pace.ask(patient=True)
    assert isinstance(turn, Turn)
    pace.settle(turn, limited(20))
    started = time.monotonic()
    assert isinstance(pace.wait(Patience(5)), Hold)
    assert time.monotonic() - started < 4, "it waited, although its turn comes too late"


def test_waiting_ends_when_nobody_wants_the_answer() -> None:
    """A call that waits for minutes gives up as soon as it is told to."""
    pace = Pace(500, 0.8)
    turn = pace.ask(patient=False)
    assert isinstance(turn, Turn)
    pace.settle(turn, limited(60))
    patience = Patience(600)
    threading.Timer(0.1, pace.give_up, (patience,)).start()
    started = time.monotonic()
    assert isinstance(pace.wait(patience), Hold)
    assert time.monotonic() - started < 30
    assert not patience.rest(0.001)


def test_a_fork_while_the_pace_is_taken() -> None:
    """A child gets turns, though threads of the parent held the lock and a turn at the fork."""
    pace = Pace(500, 0.8)
    assert isinstance(pace.ask(patient=True), Turn)
    with pace._changed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of newer Pythons: there are threads
            child = os.fork()
        if child == 0:
            signal_free = threading.Event()

            def ask() -> None:
                if isinstance(pace.ask(patient=True), Turn):
                    signal_free.set()

            threading.Thread(target=ask, daemon=True).start()
            os._exit(0 if signal_free.wait(20) else 1)
    assert os.waitpid(child, 0)[1] == 0


# --- over HTTP ---------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream(sends(EMPTY)) as running:
        yield running


@pytest.fixture
def make_client(server: Upstream) -> Iterator[Callable[[], Client]]:
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(Server.custom(server.url), TOKEN, timeout=5))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.parametrize(
    "bytes_sent",
    [
        answer(b"Oh", 503),
        answer(b"<html>Log in to the network</html>"),
        answer(b'{"items": ['),
        b"nothing like HTTP\r\n\r\n",
        answer(b"", 307, [("Location", "/elsewhere")]),
    ],
)
def test_failing_at_once_over_http(
    server: Upstream, make_client: Callable[[], Client], bytes_sent: bytes
) -> None:
    """Five bad answers of any kind, and nothing more is sent; the error says so, and no token."""
    server.behave = sends(bytes_sent)
    client = make_client()
    client._transport.pace._jitter = lambda: 1.0
    for _ in range(5):
        with pytest.raises(PolarUnavailable) as sent:
            client.products.list()
    with pytest.raises(PolarUnavailable, match="Polar failed 5 times in a row") as caught:
        client.orders.get(PRODUCT_ID)
    assert sent.value.sent
    assert not caught.value.sent
    assert "GET /v1/orders/" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(server.requests) == 5


def test_a_429_over_http(server: Upstream, make_client: Callable[[], Client]) -> None:
    """After a 429 a page's call is not sent; the error tells how long that will be so."""
    server.behave = sends(answer(b"", 429, [("Retry-After", "7")]))
    client = make_client()
    with pytest.raises(PolarRateLimited) as first:
        client.products.list()
    with pytest.raises(PolarRateLimited, match="next try may be in 7 seconds") as second:
        client.checkout_links.list()
    assert (first.value.retry_after, first.value.status) == (7, 429)
    assert 6 < second.value.retry_after <= 7
    assert not second.value.sent
    assert len(server.requests) == 1


def test_a_patient_call_waits_out_a_429(
    server: Upstream, make_client: Callable[[], Client]
) -> None:
    """A patient client waits as long as a 429 told another call to, and no visitor's call does."""
    server.behave = sends(answer(b"", 429, [("Retry-After", "1")]))
    client = make_client()
    started = time.monotonic()
    with pytest.raises(PolarRateLimited):
        client.products.list()
    server.behave = sends(EMPTY)
    with client.patiently(30) as patient:
        patient.products.list()
    assert time.monotonic() - started > 0.9
    assert not client.rest(0.01)


def test_patience_is_for_all_calls_together(
    server: Upstream, make_client: Callable[[], Client]
) -> None:
    """A patient client's calls take no longer altogether than it was given."""

    def hangs(connection: socket.socket, request: Request, over: threading.Event) -> None:
        over.wait(30)

    server.behave = hangs
    started = time.monotonic()
    with make_client().patiently(0.3) as patient:
        with pytest.raises(PolarUnavailable):
            patient.products.list()
        with pytest.raises(PolarUnavailable, match="no time left"):
            patient.products.list()
    assert time.monotonic() - started < 4


def test_the_first_of_many_threads_goes_alone(
    server: Upstream, make_client: Callable[[], Client]
) -> None:
    """Eight threads with a new token: one request is answered before the others are sent."""
    at_once: list[int] = []
    lock = threading.Lock()
    running = 0

    def counts(connection: socket.socket, request: Request, over: threading.Event) -> None:
        nonlocal running
        with lock:
            running += 1
            at_once.append(running)
        over.wait(0.1)
        with lock:
            running -= 1
        connection.sendall(EMPTY)

    server.behave = counts
    with make_client().patiently(30) as patient:
        threads = [threading.Thread(target=patient.products.list) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(at_once) == 8
    assert at_once[:2] == [1, 1]
    assert max(at_once) > 2


def test_recovery(reference_polar: LocalPolar, caplog: pytest.LogCaptureFixture) -> None:
    """A patient call gets through to a Polar that comes back; then pages do at once."""
    caplog.set_level(logging.INFO, "storefront")
    client = Client(Server.custom(reference_polar.url), next(iter(reference_polar.tokens)))
    reference_polar.faults.set("status", 503, times=6)
    for _ in range(5):
        with pytest.raises(PolarUnavailable):
            client.products.list()
    with client.patiently(30) as patient:
        with pytest.raises(PolarUnavailable):
            patient.products.list()
        assert patient.products.list().total_count > 0
    assert client.products.list().total_count > 0
    assert "Polar answers again." in caplog.text
    assert caplog.text.count("times in a row") == 1
    client.close()
