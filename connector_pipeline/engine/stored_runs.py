"""How many runs Dagster's storage holds, asked without Dagster, which takes a second to import.

Needs: the table `runs` of Dagster's Postgres storage. Tried with Dagster 1.13.27. A storage that
could be opened without importing all of Dagster would replace this module.
"""

import psycopg


def stored_runs(connection: psycopg.Connection) -> int | None:
    """The number of runs, None if the storage has no tables yet. Makes none, as Dagster would."""
    found = connection.execute("SELECT to_regclass('runs') IS NOT NULL").fetchone()
    if found is None or not found[0]:
        return None
    counted = connection.execute("SELECT count(*) FROM runs").fetchone()
    return 0 if counted is None else int(counted[0])
