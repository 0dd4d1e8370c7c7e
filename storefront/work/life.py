"""The sign of life of a process that has work in hand: a lease, renewed while it lives.

Whoever holds work holds it for as long as its row in ``storefront_leases`` is there. A row past its
time may be deleted by any other process, and only that ends its claims: deleting and renewing can't
both succeed, so nobody is taken for dead who has just renewed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from uuid import uuid4

from storefront.database import Database
from storefront.errors import DatabaseUnavailable

logger = logging.getLogger("storefront")

_PREFIX = "work:"
#: Leases of processes that had nothing in hand when they ended.
_FORGET_AFTER = timedelta(days=1)


class SignOfLife:
    """This process's lease. Made anew in a process that was forked."""

    def __init__(self, database: Database, seconds: float) -> None:
        """``database`` is one where nobody writes for long. The lease lasts ``seconds``."""
        self._database = database
        self._seconds = seconds
        self._pause = seconds / 5
        self._lock = threading.Lock()
        self._beating = threading.Lock()
        self._in_hand = 0
        self._thread: threading.Thread | None = None
        self._beat_at = float("-inf")
        self._steady_since = float("inf")
        self._name = ""

    @property
    def name(self) -> str:
        """The name that it has now; empty before anything was in hand."""
        return self._name

    def begin(self) -> str:
        """Have something in hand, under the name that is given, until ``end``.

        :raises DatabaseUnavailable: when the database does not answer; then nothing is in hand.
        :raises RuntimeError: when the machine gives no more threads; then neither.
        """
        self._beat()
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._keep, name="storefront-work-life", daemon=True
                )
                thread.start()
                self._thread = thread
            self._in_hand += 1
            return self._name

    def begin_another(self) -> None:
        """Have one thing more in hand, while something is. Asks nobody, and never fails."""
        with self._lock:
            self._in_hand += 1

    def end(self) -> None:
        """Have it in hand no more."""
        with self._lock:
            self._in_hand -= 1

    def gone(self, names: Iterable[str]) -> set[str]:
        """Those of the names that hold nothing any more, because their process is dead.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        import sqlalchemy as sa

        from storefront.database.statements import now
        from storefront.database.tables import leases

        asked = {_PREFIX + name: name for name in names}
        with self._database.reading() as connection:
            found = connection.execute(
                sa.select(leases.c.name, leases.c.until).where(leases.c.name.in_(list(asked)))
            ).all()
            moment = now(connection)
        late = [row.name for row in found if row.until < moment]
        gone = {name for key, name in asked.items() if key not in {row.name for row in found}}
        if late:
            # While the database was away nobody could renew. Who has not itself renewed for a
            # while can't tell the others' silence from that.
            self._beat()
            if self._beat_at - self._steady_since >= 2 * self._pause:
                with self._database.writing() as connection:
                    for key in late:
                        condition = (leases.c.name == key) & (leases.c.until < now(connection))
                        if connection.execute(leases.delete().where(condition)).rowcount:
                            gone.add(asked[key])
        return gone

    def _beat(self) -> None:
        with self._beating:
            began = time.time()
            if 0 <= began - self._beat_at < self._pause / 2:
                return
            self._renew()
            ended = time.time()
            # A pause of this process's or the database's that is shorter ends nobody's lease.
            if not 0 <= ended - self._beat_at < self._seconds / 2:
                self._steady_since = ended
            self._beat_at = ended

    def _renew(self) -> None:
        from storefront.database.statements import now
        from storefront.database.tables import leases

        with self._database.writing() as connection:
            moment = now(connection)
            until = moment + timedelta(seconds=self._seconds)
            ours = leases.c.name == _PREFIX + self._name
            if (
                self._name
                and connection.execute(leases.update().where(ours).values(until=until)).rowcount
            ):
                return
            # The first time, or taken for dead: what was held under that name is others' now.
            name = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:12]}"
            connection.execute(
                leases.delete().where(
                    leases.c.name.startswith(_PREFIX), leases.c.until < moment - _FORGET_AFTER
                )
            )
            connection.execute(
                leases.insert().values(name=_PREFIX + name, holder=name, until=until)
            )
        self._name = name

    def _keep(self) -> None:
        """Renew, as long as something is in hand."""
        while True:
            time.sleep(self._pause)
            with self._lock:
                if self._in_hand == 0:
                    self._thread = None
                    return
            try:
                self._beat()
            except DatabaseUnavailable as error:
                logger.warning("Work in hand could not be held on to. %s", error)
