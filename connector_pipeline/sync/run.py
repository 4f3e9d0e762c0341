"""Fetch the shops of one run into the raw archive, and publish their snapshots to the catalog.

The assets call the first two functions, the job of listed shops the third. A shop that fails does
no harm to the others: its error is recorded among the outcomes, and the run goes on.
"""

from collections.abc import Callable, Sequence
from typing import Final

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.model.errors import FailedBefore, SyncInterrupted
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.model.tracing import spans_sent
from connector_pipeline.settings import Settings
from connector_pipeline.state import sync_log
from connector_pipeline.sync.fetch import ShopFetcher
from connector_pipeline.sync.interruptible import run_interruptible
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.places import OUTSIDE_PER_PLACE, Places
from connector_pipeline.sync.publishing import Published, Publishes, ShopPublisher
from connector_pipeline.sync.rounds import FetchRounds
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

RETRY_DELAYS: Final = 10
"""A shop's second attempt waits this many CONNECTOR_RETRY_DELAYs after the first one failed. The
HTTP client has retried single requests within a few of them, so the trouble lasts longer than
that."""


def fetch_shops(
    services: SyncServices,
    shops: Sequence[ShopToSync],
    *,
    run: RunIdentity,
    settings: Settings,
    outcomes: Outcomes[SnapshotManifest],
) -> None:
    """Fetch the shops, several at once; record each one's snapshot or error in `outcomes`.

    Raises Interrupted after SIGINT or SIGTERM; every unfinished sync is then recorded as failed.
    """
    fetcher = _fetcher(services, shops, run, settings)
    with spans_sent():
        _fetch(fetcher, settings, outcomes, fetched=_nothing)


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
    with spans_sent(), Publishes(publisher, outcomes) as publishes:
        for key in partition_keys:
            publishes.submit(key)
        publishes.to_the_end(again_after=settings.connector_retry_delay * RETRY_DELAYS)


def sync_shops(
    services: SyncServices,
    shops: Sequence[ShopToSync],
    *,
    run: RunIdentity,
    settings: Settings,
    fetched: Outcomes[SnapshotManifest],
    published: Outcomes[Published],
) -> None:
    """Fetch the shops, and publish each as soon as it has been read, while others are read.

    A retry leaves out the shops whose sync the crashed run has recorded as failed for good. Raises
    Interrupted as `fetch_shops` does. What is being published by then is completed.
    """
    if run.is_retry:
        failures = _failed_before(services, shops)
        for key, error in failures.items():
            fetched.fail(key, error)
        shops = [shop for shop in shops if shop.partition_key not in failures]
    fetcher = _fetcher(services, shops, run, settings)
    publisher = ShopPublisher(services=services, run=run, allow_shrink=False)
    try:
        with spans_sent(), Publishes(publisher, published) as publishes:

            def publish(key: str) -> None:
                publishes.submit(key, fetched.succeeded[key])

            _fetch(fetcher, settings, fetched, fetched=publish)
            publishes.to_the_end(again_after=settings.connector_retry_delay * RETRY_DELAYS)
    finally:
        ended = published.succeeded.keys() | published.failed.keys()
        cut_off = fetched.succeeded.keys() - ended
        for key in cut_off:
            fetcher.record_failure(
                key, SyncInterrupted("the run ended before the shop was published.")
            )


def _failed_before(services: SyncServices, shops: Sequence[ShopToSync]) -> dict[str, FailedBefore]:
    with services.database.connect() as connection:
        errors = sync_log.failure_texts(
            connection, [shop.sync_id for shop in shops if shop.sync_id is not None]
        )
    return {
        shop.partition_key: FailedBefore(errors[shop.sync_id], partition_key=shop.partition_key)
        for shop in shops
        if shop.sync_id in errors
    }


def _fetcher(
    services: SyncServices, shops: Sequence[ShopToSync], run: RunIdentity, settings: Settings
) -> ShopFetcher:
    return ShopFetcher.of(
        services,
        {shop.partition_key: shop for shop in shops},
        run=run,
        full_sync_every=settings.full_sync_every,
        deadline=settings.connector_shop_deadline,
    )


def _fetch(
    fetcher: ShopFetcher,
    settings: Settings,
    outcomes: Outcomes[SnapshotManifest],
    *,
    fetched: Callable[[str], None],
) -> None:
    services, run = fetcher.services, fetcher.run

    async def fetch_all() -> None:
        async with (
            fetcher.token_service,
            ShopLocks(services.database, run_id=run.run_id) as locks,
        ):
            rounds = FetchRounds(
                fetcher,
                outcomes,
                places=Places(
                    settings.shops_at_once, outside=settings.shops_at_once * OUTSIDE_PER_PLACE
                ),
                locks=locks,
                wait=settings.connector_shop_wait.total_seconds(),
                again_after=settings.connector_retry_delay * RETRY_DELAYS,
                fetched=fetched,
            )
            await rounds.fetch(fetcher.shops)

    for adapter in services.adapters.values():
        if adapter.asked_elsewhere is not None:
            # The log names this address, because the shops' credentials are sent to it.
            outcomes.note(f"{adapter.platform_name} shops are asked at {adapter.asked_elsewhere}")
    run_interruptible(fetch_all())


def _nothing(partition_key: str) -> None:
    """A shop that a later step publishes, or nobody."""
