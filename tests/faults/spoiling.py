"""R1: whatever becomes of the places where the catalogue is kept, pages are answered.

One place at a time is emptied, stopped, frozen or filled with rubbish, while Polar is away and
the workers are killed: what a page shows must come from another place. Afterwards all is well
again, and what has changed upstream is shown.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.demo_processes import wait_until
from tests.faults.harness import Figure, Site, polar, seed, visit
from tests.services import PostgreSQLServer, RedisServer

#: What may be found where the catalogue should be: nothing, a pickle, zeros, deep or half a JSON.
RUBBISH: Final = (b"", b"\x80\x04cos\nsystem\n", b"\x00" * 4096, b'{"a": [' * 20_000, b'{"read_at"')
_SETTINGS: Final = {"STOREFRONT_CATALOG_TTL_SECONDS": "1"}

#: Something that befalls the machines of a site; between two of these its workers are killed.
Blow = Callable[[Sequence[Site]], None]


def spoiled(
    folder: Path,
    name: str,
    blows: Mapping[str, Blow],
    *,
    pause: float,
    only: Collection[str] = (),
    machines: int = 1,
    settings: Mapping[str, str] | None = None,
    redis_url: str | None = None,
) -> Figure:
    """Visitors look at all pages while one blow follows another, each with new workers after it.

    `pause` is how long visitors stay after each, in seconds; `only` names some of the blows.
    """
    blows = {what: blow for what, blow in blows.items() if what in only or not only}
    unwell = []
    with polar(seed(20)) as upstream, ExitStack() as running:
        sites = [
            Site(
                folder / f"machine-{number}",
                upstream,
                redis_url=redis_url,
                settings={**_SETTINGS, **(settings or {})},
            )
            for number in range(machines)
        ]
        for site in sites:
            site.flask("db", "upgrade")
            running.enter_context(site.running())
            site.warm_up()
        time.sleep(2)

        failed, total = 0, 0
        for generation, (what, blow) in enumerate(blows.items(), 1):
            upstream.faults.set("reset")

            def befall(blow: Blow = blow) -> None:
                blow(sites)
                time.sleep(pause)
                for site in sites:
                    site.kill_workers()
                time.sleep(pause)

            load = visit(sites, sites[0].pages, requests=100, during=befall)
            failed, total = failed + load.bad, total + load.answers
            if load.bad or load.wrong:
                unwell.append(f"{what}: {load}")
            upstream.set_generation(generation)
            upstream.faults.clear()
            if not _shows(sites, f"$10.{generation:02d}"):
                unwell.append(f"{what}: no refresh afterwards")
    return Figure(
        f"{name}: {failed} failed of {total:,} pages while it was "
        f"{', '.join(blows)}; {'; '.join(unwell) or 'well again each time'}",
        "0 failed pages",
        not unwell,
    )


def _shows(sites: Sequence[Site], price: str) -> bool:
    """Whether all machines come to show that price, in a minute at the most."""

    def is_shown() -> bool:
        pages = [site.get("/shop/").text for site in sites]
        return all(price in page for page in pages)

    try:
        wait_until(is_shown, 60, price)
    except AssertionError:
        return False
    return True


def cache_files(folder: Path, *, pause: float) -> Figure:
    """The files in the instance folder that carry the catalogue from worker to worker."""

    def fill(sites: Sequence[Site]) -> None:
        for site in sites:
            files = [f for f in (site.instance / "storefront-cache").rglob("*") if f.is_file()]
            assert files
            for number, file in enumerate(files):
                file.write_bytes(RUBBISH[number % len(RUBBISH)])

    def delete(sites: Sequence[Site]) -> None:
        for site in sites:
            # Away at once, for the site goes on writing.
            gone = (site.instance / "storefront-cache").rename(site.folder / "gone")
            shutil.rmtree(gone)

    blows = {"filled with rubbish": fill, "deleted": delete}
    return spoiled(folder, "cache files", blows, pause=pause)


def _database_files(sites: Sequence[Site]) -> list[Path]:
    """SQLite's files: the databases, and what has not come into them yet."""
    return [path for site in sites for path in site.instance.glob("*.db*") if path.is_file()]


def sqlite_file(folder: Path, *, pause: float) -> Figure:
    """The site's own database files."""

    def corrupt(sites: Sequence[Site]) -> None:
        for path in _database_files(sites):
            with path.open("r+b") as file:
                for offset in range(0, file.seek(0, 2), 512):
                    file.seek(offset + 100)
                    file.write(b"\xff" * 64)

    def delete(sites: Sequence[Site]) -> None:
        for path in _database_files(sites):
            path.unlink(missing_ok=True)

    def replace(sites: Sequence[Site]) -> None:
        # Not even root can open a folder as a database.
        for path in _database_files(sites):
            path.unlink(missing_ok=True)
            if path.suffix == ".db":
                path.mkdir()

    blows = {"corrupted": corrupt, "deleted": delete, "unreadable": replace}
    return spoiled(folder, "SQLite", blows, pause=pause)


def redis_server(
    folder: Path, server: RedisServer, *, pause: float, only: Collection[str] = ()
) -> Figure:
    """A Redis that two machines share."""

    def flush(sites: Sequence[Site]) -> None:
        server.flush()

    def fill(sites: Sequence[Site]) -> None:
        import redis

        with redis.Redis.from_url(server.url, socket_timeout=5) as client:
            keys = list(client.scan_iter())
            assert keys
            for number, key in enumerate(keys):
                client.set(key, RUBBISH[number % len(RUBBISH)])

    def freeze(sites: Sequence[Site]) -> None:
        server.start()
        server.freeze()

    def stop(sites: Sequence[Site]) -> None:
        server.stop()

    def restart(sites: Sequence[Site]) -> None:
        server.start()

    blows = {
        "emptied": flush,
        "filled with rubbish": fill,
        "stopped": stop,
        "started again": restart,
        "frozen": freeze,
    }
    return spoiled(folder, "Redis", blows, pause=pause, only=only, machines=2, redis_url=server.url)


def postgresql_server(
    folder: Path, server: PostgreSQLServer, *, pause: float, only: Collection[str] = ()
) -> Figure:
    """A PostgreSQL that two machines share."""

    def stop(sites: Sequence[Site]) -> None:
        server.stop()

    def restart(sites: Sequence[Site]) -> None:
        server.start()

    def kill(sites: Sequence[Site]) -> None:
        server.kill()

    def freeze(sites: Sequence[Site]) -> None:
        server.start()
        server.freeze()

    blows = {"stopped": stop, "started again": restart, "killed": kill, "frozen": freeze}
    settings = {"STOREFRONT_DATABASE_URL": server.create_database()}
    return spoiled(
        folder, "PostgreSQL", blows, pause=pause, only=only, machines=2, settings=settings
    )
