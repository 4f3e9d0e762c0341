"""`connector.run_workers`: which runs have a living worker, told by the workers themselves.

Dagster's default launcher cannot say whether a worker lives, so a run whose worker was killed with
its code server stays "started" for hours, and its shops' partitions with it. Rows and no lock of a
session: those do not survive a connection pooler.
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
"""Without a sign for so long a worker is suspected: three beats, and a slow one."""

_BEAT: Final = """
    INSERT INTO connector.run_workers (run_id, host, pid, process_started, beat_at)
    VALUES (%(run_id)s, %(host)s, %(pid)s, %(process_started)s, clock_timestamp())
    ON CONFLICT (run_id) DO UPDATE SET
        host = excluded.host, pid = excluded.pid, process_started = excluded.process_started,
        beat_at = excluded.beat_at
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works on a run: where it is, its pid there, and when it started.

    `process_started` as the host's psutil says it: by that a pid used again is told apart.
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
    """Show a sign of life for the run until the end of the block."""
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
            # A database that is away is somebody else's trouble: we live.
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
    """Those of the runs that showed no sign of life lately, each with the worker it last had.

    None where no worker ever showed one. Old signs are forgotten.
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
    """Whether the worker's process exists; None where that cannot be seen from here."""
    if worker is None or worker.host != this_host():
        return None
    try:
        process = psutil.Process(worker.pid)
        return (
            # Its clock's ticks: psutil reads the same instant a little differently at times.
            abs(process.create_time() - worker.process_started) < 1.0
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None


@cache
def this_host() -> str:
    """Names what a pid is of: the host since it booted and, in a container, the container.

    Two containers may have one hostname, and two hosts one number of a namespace.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)
