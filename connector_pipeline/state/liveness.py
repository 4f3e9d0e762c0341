"""`connector.run_workers`: the signs of life that the processes which execute runs write.

No launcher of Dagster's says reliably whether a run's process lives: the default one knows only
what its code server knows, and Celery's only what the broker knows. These signs are the truth for
each of them. A sign is a row and not a session's lock, because such a lock does not survive a
connection pooler.

The signs are a fence, too. Another process may take a run for dead, and sync its shops again, when
it has been silent for `UNHEARD_FOR`. So a process that cannot write its signs ends its own run
before that: it may be cut off from the database and still be talking to shops. A virtual machine
that was paused may not see how long: its clocks stood still. So a sign is not written, and ends its
process, if the database finds that the last one is too old.
"""

import logging
import os
import signal
import socket
import threading
import time
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

BEAT_SECONDS: Final = 5.0
SILENT_AFTER: Final = timedelta(seconds=20)
"""A run without a sign of life for so long may be dead: three signs, and a slow one."""
UNHEARD_FOR: Final = timedelta(seconds=75)
"""A run that is silent for so long is dead: its own process has ended it at `Fence.kill_after`."""


@dataclass(frozen=True, slots=True)
class Fence:
    """When a process ends its own run, in seconds since its last sign of life was sent.

    After `cancel_after` it interrupts the run, as SIGTERM does, so that the run cleans up. A run
    that goes on all the same is ended with its process after `kill_after`. Both are counted from
    before a sign is sent, so the database counts less. It counts `kill_after`, too.
    """

    cancel_after: float = 30.0
    kill_after: float = 60.0


FENCE: Final = Fence()
_LOGGED_WITHIN_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)

_BEAT: Final = """
    INSERT INTO connector.run_workers (run_id, host, pid, process_started, beat_at)
    VALUES (%(run_id)s, %(host)s, %(pid)s, %(process_started)s, clock_timestamp())
    ON CONFLICT (run_id) DO UPDATE SET
        host = excluded.host, pid = excluded.pid, process_started = excluded.process_started,
        beat_at = excluded.beat_at
"""
_BEAT_AGAIN: Final = f"""{_BEAT}
    WHERE run_workers.beat_at > clock_timestamp() - %(most)s
"""
_CLAIM: Final = """
    INSERT INTO connector.run_workers (run_id, host, pid, process_started, beat_at)
    VALUES (%(run_id)s, %(host)s, %(pid)s, %(process_started)s, clock_timestamp())
    ON CONFLICT (run_id) DO NOTHING
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

    def sign(self, run_id: str) -> dict[str, str | int | float]:
        """The values of a sign of life that this process writes."""
        return {
            "run_id": run_id,
            "host": self.host,
            "pid": self.pid,
            "process_started": self.process_started,
        }


@dataclass(frozen=True, slots=True)
class Silence:
    """A run without a sign of life: for how long by the database's clock, and its last worker.

    Both are None if there was never a sign.
    """

    worker: Worker | None
    lasted: timedelta | None


def claim(database: Database, run_id: str) -> bool:
    """Take the run for this process; False if any process has ever shown a sign of life for it.

    A run that is retried has another id, so each id is executed once at most, however often a
    broker delivers it. Raises DatabaseUnavailable.
    """
    with database.connect() as connection:
        return connection.execute(_CLAIM, Worker.here().sign(run_id)).rowcount == 1


def _now() -> float:
    """Seconds on a clock that goes on while this process is stopped or this machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


_shown_here: Final[dict[str, int]] = {}
"""How many blocks of this process show each run's signs of life."""
_shown_lock: Final = threading.Lock()


@contextmanager
def alive(database: Database, run_id: str, *, fence: Fence = FENCE) -> Generator[None]:
    """Write a sign of life for the run every BEAT_SECONDS until the end of the block.

    If the signs cannot be written, end the run by the fence. Within another block of the same run,
    do nothing: a worker shows a run's signs before Dagster executes it.
    """
    with _shown_lock:
        first = run_id not in _shown_here
        _shown_here[run_id] = _shown_here.get(run_id, 0) + 1
    signs = _Signs(database, run_id, fence) if first else None
    try:
        if signs is not None:
            signs.start()
        yield
    finally:
        if signs is not None:
            signs.stop()
        with _shown_lock:
            _shown_here[run_id] -= 1
            if not _shown_here[run_id]:
                del _shown_here[run_id]


class _Signs:
    """Two threads: one writes the signs and may hang with the database, the other is the fence."""

    def __init__(self, database: Database, run_id: str, fence: Fence):
        self._database = database
        self._sign = Worker.here().sign(run_id)
        self._fence = fence
        self._written_at = _now()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("liveness", self._beat), ("fence", self._guard))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _beat(self) -> None:
        # Another process of the run may have ended long ago: the first sign follows none of ours.
        sign = _BEAT
        values = {**self._sign, "most": timedelta(seconds=self._fence.kill_after)}
        while not self._ended.is_set():
            sent_at = _now()
            # The run itself reports a database that does not answer. The next sign may reach it.
            with suppress(ConnectorError), self._database.connect() as connection:
                written = connection.execute(sign, values).rowcount
                connection.commit()
                if not written:
                    self._end("its last sign of life is too old: was this machine paused?")
                self._written_at, sign = sent_at, _BEAT_AGAIN
            self._ended.wait(BEAT_SECONDS)

    def _guard(self) -> None:
        cancelled = False
        while not self._ended.wait(min(1.0, self._fence.cancel_after / 4)):
            silent_for = _now() - self._written_at
            why = f"it could not write a sign of life for {silent_for:.0f} s."
            if silent_for >= self._fence.kill_after:
                self._end(why)
            elif silent_for >= self._fence.cancel_after and not cancelled:
                cancelled = True
                self._log(f"is interrupted: {why}")
                os.kill(os.getpid(), signal.SIGTERM)

    def _end(self, why: str) -> None:
        self._log(f"is ended with its process: {why}")
        os.kill(os.getpid(), signal.SIGKILL)

    def _log(self, what: str) -> None:
        # By a thread of its own: a log that hangs must not keep the fence from its work.
        text = f"run {self._sign['run_id']} {what}"
        writing = threading.Thread(target=_log.error, args=(text,), daemon=True)
        writing.start()
        writing.join(_LOGGED_WITHIN_SECONDS)


def silent(connection: psycopg.Connection, run_ids: Iterable[str]) -> dict[str, Silence]:
    """The runs without a sign of life since SILENT_AFTER. Signs older than a day are deleted."""
    connection.execute(
        "DELETE FROM connector.run_workers WHERE beat_at < clock_timestamp() - interval '1 day'"
    )
    rows = connection.execute(
        """
        SELECT run_id.run_id, host, pid, process_started, clock_timestamp() - beat_at
        FROM unnest(%s::text[]) AS run_id LEFT JOIN connector.run_workers AS worker USING (run_id)
        WHERE worker.run_id IS NULL OR worker.beat_at <= clock_timestamp() - %s
        """,
        (list(run_ids), SILENT_AFTER),
    )
    return {
        run_id: Silence(None if host is None else Worker(host, pid, process_started), lasted)
        for run_id, host, pid, process_started, lasted in rows
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
