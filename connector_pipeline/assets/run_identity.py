"""The tags that this project puts on its runs, and the run that they identify."""

from typing import Final

from dagster import DagsterRun

from connector_pipeline.engine import run_tags
from connector_pipeline.sync.run_identity import RunIdentity

SYNC_ID_TAG: Final = "connector/sync_id"
CORRELATION_ID_TAG: Final = "connector/correlation_id"
MERCHANT_ID_TAG: Final = "connector/merchant_id"
SYNC_TYPE_TAG: Final = "connector/sync_type"
SWEEP_TAG: Final = "connector/sweep"
BACKFILL_TAG: Final = "connector/backfill"


def run_identity(run: DagsterRun) -> RunIdentity:
    """Which run this is for its syncs, by its tags."""
    return RunIdentity(
        run_id=run.run_id,
        root_run_id=run_tags.root_run_id(run),
        retried=run_tags.takes_the_place_of_a_crashed_run(run),
        requested_sync_id=run.tags.get(SYNC_ID_TAG),
        correlation_id=run.tags.get(CORRELATION_ID_TAG),
    )
