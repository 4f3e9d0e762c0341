"""Read sync requests from the stream, by their sequence numbers."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from connector_pipeline.messaging.arrivals import Arrivals
from connector_pipeline.messaging.jetstream import REQUEST_SECONDS, EventStream, event_stream
from connector_pipeline.model.events import DeadLetter
from connector_pipeline.model.sync_request import (
    SUBJECT,
    MalformedRequest,
    SyncRequest,
    parse_sync_request,
)
from connector_pipeline.settings import Settings

READ_A_TICK: Final = 2_000
_A_FETCH: Final = 500
_CONSUMER_KEPT_SECONDS: Final = 30


class Position(BaseModel):
    """How far a stream was read: all its requests up to `sequence` are in the inbox."""

    model_config = ConfigDict(frozen=True)

    stream: str
    created: AwareDatetime
    sequence: int


class Start(NamedTuple):
    """The first sequence to read, and a warning if requests before it may be lost."""

    sequence: int
    warning: str | None


def start(
    position: Position | None, *, stream: str, created: datetime, first: int, last: int
) -> Start:
    """Decide where to read on in a stream that holds the sequences `first` to `last`.

    Reading a request twice does no harm, because the inbox knows it by its sync_id.
    """
    if position is None or position.stream != stream:
        return Start(first, None)
    if position.created != created:
        return Start(
            first,
            f"The stream {stream} was made anew since it was last read: it is read from its "
            "beginning. Requests that were only in the one before are lost; ask for them again.",
        )
    if last < position.sequence:
        return Start(
            first,
            f"The stream {stream} ends at sequence {last} and was read to {position.sequence}: it "
            "was restored from an older copy. It is read from its beginning.",
        )
    if first > position.sequence + 1:
        return Start(
            first,
            f"Sequences {position.sequence + 1} to {first - 1} left the stream {stream} unread, "
            "expired or purged. Requests among them are lost; ask for them again.",
        )
    return Start(position.sequence + 1, None)


@dataclass(frozen=True, slots=True)
class RequestStream:
    """Reads the sync requests of the stream that the settings name: a Source for the inbox."""

    settings: Settings

    def __call__(self, cursor: str | None) -> Arrivals:
        """Read at most READ_A_TICK messages after the cursor. Raises NatsUnavailable."""
        return asyncio.run(self._read(_position(cursor)))

    async def _read(self, position: Position | None) -> Arrivals:
        async with event_stream(self.settings) as stream:
            begin = start(
                position,
                stream=stream.name,
                created=stream.created,
                first=stream.first_sequence,
                last=stream.last_sequence,
            )
            messages: list[tuple[int, bytes]] = []
            read_to = stream.last_sequence
            if begin.sequence <= stream.last_sequence:
                messages, rest = await _messages(stream, begin.sequence)
                if messages:
                    # If no request is left, the messages of other subjects count as read, too.
                    read_to = messages[-1][0] if rest else max(read_to, messages[-1][0])
                elif rest:
                    read_to = begin.sequence - 1
        return _arrivals(
            messages,
            Position(stream=stream.name, created=stream.created, sequence=read_to),
            begin.warning,
        )


async def _messages(stream: EventStream, begin: int) -> tuple[list[tuple[int, bytes]], bool]:
    """Read requests from a sequence on, each with its sequence. Returns whether more are left.

    Reads through a consumer that is deleted afterwards: the sensor's cursor has the position.
    """
    subscription = await stream.context.pull_subscribe(
        SUBJECT,
        stream=stream.name,
        config=ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(begin, 1),
            ack_policy=AckPolicy.NONE,
            inactive_threshold=_CONSUMER_KEPT_SECONDS,
            mem_storage=True,
        ),
    )
    info = await subscription.consumer_info()
    pending = info.num_pending or 0
    messages: list[tuple[int, bytes]] = []
    try:
        while len(messages) < min(pending, READ_A_TICK):
            wanted = min(_A_FETCH, min(pending, READ_A_TICK) - len(messages))
            fetched = await subscription.fetch(wanted, timeout=REQUEST_SECONDS)
            messages += [(message.metadata.sequence.stream, message.data) for message in fetched]
    except NatsTimeoutError:
        # Some messages expired, or the server is slow: the next tick reads on.
        return messages, True
    finally:
        await stream.context.delete_consumer(stream.name, info.name)
    return messages, len(messages) < pending


def _arrivals(
    messages: list[tuple[int, bytes]], position: Position, warning: str | None
) -> Arrivals:
    requests: list[SyncRequest] = []
    letters: list[tuple[UUID, DeadLetter]] = []
    for sequence, body in messages:
        try:
            requests.append(parse_sync_request(body))
        except MalformedRequest as error:
            where = f"{position.stream}:{position.created.isoformat()}:{sequence}"
            letter = DeadLetter.of(
                body,
                reason=f"The message {error}.",
                subject=SUBJECT,
                stream=position.stream,
                sequence=sequence,
            )
            letters.append((uuid5(NAMESPACE_URL, f"connector-pipeline:{where}"), letter))
    return Arrivals(
        cursor=position.model_dump_json(),
        requests=requests,
        dead_letters=letters,
        warnings=[warning] if warning else [],
    )


def _position(cursor: str | None) -> Position | None:
    try:
        return None if cursor is None else Position.model_validate_json(cursor)
    except ValidationError:
        # Somebody set the cursor by hand: reading from the beginning repeats no sync.
        return None
