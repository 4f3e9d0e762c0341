"""Fetch the shops of one run into the raw archive, and publish their snapshots to the catalog.

Both assets and the job of listed shops call these two functions. A shop that fails does no harm to
the others: its error is recorded among the outcomes, and the run goes on.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.model.sync import RequestedSyncType
from connector_pipeline.settings import Settings
from connector_pipeline.state.liveness import alive
from connector_pipeline.sync.fetch import ShopFetcher
from connector_pipeline.sync.interruptible import run_interruptible
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.places import OUTSIDE_PER_PLACE, Places
from connector_pipeline.sync.publishing import Published, ShopPublisher, publish_in_two_rounds
from connector_pipeline.sync.rounds import FetchRounds
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

RETRY_DELAYS: Final = 10
"""A shop's second attempt waits this many CONNECTOR_RETRY_DELAYs after the first one failed. The
HTTP client has retried single requests within a few of them, so the trouble lasts longer than
that."""


def fetch_shops(
    services: SyncServices,
    partition_keys: Sequence[str],
    *,
    run: RunIdentity,
    sync_type: RequestedSyncType,
    settings: Settings,
    outcomes: Outcomes[SnapshotManifest],
) -> None:
    """Fetch the shops, several at once; record each one's snapshot or error in `outcomes`.

    Raises Interrupted after SIGINT or SIGTERM; every unfinished sync is then recorded as failed.
    """
    if len(partition_keys) != 1:
        run = replace(run, requested_sync_id=None)
    fetcher = ShopFetcher(
        services=services,
        run=run,
        sync_type=sync_type,
        full_sync_every=settings.full_sync_every,
        deadline=settings.connector_shop_deadline,
    )

    async def fetch_all() -> None:
        async with ShopLocks(services.database, run_id=run.run_id) as locks:
            rounds = FetchRounds(
                fetcher,
                outcomes,
                places=Places(
                    settings.shops_at_once, outside=settings.shops_at_once * OUTSIDE_PER_PLACE
                ),
                locks=locks,
                wait=settings.connector_shop_wait.total_seconds(),
                again_after=settings.connector_retry_delay * RETRY_DELAYS,
            )
            await rounds.fetch(partition_keys)

    for adapter in services.adapters.values():
        if adapter.asked_elsewhere is not None:
            # The log names this address, because the shops' credentials are sent to it.
            outcomes.note(f"{adapter.platform_name} shops are asked at {adapter.asked_elsewhere}")
    with alive(services.database, run.run_id):
        run_interruptible(fetch_all())


def publish_shops(
    services: SyncServices,
    partition_keys: Sequence[str],
    *,
    run: RunIdentity,
    allow_shrink: bool,
    settings: Settings,
    outcomes: Outcomes[Published],
) -> None:
    """Publish each shop's newest snapshot; record its changes or its error in `outcomes`."""
    publisher = ShopPublisher(services=services, run=run, allow_shrink=allow_shrink)
    with alive(services.database, run.run_id):
        publish_in_two_rounds(
            publisher,
            partition_keys,
            outcomes,
            again_after=settings.connector_retry_delay * RETRY_DELAYS,
        )
