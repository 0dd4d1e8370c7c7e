"""Work is done once, after the transaction that asks for it, whatever ends in between."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from storefront.database import Database
from storefront.database.tables import jobs, leases
from storefront.secret import Secret
from storefront.work import Job, Postpone, WorkQueue
from storefront.work.job import scrubbed
from tests.starved import no_more_threads

#: How the names of a queue's threads begin, and of those that ask the database for it. A catalogue
#: of another test may have threads too.
THREADS = tuple(f"storefront-{what}" for what in ("work", "note", "second", "slow", "aside"))
#: What a site writes in the transaction that it is handed.
effects = sa.Table("effects", sa.MetaData(), sa.Column("key", sa.String(64)))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest) -> str:
    """Which database: the file in the folder, or a PostgreSQL."""
    if request.param == "sqlite":
        return ""
    plain: str = request.getfixturevalue("postgres_url")
    return plain.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def database(tmp_path: Path, url: str) -> Iterator[Database]:
    """A database, with a table of the site's own."""
    before = set(threading.enumerate())
    made = Database(Secret(url) if url else None, tmp_path)
    made.upgrade()
    with made.writing() as connection:
        effects.create(connection)
    yield made
    # A connection that a thread still has would not be closed with the others.
    eventually(lambda: threads(but=before) <= {"storefront-work-life"})
    made.for_short_writes().close()
    made.close()


def make(database: Database, **options: Any) -> WorkQueue:
    """A queue that ends its threads when nothing is left."""
    return WorkQueue(database, shop="s", **{"stays": False, **options})


def add(queue: WorkQueue, database: Database, *keys: str, **options: Any) -> list[bool]:
    """Add jobs of the kind ``note`` in one transaction."""
    with database.writing() as connection:
        return [queue.add(connection, "note", key, {"n": 1}, **options) for key in keys]


def noted(database: Database) -> list[str]:
    """What was written, in order."""
    with database.reading() as connection:
        return list(connection.scalars(sa.select(effects.c.key)))


def note(job: Job) -> None:
    """Write the key through the job's transaction."""
    job.connection.execute(effects.insert().values(key=job.key))


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it is so."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.02)


def threads(but: set[threading.Thread]) -> set[str]:
    """The names of the queue's threads that run, but for those that ran before."""
    names = {thread.name for thread in set(threading.enumerate()) - but}
    return {name for name in names if name.startswith(THREADS)}


def test_work_is_done_after_the_transaction_that_adds_it(database: Database) -> None:
    """A thread does it, with what it was added with; then its row and the threads are gone."""
    before = set(threading.enumerate())
    queue = make(database)
    seen: list[tuple[str, str, int, dict[str, Any]]] = []

    def handle(job: Job) -> None:
        seen.append((job.kind, job.key, job.attempt, job.payload))
        note(job)

    queue.register("note", handle)
    assert add(queue, database, "a") == [True]
    assert noted(database) == []
    queue.wake()
    eventually(lambda: noted(database) == ["a"])
    assert seen == [("note", "a", 1, {"n": 1})]
    eventually(lambda: queue.waiting() == [])
    eventually(lambda: "storefront-work" not in threads(but=before))
    add(queue, database, "b")
    queue.wake()
    eventually(lambda: noted(database) == ["a", "b"])


def test_work_of_a_transaction_that_is_undone_is_not_done(database: Database) -> None:
    """It goes with the transaction."""
    queue = make(database)
    queue.register("note", note)
    with contextlib.suppress(KeyError), database.writing() as connection:
        queue.add(connection, "note", "a", {})
        raise KeyError
    assert queue.run_due() == 0


def test_there_is_one_job_for_a_key(database: Database) -> None:
    """Added again it is the same job, brought forward; of another shop or kind it is another."""
    queue, other = make(database), WorkQueue(database, shop="t", stays=False)
    queue.register("note", note)
    assert add(queue, database, "a", after_seconds=3600) == [True]
    assert queue.run_due() == 0
    assert add(queue, database, "a") == [False]
    assert add(other, database, "a") == [True]
    with database.writing() as connection:
        assert queue.add(connection, "other", "a", {})
    assert queue.run_due() == 1
    assert noted(database) == ["a"]
    assert [job.kind for job in queue.waiting()] == ["other"]


@pytest.mark.usefixtures("longest_pauses")
def test_a_failure_undoes_and_is_tried_again(database: Database, caplog: Any) -> None:
    """What a failed attempt wrote is gone; the next one is the second; nothing private is kept."""
    queue = make(database)
    attempts: list[int] = []

    def fail(job: Job) -> None:
        attempts.append(job.attempt)
        note(job)
        if job.attempt < 3:
            raise ValueError("no mail to jane@example.com with polar_oat_secret")

    queue.register("note", fail)
    add(queue, database, "a")
    for number in (1, 2):
        assert queue.run_due() == 1
        (waiting,) = queue.waiting()
        assert waiting.attempts == number
        assert waiting.last_error == "ValueError: no mail to … with …"
        assert noted(database) == []
        assert queue.retry("note", "a")
        with database.writing() as connection:
            connection.execute(jobs.update().values(attempts=number))
    assert queue.run_due() == 1
    assert (attempts, noted(database), queue.waiting()) == ([1, 2, 3], ["a"], [])
    assert "jane" not in caplog.text
    assert "ValueError" in caplog.text


def test_what_is_private_is_found_in_a_long_text() -> None:
    """What a site's function raises may hold a whole file; no other thread waits for the search."""
    blob = "QUJD" * 25_000
    began = time.process_time()
    kept = scrubbed(f"{blob} jane.doe+x@example.com polar_oat_{'x' * 40} {blob}")
    assert time.process_time() - began < 3
    assert kept == f"{blob} … … {blob}"


def test_pauses_grow(database: Database) -> None:
    """After the first failure at most two seconds pass, after the tenth up to 17 minutes."""
    queue = make(database)

    def fail(job: Job) -> None:
        raise ValueError

    queue.register("note", fail)
    longest = []
    for attempts in (0, 9):
        add(queue, database, *map(str, range(40)))
        with database.writing() as connection:
            connection.execute(jobs.update().values(attempts=attempts))
        began = time.time()
        for claimed in queue._claim({"note": 40})[0]:
            queue._run(claimed)
        ended = time.time()
        due = max(job.due_at.timestamp() for job in queue.waiting() if job.due_at)
        longest.append((due - ended, due - began))
        with database.writing() as connection:
            connection.execute(jobs.delete())
    assert longest[0][0] <= 2
    assert longest[1][0] <= 1024
    assert longest[1][1] > 60


def test_what_is_never_parked_may_fail_without_end(database: Database) -> None:
    """After thousands of failures there is a pause as well."""
    queue = make(database)

    def fail(job: Job) -> None:
        raise ValueError

    queue.register("note", fail, attempts=sys.maxsize)
    add(queue, database, *map(str, range(5)))
    with database.writing() as connection:
        connection.execute(jobs.update().values(attempts=5000))
    for claimed in queue._claim({"note": 5})[0]:
        queue._run(claimed)
    assert max(job.due_at.timestamp() for job in queue.waiting() if job.due_at) > time.time() + 10


def test_after_the_last_attempt_it_is_parked(database: Database) -> None:
    """It is shown, and left alone, added again or not, until somebody says retry."""
    queue = make(database)
    works = threading.Event()

    def fail(job: Job) -> None:
        note(job)
        if not works.is_set():
            raise ValueError("broken")

    queue.register("note", fail, attempts=1)
    add(queue, database, "a")
    assert queue.run_due() == 1
    (parked,) = queue.waiting(parked=True)
    assert (parked.key, parked.due_at, parked.last_error) == ("a", None, "ValueError: broken")
    assert add(queue, database, "a") == [False]
    assert queue.run_due() == 0
    works.set()
    assert queue.retry("note", "a")
    assert not queue.retry("note", "b")
    assert queue.run_due() == 1
    assert (noted(database), queue.waiting()) == (["a"], [])


def test_a_postponed_job_loses_no_attempt(database: Database) -> None:
    """A handler that can't yet is asked again as for the first time, and what it wrote is gone."""
    queue = make(database)

    def later(job: Job) -> None:
        note(job)
        if len(seen) < 3:
            seen.append(job.attempt)
            raise Postpone(0, "Polar is away")

    seen: list[int] = []
    queue.register("note", later, attempts=1)
    add(queue, database, "a")
    assert queue.run_due() == 4
    assert (seen, noted(database)) == ([1, 1, 1], ["a"])


def test_a_job_can_be_done_again_and_again(database: Database) -> None:
    """One that sets ``repeat_after`` stays, committed each time."""
    queue = make(database)

    def repeat(job: Job) -> None:
        note(job)
        job.repeat_after = 0 if len(noted(database)) < 2 else 3600

    queue.register("note", repeat)
    add(queue, database, "a")
    assert queue.run_due() == 3
    assert noted(database) == ["a"] * 3
    (waiting,) = queue.waiting()
    assert waiting.attempts == 0


def test_what_is_asked_for_meanwhile_is_done_again(database: Database) -> None:
    """With ``again`` a job that runs is run once more, with the new payload; without it is not."""
    queue = make(database)
    seen: list[dict[str, Any]] = []

    def handle(job: Job) -> None:
        seen.append(job.payload)
        if len(seen) == 1:
            add(queue, database, "a")
            with database.writing() as connection:
                assert not queue.add(connection, "note", "a", {"n": 2}, again=True)

    queue.register("note", handle)
    add(queue, database, "a")
    assert queue.run_due() == 2
    assert seen == [{"n": 1}, {"n": 2}]
    assert queue.waiting() == []


def test_a_slow_job_stops_no_other(database: Database) -> None:
    """Kinds have threads of their own; a long one neither blocks others nor is done twice."""
    queue = make(database, lease_seconds=0.5)
    let_go, begun = threading.Event(), []

    def sleep(job: Job) -> None:
        begun.append(job.key)
        assert let_go.wait(30)

    queue.register("slow", sleep, at_once=2)
    queue.register("note", note)
    with database.writing() as connection:
        for key in "ab":
            queue.add(connection, "slow", key, {})
    queue.wake()
    eventually(lambda: len(begun) == 2)
    add(queue, database, "x")
    queue.wake()
    eventually(lambda: noted(database) == ["x"])
    other = make(database, lease_seconds=0.5)
    other.register("slow", sleep)
    give_up = time.monotonic() + 3
    while time.monotonic() < give_up:  # six times the lease
        assert other.run_due() == 0
        time.sleep(0.1)
    let_go.set()
    eventually(lambda: queue.waiting() == [])
    assert sorted(begun) == ["a", "b"]


def test_a_job_that_holds_the_transaction_keeps_nobody_from_the_inbox(database: Database) -> None:
    """While a job has written and goes on, others still write what must not wait."""
    queue, inbox = make(database), database.for_short_writes()
    began, let_go = threading.Event(), threading.Event()

    def hold(job: Job) -> None:
        note(job)
        began.set()
        assert let_go.wait(30)

    queue.register("note", hold)
    add(queue, database, "a")
    queue.wake()
    assert began.wait(10)
    start = time.monotonic()
    with inbox.writing() as connection:
        make(inbox).add(connection, "note", "b", {})
    assert time.monotonic() - start < 2
    let_go.set()
    eventually(lambda: "a" in noted(database))


def test_threads_end_with_their_queue(database: Database) -> None:
    """A queue that nobody has any more leaves no thread, also one that would stay."""
    before = set(threading.enumerate())
    queue = make(database, stays=True)
    queue.register("note", note)
    queue.wake()
    assert "storefront-work" in threads(but=before)
    del queue
    gc.collect()
    eventually(lambda: "storefront-work" not in threads(but=before))


CHILD = """
import os, sys, time
from pathlib import Path
from storefront.database import Database
from storefront.secret import Secret
from storefront.work import WorkQueue
import sqlalchemy as sa

url, folder, how = sys.argv[1:]
database = Database(Secret(url) if url else None, Path(folder))
queue = WorkQueue(database, shop="s", lease_seconds=3.0)

def handle(job):
    job.connection.execute(sa.text("INSERT INTO effects VALUES (:key)"), {"key": job.key})
    print(f"began {job.attempt}", flush=True)
    if how == "hang":
        time.sleep(60)

queue.register("note", handle)
if how == "fork":
    queue.wake()
    time.sleep(2)  # forked in the middle of an import, no process works
    if os.fork():
        os.wait()
        sys.exit()
queue.wake()
time.sleep(60)
"""


@contextlib.contextmanager
def child(folder: Path, how: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that does what is in the queue."""
    command = [sys.executable, "-c", CHILD, url, str(folder), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_another_process_takes_over_from_one_that_was_killed(
    database: Database, tmp_path: Path, url: str
) -> None:
    """Killed in the middle, what it wrote is gone; the next does it, once, as the second try."""
    queue = make(database)
    add(queue, database, "a")
    with child(tmp_path, "hang", url) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "began 1\n"
        first.kill()
    with child(tmp_path, "work", url) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == "began 2\n"
        eventually(lambda: noted(database) == ["a"])
        eventually(lambda: queue.waiting() == [])


def test_a_forked_process_works_as_well(database: Database, tmp_path: Path, url: str) -> None:
    """Threads do not survive a fork: the child starts its own."""
    queue = make(database)
    with child(tmp_path, "fork", url) as process:
        time.sleep(3)
        add(queue, database, "a")
        eventually(lambda: noted(database) == ["a"])
        assert process.poll() is None


def test_who_is_taken_for_dead_and_lives_writes_nothing(database: Database) -> None:
    """A process that was paused for long finds its job with another one, and undoes its own."""
    queue, other = make(database), make(database)
    ran: list[str] = []

    def paused(job: Job) -> None:
        ran.append("first")
        # As if this process had stood still: its lease is gone, and another takes the job.
        with database.for_short_writes().writing() as connection:
            connection.execute(leases.delete())
        other._life._beat_at, other._life._steady_since = time.time(), float("-inf")
        assert other.run_due() == 1
        note(job)

    queue.register("note", paused)
    other.register("note", lambda job: ran.append("second"))
    add(queue, database, "a")
    assert queue.run_due() == 1
    assert (ran, noted(database), queue.waiting()) == (["first", "second"], [], [])


def test_silence_of_all_is_no_death(database: Database) -> None:
    """After the database was away every lease is late; nobody is taken for dead at once."""
    queue, other = make(database, lease_seconds=1.0), make(database, lease_seconds=1.0)
    queue.register("note", note)
    add(queue, database, "a")
    (claimed,), _ = queue._claim({"note": 1})
    with database.for_short_writes().writing() as connection:
        connection.execute(leases.update().values(until=claimed_long_ago()))
    assert other._life.gone([claimed.holder]) == set()
    queue._run(claimed)
    assert noted(database) == ["a"]


@pytest.mark.parametrize("url", [""])
def test_what_was_claimed_is_done_though_the_lease_can_not_be_renewed(database: Database) -> None:
    """When claiming took long, and the lease's file fails just then, no job is left behind."""
    queue, inbox = make(database, lease_seconds=1.0), database.for_short_writes()
    queue.register("note", note)
    add(queue, database, "a")
    with ThreadPoolExecutor(1) as pool:
        with database.writing():  # whoever claims waits for it
            claiming = pool.submit(queue._claim, {"note": 1})
            eventually(lambda: queue._life._beat_at > 0)
            with inbox.writing() as connection:
                leases.drop(connection)
            eventually(lambda: time.time() - queue._life._beat_at > 0.5)
        (claimed,), _ = claiming.result()
    queue._run(claimed)
    assert (noted(database), queue.waiting(), queue._running) == (["a"], [], {})


def test_without_threads_nothing_is_lost(database: Database) -> None:
    """While the machine gives no threads, work waits and costs no attempt; then it is done."""
    queue, gate, attempts = make(database), threading.Event(), list[int]()

    def handle(job: Job) -> None:
        if job.key == "a":
            gate.wait(30)
        attempts.append(job.attempt)
        note(job)

    queue.register("note", handle)
    add(queue, database, "a")
    with no_more_threads():
        queue.wake()
    queue.wake()
    eventually(lambda: "a" not in idle(queue))
    with no_more_threads():
        add(queue, database, "b")
        queue.wake()
        eventually(lambda: any(each.last_error for each in queue.waiting()))
    gate.set()
    eventually(lambda: sorted(noted(database)) == ["a", "b"])
    assert attempts == [1, 1]


def idle(queue: WorkQueue) -> set[str]:
    """The keys of the jobs that nobody has begun."""
    return {each.key for each in queue.waiting() if not each.attempts}


def claimed_long_ago() -> Any:
    """A lease of an hour ago."""
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) - timedelta(hours=1)
