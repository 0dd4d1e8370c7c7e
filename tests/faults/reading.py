"""R5: no torn, mixed or shrunk catalogue is ever read, and nothing that is for sale is missed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

from storefront import CatalogUnavailable
from storefront.errors import PolarError
from storefront.state import get_state
from tests.faults.harness import Figure, Site, Upstream, link, polar, product, seed
from tests.faults.site import create_app

_PRODUCTS = 150
_LINKS = 500
#: A reader must not become a writer, however old what it reads is.
_NEVER = {"STOREFRONT_CATALOG_TTL_SECONDS": "1000000", "STOREFRONT_SYNC_ON_START": "false"}


def torn_reads(
    folder: Path,
    *,
    reads: int,
    kills: int,
    name: str = "files and SQLite",
    machines: int = 1,
    settings: Mapping[str, str] | None = None,
    redis_url: str | None = None,
) -> Figure:
    """Two writers sync one catalogue after another and are killed at random; two readers read."""
    chance = random.Random(1)  # noqa: S311
    ends = Counter[str]()
    with polar(seed(_PRODUCTS)) as upstream, ExitStack() as running:
        sites = [
            Site(
                folder / f"machine-{number}",
                upstream,
                redis_url=redis_url,
                settings={**_NEVER, **(settings or {})},
            )
            for number in range(machines)
        ]
        for site in sites:
            site.flask("db", "upgrade")
        writers = [_python(running, sites[number % machines], "writer") for number in range(2)]
        usual = median(_sync(writers, upstream, number)[1] for number in range(1, 4))
        readers = [
            _python(running, sites[number % machines], "reader", str(reads // 2), str(_PRODUCTS))
            for number in range(2)
        ]
        for reader in readers:
            _line(reader)
        generation = 3
        while ends["-9"] < kills:
            generation += 1
            # Some are late and kill nobody; each fifth round is left in peace, so that the
            # catalogue goes on changing.
            deadly = [chance.uniform(0, usual * 1.5) for _ in writers] if generation % 5 else []
            ends.update(_sync(writers, upstream, generation, deadly)[0])
        generation += 1
        ends.update(_sync(writers, upstream, generation)[0])
        time.sleep(2)  # readers look once a second
        found = Counter[str]()
        for reader in readers:
            printed, _ = reader.communicate("over\n", timeout=600)
            assert reader.returncode == 0, sites[0].folder / "log.txt"
            found.update(json.loads(printed))
    read, versions = found.pop("reads"), found.pop("versions")
    what = ", ".join(f"{count} {kind}" for kind, count in found.items()) or "0"
    return Figure(
        f"{name}: {what} torn, mixed, shrunk, older or absent in {read:,} reads of "
        f"{versions} versions, {ends['-9']} writers killed amid {generation} catalogues "
        f"({ends['0']} ended well)",
        f"0 in 1,000,000 reads, {kills:,} kills",
        not found and read >= reads and versions >= 2 and set(ends) <= {"0", "-9"},
    )


def _python(running: ExitStack, site: Site, module: str, *arguments: str) -> subprocess.Popen[str]:
    log = running.enter_context((site.folder / "log.txt").open("a"))
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.faults.{module}", *arguments],
        cwd=site.folder,
        env=site.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    running.enter_context(process)
    running.callback(process.kill)
    return process


def _sync(
    writers: list[subprocess.Popen[str]],
    upstream: Upstream,
    generation: int,
    deadly: Sequence[float] = (),
) -> tuple[list[str], float]:
    """Let all writers read one generation of the catalogue, and kill them after so many seconds.

    How each ended, and the seconds that it took. The catalogue upstream changes only between two
    such rounds: nobody could read it whole otherwise.
    """
    upstream.set_generation(generation)
    started = time.monotonic()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("sync\n")
        writer.stdin.flush()
    pids = [int(_line(writer)) for writer in writers]
    for seconds, pid in sorted(zip(deadly, pids, strict=False)):
        time.sleep(max(0.0, started + seconds - time.monotonic()))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [_line(writer) for writer in writers], time.monotonic() - started


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "a writer or reader is gone"
    return line


class _Merchant:
    """Somebody who makes and deletes links, and makes and archives products, without a pause."""

    def __init__(self, upstream: Upstream, pause: float) -> None:
        self._upstream = upstream
        self._pause = pause
        self._over = threading.Event()
        self._number = 100_000
        self.changes = 0
        #: The ids of what was made so far.
        self.made: list[str] = []
        self._random = random.Random(2)  # noqa: S311
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> _Merchant:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def live(self) -> set[str]:
        """The ids of all that there is to read at this moment."""
        store = self._upstream.store
        with store.lock:
            return {*store.products, *(item["id"] for item in store.live_links())}

    def _work(self) -> None:
        while not self._over.wait(self._pause):
            with self._upstream.store.lock:
                self._change()
            self.changes += 1

    def _change(self) -> None:
        """One change; as much goes as comes, so that the pages of the lists keep shifting."""
        store = self._upstream.store
        self._number += 1
        moment = store.now().isoformat().replace("+00:00", "Z")
        if self.changes % 4:
            sold = self._random.choice(list(store.products.values()))
            made = {**link(self._number, sold), "created_at": moment}
            self.made.append(made["id"])
            store.put_link(made)
            if len(store.links) > _LINKS:
                store.remove_link(self._random.choice(list(store.links)))
        else:
            made = {**product(self._number), "created_at": moment}
            self.made.append(made["id"])
            store.put_product(made)
            gone = self._random.choice(list(store.products))
            store.take_off_links(gone)
            del store.products[gone]


def concurrent_changes(folder: Path, *, syncs: int, products: int = 350) -> Figure:
    """Links and products come and go while they are read: is any missed that was always there?"""
    missed, ghosts, failed, longest = 0, 0, 0, 0.0
    with polar(seed(products)) as upstream:
        site = Site(folder, upstream)
        os.environ["SITE_FOLDER"] = str(site.instance)
        with _Merchant(upstream, pause=0.003) as merchant:
            for _ in range(syncs):
                # A new one each time, with the whole of Polar's limit before it.
                app = create_app(
                    STOREFRONT_SYNC_ON_START=False,
                    POLAR_SERVER=upstream.url,
                    POLAR_ACCESS_TOKEN=upstream.token,
                )
                store = get_state(app).catalog
                made, started = len(merchant.made), time.monotonic()
                before = merchant.live()
                try:
                    store.sync()
                except (PolarError, CatalogUnavailable):
                    failed += 1
                    continue
                longest = max(longest, time.monotonic() - started)
                after, snapshot = merchant.live(), store.snapshot()
                assert snapshot is not None
                read = {*snapshot.product_records, *snapshot.link_records}
                missed += len(before & after - read)
                ghosts += len(read - before - set(merchant.made[made:]))
            changes = merchant.changes
    return Figure(
        f"{missed} missed and {ghosts} made up in {syncs - failed} syncs during "
        f"{changes:,} changes upstream; {failed} gave up, the longest took {longest:.1f} s",
        "0 missed in 300 syncs",
        missed == 0 and ghosts == 0 and failed == 0,
    )
