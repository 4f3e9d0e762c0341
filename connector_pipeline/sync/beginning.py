"""How a sync of a shop begins: what it reads, its record, and the pages of an earlier attempt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import BaseModel

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.writer import SnapshotWriter
from connector_pipeline.model.errors import ArchiveUnavailable, NotActive
from connector_pipeline.model.hint import HintedToken
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync import (
    ShopToSync,
    Sync,
    SyncPlan,
    SyncStatus,
    own_sync_id,
    planned_sync,
)
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import Credentials
from connector_pipeline.state.asked_again import tokens_of
from connector_pipeline.state.registry import shop_on_record
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

RESUMABLE_FOR: Final = timedelta(hours=6)
"""An interrupted sync that is older than this is not resumed: its first pages are as old."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sync that is recorded as running, with the writer of its pages.

    `resumed`: an interrupted attempt left pages, and the writer goes on after them. `tokens` are
    those of hints that a hinted sync asks for.
    """

    shop: RegisteredShop
    sync: Sync
    writer: SnapshotWriter
    resumed: bool = False
    tokens: Mapping[str, HintedToken] = field(default_factory=dict[str, HintedToken])


@dataclass(frozen=True, slots=True)
class Beginning:
    """Begins the syncs of one run's shops. `given` are the credentials that the run was given."""

    services: SyncServices
    run: RunIdentity
    shops: Mapping[str, ShopToSync]
    full_sync_every: timedelta
    given: Mapping[str, BaseModel | None] = field(repr=False)

    def sync_id(self, partition_key: str) -> str:
        """The id of the shop's sync: its requester's, the queue's, or one of this run."""
        given = self.shops[partition_key].sync_id
        return given or own_sync_id(self.run.root_run_id, partition_key)

    def correlation_id(self, partition_key: str) -> str:
        """What ties the logs and events of the shop's sync together."""
        return self.shops[partition_key].correlation_id or self.sync_id(partition_key)

    def begin(self, partition_key: str) -> SnapshotManifest | Begun:
        """Record that the sync runs; return its snapshot if an earlier attempt finished it.

        A sync for hints begins anew each time: hints may have joined it since it was interrupted,
        and it is short. Raises NotActive for a disconnected shop, of which nothing is asked: when
        it is asked again is for the sensor `credential_probe` to say.
        """
        sync_id = self.sync_id(partition_key)
        with self.services.database.connect_for_statements() as connection:
            shop = shop_on_record(connection, partition_key)
            tokens = tokens_of(connection, sync_id)
        if shop.state is ShopState.DISCONNECTED:
            raise NotActive(
                f"is disconnected, and nothing was asked of it. It last said: "
                f"{shop.last_error_code or 'nothing'}: {shop.last_error_message or '-'}",
                remedy="Once its merchant has reconnected it: `connector-pipeline shops resume "
                f"{partition_key}`; the connector also asks it again by itself.",
            )
        now = datetime.now(UTC)
        if tokens:
            sync = self.new_sync(shop, sync_id, now, tokens)
            return self._begun(shop, sync, tokens if sync.sync_type is SyncType.HINTED else {})
        try:
            interrupted = self._interrupted(partition_key, sync_id, now)
        except (OSError, ArchiveUnavailable):
            # A sync that is not recorded cannot be recorded as failed.
            self.services.sync_records.start(
                self.new_sync(shop, sync_id, now), shop, self.run.run_id
            )
            raise
        if isinstance(interrupted, SnapshotManifest):
            return interrupted
        if interrupted is None:
            return self._begun(shop, self.new_sync(shop, sync_id, now), {})
        return self._begun(shop, interrupted, {}, resumed=True)

    def begin_anew(self, begun: Begun, plan: SyncPlan) -> Begun:
        """Begin a sync anew under the same id, as one that reads more."""
        sync = begun.sync.model_copy(
            update={"sync_type": plan.sync_type, "since": plan.since, "hinted": None}
        )
        return self._begun(begun.shop, sync, {})

    def new_sync(
        self,
        shop: RegisteredShop,
        sync_id: str,
        now: datetime,
        tokens: Mapping[str, HintedToken] | None = None,
    ) -> Sync:
        """The sync that the shop's history calls for. `tokens`: it is for these hints alone."""
        plan = planned_sync(
            self.shops[shop.partition_key].sync_type,
            shop,
            overlap=self.overlap(shop),
            full_sync_every=self.full_sync_every,
            now=now,
            hinted=bool(tokens),
        )
        return Sync(
            sync_id=sync_id,
            partition_key=shop.partition_key,
            sync_type=plan.sync_type,
            correlation_id=self.correlation_id(shop.partition_key),
            started_at=now,
            since=plan.since,
            hinted=len(tokens or ()) if plan.sync_type is SyncType.HINTED else None,
        )

    def overlap(self, shop: RegisteredShop) -> timedelta:
        """How far the shop's increments reach back behind its high-water mark."""
        adapter = self.services.adapters.get(shop.platform_name)
        return timedelta(0) if adapter is None else adapter.overlap

    def _begun(
        self,
        shop: RegisteredShop,
        sync: Sync,
        tokens: Mapping[str, HintedToken],
        *,
        resumed: bool = False,
    ) -> Begun:
        self.services.sync_records.start(sync, shop, self.run.run_id)
        over = True
        if sync.sync_type is not SyncType.HINTED:
            # One interrupted sync of a shop stays: the newest, which is this one. Hinted ones are
            # many, and a full one that was interrupted goes on after them.
            over = self.services.raw_archive.forget_interrupted(
                sync.partition_key, but=sync.sync_id
            )
        writer = self._writer(sync)
        if not resumed:
            writer.begin(over=over)
        return Begun(shop, sync, writer, resumed=resumed, tokens=tokens)

    def _writer(self, sync: Sync) -> SnapshotWriter:
        def secrets() -> Iterable[str]:
            given = self.given.get(sync.partition_key)
            return given.secrets() if isinstance(given, Credentials) else ()

        return self.services.raw_archive.write(sync, secrets=secrets)

    def _interrupted(
        self, partition_key: str, sync_id: str, now: datetime
    ) -> SnapshotManifest | Sync | None:
        """Find the snapshot or the pages that an earlier attempt at this sync left.

        Returns the manifest of a finished snapshot, the sync whose pages can be resumed, or None. A
        snapshot is used again while its sync is recorded as running or pending again, because the
        run that made it crashed, or if that run published it and this run is its retry. Anybody
        else who runs a sync again that has ended wants the shop as it is now.
        """
        finished = self.services.raw_archive.finished(partition_key, sync_id)
        if finished is not None:
            progress = self.services.sync_records.progress(sync_id)
            usable = progress is not None and (
                progress.status in (SyncStatus.RUNNING, SyncStatus.PENDING)
                or (self.run.is_retry and progress.published_by == self.run.root_run_id)
            )
            fresh = now - finished.sync.started_at < RESUMABLE_FOR
            return finished if usable and fresh else None
        sync = self.services.raw_archive.unfinished(partition_key, sync_id)
        fresh = sync is not None and now - sync.started_at < RESUMABLE_FOR
        return sync if fresh else None
