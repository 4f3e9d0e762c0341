"""The embedded server: several processes may hold it, and the last one stops it."""

import fcntl
import os
import pwd
import shutil
import stat
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Final, Self

from psycopg import sql

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.embedded.account import (
    refuse_unreachable,
    server_user_account,
)
from connector_pipeline.postgres.embedded.postmaster import (
    ServerLocation,
    data_directory,
    not_ours,
    orphans_live,
    remove_stale_pid_file,
    running_server,
    server_lives,
)
from connector_pipeline.postgres.embedded.programs import VERSION, program_file, run_program
from connector_pipeline.postgres.embedded.socket_directory import socket_directory

DATABASES: Final = ("catalog", "dagster")
_PORT: Final = 5432

_SETTINGS: Final[Mapping[str, str]] = {
    # The socket is the only way in, and only its owner may enter its directory: there is no
    # password to leak, and nothing listens on the network.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(_PORT),
    # For Dagster's daemon, webserver and code server, and for what each run keeps and uses.
    "max_connections": "200",
    "log_line_prefix": "%m [%p] %q%a ",
}

_INITDB: Final = (
    "initdb",
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    # Texts sort the same on every machine, whichever locales it has.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


class EmbeddedPostgres:
    """A holder of the embedded server. Entering starts it if needed; the last to leave stops it.

    Several processes, and several threads with an object each, may hold one server. Each holder has
    a shared file lock, which the kernel drops with its process: a `kill -9` leaves no holder
    behind. The next holder takes over a server without holders.

    `settings` are Postgres settings for a server that this object starts. Durability is Postgres's
    own default, because `.connector` may hold a user's only catalog; tests turn fsync off.

    Raises DatabaseUnavailable, with the end of the server's log, if the server does not start.
    """

    def __init__(
        self,
        home: Path,
        *,
        settings: Mapping[str, str] | None = None,
        start_timeout: int = 120,
        stop_timeout: int = 60,
    ):
        self._home = home.expanduser().absolute()
        self._data = data_directory(self._home)
        self._settings = dict(settings or {})
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._location: ServerLocation | None = None
        self._held = ExitStack()

    def url(self, database: str = "catalog") -> str:
        """`postgresql://postgres@/catalog?host=…`, as psycopg and libpq read it."""
        return self._running_location().url(database)

    @property
    def dagster_url(self) -> str:
        """The URL of Dagster's own database (docs/facts/dagster.md, Database driver)."""
        return self._running_location().url("dagster", scheme="postgresql+psycopg2")

    @property
    def log_path(self) -> Path:
        """The server's log since its last start."""
        return self._data / "server.log"

    def __enter__(self) -> Self:
        try:
            _make_home(self._home)
            with _locked(self._home / "postgres.lock", fcntl.LOCK_EX), ExitStack() as undo:
                # Registered before the start, so that an interrupted start stops its server.
                undo.callback(self._stop_if_last)
                undo.enter_context(_locked(self._home / "postgres.holders", fcntl.LOCK_SH))
                self._location = self._wait_for_running() or self._start()
                self._create_databases()
                self._held = undo.pop_all()
        except PermissionError as error:
            raise not_ours(self._home, error) from None
        return self

    def revive(self) -> bool:
        """Start the server again, at the same address, if it died. Returns whether it had died.

        For a process that holds the server for long: nothing else starts it before the next holder
        comes. Raises DatabaseUnavailable if it does not start.
        """
        self._running_location()
        if running_server(self._home) is not None:
            return False
        with _locked(self._home / "postgres.lock", fcntl.LOCK_EX):
            self._location = self._wait_for_running() or self._start()
        return True

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _locked(self._home / "postgres.lock", fcntl.LOCK_EX):
            self._held.close()
        self._location = None

    def _running_location(self) -> ServerLocation:
        if self._location is None:
            raise RuntimeError("EmbeddedPostgres must be entered before its URLs are known")
        return self._location

    def _wait_for_running(self) -> ServerLocation | None:
        # A server may be recovering from a crash, or ending after a stop that nobody waited for.
        deadline = time.monotonic() + self._start_timeout
        while (location := running_server(self._home)) is None and server_lives(self._home):
            if time.monotonic() > deadline:
                raise self._failed("neither starts nor ends")
            time.sleep(0.1)
        return location

    def _wait_for_orphans(self) -> None:
        deadline = time.monotonic() + self._start_timeout
        while orphans_live(self._home):
            if time.monotonic() > deadline:
                raise self._failed("died, and some of its processes do not end")
            time.sleep(0.1)

    def _failed(self, failure: str) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"the embedded Postgres under {self._home} {failure}. {self._end_of_log()}",
            remedy="Remove the cause in its log, or set CONNECTOR_DATABASE_URL to another server.",
        )

    def _start(self) -> ServerLocation:
        server_user = server_user_account()
        for needed in (program_file("postgres"), self._data):
            refuse_unreachable(needed, server_user)
        if not self._data.exists():
            self._initialize(server_user)
        self._refuse_other_version()
        remove_stale_pid_file(self._home)
        self._wait_for_orphans()
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_suffix(".log.old"))

        settings = {**_SETTINGS, **self._settings}
        sockets = socket_directory(self._data, _PORT, server_user)
        settings["unix_socket_directories"] = str(sockets)
        # A killed server leaves this file too, and another process or a zombie may have its pid.
        (sockets / f".s.PGSQL.{_PORT}.lock").unlink(missing_ok=True)
        options = " ".join(quote(f"--{name}={value}") for name, value in settings.items())
        # `pg_ctl` gives the server a session of its own, so that a Ctrl-C on our terminal stops us
        # and not the server, which we still need for our last work.
        wait = ["-w", "-t", str(self._start_timeout)]
        started = run_program(
            ["pg_ctl", "start", *wait, "-l", "server.log", "-o", options],
            data=self._data,
            server_user=server_user,
        )
        location = running_server(self._home)
        if started.returncode != 0 or location is None:
            raise self._failed("did not start")
        return location

    def _initialize(self, server_user: pwd.struct_passwd | None) -> None:
        # Renamed into place at the end: a killed initdb leaves rubbish, never half a cluster.
        unfinished = self._data.with_suffix(".initdb")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if server_user is not None:
            os.chown(unfinished, server_user.pw_uid, server_user.pw_gid)
        made = run_program(
            _INITDB,
            data=unfinished,
            server_user=server_user,
        )
        if made.returncode != 0:
            raise DatabaseUnavailable(
                f"no embedded Postgres could be made under {self._home}: {made.stdout.strip()}",
                remedy="Remove the cause, or set CONNECTOR_DATABASE_URL to another server.",
            )
        unfinished.rename(self._data)

    def _stop_if_last(self) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    _locked(self._home / "postgres.holders", fcntl.LOCK_EX | fcntl.LOCK_NB)
                )
            except BlockingIOError:
                return
            location = running_server(self._home)
            if location is None:
                return
            run_program(
                ["pg_ctl", "stop", "-w", "-t", str(self._stop_timeout), "-m", "fast"],
                data=self._data,
                server_user=server_user_account(),
            )
            if Path(location.socket_directory) != self._data:
                with suppress(OSError):
                    Path(location.socket_directory).rmdir()

    def _create_databases(self) -> None:
        try:
            with connect(self.url("postgres")) as admin:
                admin.autocommit = True
                rows = admin.execute("SELECT datname FROM pg_database").fetchall()
                existing = {row[0] for row in rows}
                for database in DATABASES:
                    if database not in existing:
                        admin.execute(
                            sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database))
                        )
        except DatabaseUnavailable as error:
            raise self._failed(f"does not answer: {error.message}") from None

    def _refuse_other_version(self) -> None:
        version_file = self._data / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else "unknown"
        if version != VERSION:
            raise DatabaseUnavailable(
                f"{self._data} holds data of Postgres version {version}, and the embedded server "
                f"is {VERSION}.",
                remedy="Dump and restore it with that version, or move the directory away.",
            )

    def _end_of_log(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return "It wrote no log."
        return "Its log ends:\n" + "\n".join(lines[-20:])


def _make_home(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # The server's account must pass through. We may open our own home, to be entered and not
        # read, but not the directories above it.
        home.chmod(home.stat().st_mode | stat.S_IXOTH)


@contextmanager
def _locked(path: Path, operation: int) -> Generator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        # Unlocked explicitly, because a forked child may share the descriptor and outlive us.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
