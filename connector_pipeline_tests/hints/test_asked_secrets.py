"""The secrets of the Token Service: asked for rarely, and for all deliveries that need them."""

import asyncio
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.hints.asked_secrets import QUESTIONS_A_SECOND, AskedSecrets, NotAsked
from connector_pipeline.model.errors import ConnectorError, TokenServiceUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry

SECRET = "of-a-shop-by-hand-0123456789abcdef"


class _Service(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []
    status: ClassVar[int] = 200
    came: ClassVar[threading.Event] = threading.Event()
    may_answer: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.came.set()
        assert self.may_answer.wait(60)
        body = json.dumps({"data": {"webhook_secret": f"{SECRET}\n"}}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
        """Log nothing."""


@pytest.fixture
def service() -> Generator[TokenService]:
    _Service.asked, _Service.status = [], 200
    _Service.came, _Service.may_answer = threading.Event(), threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield TokenService(url=f"http://127.0.0.1:{server.server_port}", retry_count=0, timeout=60)
    _Service.may_answer.set()
    server.shutdown()
    server.server_close()


def register(registry: ShopRegistry, domain: str) -> None:
    registry.add(
        Shop(merchant_id="m", platform_name="woocommerce", platform_shop_id=domain, domain=domain)
    )


async def test_deliveries_that_come_together_share_one_question(
    database: Database, registry: ShopRegistry, service: TokenService
) -> None:
    """None of them is refused because another one has asked: the platform would count that as a
    failure of ours, and end the webhook after a few. A line's end is no part of a secret."""
    register(registry, "a.example.com")
    asked = AskedSecrets(database, service)
    together = [asyncio.create_task(asked.ask("woocommerce", "a.example.com")) for _ in range(10)]
    assert await asyncio.to_thread(_Service.came.wait, 60)
    _Service.may_answer.set()
    assert await asyncio.gather(*together) == [[SECRET]] * 10
    assert len(_Service.asked) == 1
    assert asked.kept("woocommerce/a.example.com") == [SECRET]


async def test_while_the_service_fails_nobody_is_refused_and_it_is_not_asked_for_each(
    database: Database, registry: ShopRegistry, service: TokenService
) -> None:
    register(registry, "a.example.com")
    _Service.may_answer.set()
    _Service.status = 500
    asked = AskedSecrets(database, service)
    with pytest.raises(TokenServiceUnavailable):
        await asked.ask("woocommerce", "a.example.com")
    with pytest.raises(NotAsked):
        await asked.ask("woocommerce", "a.example.com")
    assert len(_Service.asked) == 1


async def test_a_shop_whose_turn_it_is_not_is_not_refused_either(
    database: Database, service: TokenService
) -> None:
    """The questions of all shops together are bounded, also those about shops that are not ours."""
    asked = AskedSecrets(database, service)
    found: list[object] = await asyncio.gather(
        *(
            asked.ask("woocommerce", f"{number}.example.com")
            for number in range(10 * QUESTIONS_A_SECOND)
        ),
        return_exceptions=True,
    )
    assert [each for each in found if isinstance(each, NotAsked)]
    assert all(each == [] or isinstance(each, ConnectorError) for each in found)
    assert not _Service.asked
