"""Requests are read from the stream by sequence. None is lost by that; a loss is reported."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from connector_pipeline.messaging import requests
from connector_pipeline.messaging.jetstream import NatsUnavailable
from connector_pipeline.messaging.requests import Position, RequestStream, start
from connector_pipeline.model.events import DeadLetter
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings
from connector_pipeline.state import inbox
from connector_pipeline.state.outbox import put_dead_letter
from connector_pipeline_tests.messaging.conftest import STREAM, Neighbour, request
from connector_pipeline_tests.messaging.nats_server import NatsServer

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def at(sequence: int, created: datetime = CREATED, stream: str = STREAM) -> Position:
    return Position(stream=stream, created=created, sequence=sequence)


@pytest.mark.parametrize(
    ("position", "first", "last", "begins", "warns"),
    [
        (None, 5, 9, 5, None),
        (at(7), 5, 9, 8, None),
        (at(9), 5, 9, 10, None),
        (at(9), 10, 9, 10, None),
        (at(4), 5, 9, 5, None),
        (at(3), 5, 9, 5, "Sequences 4 to 4 left"),
        (at(9), 1, 0, 1, "restored"),
        (at(12), 5, 9, 5, "restored"),
        (at(3, CREATED - timedelta(days=1)), 1, 9, 1, "made anew"),
        (at(3, stream="OTHER"), 1, 9, 1, None),
    ],
)
def test_reading_goes_on_where_it_ended(
    position: Position | None, first: int, last: int, begins: int, warns: str | None
) -> None:
    """In another stream than before reading begins at the first message."""
    found = start(position, stream=STREAM, created=CREATED, first=first, last=last)
    assert found.sequence == begins
    assert (found.warning is None) == (warns is None)
    assert (warns or "") in (found.warning or "")


@given(read=st.integers(0, 50), first=st.integers(1, 50), held=st.integers(0, 50))
def test_no_message_is_silently_left_out(read: int, first: int, held: int) -> None:
    """A message that was not read is read next, or has left the stream, and a warning says so."""
    last = first + held - 1
    found = start(at(read), stream=STREAM, created=CREATED, first=first, last=last)
    unread = range(read + 1, last + 1)
    assert all(sequence >= found.sequence for sequence in unread if sequence >= first)
    assert found.warning is not None or read <= last or not held
    if any(sequence < first for sequence in range(read + 1, first)):
        assert found.warning is not None


def test_a_missing_stream_is_made(settings: Settings, neighbour: Neighbour) -> None:
    """It has the subjects of the neighbours, and keeps messages for a day."""
    arrivals = RequestStream(settings)(None)
    assert not arrivals.requests

    async def info(js: JetStreamContext) -> StreamInfo:
        return await js.stream_info(STREAM)

    config = neighbour.do(info).config
    assert config.subjects == ["evt.>", "cmd.>", "dlq.>"]
    assert config.max_age == timedelta(hours=24).total_seconds()


def test_an_existing_stream_is_left_as_it_is(settings: Settings, neighbour: Neighbour) -> None:
    """Somebody chose its settings for a reason."""

    async def make(js: JetStreamContext) -> None:
        await js.add_stream(name=STREAM, subjects=["evt.catalog.>"], max_msgs=1000, max_age=60)

    neighbour.do(make)
    neighbour.publish(request("s-1"))
    assert len(RequestStream(settings)(None).requests) == 1

    async def info(js: JetStreamContext) -> StreamInfo:
        return await js.stream_info(STREAM)

    config = neighbour.do(info).config
    assert (config.subjects, config.max_msgs, config.max_age) == (["evt.catalog.>"], 1000, 60)


def test_requests_are_read_once_and_in_order(
    settings: Settings, neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call reads a bounded number, skips other subjects, and leaves no consumer behind."""
    monkeypatch.setattr(requests, "READ_A_TICK", 5)
    source = RequestStream(settings)
    cursor = source(None).cursor
    for number in range(12):
        neighbour.publish(request(f"s-{number}"))
        neighbour.publish({"data": {}}, subject="evt.platform.fetch.completed")
    read: list[str] = []
    for _ in range(3):
        arrivals = source(cursor)
        assert len(arrivals.requests) <= 5
        read += [found.sync_id for found in arrivals.requests]
        cursor = arrivals.cursor
        assert not arrivals.warnings
    assert read == [f"s-{number}" for number in range(12)]
    assert not source(cursor).requests

    async def consumers(js: JetStreamContext) -> int:
        return len(await js.consumers_info(STREAM))

    assert neighbour.do(consumers) == 0


def test_a_message_that_is_no_request_becomes_a_dead_letter(
    settings: Settings, neighbour: Neighbour
) -> None:
    """The letter has the reason and the message's bytes, and is the same if it is read again."""
    source = RequestStream(settings)
    source(None)
    neighbour.publish(b"sync please", {"sync_id": "s-1"}, request("s-2"), b"\x00\xff")
    arrivals = source(None)
    assert [found.sync_id for found in arrivals.requests] == ["s-2"]
    letters = [letter for _, letter in arrivals.dead_letters]
    assert [letter.reason for letter in letters] == [
        "The message is not JSON in UTF-8.",
        "The message has no valid merchant_id.",
        "The message is not JSON in UTF-8.",
    ]
    assert letters[0].body == "sync please"
    assert (letters[2].body, letters[2].body_hex) == (None, "00ff")
    assert letters[1].stream_sequence == 2
    assert source(None).dead_letters == arrivals.dead_letters


@given(st.binary(max_size=200))
def test_a_dead_letter_of_any_bytes_can_be_stored(body: bytes) -> None:
    """Postgres cannot hold NUL, and JSON cannot hold bytes."""
    letter = DeadLetter.of(body, reason="r", subject="s", stream=STREAM, sequence=1)
    assert "\x00" not in (letter.body or "")
    kept = letter.body.encode() if letter.body is not None else bytes.fromhex(letter.body_hex or "")
    assert kept == body


def test_a_large_dead_letter_is_cut_off() -> None:
    """The letter itself must fit into a message."""
    letter = DeadLetter.of(b"\xc3\xa9" * 50_000, reason="r", subject="s", stream=STREAM, sequence=1)
    assert letter.truncated
    assert len(letter.model_dump_json()) < 100_000


def test_a_purged_stream_is_noticed(settings: Settings, neighbour: Neighbour) -> None:
    """Requests that left it unread are gone, and a warning says which."""
    source = RequestStream(settings)
    cursor = source(None).cursor
    neighbour.publish(request("s-1"), request("s-2"))

    async def purge(js: JetStreamContext) -> None:
        await js.purge_stream(STREAM)

    neighbour.do(purge)
    neighbour.publish(request("s-3"))
    arrivals = source(cursor)
    assert [found.sync_id for found in arrivals.requests] == ["s-3"]
    [warning] = arrivals.warnings
    assert "Sequences 1 to 2 left the stream GLAM_EVENTS unread" in warning
    assert not source(arrivals.cursor).warnings


def test_a_stream_made_anew_is_noticed(settings: Settings, neighbour: Neighbour) -> None:
    """Its sequences begin anew, and its messages are read."""
    source = RequestStream(settings)
    source(None)
    neighbour.publish(request("s-1"), request("s-2"))
    cursor = source(None).cursor

    async def replace(js: JetStreamContext) -> None:
        await js.delete_stream(STREAM)

    neighbour.do(replace)
    source(None)
    neighbour.publish(request("s-3"))
    arrivals = source(cursor)
    assert [found.sync_id for found in arrivals.requests] == ["s-3"]
    assert "made anew" in arrivals.warnings[0]


def test_a_server_that_is_away_loses_nothing(
    settings: Settings, neighbour: Neighbour, nats_server: NatsServer
) -> None:
    """The error says that the server is away. The stream's messages are read once it is back."""
    source = RequestStream(settings)
    cursor = source(None).cursor
    neighbour.publish(request("s-1"))
    nats_server.kill()
    with pytest.raises(NatsUnavailable, match="NATS at nats://127"):
        source(cursor)
    nats_server.start()
    assert [found.sync_id for found in source(cursor).requests] == ["s-1"]


def test_a_cursor_set_by_hand_reads_from_the_beginning(
    settings: Settings, neighbour: Neighbour
) -> None:
    """The inbox knows the requests that it had."""
    RequestStream(settings)(None)
    neighbour.publish(request("s-1"))
    assert len(RequestStream(settings)("42").requests) == 1
    assert json.loads(RequestStream(settings)("42").cursor or "")["sequence"] == 1


BAD = {
    "a label of 300 characters": {"domain": "a" * 300 + ".myshopify.com"},
    "a domain of 3,000 bytes": {"platform_name": "woocommerce", "domain": "shop." * 600 + "com"},
    "NUL": {"domain": "acme\x00.myshopify.com"},
    "half a surrogate pair": {"platform_shop_id": "\ud800"},
    "an id of 4,000 digits": {"platform_shop_id": 10**3_999},
    "an id of 3,000 bytes": {"platform_shop_id": "\U0001f600" * 750},
    "an unknown platform": {"platform_name": "p" * 3_000},
    "a sync type of a megabyte": {"sync_type": "full" * 250_000},
}
"""Changes of a good request, which are refused with an answer."""
UNANSWERABLE = {
    "a merchant of 4,000 digits": {"merchant_id": "9" * 4_000},
    "a merchant with NUL": {"merchant_id": "m\x00"},
    "a sync_id of 3,000 bytes": {"sync_id": "s" * 3_000},
}
"""Changes that leave nobody to answer: dead letters."""


def test_a_bad_message_among_good_ones_stops_nobody(
    settings: Settings, neighbour: Neighbour, database: Database
) -> None:
    """One of each kind: the good ones wait in the queue, the bad ones fail with their reason."""
    source = RequestStream(settings)
    cursor = source(None).cursor
    for number, changes in enumerate([*BAD.values(), *UNANSWERABLE.values()]):
        neighbour.publish(
            request(f"good-{number}"),
            request("") | {"sync_id": f"bad-{number}", **changes},
        )
    neighbour.publish(request("good-last"))
    arrivals = source(cursor)
    assert len(arrivals.dead_letters) == len(UNANSWERABLE)
    with database.connect() as connection:
        inbox.put(connection, arrivals.requests)
        for letter_id, letter in arrivals.dead_letters:
            put_dead_letter(connection, letter_id, letter)
        inbox.accept(connection, limit=1_000)
        ended = dict(
            connection.execute(
                "SELECT sync_id, error_code FROM connector.syncs WHERE status = 'failed'"
            ).fetchall()
        )
        waiting = {
            sync_id
            for (sync_id,) in connection.execute(
                "SELECT sync_id FROM connector.sync_queue WHERE state = 'waiting'"
            )
        }
    assert ended == {f"bad-{number}": "InvalidSyncRequest" for number in range(len(BAD))}
    good = {f"good-{number}" for number in range(len(BAD) + len(UNANSWERABLE))}
    assert waiting == {*good, "good-last"}
