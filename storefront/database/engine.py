"""The connections: one engine a process, errors that show no password, transactions that hold."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from storefront.database.aside import Aside, Late
from storefront.errors import DatabaseUnavailable
from storefront.forking import GATE
from storefront.secret import Secret

if TYPE_CHECKING:
    import sqlalchemy as sa

_T = TypeVar("_T")
#: Seconds to wait for a connection, and for another process's transaction to end.
_CONNECT_SECONDS = 2
_BUSY_SECONDS = 10
#: When a server that is gone without a word is noticed: seconds of silence, then between some
#: questions; and the milliseconds that what was sent may go unnoticed.
_ALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class _Own:
    """What one process has of a database: a forked one must not use another's."""

    def __init__(self) -> None:
        self.engine: sa.Engine | None = None
        #: Who has it opens the engine, and who has the pen writes.
        self.lock = threading.Lock()
        self.pen = threading.Lock()


class Database:
    """The shop's database: SQLite in ``folder``, or what ``url`` names.

    Nothing is opened, nor SQLAlchemy imported, before the first use. SQLite's tables are made or
    upgraded then; PostgreSQL's by ``flask storefront db upgrade`` only, for there they may belong
    to somebody else than the site's own user.
    """

    def __init__(self, url: Secret | None, folder: Path) -> None:
        self._url = url
        self._file = folder / "storefront.db"
        self._owned: dict[int, _Own] = {}
        self._ready = False
        self._short: Database | None = None
        self._is_short = False
        self._aside = Aside()
        GATE.close_before_forks(self)

    def __repr__(self) -> str:
        return f"<Database {self}>"

    def __str__(self) -> str:
        """What it is, without user and password."""
        if self._url is None:
            return f"SQLite, {self._file}"
        import sqlalchemy as sa

        try:
            url = sa.make_url(self._url.reveal())
        except sa.exc.ArgumentError:
            return "STOREFRONT_DATABASE_URL"
        if url.get_backend_name() == "sqlite":
            return f"SQLite, {url.database}"
        return f"PostgreSQL, {url.database} on {url.host or 'this machine'}"

    @property
    def is_shared(self) -> bool:
        """Whether other machines can have the same one: SQLite is this machine's."""
        return self._url is not None and not self._url.reveal().startswith("sqlite")

    def for_short_writes(self) -> Database:
        """The one where nobody writes for long: a webhook is kept there at once, come what may.

        SQLite has one writer at a time, and a function of the site's may write through a
        transaction and then take a minute. So there it is a second file, beside the first and
        with the same tables. PostgreSQL's writers don't wait for each other: it is the same.
        """
        if self.is_shared or self._is_short:
            return self
        if self._short is None:
            self._short = Database(self._url, self._file.parent)
            self._short._is_short = True
        return self._short

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads.

        :raises DatabaseUnavailable: when the database does not do it.
        """
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: committed at the end, undone when the block raises.

        SQLite's other writers wait from its start on, so that what is read in it stays true.

        :raises DatabaseUnavailable: when the database does not do it.
        """
        with self._transaction(write=True) as connection:
            yield connection

    def within(self, seconds: float, function: Callable[[], _T]) -> _T:
        """Call a function that uses the database, and wait for it for so many seconds at most.

        A server may take a connection and not answer any more, and no timeout of its own ends
        that. The function runs in another thread, with this one's context; left alone, it goes on.

        :raises DatabaseUnavailable: when it is not done by then.
        """
        try:
            return self._aside.within(seconds, function)
        except Late:
            raise DatabaseUnavailable(f"The database ({self}) does not answer in time.") from None

    def upgrade(self) -> tuple[int, int]:
        """Make or upgrade the tables; gives the version before, and after.

        :raises DatabaseUnavailable: when that can't be done.
        """
        from storefront.database.upgrades import upgrade

        with self._guarded(), self._connect(write=True) as connection:
            return upgrade(connection)

    def versions(self) -> tuple[int, int]:
        """The tables' version, 0 where there are none, and the one that this release needs.

        :raises DatabaseUnavailable: when the database does not answer.
        """
        from storefront.database.upgrades import VERSION, read_version

        with self._guarded(), self._connect(write=False) as connection:
            return read_version(connection), VERSION

    def load(self) -> None:
        """Import all that its use takes, and connect to nothing.

        :raises DatabaseUnavailable: when it can't be made out what to connect to.
        """
        with self._guarded():
            from storefront.database import statements, tables, upgrades  # noqa: F401

            self._current_engine()

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        own = self._own()
        with own.lock:
            if own.engine is not None:
                own.engine.dispose()
            own.engine = None

    def close_before_fork(self) -> None:
        """SQLite's connections must not be carried into another process."""
        engine = self._own().engine
        if engine is not None and not self.is_shared:
            engine.dispose()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        self._prepare()
        with self._guarded(), ExitStack() as stack:
            if write and not self.is_shared:
                stack.enter_context(self._pen_in_hand())
            yield stack.enter_context(self._connect(write=write))

    @contextmanager
    def _pen_in_hand(self) -> Iterator[None]:
        """SQLite's writers look again and again whether it is their turn, up to 100 ms apart, and
        who has waited longest may wait on. Those of one process do better to queue here."""
        pen = self._own().pen
        if not pen.acquire(timeout=_BUSY_SECONDS):
            raise DatabaseUnavailable(
                f"The database ({self}) does not answer as it should: another thread of this "
                f"process has been writing for {_BUSY_SECONDS} seconds."
            )
        try:
            yield
        finally:
            pen.release()

    def _prepare(self) -> None:
        """Once a process: see that the tables are there, and of the right version."""
        if self._ready:
            return
        if self.is_shared:
            found, needed = self.versions()
            if found != needed:
                raise DatabaseUnavailable(
                    f"The tables in {self} are "
                    + (f"of version {found}, not {needed}" if found else "not there yet")
                    + ". Run: flask storefront db upgrade"
                )
        else:
            self.upgrade()
        self._ready = True

    @contextmanager
    def _connect(self, *, write: bool) -> Iterator[sa.Connection]:
        with GATE.passed(), self._current_engine().connect() as plain:
            connection = plain.execution_options(storefront_write=write)
            with connection.begin():
                yield connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Errors of the driver name hosts and users, and their frames hold passwords."""
        import sqlalchemy as sa

        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            failure = DatabaseUnavailable(
                f"The database ({self}) does not answer as it should: {_reason(cause)}"
            )
            # An error of the caller's own SQL is his, and he has to see where it came from.
            if isinstance(error, sa.exc.ProgrammingError | sa.exc.IntegrityError):
                raise
        else:
            return
        raise failure from None

    def _current_engine(self) -> sa.Engine:
        own = self._own()
        engine = own.engine
        if engine is not None:
            return engine
        with own.lock:
            if own.engine is None:
                for process in self._owned.keys() - {os.getpid()}:
                    others = self._owned.pop(process).engine
                    if others is not None:
                        # After a fork both processes would talk over one connection.
                        others.dispose(close=False)
                own.engine = self._open()
                weakref.finalize(self, _dispose, own.engine, os.getpid()).atexit = False
            return own.engine

    def _own(self) -> _Own:
        process = os.getpid()
        own = self._owned.get(process)
        return own or self._owned.setdefault(process, _Own())

    def _open(self) -> sa.Engine:
        import sqlalchemy as sa

        if self._url is not None and self.is_shared:
            return sa.create_engine(
                self._url.reveal(),
                hide_parameters=True,
                pool_pre_ping=True,
                pool_timeout=_CONNECT_SECONDS,
                connect_args={
                    "connect_timeout": _CONNECT_SECONDS,
                    **_ALIVE,
                    "options": f"-c statement_timeout={_BUSY_SECONDS * 1000} "
                    f"-c lock_timeout={_BUSY_SECONDS * 1000} -c timezone=UTC",
                },
            )
        if self._url is None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseUnavailable(
                    f"The instance folder {self._file.parent} can't be made ({error.strerror}). "
                    "Set STOREFRONT_DATABASE_URL."
                ) from None
            url = sa.URL.create("sqlite", database=str(self._file))
        else:
            url = sa.make_url(self._url.reveal())
        if self._is_short and url.database:
            file = Path(url.database)
            url = url.set(database=str(file.with_name(f"{file.stem}-inbox{file.suffix}")))
        engine = sa.create_engine(
            url, hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS}
        )
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine


def _dispose(engine: sa.Engine, process: int) -> None:
    """Close the connections of a database that nobody has any more."""
    if process == os.getpid():
        engine.dispose()


def _set_up_sqlite(connection: Any, _: object) -> None:
    # The driver's own idea of when a transaction begins is too late: see _begin_sqlite.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a paid order must survive the power going
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # who bought is not to be read in free pages
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes then fails when another has written in between,
    # and waiting does not help it. So who is going to write says so at once.
    write = connection.get_execution_options().get("storefront_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _reason(cause: BaseException) -> str:
    """The first line of what the driver says, without what it was connecting to."""
    text = str(cause).strip().partition("\n")[0]
    if "connection" in text.lower() and ("failed" in text or "refused" in text):
        return f"no connection ({type(cause).__name__}). Is it running, and may this site in?"
    return f"{text or type(cause).__name__}."
