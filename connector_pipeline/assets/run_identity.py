"""The tags that this project puts on its runs, and the identity of a run that they give."""

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
    """The identity of a Dagster run, read from its tags."""
    return RunIdentity(
        run_id=run.run_id,
        root_run_id=run_tags.root_run_id(run),
        is_retry=run_tags.is_automatic_retry(run),
        requested_sync_id=run.tags.get(SYNC_ID_TAG),
        correlation_id=run.tags.get(CORRELATION_ID_TAG),
    )
