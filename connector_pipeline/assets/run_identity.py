"""The tags that this project puts on its runs, and what a run's tags say of it."""

from collections.abc import Sequence
from typing import Final

from dagster import DagsterRun

from connector_pipeline.engine import run_tags
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.sync.run_identity import RunIdentity

SYNC_ID_TAG: Final = "connector/sync_id"
CORRELATION_ID_TAG: Final = "connector/correlation_id"
SHOPS_TAG: Final = "connector/for"
LAUNCH_TAG: Final = "connector/launch"
LANE_TAG: Final = "connector/lane"
REASON_TAG: Final = "connector/reason"
BACKFILL_TAG: Final = "connector/backfill"


def run_identity(run: DagsterRun) -> RunIdentity:
    """The identity of a Dagster run, read from its tags."""
    return RunIdentity(
        run_id=run.run_id,
        root_run_id=run_tags.root_run_id(run),
        is_retry=run_tags.is_automatic_retry(run),
    )


def shops_to_sync(
    run: DagsterRun, partition_keys: Sequence[str], sync_type: RequestedSyncType
) -> list[ShopToSync]:
    """The shops of a run over partitions.

    A tag may name the sync_id: of one sync of one shop, so a run over many shops ignores it.
    """
    alone = len(partition_keys) == 1
    return [
        ShopToSync(
            partition_key=key,
            sync_type=sync_type,
            sync_id=run.tags.get(SYNC_ID_TAG) if alone else None,
            correlation_id=run.tags.get(CORRELATION_ID_TAG),
        )
        for key in partition_keys
    ]
