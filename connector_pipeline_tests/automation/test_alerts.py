"""Each alert is delivered once, also to a webhook that was down, and its URL is never logged."""

import json
import logging
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
from dagster import DagsterInstance, SensorResult, build_sensor_context

from connector_pipeline.automation.alert_targets import targets
from connector_pipeline.automation.alerts import alerts, failing
from connector_pipeline.model.queue import QueueOutcome
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import sweeps, sync_queue
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sweeps import Sweep

SECRET = "T0KEN-of-the-webhook"


class Webhook:
    """A receiver on loopback that keeps the alerts that it took, and may refuse them."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[dict[str, Any]] = []
        self.asked = 0
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.asked += 1
                if webhook.status < 300:
                    assert self.headers["Content-Type"] == "application/json"
                    webhook.taken.append(json.loads(body))
                self.send_response(webhook.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks/{SECRET}"

    @contextmanager
    def serving(self) -> Generator["Webhook"]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Generator[Webhook]:
    with Webhook().serving() as made:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", made.url)
        yield made


class Ticks:
    """Ticks of the sensor, each with the cursor of the tick before."""

    def __init__(self, database: Database):
        self.database = database
        self.cursor: str | None = None

    def tick(self) -> str:
        """Tick once. Returns the tick's skip reason."""
        with (
            DagsterInstance.ephemeral() as instance,
            build_sensor_context(
                instance=instance, cursor=self.cursor, resources={"database": self.database}
            ) as context,
        ):
            result = alerts(context)
        assert isinstance(result, SensorResult)
        self.cursor = result.cursor
        assert result.skip_reason is not None
        return str(result.skip_reason.skip_message)


def register(registry: ShopRegistry, numbers: Iterable[int]) -> None:
    for number in numbers:
        registry.add(
            Shop(
                merchant_id=f"m-{number}",
                platform_name="shopify",
                platform_shop_id=str(number),
                domain=f"alert-{number}.myshopify.com",
            )
        )


@pytest.fixture
def ticks(database: Database, registry: ShopRegistry) -> Ticks:
    register(registry, range(3))
    return Ticks(database)


ZERO, ONE = "shopify/alert-0.myshopify.com", "shopify/alert-1.myshopify.com"


def test_a_shop_that_becomes_disconnected_is_reported_once(
    ticks: Ticks, webhook: Webhook, registry: ShopRegistry
) -> None:
    """It is reported once for each time. The shops of one tick are in one alert."""
    assert ticks.tick() == "There is no new alert."
    registry.set_state(ZERO, ShopState.DISCONNECTED)
    registry.set_state(ONE, ShopState.DISCONNECTED)
    assert ticks.tick() == "Alerts raised: 1."
    assert ticks.tick() == "There is no new alert."
    [alert] = webhook.taken
    assert alert["kind"] == "shops_disconnected"
    assert [shop["shop"] for shop in alert["shops"]] == [ZERO, ONE]
    assert alert["shops"][0]["merchant_id"] == "m-0"
    assert "shops resume" in alert["message"]
    # A frozen shop needs no new credentials, so the alert leaves the advice to the error.
    assert "reconnect" not in alert["message"]

    registry.set_state(ZERO, ShopState.ACTIVE)
    registry.set_state(ZERO, ShopState.DISCONNECTED)
    ticks.tick()
    assert [shop["shop"] for shop in webhook.taken[1]["shops"]] == [ZERO]
    assert webhook.taken[1]["alert_id"] != alert["alert_id"]


def test_a_shop_that_has_failed_for_a_day_is_reported_once(
    ticks: Ticks, webhook: Webhook, database: Database
) -> None:
    """Its error is in the alert. One that failed an hour ago is tried by the next sweeps first."""
    with database.connect() as connection:
        connection.execute(
            """
            UPDATE connector.shops SET last_error_code = 'InvalidResponse',
                last_error_message = 'it answers nonsense.', updated_at = now() - interval '1 hour'
            WHERE domain IN ('alert-0.myshopify.com', 'alert-1.myshopify.com')
            """
        )
        connection.execute(
            """
            INSERT INTO connector.syncs (sync_id, platform_name, domain, merchant_id, sync_type,
                status, correlation_id, started_at, finished_at)
            VALUES ('s', 'shopify', 'alert-0.myshopify.com', 'm-0', 'full', 'failed', 'c',
                now() - interval '25 hours', now() - interval '25 hours')
            """
        )
    assert ticks.tick() == "Alerts raised: 1."
    assert ticks.tick() == "There is no new alert."
    [alert] = webhook.taken
    assert alert["kind"] == "shops_failing"
    assert [(shop["shop"], shop["error"]) for shop in alert["shops"]] == [
        (ZERO, "it answers nonsense.")
    ]


def test_a_webhook_that_is_down_gets_the_alert_later(
    ticks: Ticks,
    webhook: Webhook,
    registry: ShopRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No alert is lost if the webhook refuses, redirects or is out of reach.

    Its URL is never logged.
    """
    said: list[str] = []
    with caplog.at_level(logging.DEBUG):
        registry.set_state(ZERO, ShopState.DISCONNECTED)
        for status in (503, 302, 404):
            webhook.status = status
            said.append(ticks.tick())
            assert f"status {status}" in said[-1]
        monkeypatch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:1/{SECRET}")
        said.append(ticks.tick())
        assert "ConnectError" in said[-1]
        assert webhook.taken == []
        monkeypatch.setenv("ALERT_WEBHOOK_URL", webhook.url)
        webhook.status = 204
        said.append(ticks.tick())
        ticks.tick()
    assert len(webhook.taken) == 1
    captured = capfd.readouterr()
    assert SECRET not in "".join((*said, caplog.text, captured.out, captured.err))


def end(database: Database, outcomes: dict[str, str | None]) -> None:
    """End the queue's rows of these shops, by partition key, with these error codes."""
    with database.connect() as connection:
        for key, error_code in outcomes.items():
            [(sync_id,)] = connection.execute(
                "SELECT sync_id FROM connector.sync_queue"
                " WHERE platform_name || '/' || domain = %s AND state <> 'ended'",
                (key,),
            ).fetchall()
            outcome = QueueOutcome.SUCCEEDED if error_code is None else QueueOutcome.FAILED
            sync_queue.end(connection, sync_id, outcome, error_code)


def test_a_sweep_of_which_more_than_a_twentieth_failed_is_reported_once(
    ticks: Ticks, webhook: Webhook, registry: ShopRegistry
) -> None:
    """It is reported as soon as enough shops have failed."""
    keys = [f"shopify/alert-{number}.myshopify.com" for number in range(40)]
    register(registry, range(3, 40))
    with ticks.database.connect() as connection:
        sweeps.put(connection, "2026-03-01T12:00Z", keys)
    end(ticks.database, dict.fromkeys(keys[:2], "PlatformUnavailable"))
    assert ticks.tick() == "There is no new alert."
    end(ticks.database, {keys[2]: "PlatformUnavailable", keys[3]: None})
    ticks.tick()
    ticks.tick()
    [alert] = webhook.taken
    assert alert["kind"] == "sweep_failing"
    assert alert["sweep"] == {
        "sweep_id": "2026-03-01T12:00Z",
        "shops": 40,
        "taken": 40,
        "succeeded": 1,
        "failed": 3,
    }


def test_a_sweep_that_has_begun_is_judged_by_all_shops_that_it_will_take(
    ticks: Ticks, webhook: Webhook, registry: ShopRegistry
) -> None:
    """Two failures among its first three shops are not 5 % of a hundred."""
    register(registry, range(3, 100))
    with ticks.database.connect() as connection:
        sweeps.put(
            connection,
            "2026-03-01T12:00Z",
            [f"shopify/alert-{number}.myshopify.com" for number in range(3)],
        )
    end(ticks.database, dict.fromkeys((ZERO, ONE), "PlatformUnavailable"))
    assert ticks.tick() == "There is no new alert."
    with ticks.database.connect() as connection:
        [sweep] = sweeps.recent(connection, since=timedelta(days=1))
    assert sweep == Sweep("2026-03-01T12:00Z", shops=100, taken=3, succeeded=0, failed=2)


@pytest.mark.parametrize(
    ("shops", "failed", "reported"), [(3, 3, False), (19, 19, False), (20, 1, False), (20, 2, True)]
)
def test_a_small_sweep_is_not_judged(shops: int, failed: int, reported: bool) -> None:
    """One shop of three is more than 5 %, and no reason for an alert."""
    assert failing(Sweep("s", shops, shops, 0, failed)) is reported


SLACKS: Final = "T00000000/B00000000/abcdefghijklmnopqrstuvwx"
ROUTING_KEY: Final = "0123456789abcdef0123456789ABCDEF"


class Receivers:
    """Slack, Teams and PagerDuty on loopback: each refuses what it does not document.

    `refuses` are parts of bodies that PagerDuty answers with 400, as an event it cannot take.
    """

    def __init__(self) -> None:
        self.taken: dict[str, list[dict[str, Any]]] = {"slack": [], "teams": [], "pagerduty": []}
        self.refuses: list[str] = []
        receivers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.path.split("/")[1]
                assert self.headers["Content-Type"] == "application/json"
                try:
                    status = CHECKS[name](json.loads(body), len(body), self.path)
                    if name == "pagerduty" and any(
                        each in body.decode() for each in receivers.refuses
                    ):
                        status = 400
                except (AssertionError, KeyError, TypeError, ValueError):
                    status = 400
                if status < 300:
                    receivers.taken[name].append(json.loads(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.urls = [
            f"slack+{url}/slack/services/{SLACKS}",
            f"teams+{url}/teams/workflows/0/triggers/manual/paths/invoke?sig={SECRET}",
            f"pagerduty+{url}/pagerduty/v2/enqueue#{ROUTING_KEY}",
        ]

    @contextmanager
    def serving(self) -> Generator["Receivers"]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def slack(body: dict[str, Any], size: int, path: str) -> int:
    """Status of an incoming webhook: 200, or 400 `invalid_payload`."""
    assert path == f"/slack/services/{SLACKS}"
    assert body.keys() == {"text", "blocks"}
    assert 0 < len(body["text"]) <= 4_000
    assert not set("<>") & set(body["text"])
    assert 1 <= len(body["blocks"]) <= 50
    for block in body["blocks"]:
        assert block.keys() == {"type", "text"}
        most = {"header": 150, "section": 3_000}[block["type"]]
        assert block["text"].keys() == {"type", "text"}
        assert block["text"]["type"] == "plain_text"
        assert 1 <= len(block["text"]["text"]) <= most
    assert sum(len(block["text"]["text"]) for block in body["blocks"]) <= 13_000
    return 200


def teams(body: dict[str, Any], size: int, path: str) -> int:
    """Status of a workflow: 202, or 400 for what is no message with one Adaptive Card of 28 KB."""
    assert path.endswith(f"?sig={SECRET}")
    assert size <= 28 * 1024
    assert body["type"] == "message"
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card.keys() == {"$schema", "type", "version", "body"}
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    for element in card["body"]:
        if element["type"] == "RichTextBlock":
            assert element.keys() == {"type", "inlines"}
            assert all(each.keys() == {"type", "text"} for each in element["inlines"])
            assert all(each["type"] == "TextRun" for each in element["inlines"])
        else:
            assert element.keys() == {"type", "text", "weight", "size", "wrap"}
            assert element["type"] == "TextBlock"
    return 202


def pagerduty(body: dict[str, Any], size: int, path: str) -> int:
    """Status of the Events API v2: 202, or 400 `invalid event`."""
    assert path == "/pagerduty/v2/enqueue"
    assert size <= 512 * 1024
    assert body.keys() == {"routing_key", "event_action", "dedup_key", "client", "payload"}
    assert body["routing_key"] == ROUTING_KEY
    assert len(body["routing_key"]) == 32
    assert body["event_action"] == "trigger"
    assert 1 <= len(body["dedup_key"]) <= 255
    payload = body["payload"]
    assert payload.keys() <= {
        "summary", "source", "severity", "timestamp", "component", "group", "class",
        "custom_details",
    }  # fmt: skip
    assert 1 <= len(payload["summary"]) <= 1_024
    assert payload["source"]
    assert payload["severity"] in {"critical", "error", "warning", "info"}
    assert datetime.fromisoformat(payload["timestamp"]).utcoffset() is not None
    return 202


CHECKS: Final = {"slack": slack, "teams": teams, "pagerduty": pagerduty}


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> Generator[Receivers]:
    with Receivers().serving() as made:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", " ".join(made.urls))
        yield made


def test_slack_teams_and_pagerduty_take_every_alert(
    ticks: Ticks,
    receivers: Receivers,
    registry: ShopRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each in its form, also one of more shops, and longer errors, than a message may hold."""
    keys = [f"shopify/alert-{number}.myshopify.com" for number in range(150)]
    register(registry, range(3, 150))
    for key in keys:
        registry.set_state(key, ShopState.DISCONNECTED)
    with ticks.database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET last_error_message = repeat('<!channel> 税 ', 400)"
        )
        sweeps.put(connection, "2026-03-01T12:00Z", keys)
    end(ticks.database, dict.fromkeys(keys[:30], "PlatformUnavailable"))
    assert ticks.tick() == "Alerts raised: 2."
    assert ticks.tick() == "There is no new alert."
    assert {name: len(taken) for name, taken in receivers.taken.items()} == {
        "slack": 2, "teams": 2, "pagerduty": 2,
    }  # fmt: skip
    events = receivers.taken["pagerduty"]
    assert [each["payload"]["severity"] for each in events] == ["warning", "error"]
    assert len({each["dedup_key"] for each in events}) == 2
    said = json.dumps(receivers.taken["slack"]) + json.dumps(receivers.taken["teams"])
    assert said.count("and 135 more") == 2
    assert "PlatformUnavailable" not in said
    for secret in (SECRET, SLACKS, ROUTING_KEY):
        assert secret not in caplog.text + (ticks.cursor or "") + said


def test_a_refused_alert_holds_up_neither_another_alert_nor_another_target(
    ticks: Ticks, receivers: Receivers, registry: ShopRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that refused it, or that does not answer, gets it later, and once."""
    keys = [f"shopify/alert-{number}.myshopify.com" for number in range(40)]
    register(registry, range(3, 40))
    registry.set_state(ZERO, ShopState.DISCONNECTED)
    with ticks.database.connect() as connection:
        sweeps.put(connection, "2026-03-01T12:00Z", keys)
    end(ticks.database, dict.fromkeys(keys[5:10], "PlatformUnavailable"))
    receivers.refuses = ["shops_disconnected"]
    down = "http://127.0.0.1:1/plain"
    monkeypatch.setenv("ALERT_WEBHOOK_URL", " ".join([down, *receivers.urls]))
    said = ticks.tick()
    assert "target 4 (pagerduty) did not take shops_disconnected (status 400)" in said
    assert "target 1 (plain) did not take shops_disconnected (ConnectError)" in said
    assert said.startswith("Alerts raised: 2. ")
    assert [each["payload"]["class"] for each in receivers.taken["pagerduty"]] == ["sweep_failing"]
    assert [len(receivers.taken[name]) for name in ("slack", "teams")] == [2, 2]

    receivers.refuses = []
    monkeypatch.setenv("ALERT_WEBHOOK_URL", " ".join(receivers.urls))
    ticks.tick()
    ticks.tick()
    assert [each["payload"]["class"] for each in receivers.taken["pagerduty"]] == [
        "sweep_failing",
        "shops_disconnected",
    ]
    assert [len(receivers.taken[name]) for name in ("slack", "teams")] == [2, 2]


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://hooks.slack.com/services/T/B/x", "slack"),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/x?sig=y", "teams"),
        ("https://d.0.environment.api.powerplatform.com:443/powerautomate/x", "teams"),
        (f"https://events.eu.pagerduty.com/v2/enqueue#{ROUTING_KEY}", "pagerduty"),
        ("https://alerts.internal/connector", "plain"),
        ("slack+https://chat.internal/hooks/x", "slack"),
        ("plain+https://hooks.slack.com/services/T/B/x", "plain"),
    ],
)
def test_the_address_tells_the_form_unless_it_is_given(url: str, form: str) -> None:
    """The settings accept each."""
    settings = load_settings(alert_webhook_url=url)
    [target] = targets(settings.alert_webhook_url)
    assert target.form == form
    assert "#" not in target.url.get_secret_value()
    assert target.url.get_secret_value().startswith("https://")


def test_without_a_webhook_alerts_are_logged(
    ticks: Ticks, registry: ShopRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are logged once."""
    monkeypatch.delenv("ALERT_WEBHOOK_URL", raising=False)
    registry.set_state(ZERO, ShopState.DISCONNECTED)
    assert [ticks.tick(), ticks.tick()] == ["Alerts raised: 1.", "There is no new alert."]
