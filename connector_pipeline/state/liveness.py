"""`connector.run_workers`: the signs of life that run workers write.

Dagster's default launcher cannot say whether a run worker lives. A run whose worker was killed
together with its code server would stay "started" for hours, and hold up its shops. A sign is a row
and not a session's lock, because such a lock does not survive a connection pooler.
"""

import socket
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

import psutil
import psycopg

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database

BEAT_SECONDS: Final = 10.0
SILENT_AFTER: Final = timedelta(seconds=40)
"""A run worker without a sign of life for so long may be dead: three signs, and a slow one."""

_BEAT: Final = """
    INSERT INTO connector.run_workers (run_id, host, pid, process_started, beat_at)
    VALUES (%(run_id)s, %(host)s, %(pid)s, %(process_started)s, clock_timestamp())
    ON CONFLICT (run_id) DO UPDATE SET
        host = excluded.host, pid = excluded.pid, process_started = excluded.process_started,
        beat_at = excluded.beat_at
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """The process that works on a run: its host, its pid there, and when it started.

    `process_started` is the time that psutil on the host reports. Another process that gets the
    same pid later has another one.
    """

    host: str
    pid: int
    process_started: float

    @classmethod
    def here(cls) -> "Worker":
        """This process."""
        process = psutil.Process()
        return cls(this_host(), process.pid, process.create_time())


@contextmanager
def alive(database: Database, run_id: str) -> Generator[None]:
    """Write a sign of life for the run every BEAT_SECONDS until the end of the block."""
    ended = threading.Event()
    worker = Worker.here()
    sign = {
        "run_id": run_id,
        "host": worker.host,
        "pid": worker.pid,
        "process_started": worker.process_started,
    }

    def beat() -> None:
        while True:
            # The run itself reports a database that does not answer. The next sign may reach it.
            with suppress(ConnectorError), database.connect() as connection:
                connection.execute(_BEAT, sign)
            if ended.wait(BEAT_SECONDS):
                break

    thread = threading.Thread(target=beat, name="liveness", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def silent(connection: psycopg.Connection, run_ids: Iterable[str]) -> dict[str, Worker | None]:
    """The runs without a sign of life since SILENT_AFTER, each with the worker of its last sign.

    The worker is None if there was never a sign. Signs older than a day are deleted.
    """
    connection.execute(
        "DELETE FROM connector.run_workers WHERE beat_at < clock_timestamp() - interval '1 day'"
    )
    rows = connection.execute(
        """
        SELECT run_id.run_id, host, pid, process_started
        FROM unnest(%s::text[]) AS run_id LEFT JOIN connector.run_workers AS worker USING (run_id)
        WHERE worker.run_id IS NULL OR worker.beat_at <= clock_timestamp() - %s
        """,
        (list(run_ids), SILENT_AFTER),
    )
    return {
        run_id: None if host is None else Worker(host, pid, process_started)
        for run_id, host, pid, process_started in rows
    }


def lives(worker: Worker | None) -> bool | None:
    """Whether the worker's process exists; None if this process cannot see that."""
    if worker is None or worker.host != this_host():
        return None
    try:
        process = psutil.Process(worker.pid)
        return (
            # psutil may read the start of one process a clock tick earlier or later.
            abs(process.create_time() - worker.process_started) < 1.0
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None


@cache
def this_host() -> str:
    """The name of the scope in which a pid is unique: a host since its boot, and a container on it.

    Two containers may have the same hostname, and two hosts the same number of a namespace.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)
