"""How old a daemon's last heartbeat is, asked without Dagster, which takes a second to import.

Needs: the table `daemon_heartbeats` of Dagster's Postgres storage, whose times are UTC without a
time zone. Tried with Dagster 1.13.27. A storage that could be opened without importing all of
Dagster would replace this module.
"""

from typing import Final

import psycopg

_AGE: Final = """
    SELECT extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp))
    FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'
"""


def heartbeat_age(connection: psycopg.Connection) -> float | None:
    """Seconds since the newest heartbeat of a daemon that runs sensors, None if there is none."""
    found = connection.execute("SELECT to_regclass('daemon_heartbeats') IS NOT NULL").fetchone()
    if found is None or not found[0]:
        return None
    age = connection.execute(_AGE).fetchone()
    return None if age is None or age[0] is None else float(age[0])
