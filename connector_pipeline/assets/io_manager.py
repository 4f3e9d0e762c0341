"""The IO manager: publishes shops to Postgres, and reads them back as DataFrames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import InputContext, IOManager, OutputContext

from connector_pipeline.catalog.read import shop_items
from connector_pipeline.settings import load_settings
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.publishing import Published
from connector_pipeline.sync.run import publish_shops
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ShopsToPublish:
    """The output of the asset `catalog_items`: shops whose newest snapshots are to be published.

    `report` reports to Dagster how each shop ended, and raises Failure if any shop failed.
    """

    partition_keys: Sequence[str]
    run: RunIdentity
    allow_shrink: bool
    report: Callable[[Outcomes[Published]], None]


class CatalogIOManager(IOManager):
    """Writes and reads `catalog.catalog_items`. A shop's rows change all at once or not at all.

    The output is a ShopsToPublish; a shop that fails does not affect the others. The input is a
    DataFrame with the table's columns (Decimal prices, aware UTC times, None).
    """

    def __init__(self, services: SyncServices):
        self._services = services

    def handle_output(self, context: OutputContext, obj: ShopsToPublish) -> None:
        """Publish every shop. Raises Failure at the end if any shop failed."""
        outcomes = Outcomes[Published](context.log)
        publish_shops(
            self._services,
            obj.partition_keys,
            run=obj.run,
            allow_shrink=obj.allow_shrink,
            settings=load_settings(),
            outcomes=outcomes,
        )
        obj.report(outcomes)

    def load_input(self, context: InputContext) -> "pd.DataFrame":
        """Read the live rows of the requested partitions."""
        # Imported here: only assets that people add downstream have an input.
        import pandas as pd

        keys = list(context.asset_partition_keys)
        with self._services.database.connect() as connection:
            return pd.concat([shop_items(connection, key) for key in keys], ignore_index=True)
