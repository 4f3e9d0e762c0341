"""A process that publishes one version of a shop, for tests that kill it meanwhile.

    python -m connector_pipeline_tests.catalog.publishing_process VERSION

Reads the database's URL from its standard input, and prints "ready" when it is about to publish.
"""

import sys
import time

from connector_pipeline.catalog.publish import publish
from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline_tests.catalog.snapshots import ACME, LONG_AGO, item, rows

ROWS = 2_000


def version_items(version: int) -> list[CatalogItem]:
    """The shop's items in a version: each differs from every other version's, some come and go."""
    return [
        item(f"{number // 4}-{number:04}", sku=str(version))
        for number in range(ROWS)
        if number % 10 or version % 2
    ]


def publish_version(database: Database, version: int, attempt: str) -> float:
    """One full, complete sync of the version. Returns the seconds it took after "ready"."""
    sync = Sync(
        sync_id=f"version-{version}-{attempt}",
        partition_key=ACME.partition_key,
        sync_type=SyncType.FULL,
        correlation_id="kill",
        started_at=LONG_AGO,
    )
    snapshot = rows(version_items(version))
    with database.connect() as connection:
        started = time.monotonic()
        print("ready", flush=True)  # noqa: T201 - the test that kills this process waits for it
        publish(connection, shop=ACME, sync=sync, complete=True, rows=snapshot)
    return time.monotonic() - started


if __name__ == "__main__":
    publish_version(Database(url=sys.stdin.readline().strip()), int(sys.argv[1]), "killed")
