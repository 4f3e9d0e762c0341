"""A connection to the one stream that events come from and go to."""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import nkeys  # pyright: ignore[reportMissingTypeStubs]
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import BadRequestError, NotFoundError

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.settings import Settings

SUBJECTS: Final = ("evt.>", "cmd.>", "dlq.>")
MAX_AGE: Final = timedelta(hours=24)
DUPLICATE_WINDOW: Final = timedelta(hours=1)
"""For as long a repeat is dropped by its Nats-Msg-Id, in a stream that we make: a relay that died
between an event's acknowledgement and its own note of it is back by then."""

_USER_TOKEN: Final = re.compile(rb"-BEGIN NATS USER JWT-+\r?\n[\w.-]+")
_USER_SEED: Final = re.compile(rb"-BEGIN USER NKEY SEED-+\r?\n(\w+)")

_CONNECT_SECONDS: Final = 5
_CLOSE_SECONDS: Final = 2
REQUEST_SECONDS: Final = 5


class NatsUnavailable(ConnectorError):
    """NATS cannot be reached, refuses us, or has no such stream to give."""

    retryable = True
    default_remedy = (
        "Nothing is lost: requests stay in the stream and events in connector.outbox. Check "
        "NATS_URL, the NATS_* credentials and the server."
    )


@dataclass(frozen=True, slots=True)
class EventStream:
    """The stream, and what it was like when the connection was made."""

    name: str
    client: Client
    context: JetStreamContext
    created: datetime
    first_sequence: int
    last_sequence: int

    @property
    def max_payload(self) -> int:
        """The largest message the server takes, in bytes, headers included."""
        return self.client.max_payload


@asynccontextmanager
async def event_stream(settings: Settings) -> AsyncGenerator[EventStream]:
    """The stream of NATS_STREAM, made if there is none, on a connection closed at the end.

    Raises NatsUnavailable, also for what NATS raises inside.
    """
    where = settings.nats_url or ""
    try:
        options = _options(settings)
        client = Client()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await client.connect(**options)  # pyright: ignore[reportUnknownMemberType]
            # nats-py's own types leave much of it unknown.
            context: JetStreamContext = client.jetstream(timeout=REQUEST_SECONDS)  # pyright: ignore[reportUnknownMemberType]
            info = await _ensured(context, settings.nats_stream)
            state = info.state
            if info.created is None:
                raise NatsUnavailable(f"NATS at {where} does not say when its stream was made.")
            yield EventStream(
                name=settings.nats_stream,
                client=client,
                context=context,
                created=info.created,
                first_sequence=state.first_seq,
                last_sequence=state.last_seq,
            )
        finally:
            # Of a connection that was refused, too: nats-py leaves its socket open. Where TLS was
            # refused it closes the socket, and waits for ever to be told so.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await client.close()
    except (NatsError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NatsUnavailable(f"NATS at {where}: {reason}.") from None


async def described(settings: Settings) -> str:
    """The stream in a few words. Raises NatsUnavailable."""
    async with event_stream(settings) as stream:
        return (
            f"stream {stream.name} at {settings.nats_url}, "
            f"sequences {stream.first_sequence} to {stream.last_sequence}"
        )


async def _ensured(context: JetStreamContext, name: str) -> StreamInfo:
    """The stream as it is, or a new one. One that exists is never altered."""
    try:
        return await context.stream_info(name)
    except NotFoundError:
        pass
    try:
        return await context.add_stream(  # pyright: ignore[reportUnknownMemberType]
            StreamConfig(
                name=name,
                subjects=list(SUBJECTS),
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                max_age=MAX_AGE.total_seconds(),
                duplicate_window=DUPLICATE_WINDOW.total_seconds(),
            )
        )
    except BadRequestError:
        # Somebody else made it this very moment, or its subjects are another stream's.
        return await context.stream_info(name)


def _options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "servers": (settings.nats_url or "").split(","),
        "name": "connector-pipeline",
        "connect_timeout": 2,
        # A tick is short: the next one connects anew.
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": 0,
        "error_cb": _ignore,
    }
    if settings.nats_user is not None:
        options["user"] = settings.nats_user
    if settings.nats_password is not None:
        options["password"] = settings.nats_password.get_secret_value()
    if settings.nats_token is not None:
        options["token"] = settings.nats_token.get_secret_value()
    if settings.nats_credentials_file is not None:
        options["user_credentials"] = _credentials(settings.nats_credentials_file)
    tls = _tls(settings)
    if tls is not None:
        options["tls"] = tls
    return options


def _credentials(file: Path) -> str:
    """The credentials file, if it holds any. Raises NatsUnavailable.

    nats-py reads on for ever where it finds no token, and raises anything of a seed that is none.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise NatsUnavailable(f"NATS_CREDENTIALS_FILE: {error.strerror}.") from None
    token, seed = _USER_TOKEN.search(text), _USER_SEED.search(text)
    try:
        if token is None or seed is None:
            raise ValueError
        nkeys.from_seed(bytearray(seed[1])).wipe()  # pyright: ignore[reportUnknownMemberType]
    except (ValueError, nkeys.NkeysError):
        raise NatsUnavailable(
            "NATS_CREDENTIALS_FILE holds no user's token and seed.",
            remedy="Export it anew, with `nsc generate creds` say. Nothing is lost meanwhile.",
        ) from None
    return str(file)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """The context of the NATS_TLS_* files; None where none is set: the system's trust, by tls://."""
    if settings.nats_tls_ca_file is None and settings.nats_tls_cert_file is None:
        return None
    context = ssl.create_default_context(cafile=settings.nats_tls_ca_file)
    if settings.nats_tls_cert_file is not None:
        context.load_cert_chain(settings.nats_tls_cert_file, settings.nats_tls_key_file)
    return context


async def _ignore(_: Exception) -> None:
    # What matters is raised where it happens; the default prints a traceback besides.
    return
