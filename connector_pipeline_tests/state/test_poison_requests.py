"""A request that cannot be stored or synced is refused alone; those beside it go their way."""

import json
import random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from connector_pipeline.model.sync_request import MalformedRequest, SyncRequest, parse_sync_request
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox

GOOD = {
    "merchant_id": "m-1",
    "platform_name": "shopify",
    "platform_shop_id": "101",
    "domain": "acme.myshopify.com",
    "sync_type": "full",
    "correlation_id": "c-1",
}
FIELDS = list(GOOD)
LONG = "".join(f"{number:x}." for number in range(4_000, 6_000))
"""8,000 bytes that hardly compress: an index of Postgres refuses them."""
MEGABYTE = random.Random(1).randbytes(500_000).hex()

POISON = [
    {"domain": LONG},
    {"domain": f"{LONG}.myshopify.com"},
    {"domain": "acme.myshopify.com\x1b[2J\u202e"},
    {"platform_name": LONG},
    {"platform_name": ""},
    {"merchant_id": LONG * 12},
    {"merchant_id": "m\u2066-1"},
    {"merchant_id": "\n"},
    {"platform_shop_id": LONG},
    {"platform_shop_id": "1\x07\x9b"},
    {"sync_type": MEGABYTE},
    {"domain": "a" * 300 + ".myshopify.com"},
    {"domain": "a" * 64 + ".myshopify.com"},
    {"platform_name": "woocommerce", "domain": ".".join(["a" * 63] * 4) + ".com"},
    {"platform_name": "woocommerce", "domain": "butik-höst.example.com"},
    {"platform_name": "woocommerce", "domain": "\U0001f600" * 750},
    {"platform_shop_id": "9" * 4_000},
    {"platform_shop_id": "\U0001f600" * 64},
    {"merchant_id": "9" * 4_000},
]
"""Changes of a good request that a requester can write by SQL, and that are refused."""
ODD = [
    {"correlation_id": MEGABYTE},
    {"correlation_id": "c\r\nX: y"},
    {"platform_shop_id": "é" * 99},
    {"platform_shop_id": "9" * 255},
    {"platform_name": "woocommerce", "domain": ".".join(["a" * 63] * 3) + "." + "b" * 61},
    {"platform_name": "woocommerce", "domain": "xn--butik-hst-27a.example.com"},
]
"""Changes that are accepted."""


class Requests:
    """Puts requests in as a requester does, takes them in, and shows how each one ended."""

    def __init__(self, database: Database):
        self._database = database
        self._number = 0

    def sync_id(self) -> str:
        """A new one."""
        self._number += 1
        return f"s-{self._number}"

    def by_sql(self, changes: dict[str, str]) -> str:
        """Insert a good request with these changes. Returns its sync_id."""
        sync_id = self.sync_id()
        self.rows(
            "INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id,"
            " domain, sync_id, sync_type, correlation_id) VALUES (%(merchant_id)s,"
            " %(platform_name)s, %(platform_shop_id)s, %(domain)s, %(sync_id)s, %(sync_type)s,"
            " %(correlation_id)s) RETURNING id",
            GOOD | changes | {"sync_id": sync_id},
        )
        return sync_id

    def accept(self) -> tuple[int, int]:
        with self._database.connect() as connection:
            return inbox.accept(connection, limit=1_000)

    def put(self, *requests: SyncRequest) -> int:
        with self._database.connect() as connection:
            return inbox.put(connection, requests)

    def rows(self, query: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        with self._database.connect() as connection:
            found = connection.cursor(row_factory=dict_row).execute(query, values)  # type: ignore[arg-type]
            return found.fetchall()

    def alter(self, table: str) -> None:
        """Have the database refuse a domain in this table, which nothing else refuses."""
        with self._database.connect() as connection:
            connection.execute(
                sql.SQL("ALTER TABLE connector.{} ADD CHECK (domain <> {})").format(
                    sql.Identifier(table), "poison.myshopify.com"
                )
            )

    def ends(self) -> dict[str, str]:
        """Each sync_id with how it ended so far: waiting, or failed with its one event."""
        waiting = {
            row["sync_id"]: "waiting"
            for row in self.rows(
                "SELECT sync_id FROM connector.sync_queue JOIN connector.syncs USING (sync_id)"
                " WHERE state = 'waiting' AND status = 'pending'"
            )
        }
        failed = {
            row["sync_id"]: "failed"
            for row in self.rows(
                "SELECT sync_id FROM connector.syncs JOIN connector.outbox"
                " ON payload -> 'data' ->> 'sync_id' = sync_id"
                " WHERE status = 'failed' AND error_code = 'InvalidSyncRequest'"
            )
        }
        events = self.rows("SELECT 1 FROM connector.outbox")
        assert len(events) == len(failed)
        assert not waiting.keys() & failed.keys()
        return waiting | failed


@pytest.fixture
def requests(database: Database) -> Requests:
    """An empty inbox."""
    return Requests(database)


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: f"{poison}"[:40])
def test_a_poison_row_is_refused_alone(requests: Requests, poison: dict[str, str]) -> None:
    """It has its reason and one event; the rows before and after it wait in the queue."""
    before, bad, after = (requests.by_sql(changes) for changes in ({}, poison, {}))
    assert requests.accept() == (2, 1)
    assert requests.ends() == {before: "waiting", bad: "failed", after: "waiting"}
    [row] = requests.rows(
        "SELECT refusal, error_message, payload FROM connector.sync_requests"
        " JOIN connector.syncs USING (sync_id)"
        " JOIN connector.outbox ON payload -> 'data' ->> 'sync_id' = sync_id"
    )
    for text in (row["refusal"], row["error_message"], row["payload"]["data"]["merchant_id"]):
        assert text.isprintable()
        assert len(text.encode()) < 2_000


def test_what_is_odd_but_storable_is_no_poison(requests: Requests) -> None:
    """A correlation id that no HTTP header can hold is replaced by the sync_id."""
    odd = [requests.by_sql(changes) for changes in ODD]
    assert requests.accept() == (len(odd), 0)
    assert requests.ends() == dict.fromkeys(odd, "waiting")


def anything(*, without: list[str]) -> st.SearchStrategy[str]:
    """Any text, short or huge, of the characters that are not of these categories."""
    characters = st.characters(exclude_categories=without, exclude_characters="\x00")  # type: ignore[arg-type]
    text = st.text(characters, max_size=300)
    return text | st.builds(lambda part, times: part * times, text, st.integers(1, 400))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), anything(without=["Cs"])), max_size=4))
@example([*POISON, *ODD])
def test_any_rows_end_once_and_stop_nobody(
    requests: Requests, changes: list[dict[str, str]]
) -> None:
    """Each row waits in the queue or has failed with one event; the good rows wait."""
    good = [requests.by_sql({})]
    others: list[str] = []
    for each in changes:
        try:
            others.append(requests.by_sql(each))
        except psycopg.errors.CheckViolation:
            # The table itself refuses an empty merchant_id.
            assert each.get("merchant_id") == ""
    good.append(requests.by_sql({}))
    accepted, refused = requests.accept()
    assert accepted + refused == len(good) + len(others)
    ends = requests.ends()
    assert ends.keys() >= {*good, *others}
    assert {ends[each] for each in good} == {"waiting"}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), anything(without=[])), max_size=4))
@example([{"domain": "acme\x00.myshopify.com"}, {"domain": "\ud800"}, {"domain": LONG}])
def test_any_messages_end_once_and_stop_nobody(
    requests: Requests, changes: list[dict[str, str]]
) -> None:
    """A message that is a request waits or has failed; another one is a dead letter."""
    made: dict[str, SyncRequest] = {}
    for each in ({}, *changes, {}):
        sync_id = requests.sync_id()
        body = as_json(GOOD | each | {"sync_id": sync_id})
        try:
            made[sync_id] = parse_sync_request(body)
        except MalformedRequest:
            assert "merchant_id" in each
    assert requests.put(*made.values()) == len(made)
    requests.accept()
    ends = requests.ends()
    assert ends.keys() >= made.keys()
    assert [ends[each] for each in (*made,)[:: max(1, len(made) - 1)]] == ["waiting"] * 2


@pytest.mark.parametrize("table", ["sync_queue", "shops"])
def test_a_row_that_the_database_alone_refuses_stops_nobody(requests: Requests, table: str) -> None:
    """A batch that fails as a whole is retried row by row."""
    requests.alter(table)
    good = [requests.by_sql({}) for _ in range(2)]
    bad = requests.by_sql({"domain": "poison.myshopify.com"})
    good.append(requests.by_sql({"domain": "other.myshopify.com"}))
    assert requests.accept() == (3, 1)
    assert requests.ends() == dict.fromkeys(good, "waiting") | {bad: "failed"}
    [row] = requests.rows("SELECT refusal FROM connector.sync_requests WHERE refusal IS NOT NULL")
    assert row["refusal"].startswith("the database does not take it (CheckViolation).")
    assert requests.accept() == (0, 0)


def test_a_message_that_the_inbox_alone_refuses_stops_nobody(requests: Requests) -> None:
    """Its sync fails, with its event, though it has no row in the inbox."""
    requests.alter("sync_requests")
    messages = [
        SyncRequest.model_validate(GOOD | changes | {"sync_id": requests.sync_id()})
        for changes in ({}, {"domain": "poison.myshopify.com"}, {})
    ]
    first, bad, last = [message.sync_id for message in messages]
    assert requests.put(*messages) == 2
    assert requests.put(*messages) == 0
    requests.accept()
    assert requests.ends() == {first: "waiting", bad: "failed", last: "waiting"}


def as_json(fields: dict[str, str]) -> bytes:
    """A message as a requester may write it: JSON can say NUL and half of a surrogate pair."""
    return json.dumps(fields).encode()


def test_what_is_kept_of_a_requests_columns_is_bounded(requests: Requests) -> None:
    """A requester may write a megabyte into each of them, accepted or not."""
    for changes in ({"correlation_id": MEGABYTE}, {"domain": MEGABYTE}, {"sync_type": MEGABYTE}):
        requests.by_sql(changes)
    assert requests.accept() == (1, 2)
    [row] = requests.rows(
        "SELECT max(octet_length(request::text)) AS largest FROM connector.sync_requests AS request"
    )
    assert row["largest"] < 10_000


def test_so_many_ended_requests_are_kept(
    requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requester may send millions within the days that each of them is kept."""
    monkeypatch.setattr(inbox, "MOST_KEPT", 5)
    for _ in range(12):
        requests.by_sql({})
    requests.accept()
    waiting = requests.by_sql({})
    requests.accept()
    [row] = requests.rows("SELECT count(*) AS kept FROM connector.sync_requests")
    assert row["kept"] == 5
    assert requests.ends()[waiting] == "waiting"


def test_a_number_of_any_length_in_a_message_is_answered(requests: Requests) -> None:
    """The message names its sync and its merchant, so it is no dead letter."""
    body = as_json(GOOD | {"sync_id": "s-1", "platform_shop_id": 7}).replace(
        b": 7", b": " + b"9" * 10_000
    )
    assert requests.put(parse_sync_request(body)) == 1
    assert requests.accept() == (0, 1)
    assert requests.ends() == {"s-1": "failed"}
