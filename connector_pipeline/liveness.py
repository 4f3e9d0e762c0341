"""`connector.run_workers`: which runs have a living worker, told by the workers themselves.

Dagster's default launcher cannot say whether a worker lives, so a run whose worker was killed with
its code server stays "started" for hours, and its shops' partitions with it. Rows and no lock of a
session: those do not survive a connection pooler.
"""

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

import psycopg

from connector_pipeline.database import Database
from connector_pipeline.model.errors import ConnectorError

BEAT_SECONDS: Final = 10.0
SILENT_AFTER: Final = timedelta(seconds=40)
"""Without a sign for so long a worker is suspected: three beats, and a slow one."""

_BEAT: Final = """
    INSERT INTO connector.run_workers (run_id, beat_at) VALUES (%s, clock_timestamp())
    ON CONFLICT (run_id) DO UPDATE SET beat_at = excluded.beat_at
"""


@contextmanager
def alive(database: Database, run_id: str) -> Generator[None]:
    """Show a sign of life for the run until the end of the block."""
    ended = threading.Event()

    def beat() -> None:
        while True:
            # A database that is away is somebody else's trouble: we live.
            with suppress(ConnectorError), database.connect() as connection:
                connection.execute(_BEAT, (run_id,))
            if ended.wait(BEAT_SECONDS):
                break

    thread = threading.Thread(target=beat, name="liveness", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def silent(connection: psycopg.Connection, run_ids: Iterable[str]) -> set[str]:
    """Those of the runs that showed no sign of life lately. Old signs are forgotten."""
    connection.execute(
        "DELETE FROM connector.run_workers WHERE beat_at < clock_timestamp() - interval '1 day'"
    )
    rows = connection.execute(
        """
        SELECT run_id FROM unnest(%s::text[]) AS run_id
        WHERE NOT EXISTS (
            SELECT FROM connector.run_workers AS worker
            WHERE worker.run_id = run_id.run_id AND worker.beat_at > clock_timestamp() - %s
        )
        """,
        (list(run_ids), SILENT_AFTER),
    )
    return {run_id for (run_id,) in rows}
