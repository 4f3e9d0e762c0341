"""The receiver takes what a platform signed, once it is committed, and nothing else."""

import asyncio
import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from connector_pipeline.cli.main import app
from connector_pipeline.cli.webhooks import NoReceiver
from connector_pipeline.hints.body import MOST_BYTES
from connector_pipeline.hints.bounded_protocol import MOST_HEAD_BYTES
from connector_pipeline.hints.recording import Recorder, Unstorable, record_in
from connector_pipeline.hints.shop_rates import BURST as MOST_OF_A_SHOP
from connector_pipeline.hints.shop_rates import ShopRates
from connector_pipeline.hints.sources import BURST
from connector_pipeline.model.hint import Hint
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.kit.webhooks import Delivery
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.deliveries import ReceivedDelivery
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests import canaries, postgres_faults
from connector_pipeline_tests.conftest import enterable_directory
from connector_pipeline_tests.hints.receivers import (
    KEY,
    NEW_SECRET,
    OLD_SECRET,
    Receiving,
    receiving,
    shopify,
    woocommerce,
)

OF_THE_SHOP = "of-a-shop-by-hand-0123456789abcdef"
CUSTOMER = "jane.customer.0123456789@mail.example"


class _TokenService(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        secret = OF_THE_SHOP if self.path.endswith("by-hand.example.com") else None
        body = json.dumps({"data": {"webhook_secret": secret}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
        """Log nothing."""


@pytest.fixture(scope="module")
def url(new_database: Callable[[str | None], str], migrated_template: str) -> str:
    """One database for the module: each test has shops of its own."""
    return new_database(migrated_template)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with enterable_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def token_service() -> Generator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TokenService)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def receiver(url: str, folder: Path, token_service: str) -> Generator[Receiving]:
    """A receiver behind a proxy on this machine, which names each client."""
    settings = {"TOKEN_SERVICE_URL": token_service, "WEBHOOKS_PROXIES": "127.0.0.0/8"}
    with receiving(url, folder, **settings) as running:
        yield running


def shop(url: str, platform_name: str, domain: str, state: ShopState = ShopState.ACTIVE) -> str:
    """Register a shop. Returns its domain."""
    registry = ShopRegistry(database=Database(url=url))
    registry.add(
        Shop(merchant_id="m", platform_name=platform_name, platform_shop_id=domain, domain=domain)
    )
    if state is not ShopState.ACTIVE:
        registry.set_state(f"{platform_name}/{domain}", state)
    return domain


def rows(url: str, domain: str) -> list[tuple[Any, ...]]:
    """The hints of the shop: topic and token."""
    with Database(url=url).connect() as connection:
        return connection.execute(
            "SELECT topic, token FROM connector.hints WHERE domain = %s ORDER BY id", (domain,)
        ).fetchall()


def test_topics_lead_to_hints(url: str, receiver: Receiving) -> None:
    """Each topic of both platforms, by a path that names the shop and by one that does not."""
    domain = shop(url, "shopify", "topics.myshopify.com")
    stated = [
        ("products/create", {"id": 1, "updated_at": "2026-11-28T21:00:00+01:00"}, "1"),
        ("products/update", {"id": 2}, "2"),
        ("products/delete", {"id": 3}, "deleted/3"),
        ("inventory_levels/update", {"inventory_item_id": 4}, "inventory_item/4"),
        (
            "bulk_operations/finish",
            {"admin_graphql_api_id": "gid://shopify/BulkOperation/5"},
            "bulk/gid://shopify/BulkOperation/5",
        ),
        ("shop/update", {}, None),
        ("app/uninstalled", {}, None),
    ]
    for number, (topic, values, _) in enumerate(stated):
        path = "/shopify" if number % 2 else f"/shopify/{domain}"
        assert receiver.post(path, *shopify(domain, topic, values)) == 200
    # A proxy may double a slash, or put a space behind a value.
    body, headers = shopify(domain, "shop/update", {})
    spaced = {name: f"{value} " for name, value in headers.items()}
    assert receiver.post(f"//shopify//{domain}/", body, spaced) == 200
    stated.append(("shop/update", {}, None))
    # A topic that is not ours is no failure for which a subscription would be taken from us.
    assert receiver.post("/shopify", *shopify(domain, "orders/create", {"id": 9})) == 200
    assert rows(url, domain) == [(topic, token) for topic, _, token in stated]

    domain = shop(url, "woocommerce", "topics.example.com")
    path = f"/woocommerce/{domain}"
    product = {"id": 7, "type": "simple", "date_modified_gmt": "2026-11-28T20:00:00"}
    assert receiver.post(path, *woocommerce(domain, "product.created", product)) == 200
    variation = {"id": 8, "type": "variation", "parent_id": 7}
    assert receiver.post(path, *woocommerce(domain, "product.updated", variation)) == 200
    assert receiver.post("/woocommerce", *woocommerce(domain, "product.deleted", {"id": 7})) == 200
    assert receiver.post(path, *woocommerce(domain, "product.restored", {"id": 7})) == 200
    # Signed by the shop in place of a product that is gone meanwhile.
    gone = {"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID."}
    assert receiver.post(path, *woocommerce(domain, "product.updated", gone)) == 200
    ping = {"Content-Type": "application/x-www-form-urlencoded"}
    assert receiver.post(path, b"webhook_id=12", ping) == 200
    assert [token for _, token in rows(url, domain)] == ["7", "7", "deleted/7", "7"]
    with Database(url=url).connect() as connection:
        times = connection.execute(
            "SELECT count(*) FROM connector.hints WHERE changed_at = '2026-11-28T20:00:00Z'"
        ).fetchone()
    assert times == (2,)


def test_only_what_a_secret_signed_is_taken(url: str, receiver: Receiving) -> None:
    """Each of the app's secrets while they are replaced, and no other; the shop's own, by key or by
    the Token Service, whatever the shop calls itself."""
    domain = shop(url, "shopify", "signed.myshopify.com")
    path = f"/shopify/{domain}"
    for secret in (NEW_SECRET, OLD_SECRET):
        assert receiver.post(path, *shopify(domain, "shop/update", {}, secret=secret)) == 200
    assert receiver.post(path, *shopify(domain, "shop/update", {}, secret="another")) == 401
    body, headers = shopify(domain, "shop/update", {})
    assert receiver.post(path, body + b" ", headers) == 401
    assert receiver.post(path, body, {**headers, "X-Shopify-Hmac-SHA256": ""}) == 401
    del headers["X-Shopify-Hmac-SHA256"]
    assert receiver.post(path, body, headers) == 401

    other = shop(url, "woocommerce", "other.example.com")
    domain = shop(url, "woocommerce", "by-hand.example.com")
    made = woocommerce(domain, "product.updated", {"id": 1})
    assert receiver.post(f"/woocommerce/{domain}", *made) == 200
    assert receiver.post(f"/woocommerce/{other}", *made) == 401
    by_hand = woocommerce(domain, "product.updated", {"id": 2}, secret=OF_THE_SHOP)
    by_hand[1]["X-WC-Webhook-Source"] = "https://www.by-hand.example.com/shop"
    for _ in range(3):
        assert receiver.post(f"/woocommerce/{domain}", *by_hand) == 200
    # The Token Service is not asked again for what is in memory, nor for shops that are not ours.
    foreign = woocommerce("foreign.example.com", "product.updated", {"id": 2}, secret=OF_THE_SHOP)
    assert receiver.post("/woocommerce/foreign.example.com", *foreign) == 401
    asked = [path for path in _TokenService.asked if path.endswith(("by-hand.example.com", domain))]
    assert len(asked) == 1
    assert not any("foreign" in path for path in _TokenService.asked)
    assert len(rows(url, domain)) == 4
    assert rows(url, other) == []


def test_what_is_no_delivery_is_refused(url: str, receiver: Receiving) -> None:
    domain = shop(url, "shopify", "refused.myshopify.com")
    path = f"/shopify/{domain}"
    body, headers = shopify(domain, "products/update", {"id": 1})
    assert receiver.post("/", body, headers) == 404
    assert receiver.post("/magento", body, headers) == 404
    assert receiver.post(f"{path}/more", body, headers) == 404
    assert receiver.post(path, body, {**headers, "Content-Type": "text/xml"}) == 415
    with closing(receiver.connection()) as connection:
        connection.request("GET", path)
        assert connection.getresponse().status == 405
    unknown = shopify("unknown.myshopify.com", "products/update", {"id": 1})
    assert receiver.post("/shopify", *unknown) == 404
    assert receiver.post(path, *unknown) == 400
    foreign = shopify("evil.example.com", "products/update", {"id": 1})
    assert receiver.post("/shopify", *foreign) == 404
    assert receiver.post("/shopify", body, {**headers, "X-Shopify-Shop-Domain": ""}) == 400
    # A platform tries whether a bad signature is refused as such, whatever else is wrong.
    unsigned = {**headers, "X-Shopify-Hmac-SHA256": "bad"}
    for named in ("", "evil.example.com", "unknown.myshopify.com"):
        assert receiver.post("/shopify", body, {**unsigned, "X-Shopify-Shop-Domain": named}) == 401
    for values in ([], "x", None):
        assert receiver.post(path, *shopify(domain, "products/update", values)) == 400
    assert rows(url, domain) == []


def test_states_of_the_shop(url: str, receiver: Receiving) -> None:
    """A paused shop's deliveries are taken and dropped; a disconnected shop is soon asked again."""
    domain = shop(url, "shopify", "paused.myshopify.com", ShopState.PAUSED)
    assert receiver.post("/shopify", *shopify(domain, "shop/update", {})) == 200
    assert rows(url, domain) == []
    domain = shop(url, "shopify", "away.myshopify.com", ShopState.DISCONNECTED)
    with Database(url=url).connect() as connection:
        due = "UPDATE connector.shops SET ask_again_at = now() + interval '1 day' WHERE domain = %s"
        connection.execute(due, (domain,))

    def is_due(within: str = "0") -> bool:
        with Database(url=url).connect() as connection:
            [(found,)] = connection.execute(
                "SELECT ask_again_at <= now() + %s::interval FROM connector.shops"
                " WHERE domain = %s",
                (within, domain),
            ).fetchall()
        return bool(found)

    assert receiver.post("/shopify", *shopify(domain, "products/update", {"id": 1})) == 200
    assert is_due()
    assert rows(url, domain) == []
    # Once an hour: what a shop sends must not have it asked without end. Nor is it in vain: a shop
    # that works again, and then has nothing more to send, is not left alone for a day.
    with Database(url=url).connect() as connection:
        connection.execute(due, (domain,))
    for number in (2, 3):
        assert receiver.post("/shopify", *shopify(domain, "products/update", {"id": number})) == 200
        assert not is_due("50 minutes")
        assert is_due("1 hour")
    with Database(url=url).connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET ask_again_at = now() + interval '5 minutes'"
            " WHERE domain = %s",
            (domain,),
        )
    assert receiver.post("/shopify", *shopify(domain, "products/update", {"id": 4})) == 200
    assert is_due("5 minutes"), "a hint puts off nothing"


def test_privacy_topics(url: str, receiver: Receiving) -> None:
    """Of customers nothing is stored. The demand to erase a shop is kept, registered or not."""

    def demands(domain: str) -> int:
        with Database(url=url).connect() as connection:
            [(number,)] = connection.execute(
                "SELECT count(*) FROM connector.erase_demands WHERE domain = %s", (domain,)
            ).fetchall()
        return int(number)

    domain = "never-here.myshopify.com"
    for topic in ("customers/data_request", "customers/redact"):
        about = {"shop_domain": domain, "customer": {"email": CUSTOMER}}
        assert receiver.post("/shopify", *shopify(domain, topic, about)) == 200
        assert receiver.post("/shopify", *shopify(domain, topic, about, secret="x" * 32)) == 401
    redact = {"shop_id": 1, "shop_domain": domain}
    assert receiver.post("/shopify", *shopify(domain, "shop/redact", redact, secret="x")) == 401
    assert demands(domain) == 0
    for _ in range(2):
        assert receiver.post("/shopify", *shopify(domain, "shop/redact", redact)) == 200
    assert demands(domain) == 1
    # The signature is of the body alone: one signed body must not erase other shops.
    victim = shop(url, "shopify", "victim.myshopify.com")
    assert receiver.post("/shopify", *shopify(victim, "shop/redact", redact)) == 400
    assert receiver.post("/shopify", *shopify(victim, "shop/redact", {})) == 400
    assert demands(victim) == 0


def test_deliveries_that_arrive_together_are_all_recorded_once(
    url: str, receiver: Receiving
) -> None:
    """They share transactions, and a repeat is known although it arrives at the same moment."""
    domain = shop(url, "shopify", "together.myshopify.com")
    sent = [
        shopify(domain, "products/update", {"id": number}, delivery_id=f"one-{number}")
        for number in range(1, 41)
    ]
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda each: receiver.post("/shopify", *each), [*sent, *sent]))
    assert set(statuses) == {200}
    assert sorted(int(token) for _, token in rows(url, domain)) == list(range(1, 41))


def test_a_shop_that_delivers_very_much_has_one_hint_for_the_rest(url: str) -> None:
    """A merchant who knows his shop's secret cannot fill the table, and no change is missed."""
    domain = shop(url, "shopify", "busy.myshopify.com")

    def received(token: str) -> ReceivedDelivery:
        delivery = Delivery("t", hints=[Hint("t", token)])
        return ReceivedDelivery("shopify", domain, delivery, among_many=True)

    def record() -> None:
        assert record_in(Database(url=url), [received(str(number)) for number in range(50)])

    record()
    record()
    assert rows(url, domain) == [("many deliveries", None)]
    with Database(url=url).connect() as connection:
        connection.execute("UPDATE connector.hints SET gathered_at = now()")
    record()
    assert rows(url, domain) == [("many deliveries", None)] * 2


def test_only_a_flood_is_recorded_together() -> None:
    rates = ShopRates()
    assert not any(rates.is_over("shopify/a", now=1.0) for _ in range(MOST_OF_A_SHOP))
    assert rates.is_over("shopify/a", now=1.0)
    assert not rates.is_over("shopify/b", now=1.0)
    assert not rates.is_over("shopify/a", now=2.0)


def test_a_delivery_that_postgres_refuses_is_refused_alone(url: str) -> None:
    """Those that share its transaction are recorded all the same."""
    domain = shop(url, "shopify", "poison.myshopify.com")

    def delivery(token: str) -> ReceivedDelivery:
        return ReceivedDelivery("shopify", domain, Delivery("t", hints=[Hint("t", token)]))

    async def all_at_once() -> list[bool | BaseException]:
        recorder = Recorder(lambda received: record_in(Database(url=url), received))
        sent = [delivery(token) for token in ("1", "2", "\x00", "3")]
        return await asyncio.gather(*map(recorder.record, sent), return_exceptions=True)

    first, second, poison, last = asyncio.run(all_at_once())
    assert (first, second, last) == (True, True, True)
    assert isinstance(poison, Unstorable)
    assert sorted(token for _, token in rows(url, domain)) == ["1", "2", "3"]


def test_check_asks_whether_a_receiver_answers(receiver: Receiving) -> None:
    words = ["webhooks", "--check", "--port"]
    assert CliRunner().invoke(app, [*words, str(receiver.port)]).exit_code == 0
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        ended = CliRunner().invoke(app, [*words, str(nobody.getsockname()[1])])
    assert isinstance(ended.exception, NoReceiver)


def test_bodies_and_heads_are_bounded(receiver: Receiving) -> None:
    """By their bytes, whatever Content-Length says, and in chunks, too."""
    path, kind = "/shopify/bounds.myshopify.com", {"Content-Type": "application/json"}

    def status(headers: dict[str, str], sent: Iterator[bytes]) -> int:
        with closing(receiver.connection()) as connection:
            connection.putrequest("POST", path)
            for name, value in {**kind, **headers}.items():
                connection.putheader(name, value)
            connection.endheaders()
            # It answers, and closes, before the end of what it will not read.
            with suppress(OSError):
                for chunk in sent:
                    connection.send(chunk)
            return connection.getresponse().status

    assert status({"Content-Length": str(MOST_BYTES + 1)}, iter(())) == 413
    assert status({"Content-Length": "9" * 18}, iter(())) == 413
    block = b"%x\r\n%s\r\n" % (2**16, b"x" * 2**16)
    endless = (block for _ in range(MOST_BYTES // 2**16 + 1))
    # What it had not read when it closed, the system may answer with a reset.
    with suppress(ConnectionResetError):
        assert status({"Transfer-Encoding": "chunked"}, endless) == 413
    for head in (
        b"POST / HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 99) for n in range(9999)),
        b"POST / HTTP/1.1\r\nx: " + b"y" * 20 * MOST_HEAD_BYTES,
    ):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as raw:
            try:
                raw.sendall(head)
                ended = raw.recv(1)
            except ConnectionError:
                ended = b""
            assert ended == b""


def test_a_source_of_many_refused_requests_is_refused_cheaply(
    url: str, receiver: Receiving
) -> None:
    """Without a line for each, and without a question for a secret. What is signed is taken from it
    all the same, and other sources behind the same proxy are refused with care."""
    domain = shop(url, "woocommerce", "flooded.example.com")
    body, headers = woocommerce(domain, "product.updated", {"id": 1}, secret="guessed")
    before = len(receiver.logged())

    def flood(source: str) -> int:
        # A client may write an address of its own choice before the one that the proxy adds.
        return receiver.post(
            f"/woocommerce/{domain}",
            body,
            {**headers, "X-Forwarded-For": f"203.0.113.{source}, 198.51.100.7"},
        )

    # A slow machine is given back a part of the number meanwhile.
    statuses = list(iter(lambda: flood("9"), 429))
    assert set(statuses) == {401}
    assert len(statuses) >= BURST
    # A line for each of these and none for the last, although it names another address.
    assert flood("8") in (401, 429)
    assert len(receiver.logged()) - before <= len(statuses) + 2
    assert 1 <= len([path for path in _TokenService.asked if domain in path]) < BURST
    good, headers = woocommerce(domain, "product.updated", {"id": 2})
    from_there = {**headers, "X-Forwarded-For": "198.51.100.7"}
    assert receiver.post(f"/woocommerce/{domain}", good, from_there) == 200
    elsewhere = {**headers, "X-Forwarded-For": "198.51.100.8"}
    assert receiver.post(f"/woocommerce/{domain}", body, elsewhere) == 401


def test_nothing_is_lost_or_doubled_by_a_kill_between_commit_and_answer(
    url: str, folder: Path
) -> None:
    """The platform gets no answer and delivers again, to another receiver."""
    domain = shop(url, "shopify", "killed.myshopify.com")
    delivery = shopify(domain, "products/update", {"id": 1}, delivery_id="the-same")
    with receiving(url, folder) as first, closing(first.connection()) as connection:
        with postgres_faults.paused(url, "connector.hints", at_commit=True) as pause:
            connection.request("POST", "/shopify", *delivery)
            pause.reached()
            # It is stopped while Postgres commits, so it never learns of the commit.
            os.kill(first.process.pid, signal.SIGSTOP)
            pause.release()
            while not rows(url, domain):
                pass
        first.process.kill()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            connection.getresponse()
    with receiving(url, folder) as second:
        assert second.post("/shopify", *delivery) == 200
    assert rows(url, domain) == [("products/update", "1")]


def test_an_accepted_delivery_is_committed_and_answered_before_the_end(
    url: str, folder: Path
) -> None:
    domain = shop(url, "shopify", "ending.myshopify.com")
    with receiving(url, folder) as running, closing(running.connection()) as connection:
        with postgres_faults.paused(url, "connector.hints", at_commit=True) as pause:
            connection.request("POST", "/shopify", *shopify(domain, "products/update", {"id": 1}))
            pause.reached()
            running.process.terminate()
            pause.release()
            assert connection.getresponse().status == 200
        assert running.process.wait(60) == 0
    assert rows(url, domain) == [("products/update", "1")]


def test_without_postgres_the_platform_is_asked_to_deliver_again(url: str, folder: Path) -> None:
    domain = shop(url, "shopify", "later.myshopify.com")
    delivery = shopify(domain, "products/update", {"id": 1})
    with receiving(url, folder) as running:
        with postgres_faults.locked(url, "connector.hints"):
            assert running.post("/shopify", *delivery) == 503
        postgres_faults.end_sessions(url)
        assert running.post("/shopify", *delivery) in (200, 503)
        while running.post("/shopify", *delivery) != 200:
            pass
    assert rows(url, domain) == [("products/update", "1")]


def test_no_secret_and_no_body_is_logged_or_stored(url: str, receiver: Receiving) -> None:
    """After all that the other tests of this module delivered to it, and one delivery more."""
    domain = shop(url, "shopify", "silent.myshopify.com")
    stated = {"id": 1, "title": CUSTOMER}
    assert receiver.post("/shopify", *shopify(domain, "products/update", stated)) == 200
    assert receiver.post("/shopify", *shopify(domain, "products/update", [CUSTOMER])) == 400
    planted = canaries.Canaries()
    for name, secret in {
        "app": NEW_SECRET,
        "app before": OLD_SECRET,
        "key": KEY,
        "by hand": OF_THE_SHOP,
        "body": CUSTOMER,
    }.items():
        planted.add(name, secret)
    places = [
        canaries.texts("log", receiver.log.read_bytes()),
        canaries.database("database", url),
    ]
    assert planted.search(places) == []
