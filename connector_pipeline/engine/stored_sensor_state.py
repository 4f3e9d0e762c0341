"""Whether a sensor was switched off, asked without Dagster, which takes a second to import.

Needs: the table `instigators` of Dagster's Postgres storage, its status `STOPPED`, and the sensor's
name as a value of JSON in its body. Tried with Dagster 1.13.27. A storage that could be opened
without importing all of Dagster would replace this module.
"""

from typing import Final

import psycopg

_STOPPED: Final = """
    SELECT EXISTS (
        SELECT FROM instigators WHERE instigator_type = 'SENSOR' AND status = 'STOPPED'
            AND position(%s IN instigator_body) > 0
    )
"""


def is_switched_off(connection: psycopg.Connection, name: str) -> bool:
    """Whether a person or a command switched the sensor of this name off."""
    found = connection.execute("SELECT to_regclass('instigators') IS NOT NULL").fetchone()
    if found is None or not found[0]:
        return False
    stopped = connection.execute(_STOPPED, (f'"{name}"',)).fetchone()
    return stopped is not None and bool(stopped[0])
