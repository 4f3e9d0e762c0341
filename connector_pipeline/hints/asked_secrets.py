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
from connector_pipeline.model.errors import ShopDisconnected
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.webhook_secret import WebhookSecret
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import DELIVERING
from connector_pipeline.state.deliveries import registered_shop

KEPT_SECONDS: Final = 900.0
"""Then a secret is asked for again before it is used."""
ASKED_AGAIN_AFTER_SECONDS: Final = 30.0
"""A shop whose deliveries no secret signed is asked about no more often: its secret may be new."""
QUESTIONS_A_SECOND: Final = 20
MOST_KEPT: Final = 10_000


@dataclass(slots=True)
class AskedSecrets:
    """The secrets of shops, for one event loop. `token_service` is None where there is none."""

    database: Database
    token_service: TokenService | None
    _kept: OrderedDict[str, tuple[float, str]] = field(
        default_factory=OrderedDict[str, tuple[float, str]], repr=False
    )
    _asked: OrderedDict[str, float] = field(default_factory=OrderedDict[str, float])
    _second: int = 0
    _questions: int = 0

    def kept(self, partition_key: str) -> Sequence[str]:
        """The secret of the shop that is in memory, if any."""
        at, secret = self._kept.get(partition_key, (0.0, ""))
        if not secret or time.monotonic() - at > KEPT_SECONDS:
            self._kept.pop(partition_key, None)
            return []
        return [secret]

    async def ask(self, platform_name: str, domain: str) -> Sequence[str]:
        """The secret that the Token Service has now; none if the question may not be asked.

        Raises TokenServiceUnavailable, DatabaseUnavailable.
        """
        key = f"{platform_name}/{domain}"
        if self.token_service is None or not self._may_ask(key):
            return []
        shop = await asyncio.to_thread(self._registered, platform_name, domain)
        if shop is None:
            return []
        async with self.token_service.open(str(uuid4())) as client:
            try:
                given = await client.credentials(shop, WebhookSecret)
            except ShopDisconnected:
                given = WebhookSecret()
        if given.webhook_secret is None:
            self._kept.pop(key, None)
            return []
        secret = given.webhook_secret.get_secret_value()
        self._kept[key] = (time.monotonic(), secret)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return [secret]

    def _may_ask(self, key: str) -> bool:
        now = time.monotonic()
        if now - self._asked.get(key, -ASKED_AGAIN_AFTER_SECONDS) < ASKED_AGAIN_AFTER_SECONDS:
            return False
        if int(now) != self._second:
            self._second, self._questions = int(now), 0
        if self._questions >= QUESTIONS_A_SECOND:
            return False
        self._questions += 1
        self._asked[key] = now
        self._asked.move_to_end(key)
        if len(self._asked) > MOST_KEPT:
            self._asked.popitem(last=False)
        return True

    def _registered(self, platform_name: str, domain: str) -> Shop | None:
        with self.database.connect() as connection, under(connection, DELIVERING):
            return registered_shop(connection, platform_name, domain)
