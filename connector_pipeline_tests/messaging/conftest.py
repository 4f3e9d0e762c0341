"""A nats-server for each test, and a neighbour that uses it with nats-py alone."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from nats.js import JetStreamContext

from connector_pipeline.model.sync_request import SUBJECT
from connector_pipeline.settings import Settings, load_settings
from connector_pipeline_tests.messaging.nats_server import NatsServer

STREAM = "GLAM_EVENTS"
PATIENCE = 240.0
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Neighbour:
    """Another service on the same NATS, which uses nats-py alone."""

    url: str

    def do(self, work: Callable[[JetStreamContext], Awaitable[Answer]]) -> Answer:
        """Connect, and return the result of `work`."""

        async def connected() -> Answer:
            client = await nats.connect(self.url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(connected())

    def publish(self, *bodies: Any, subject: str = SUBJECT) -> None:
        """Publish bytes as they are, and any other value as JSON."""

        async def work(js: JetStreamContext) -> None:
            for body in bodies:
                await js.publish(
                    subject, body if isinstance(body, bytes) else json.dumps(body).encode()
                )

        self.do(work)

    def received(self, subject: str = "evt.platform.>") -> list[dict[str, Any]]:
        """All messages on the stream in their order, by nats-py's simple subscribe."""

        async def work(js: JetStreamContext) -> list[dict[str, Any]]:
            info = await js.stream_info(STREAM, subjects_filter=subject)
            expected = sum((info.state.subjects or {}).values())
            subscription = await js.subscribe(subject, stream=STREAM)
            messages: list[dict[str, Any]] = []
            while len(messages) < expected:
                message = await subscription.next_msg(timeout=PATIENCE)
                messages.append(json.loads(message.data))
            return messages

        return self.do(work)


@pytest.fixture
def nats_server(tmp_path: Path) -> Generator[NatsServer]:
    """A running nats-server without a stream."""
    with NatsServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def settings(nats_server: NatsServer) -> Settings:
    """The project's settings for that server."""
    return load_settings(nats_url=nats_server.url)


@pytest.fixture
def neighbour(nats_server: NatsServer) -> Neighbour:
    """A neighbour on that server."""
    return Neighbour(nats_server.url)


def request(sync_id: str, **fields: Any) -> dict[str, Any]:
    """The payload of a sync request."""
    return {
        "merchant_id": "m-1",
        "platform_name": "shopify",
        "platform_shop_id": "101",
        "domain": "acme.myshopify.com",
        "sync_id": sync_id,
        **fields,
    }
