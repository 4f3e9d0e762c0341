"""The webhook secrets that the Token Service has for shops whose webhooks were made by hand.

They are kept in memory for a while. A question is asked only about a shop of the registry, about
one shop rarely, and about all shops together some times a second at most: a flood of bad signatures
is no flood of questions.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ConnectorError, ShopDisconnected
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.webhook_secret import WebhookSecret
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import DELIVERING
from connector_pipeline.state.deliveries import registered_shop

KEPT_SECONDS: Final = 900.0
"""Then a secret is asked for again before it is used."""
USED_WITHOUT_ANSWER_SECONDS: Final = 4 * 3600.0
"""So long it is used while the Token Service cannot be asked. A platform that does not deliver
again ends a webhook after some refusals in a row, which an outage must not bring about."""
ASKED_AGAIN_AFTER_SECONDS: Final = 30.0
"""A shop whose deliveries no secret signed is asked about no more often: its secret may be new."""
FAILED_AGAIN_AFTER_SECONDS: Final = 5.0
"""The same where the last question failed."""
QUESTIONS_A_SECOND: Final = 20
MOST_KEPT: Final = 10_000


class NotAsked(ConnectorError):
    """The secret of a shop cannot be asked for now, so that nobody knows who signed a delivery."""

    default_remedy = "The platform delivers it again."


@dataclass(frozen=True, slots=True)
class _Asked:
    """The last question about a shop: `error` is why it failed, and `again_at` a monotonic time."""

    again_at: float
    error: str | None = None


@dataclass(slots=True)
class AskedSecrets:
    """The secrets of shops, for one event loop. `token_service` is None where there is none."""

    database: Database
    token_service: TokenService | None
    _kept: OrderedDict[str, tuple[float, str]] = field(
        default_factory=OrderedDict[str, tuple[float, str]], repr=False
    )
    _asked: OrderedDict[str, _Asked] = field(default_factory=OrderedDict[str, _Asked])
    _under_way: dict[str, asyncio.Task[Sequence[str]]] = field(
        default_factory=dict[str, asyncio.Task[Sequence[str]]], repr=False
    )
    _second: int = 0
    _questions: int = 0

    def kept(self, partition_key: str) -> Sequence[str]:
        """The secret of the shop that is in memory, if any."""
        return self._younger_than(KEPT_SECONDS, partition_key)

    def outdated(self, partition_key: str) -> Sequence[str]:
        """The secret that was in use, for a time in which nobody can be asked for a newer one."""
        return self._younger_than(USED_WITHOUT_ANSWER_SECONDS, partition_key)

    def _younger_than(self, seconds: float, partition_key: str) -> Sequence[str]:
        at, secret = self._kept.get(partition_key, (0.0, ""))
        return [secret] if secret and time.monotonic() - at <= seconds else []

    async def ask(self, platform_name: str, domain: str) -> Sequence[str]:
        """The secret that the Token Service has now; none if it was asked lately and has none.

        Deliveries of a shop that come together share one question. A question that failed fails
        for those that come soon after it, too: they were not refused by anybody. Raises
        TokenServiceUnavailable, DatabaseUnavailable, NotAsked.
        """
        key = f"{platform_name}/{domain}"
        if self.token_service is None:
            return []
        question = self._under_way.get(key)
        if question is None:
            last = self._asked.get(key)
            if last is not None and time.monotonic() < last.again_at:
                if last.error is not None:
                    raise NotAsked(last.error)
                return []
            self._count_question()
            question = asyncio.create_task(self._ask(key, platform_name, domain))
            self._under_way[key] = question
            question.add_done_callback(lambda _: self._under_way.pop(key))
        return await asyncio.shield(question)

    async def _ask(self, key: str, platform_name: str, domain: str) -> Sequence[str]:
        try:
            secret = await self._answer(platform_name, domain)
        except ConnectorError as error:
            self._remember(
                key, _Asked(time.monotonic() + FAILED_AGAIN_AFTER_SECONDS, error.message)
            )
            raise
        self._remember(key, _Asked(time.monotonic() + ASKED_AGAIN_AFTER_SECONDS))
        if not secret:
            self._kept.pop(key, None)
            return []
        self._kept[key] = (time.monotonic(), secret)
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return [secret]

    async def _answer(self, platform_name: str, domain: str) -> str:
        shop = await asyncio.to_thread(self._registered, platform_name, domain)
        if shop is None or self.token_service is None:
            return ""
        async with self.token_service.open(str(uuid4())) as client:
            try:
                given = await client.credentials(shop, WebhookSecret)
            except ShopDisconnected:
                return ""
        # Somebody may have copied a line's end with it, which no platform's secret has.
        return (
            "" if given.webhook_secret is None else given.webhook_secret.get_secret_value().strip()
        )

    def _count_question(self) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._questions = second, 0
        if self._questions >= QUESTIONS_A_SECOND:
            raise NotAsked(f"{QUESTIONS_A_SECOND} questions were asked in this second.")
        self._questions += 1

    def _remember(self, key: str, asked: _Asked) -> None:
        self._asked[key] = asked
        self._asked.move_to_end(key)
        if len(self._asked) > MOST_KEPT:
            self._asked.popitem(last=False)

    def _registered(self, platform_name: str, domain: str) -> Shop | None:
        with self.database.connect() as connection, under(connection, DELIVERING):
            return registered_shop(connection, platform_name, domain)
