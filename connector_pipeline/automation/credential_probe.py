"""The sensor that asks disconnected shops again, and makes those active that answer.

Each disconnected shop is asked when it is due, at growing distance. One whose credentials were
refused is also asked once with each other credentials that the Token Service has for it. With
tokens that rotate, new credentials alone are no sign that the merchant has reconnected: only the
shop's own answer is.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, ParamSpec
from uuid import uuid4

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from pydantic import BaseModel

from connector_pipeline.credentials.refused import credential_digest, is_digest_of
from connector_pipeline.credentials.remembering import RememberingSource
from connector_pipeline.credentials.token_service import TokenService, TokenServiceClient
from connector_pipeline.model.counted import counted
from connector_pipeline.model.errors import (
    ConnectorError,
    DatabaseUnavailable,
    PlatformUnavailable,
    ShopDisconnected,
    TokenServiceUnavailable,
)
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import disconnected
from connector_pipeline.state.disconnected import DisconnectedShop
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.outcomes import as_connector_error

P = ParamSpec("P")

EVERY_SECONDS: Final = 600
SHOPS_A_TICK: Final = 100
"""A merchant who reconnects one of a thousand disconnected shops waits for less than two hours."""
SHOPS_AT_ONCE: Final = 8
SECONDS_A_SHOP: Final = 10.0
"""A Token Service or a shop that answers byte by byte must not keep the others from their turn."""
_SECONDS_A_TICK: Final = 40.0
"""Dagster gives a tick 60 s. After so many seconds no further shop is begun."""


def are_new(refused: str | None, given: BaseModel) -> bool:
    """Whether the credentials are not the refused ones, or the first that there are.

    `refused` is the digest of the refused ones, or None if the Token Service had none.
    """
    return refused is None or not is_digest_of(refused, given)


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Asks disconnected shops again, some at a time: each at growing distance, and where the "
        "credentials were refused, when the Token Service has other ones. A shop that answers "
        "becomes active and is synced."
    ),
)
def credential_probe(
    context: SensorEvaluationContext,
    database: ResourceParam[Database],
    token_service: ResourceParam[TokenService],
) -> SkipReason:
    """Probe the next shops after the cursor; after the last shop, begin with the first again."""
    try:
        with database.connect() as connection:
            shops = disconnected.next_after(connection, context.cursor or "", limit=SHOPS_A_TICK)
        if not shops:
            context.update_cursor("")
            return SkipReason("No disconnected shop is left to probe.")
        adapters = build_adapters(load_settings())
        probe = asyncio.run(_Probe(database, token_service, adapters).of(shops))
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    at_the_end = probe.begun == len(shops) < SHOPS_A_TICK
    context.update_cursor("" if at_the_end else shops[probe.begun - 1].shop.partition_key)
    if probe.reconnected:
        keys = ", ".join(sorted(probe.reconnected))
        context.log.info(f"these shops answer, are active again and wait for a sync: {keys}")
    counts = (
        f"{counted(probe.begun, 'disconnected shop')} probed, {probe.asked} of them asked; "
        f"{len(probe.reconnected)} answered and are active again."
    )
    error = probe.error
    return SkipReason(f"{counts} The last error: {error.code}: {error}" if error else counts)


@dataclass(slots=True)
class _Probe:
    """Probes the shops of one tick, several at once.

    `begun` counts the shops that were probed, `asked` those that were sent a question,
    `reconnected` holds the keys of those made active, `error` the last error on the way.
    """

    database: Database
    token_service: TokenService
    adapters: Mapping[str, Adapter]
    begun: int = 0
    asked: int = 0
    reconnected: list[str] = field(default_factory=list[str])
    error: ConnectorError | None = None

    async def of(self, shops: Sequence[DisconnectedShop]) -> "_Probe":
        """Probe as many of the shops as time allows, at least one, in their order."""
        until = time.monotonic() + _SECONDS_A_TICK
        left = iter(shops)

        async def work(client: TokenServiceClient) -> None:
            for shop in left:
                self.begun += 1
                await self._one(client, shop)
                if time.monotonic() > until:
                    return

        async with (
            self.token_service.open(f"probe-{uuid4()}") as client,
            asyncio.TaskGroup() as workers,
        ):
            for _ in range(SHOPS_AT_ONCE):
                workers.create_task(work(client))
        return self

    async def _one(self, client: TokenServiceClient, found: DisconnectedShop) -> None:
        """Probe one shop, and record what was found. Errors are kept, so the others go on."""
        adapter = self.adapters.get(found.shop.platform_name)
        if adapter is None:
            # The adapter's package was uninstalled, so the shop could not be synced.
            return
        given: dict[str, BaseModel | None] = {}
        try:
            async with asyncio.timeout(SECONDS_A_SHOP):
                if not (found.due or await _has_new_credentials(client, found, adapter)):
                    return
                self.asked += 1
                await adapter.answers(found.shop, RememberingSource(client, given))
        except ShopDisconnected as error:
            await self._record(self._refused, found, error, given.get(found.shop.partition_key))
        except TokenServiceUnavailable as error:
            # Our own trouble: the shop was not asked, and stays as due as it was.
            self.error = error
        except Exception as error:
            asked = given.get(found.shop.partition_key) is not None
            self.error = _as_connector_error(error, asked=asked).of(found.shop.partition_key)
            if not isinstance(self.error, TokenServiceUnavailable):
                # No sync comes to a disconnected shop, whatever the error's own remedy says.
                self.error.remedy = "The shop is asked again at growing distances."
            if found.due and asked:
                await self._record(self._not_answered, found)
        else:
            await self._record(self._reconnect, found)

    async def _record(self, record: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await in_thread(record, *args, **kwargs)
        except DatabaseUnavailable as error:
            self.error = error

    def _refused(
        self, found: DisconnectedShop, error: ShopDisconnected, given: BaseModel | None
    ) -> None:
        credential = None if given is None else credential_digest(given)
        with self.database.connect() as connection:
            disconnected.still_refused(connection, found, error, credential=credential)

    def _not_answered(self, found: DisconnectedShop) -> None:
        with self.database.connect() as connection:
            disconnected.not_answered(connection, found)

    def _reconnect(self, found: DisconnectedShop) -> None:
        with self.database.connect() as connection:
            if disconnected.reconnect(connection, found):
                self.reconnected.append(found.shop.partition_key)


async def _has_new_credentials(
    client: TokenServiceClient, found: DisconnectedShop, adapter: Adapter
) -> bool:
    try:
        given = await client.credentials(found.shop, adapter.credentials_model)
    except ShopDisconnected:
        return False
    return await in_thread(are_new, found.refused, given)


def _as_connector_error(error: Exception, *, asked: bool) -> ConnectorError:
    if not isinstance(error, TimeoutError):
        return as_connector_error(error)
    if asked:
        return PlatformUnavailable(f"there was no answer within {SECONDS_A_SHOP:.0f} s.")
    return TokenServiceUnavailable(
        f"the Token Service gave no credentials within {SECONDS_A_SHOP:.0f} s."
    )
