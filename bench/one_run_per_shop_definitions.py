"""The baseline of bench/backfill.py: a run of its own for both assets of each shop."""

from dagster import BackfillPolicy, Definitions, in_process_executor

from connector_pipeline.definitions import build_definitions
from connector_pipeline.settings import load_settings


def _both_in_one_run() -> Definitions:
    ours = build_definitions(load_settings())
    return Definitions(
        # Both assets have the same policy, so that they share their runs.
        assets=[
            asset.with_attributes(backfill_policy=BackfillPolicy.multi_run(1))
            for asset in ours.assets or ()
        ],
        resources=ours.resources,
        executor=in_process_executor,
    )


# Dagster loads the only Definitions object of a module, which is this one.
defs = _both_in_one_run()
