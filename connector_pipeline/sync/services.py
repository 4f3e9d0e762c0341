"""The services that a sync works with: those that it asks, and those that it writes to."""

from collections.abc import Mapping
from dataclasses import dataclass

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_records import SyncRecords


@dataclass(frozen=True, slots=True)
class SyncServices:
    """Database, registry, Token Service, raw archive, and each platform's adapter by its name."""

    database: Database
    registry: ShopRegistry
    token_service: TokenService
    raw_archive: RawArchive
    adapters: Mapping[str, Adapter]

    @property
    def sync_records(self) -> SyncRecords:
        """The record of syncs, in the same database."""
        return SyncRecords(self.database)
