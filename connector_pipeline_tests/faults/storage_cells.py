"""The faults of what a sync writes to: the raw archive and Postgres."""

import errno
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString, cast
from uuid import uuid4

import psycopg
from psycopg import sql

from connector_pipeline.postgres.pool import close_idle_connections
from connector_pipeline_tests.faults.held_locks import held_lock
from connector_pipeline_tests.faults.troubled_files import Trouble, under
from connector_pipeline_tests.faults.world import World
from connector_pipeline_tests.postgres_faults import connections_used_up, end_sessions, restart

Played = Callable[[World, int | None], AbstractContextManager[object]]
"""Makes the fault come so often (None: always) while its block runs."""


@dataclass(frozen=True)
class StorageCell:
    """A fault at one point of a sync of any platform. `recorded`: its failure can be recorded.

    `own_server`: the fault is one of the whole server. `once`: it can come only once.
    """

    phase: str
    fault: str
    played: Played
    recorded: bool = True
    own_server: bool = False
    once: bool = True

    @property
    def key(self) -> str:
        """The cell's name."""
        return f"{self.phase}: {self.fault}"


def _files(operation: str, place: str, number: int, *, cut: bool = False) -> Played:
    def played(_: World, times: int | None) -> AbstractContextManager[object]:
        return under(Trouble(operation, place, number, times=times, cut=cut))

    return played


def _then(operation: str, place: str, then: Callable[[str], object]) -> Played:
    def played(_: World, times: int | None) -> AbstractContextManager[object]:
        return under(Trouble(operation, place, times=times, then=then))

    return played


def _lose(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _cut_short(path: str) -> None:
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def _damage(path: str) -> None:
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 0xFF
    Path(path).write_bytes(content)


_WRITING: Final = {
    "disk full": errno.ENOSPC,
    "no permission": errno.EACCES,
    "read-only": errno.EROFS,
    "quota used up": errno.EDQUOT,
    "I/O error": errno.EIO,
    "store out of reach": errno.ETIMEDOUT,
    "too many open files": errno.EMFILE,
}
_LOSING: Final = {"lost": _lose, "cut short": _cut_short, "damaged": _damage}


def _archive() -> Generator[StorageCell]:
    for phase, operation, place in (
        ("archive: begin", "write", "/sync.json"),
        ("archive: page", "write", ".zst"),
        ("archive: manifest", "write", "/snapshots/"),
    ):
        for fault, number in _WRITING.items():
            yield StorageCell(phase, fault, _files(operation, place, number))
        yield StorageCell(
            phase, "disk full amid a file", _files(operation, place, errno.ENOSPC, cut=True)
        )
        for fault, then in _LOSING.items():
            yield StorageCell(phase, f"{fault} afterwards", _then(operation, place, then))
    for fault in ("no permission", "I/O error", "store out of reach"):
        yield StorageCell("archive: list", fault, _files("list", "", _WRITING[fault]))
        yield StorageCell("archive: read", fault, _files("read", ".zst", _WRITING[fault]))


@contextmanager
def troubled_table(
    url: str,
    table: str,
    action: str,
    *,
    times: int | None,
    at_commit: bool = False,
    only: str | None = None,
) -> Generator[None]:
    """Statements that write to the table, or the commits after them, meet the PL/pgSQL action.

    `only`: a condition on the new row; the action comes before it is inserted.
    """
    name = f"fault_{uuid4().hex[:12]}"
    schema = table.split(".", maxsplit=1)[0]
    whole = f"{schema}.{name}"
    counted = "true" if times is None else f"nextval('{whole}_count') <= {times}"
    body = f"BEGIN IF {counted} THEN {action} END IF; RETURN NEW; END"
    if at_commit:
        when = (
            f"CREATE CONSTRAINT TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {table} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {whole}()"
        )
    elif only is not None:
        when = (
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW WHEN ({only}) "
            f"EXECUTE FUNCTION {whole}()"
        )
    else:
        when = (
            f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE OR DELETE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {whole}()"
        )
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(cast("LiteralString", f"CREATE SEQUENCE {whole}_count"))
        admin.execute(
            sql.SQL(
                cast(
                    "LiteralString",
                    f"CREATE FUNCTION {whole}() RETURNS trigger LANGUAGE plpgsql AS ",
                )
            )
            + sql.Literal(body)
        )
        admin.execute(cast("LiteralString", when))
    try:
        yield
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(cast("LiteralString", f"DROP TRIGGER {name} ON {table}"))
            admin.execute(cast("LiteralString", f"DROP FUNCTION {whole}()"))
            admin.execute(cast("LiteralString", f"DROP SEQUENCE {whole}_count"))


def _raise(sqlstate: str, message: str) -> str:
    return f"RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = '{message}';"


ERRORS: Final = {
    "disk full": _raise("53100", 'could not extend file "base/1/2": No space left on device'),
    "out of memory": _raise("53200", "out of memory"),
    "victim of a deadlock": _raise("40P01", "deadlock detected"),
    "cannot be serialized": _raise("40001", "could not serialize access"),
    "statement time-out": _raise("57014", "canceling statement due to statement timeout"),
    "lock time-out": _raise("55P03", "canceling statement due to lock timeout"),
    "read-only": _raise("25006", "cannot execute INSERT in a read-only transaction"),
    "a torn page": _raise("XX001", "invalid page in block 7 of relation base/1/2"),
    "session ended": "PERFORM pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());",
}


def _table(table: str, action: str, *, at_commit: bool = False) -> Played:
    def played(world: World, times: int | None) -> AbstractContextManager[object]:
        return troubled_table(world.database.url, table, action, times=times, at_commit=at_commit)

    return played


def _session_ended(world: World, times: int | None) -> AbstractContextManager[object]:
    """While a page is read back, which is in the middle of the COPY."""

    ended = 0

    def end(_: str) -> None:
        nonlocal ended
        if times is None or ended < times:
            name = "connector-pipeline%"
            ended += end_sessions(world.database.url, application_name=name, query="COPY%")

    return under(Trouble("read", ".zst", then=end))


def _postgres() -> Generator[StorageCell]:
    for phase, table, at_commit, recorded in (
        ("Postgres: sync recorded", "connector.syncs", False, False),
        ("Postgres: rows written", "catalog.catalog_items", False, True),
        ("Postgres: commit", "catalog.catalog_items", True, True),
        ("Postgres: event written", "connector.outbox", False, False),
    ):
        for fault, action in ERRORS.items():
            yield StorageCell(
                phase, fault, _table(table, action, at_commit=at_commit), recorded=recorded
            )
    yield StorageCell("Postgres: stage", "session ended", _session_ended)
    for phase, table, rows, recorded in (
        ("Postgres: sync recorded", "connector.syncs", "connector.shops", False),
        ("Postgres: rows written", "catalog.catalog_items", "catalog.catalog_items", True),
        ("Postgres: event written", "connector.outbox", None, False),
    ):
        yield StorageCell(phase, "table locked by another session", _held(table), recorded=recorded)
        if rows is not None:
            fault = "rows locked by another session"
            yield StorageCell(phase, fault, _held(rows, rows=True), recorded=recorded)


def _held(table: str, *, rows: bool = False) -> Played:
    def played(world: World, times: int | None) -> AbstractContextManager[object]:
        return held_lock(world.database.url, table, rows=rows, until_awaited=times is not None)

    return played


@contextmanager
def _used_up(world: World, _: int | None) -> Generator[None]:
    """A process that begins has no connection from before."""
    close_idle_connections()
    with connections_used_up(world.database.url):
        yield


@contextmanager
def _used_up_amid(world: World, _: int | None) -> Generator[None]:
    """While a page is read back: from then on nobody gets one more."""
    with ExitStack() as taken:

        def take(_: str) -> None:
            taken.enter_context(connections_used_up(world.database.url))

        with under(Trouble("read", ".zst", then=take, times=1)):
            yield


def _restarted(operation: str, place: str, mode: str) -> Played:
    def played(world: World, times: int | None) -> AbstractContextManager[object]:
        def then(_: str) -> None:
            restart(world.database.url, mode=mode)

        return under(Trouble(operation, place, then=then, times=times))

    return played


def _server() -> Generator[StorageCell]:
    used_up = "connections used up"
    yield StorageCell(
        "Postgres: sync recorded", used_up, _used_up, recorded=False, own_server=True, once=False
    )
    yield StorageCell("Postgres: stage", used_up, _used_up_amid, own_server=True, once=False)
    for fault, mode in (("server restarted", "fast"), ("server crashed", "immediate")):
        for phase, operation, place in (
            ("Postgres: sync recorded", "write", "/sync.json"),
            ("Postgres: stage", "read", ".zst"),
        ):
            played = _restarted(operation, place, mode)
            # The failure may come to be recorded while the server is still down.
            yield StorageCell(phase, fault, played, recorded=False, own_server=True)


STORAGE_CELLS: Final = {cell.key: cell for cell in (*_archive(), *_postgres(), *_server())}
