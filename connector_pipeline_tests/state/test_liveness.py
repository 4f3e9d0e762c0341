"""A process that cannot show its signs of life ends its own run, before others believe it dead."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from connector_pipeline.postgres.database import Database
from connector_pipeline.state.liveness import SILENT_AFTER, Fence, silent

PATIENCE = 120.0

RUN = """
import signal, sys, time
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import liveness

def interrupted(*_):
    print("interrupted", flush=True)
    if sys.argv[2] == "cleans up":
        sys.exit(0)

signal.signal(signal.SIGTERM, interrupted)
liveness.BEAT_SECONDS = 0.1
with liveness.alive(Database(url=sys.stdin.readline().strip()), sys.argv[1],
                    fence=liveness.Fence(*map(float, sys.argv[3:]))):
    while True:
        time.sleep(0.1)
"""


def test_a_run_that_is_cut_off_is_interrupted_and_then_killed(
    new_database: Callable[[str | None], str], migrated_template: str
) -> None:
    """While the database refuses its signs. A run that hangs is ended together with its process."""
    url = new_database(migrated_template)
    database = Database(url=url)
    # The first has as long as it needs to clean up.
    runs = {"r-1": ("cleans up", Fence(1.0, PATIENCE)), "r-2": ("hangs", Fence(1.0, 4.0))}
    with _started(url, database, runs) as processes:
        _cut_off(url)
        ended = {
            run_id: process.communicate(timeout=PATIENCE) for run_id, process in processes.items()
        }
    assert {run_id: out for run_id, (out, _) in ended.items()} == dict.fromkeys(
        runs, "interrupted\n"
    )
    # Else an operator takes the kill for that of a system without memory.
    assert "run r-1 is interrupted: it could not write a sign of life for" in ended["r-1"][1]
    assert "run r-2 is ended with its process: it could not write" in ended["r-2"][1]
    assert processes["r-1"].returncode == 0
    assert processes["r-2"].returncode == -signal.SIGKILL


def test_a_run_that_was_paused_without_seeing_it_is_killed(
    new_database: Callable[[str | None], str], migrated_template: str
) -> None:
    """The clocks of a paused virtual machine stand still, and its run may be retried by then."""
    url = new_database(migrated_template)
    database = Database(url=url)
    # A sign that a busy machine is late with does not end it before.
    fence = Fence(cancel_after=60.0, kill_after=60.0)
    with _started(url, database, {"r-1": ("hangs", fence)}) as processes:
        process = processes["r-1"]
        with database.connect() as connection:
            connection.execute(
                "UPDATE connector.run_workers SET beat_at = beat_at - interval '2 minutes'"
            )
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert out == ""
    assert "run r-1 is ended with its process: its last sign of life is too old" in err


@contextmanager
def _started(
    url: str, database: Database, runs: dict[str, tuple[str, Fence]]
) -> Generator[dict[str, "subprocess.Popen[str]"]]:
    """Processes that show signs of life for these runs, once all have shown some.

    Each run has what it does when it is interrupted, and its fence.
    """
    processes = {
        run_id: subprocess.Popen(
            [
                *(sys.executable, "-c", RUN, run_id, how),
                *(str(fence.cancel_after), str(fence.kill_after)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run_id, (how, fence) in runs.items()
    }
    try:
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.write(f"{url}\n")
            process.stdin.flush()
        until = time.monotonic() + PATIENCE
        while not _show_signs(database, runs.keys()):
            assert time.monotonic() < until
            time.sleep(0.02)
        yield processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
                process.communicate()


def _show_signs(database: Database, run_ids: Iterable[str]) -> bool:
    with database.connect() as connection:
        return not silent(connection, run_ids)


def _cut_off(url: str) -> None:
    """Let the server refuse all connections to the database, and end those there are."""
    name = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(url.replace(f"/{name}", "/postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
        )
        admin.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s",
            (name,),
        )


def test_silence_is_counted_by_the_database(database: Database) -> None:
    """Hosts may differ in their clocks."""
    with database.connect() as connection:
        for run_id, seconds in (("r-1", 10), ("r-2", 100)):
            connection.execute(
                "INSERT INTO connector.run_workers (run_id, host, pid, process_started, beat_at)"
                " VALUES (%s, 'elsewhere', 1, 1, now() - %s * interval '1 second')",
                (run_id, seconds),
            )
        found = silent(connection, ["r-1", "r-2", "r-3"])
    assert set(found) == {"r-2", "r-3"}
    assert found["r-3"].worker is None
    assert found["r-3"].lasted is None
    lasted = found["r-2"].lasted
    assert lasted is not None
    assert lasted > SILENT_AFTER
    assert lasted.total_seconds() >= 100
