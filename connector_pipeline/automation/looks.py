"""Looks at the change feeds of several shops at once, and the hints that they leave."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec
from uuid import uuid4

import psycopg

from connector_pipeline.automation.look_pacing import Pacing, after_a_failure, after_a_look
from connector_pipeline.catalog.held import held
from connector_pipeline.credentials.token_service import TokenService, TokenServiceClient
from connector_pipeline.model.errors import (
    ConnectorError,
    DatabaseUnavailable,
    PlatformUnavailable,
    TokenServiceUnavailable,
)
from connector_pipeline.model.hint import Hint, HintSource
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.kit.webhooks import Changes
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import change_looks
from connector_pipeline.state.change_looks import DueShop, Look
from connector_pipeline.state.hints import ReceivedHint, put
from connector_pipeline.state.look_distances import Quota
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.outcomes import as_connector_error

P = ParamSpec("P")

LOOKS_AT_ONCE: Final = 8
SECONDS_A_LOOK: Final = 10.0
"""A shop that answers byte by byte must not keep the others from their turn."""
_NO_FEED: Final = timedelta(days=1)
"""A shop that has no change feed is asked again after so long."""


def newest_by_token(hints: Sequence[Hint]) -> dict[str, Hint]:
    """The hint of the newest change of each token that is named; a product may have several."""
    found: dict[str, Hint] = {}
    for hint in hints:
        if hint.token is None:
            continue
        known = found.get(hint.token)
        if known is None or (
            hint.changed_at and known.changed_at and hint.changed_at > known.changed_at
        ):
            found[hint.token] = hint
    return found


def hints_to_put(
    connection: psycopg.Connection, partition_key: str, changes: Changes
) -> list[Hint]:
    """The hints that are to lead to a sync: those whose change the catalog does not hold yet.

    One hint alone, without a token, where more changed than the look lists or can name.
    """
    by_token = newest_by_token(changes.hints)
    product_of = {token: changes.products.get(token, token) for token in by_token}
    times: dict[str, datetime] = {}
    for token, hint in by_token.items():
        if hint.changed_at is not None:
            product = product_of[token]
            times[product] = max(hint.changed_at, times.get(product, hint.changed_at))
    known = held(connection, partition_key, times) if times else set[str]()
    left = [
        hint
        for token, hint in by_token.items()
        if hint.changed_at is None or product_of[token] not in known
    ]
    unnamed = [hint for hint in changes.hints if hint.token is None]
    if changes.too_many and left:
        unnamed.append(Hint(left[0].topic))
    return unnamed[:1] or left


@dataclass(slots=True)
class Looks:
    """The looks of one tick, several at once.

    `begun` counts them, `failed` those that failed; `changed` has the keys of the shops that left
    hints, `error` the last error on the way.
    """

    database: Database
    token_service: TokenService
    adapters: Mapping[str, Adapter]
    pacing: Pacing
    quota: Quota
    begun: int = 0
    failed: int = 0
    changed: list[str] = field(default_factory=list[str])
    error: ConnectorError | None = None
    _stopped: bool = False

    async def at(self, shops: Sequence[DueShop], seconds: float) -> None:
        """Look at as many of the shops, in their order, as time and quota allow."""
        until = time.monotonic() + seconds
        left = iter(shops)

        async def work(client: TokenServiceClient) -> None:
            while not self._stopped and time.monotonic() < until:
                due = next(left, None)
                if due is None or not self.quota.take(datetime.now(UTC)):
                    return
                self.begun += 1
                await self._one(client, due)

        async with (
            self.token_service.open(f"look-{uuid4()}") as client,
            asyncio.TaskGroup() as workers,
        ):
            for _ in range(LOOKS_AT_ONCE):
                workers.create_task(work(client))

    async def _one(self, client: TokenServiceClient, due: DueShop) -> None:
        """Look at one shop, and record what was found. Errors are kept, so the others go on."""
        adapter, began = self.adapters[due.shop.platform_name], datetime.now(UTC)
        try:
            async with asyncio.timeout(SECONDS_A_LOOK):
                changes = await adapter.changes(
                    due.shop, client, since=due.synced_at - adapter.overlap, cursor=due.cursor
                )
        except TokenServiceUnavailable as error:
            # It is no trouble of the shop, which stays due. The others would fare no better.
            self.error, self._stopped = error, True
            return
        except Exception as error:
            self.failed += 1
            self.error = _as_connector_error(error).of(due.shop.partition_key)
            self.error.remedy = "The shop is looked at again, at growing distances."
            await self._in_thread(self._record, after_a_failure(due, self.pacing, began))
            return
        if changes is None:
            look = Look(due, began, began + _NO_FEED, due.changes_an_hour, None)
            await self._in_thread(self._record, look)
        else:
            await self._in_thread(self._record_changes, due, changes, began)

    async def _in_thread(
        self, record: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            await in_thread(record, *args, **kwargs)
        except DatabaseUnavailable as error:
            # Nothing was recorded: the next look finds the same changes again.
            self.error, self._stopped = error, True

    def _record(self, look: Look) -> None:
        with self.database.connect() as connection:
            if change_looks.holds(connection, look.due.shop):
                change_looks.record(connection, look)

    def _record_changes(self, due: DueShop, changes: Changes, began: datetime) -> None:
        with self.database.connect() as connection:
            if not change_looks.holds(connection, due.shop):
                return
            hints = hints_to_put(connection, due.shop.partition_key, changes)
            put(
                connection,
                [
                    ReceivedHint(due.shop.platform_name, due.shop.domain, HintSource.FEED, hint)
                    for hint in hints
                ],
            )
            change_looks.record(connection, after_a_look(due, changes, hints, self.pacing, began))
        if hints:
            self.changed.append(due.shop.partition_key)


def _as_connector_error(error: Exception) -> ConnectorError:
    if isinstance(error, TimeoutError):
        return PlatformUnavailable(f"a look had no answer within {SECONDS_A_LOOK:.0f} s.")
    return as_connector_error(error)
