"""Which deployment a database of Dagster is of, as noted in that database itself.

Needs: the cursors that daemons keep in Dagster's storage (`DagsterInstance.daemon_cursor_storage`,
table `kvs`). Tried with Dagster 1.13.27. A public store of keys and values would replace it.
"""

from typing import Final

from dagster import DagsterInstance

OWNER_KEY: Final = "connector_pipeline/installation"


def owner_of(instance: DagsterInstance) -> str | None:
    """The installation that the storage is of, None if none has been noted."""
    return instance.daemon_cursor_storage.get_cursor_values({OWNER_KEY}).get(OWNER_KEY)


def note_owner(instance: DagsterInstance, installation: str) -> None:
    """Note that the storage is of this installation."""
    instance.daemon_cursor_storage.set_cursor_values({OWNER_KEY: installation})
