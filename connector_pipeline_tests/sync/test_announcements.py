"""Promises about the webhook that a sync waits for."""

import asyncio

from connector_pipeline.model.hint import Hint, HintSource
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import hints
from connector_pipeline.state.hints import ReceivedHint
from connector_pipeline.sync.announcements import Announcements

DOMAIN = "announced.myshopify.com"
TOKEN = "bulk/gid://shopify/BulkOperation/7"
HOUR = 3600.0


def put(database: Database, *, domain: str = DOMAIN, token: str = TOKEN) -> None:
    hint = Hint("bulk_operations/finish", token)
    with database.connect() as connection:
        hints.put(connection, [ReceivedHint("shopify", domain, HintSource.WEBHOOK, hint)])


async def test_a_webhook_ends_the_wait_of_its_shops_sync_alone(database: Database) -> None:
    """Another shop's operation may have the same number."""
    announced = Announcements(database, "shopify", DOMAIN)
    put(database, domain="other.myshopify.com")
    put(database, token=f"{TOKEN}7")
    assert not await announced(TOKEN, 0)
    waiting = asyncio.create_task(announced(TOKEN, HOUR))
    await asyncio.to_thread(put, database)
    assert await waiting
    assert await announced(TOKEN, 0)


async def test_a_database_that_does_not_answer_announces_nothing() -> None:
    """The operation is polled all the same."""
    gone = Database("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1")
    assert not await Announcements(gone, "shopify", DOMAIN)(TOKEN, 0)
