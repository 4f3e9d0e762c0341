"""Whether Dagster's storage is this deployment's own.

Two deployments on one storage would take each other's partitions away and delete each other's runs.
The first one to use it notes its database there, and is the only one from then on.
"""

from collections.abc import Collection

from dagster import DagsterInstance

from connector_pipeline.engine.storage_owner import OWNER_KEY, note_owner, owner_of
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.installation_id import installation_id


class StorageOfAnother(ConnectorError):
    """Dagster's storage belongs to another deployment."""

    default_remedy = (
        "Set DAGSTER_POSTGRES_URL to a database of its own. If Dagster's storage is this "
        "deployment's, whose catalog was made anew, delete its row of the table kvs whose key is "
        f"'{OWNER_KEY}'."
    )


def refuse_storage_of_another(
    instance: DagsterInstance, database: Database, *, claims: bool = True
) -> None:
    """Return if the storage is ours, or nobody's yet; it is ours from then on if this `claims` it.

    Raises StorageOfAnother, and what `Database.connect` raises.
    """
    with database.connect() as connection:
        ours = installation_id(connection)
    owner = owner_of(instance)
    if owner is None and claims:
        note_owner(instance, ours)
        # Another deployment may have done the same at this moment.
        owner = owner_of(instance)
    if owner not in (None, ours):
        raise StorageOfAnother(
            "DAGSTER_POSTGRES_URL: this database of Dagster is another deployment's, whose catalog "
            "is in another database."
        )


def has_only(existing: Collection[str], known: Collection[str]) -> bool:
    """Whether all partitions of a storage are of known shops, and so none is another deployment's.

    A removed shop whose partition is still there is no longer known.
    """
    return set(existing) <= set(known)
