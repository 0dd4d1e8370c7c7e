"""A fork waits for what must not be under way meanwhile, in a process of its own each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storefront.catalog.leases import Taken, Turns
from storefront.emulator import LocalPolar

_BEGIN = """
import os, sys, threading, time
from pathlib import Path
import sqlalchemy as sa
from storefront.database import Database
from storefront.database.tables import schema
from storefront.forking import GATE

database = Database(None, Path(sys.argv[1]))

def write():
    with database.writing() as connection:
        connection.execute(schema.update().values(version=1))

def child_ends(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def _run(script: str, folder: Path) -> str:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _BEGIN + script]
    done = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_process_that_was_forked_amid_a_transaction_writes(tmp_path: Path) -> None:
    """The fork waits for the transaction of another thread, and the new process can write at
    once."""
    script = """
write()
inside = threading.Event()

def linger():
    with database.writing() as connection:
        connection.execute(schema.update().values(version=1))
        inside.set()
        time.sleep(0.5)

threading.Thread(target=linger).start()
inside.wait()
pid = os.fork()
if pid == 0:
    started = time.monotonic()
    write()
    print(f"{time.monotonic() - started < 5}", flush=True)
    os._exit(0)
print(child_ends(pid))
write()
"""
    assert _run(script, tmp_path).split() == ["True", "0"]


def test_no_connection_is_carried_into_another_process(tmp_path: Path) -> None:
    """Of a database that was used, a new process has no file open."""
    script = """
write()
pid = os.fork()
if pid == 0:
    found = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
             if os.path.islink(f"/proc/self/fd/{fd}")]
    print([name for name in found if ".db" in name], flush=True)
    os._exit(0)
print(child_ends(pid))
"""
    assert _run(script, tmp_path).split() == ["[]", "0"]


def test_threads_of_a_new_process_share_one_engine(tmp_path: Path) -> None:
    """However many threads use a database at once that another process had, it is opened once."""
    script = """
from concurrent.futures import ThreadPoolExecutor
write()
pid = os.fork()
if pid == 0:
    sys.setswitchinterval(1e-6)
    together = threading.Barrier(8)
    def use(_):
        together.wait()
        return database.within(20, database._current_engine)
    with ThreadPoolExecutor(8) as pool:
        print(len(set(pool.map(use, range(8)))), flush=True)
    write()
    os._exit(0)
print(child_ends(pid))
"""
    assert _run(script, tmp_path).split() == ["1", "0"]


def test_threads_of_a_new_process_start_one_watcher(tmp_path: Path) -> None:
    """However many threads wake a queue at once that another process had, one thread looks."""
    script = """
from concurrent.futures import ThreadPoolExecutor
from storefront.work import WorkQueue
write()
queues = [WorkQueue(database, shop="s") for _ in range(40)]
pid = os.fork()
if pid == 0:
    sys.setswitchinterval(1e-6)
    together = threading.Barrier(8)
    def wake(_):
        for queue in queues:
            together.wait()
            queue.wake()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(wake, range(8)))
    names = [thread.name for thread in threading.enumerate()]
    print(names.count("storefront-work"), flush=True)
    os._exit(0)
print(child_ends(pid))
"""
    assert _run(script, tmp_path).split() == ["40", "0"]


def test_calls_of_a_new_process_all_have_a_deadline(tmp_path: Path) -> None:
    """However many threads call Polar at once by what another process had, each call ends."""
    script = """
from concurrent.futures import ThreadPoolExecutor
from storefront.polar import Client, Server
clients = [Client(Server.local(1), None) for _ in range(40)]
pid = os.fork()
if pid == 0:
    sys.setswitchinterval(1e-6)
    together = threading.Barrier(8)
    def call(_):
        watches = []
        for client in clients:
            together.wait()
            session = client._transport._borrow()
            watches.append((session, session.wires.watch(0.05)))
        return watches
    with ThreadPoolExecutor(8) as pool:
        watches = [watch for found in pool.map(call, range(8)) for _, watch in found]
    give_up = time.monotonic() + 10
    while not all(watch.expired for watch in watches) and time.monotonic() < give_up:
        time.sleep(0.02)
    print(len(watches), sum(watch.expired for watch in watches), flush=True)
    os._exit(0)
print(child_ends(pid))
"""
    assert _run(script, tmp_path).split() == ["320", "320", "0"]


def test_who_forks_within_is_not_waited_for(tmp_path: Path) -> None:
    """A fork inside of a transaction of one's own happens, and what comes after it works."""
    script = """
with database.writing() as connection:
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    print(time.monotonic() - started < 5, child_ends(pid))
with GATE.passed(), GATE.passed():
    pass
pid = os.fork()
if pid == 0:
    with GATE.passed():
        os._exit(0)
print(child_ends(pid))
"""
    assert _run(script, tmp_path).split() == ["True", "0", "0"]


def test_a_turn_ends_though_a_copy_is_open(tmp_path: Path) -> None:
    """A process that was forked amid a turn, and knows nothing of it, does not keep it."""
    mine, others = Turns(tmp_path / "turns", []), Turns(tmp_path / "turns", [])
    with mine.turn():
        assert mine._fd is not None
        copy = os.dup(mine._fd)  # as a forked process has one
        with pytest.raises(Taken), others.turn():
            raise AssertionError("not reached")
    try:
        with others.turn() as turn:
            assert not turn.is_lost
    finally:
        os.close(copy)


def test_a_process_that_was_forked_amid_an_import_imports(
    tmp_path: Path, reference_polar: LocalPolar
) -> None:
    """What a site imports in threads as it starts can be imported in a process that was forked at
    that moment."""
    token = next(iter(reference_polar.tokens))
    script = f"""
import importlib, queue, signal
from flask import Flask
from storefront import Storefront

asked = queue.SimpleQueue()
main = threading.get_ident()

class Slowly:
    def find_spec(self, name, path=None, target=None):
        if threading.get_ident() != main:
            asked.put(name)
            time.sleep(0.1)

sys.meta_path.insert(0, Slowly())
app = Flask("site", instance_path=sys.argv[1])
app.config.update(
    SECRET_KEY="a key", POLAR_SERVER={reference_polar.url!r}, POLAR_ACCESS_TOKEN={token!r}
)
Storefront(app)
names = []
while "storefront.catalog.walk" not in names:
    names.append(asked.get(timeout=20))
    while not asked.empty():
        names.append(asked.get())
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        importlib.import_module(names[-1])
        os._exit(0)
    print(names[-1], child_ends(pid))
"""
    lines = _run(script, tmp_path).splitlines()
    assert [line for line in lines if not line.endswith(" 0")] == []
    assert len(lines) > 1
