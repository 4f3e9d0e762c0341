"""Connect to the JetStream stream that sync requests come from and events go to."""

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
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.settings import Settings

SUBJECTS: Final = ("evt.>", "cmd.>", "dlq.>")
MAX_AGE: Final = timedelta(hours=24)
DUPLICATE_WINDOW: Final = timedelta(hours=1)
"""How long a stream that the project makes drops repeats by their Nats-Msg-Id. A relay that died
after an event was acknowledged and before it marked the event as sent runs again by then."""

_USER_TOKEN: Final = re.compile(rb"-BEGIN NATS USER JWT-+\r?\n[\w.-]+")
_USER_SEED: Final = re.compile(rb"-BEGIN USER NKEY SEED-+\r?\n(\w+)")

_CONNECT_SECONDS: Final = 5
_CLOSE_SECONDS: Final = 2
REQUEST_SECONDS: Final = 5


class NatsUnavailable(ConnectorError):
    """NATS cannot be reached, refuses the credentials, or cannot give the stream."""

    retryable = True
    default_remedy = (
        "Nothing is lost: requests stay in the stream and events in connector.outbox. Check "
        "NATS_URL, the NATS_* credentials and the server."
    )


@dataclass(frozen=True, slots=True)
class EventStream:
    """The stream, and its state when the connection was made."""

    name: str
    client: Client
    context: JetStreamContext
    created: datetime
    first_sequence: int
    last_sequence: int

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes, headers included."""
        return self.client.max_payload


@asynccontextmanager
async def event_stream(settings: Settings) -> AsyncGenerator[EventStream]:
    """Connect to the stream of NATS_STREAM, make it if there is none, and disconnect at the end.

    Raises NatsUnavailable, also for an error that NATS raises in the body.
    """
    where = settings.nats_url or ""
    try:
        options = _options(settings)
        client = Client()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await client.connect(**options)  # pyright: ignore[reportUnknownMemberType]
            # nats-py does not type all of it.
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
            # Also if the connection was refused: nats-py leaves its socket open. If TLS was
            # refused, nats-py closes the socket and then waits for ever for its end.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await client.close()
    except (NatsError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NatsUnavailable(f"NATS at {where}: {reason}.") from None


async def described(settings: Settings) -> str:
    """Describe the stream in a few words. Raises NatsUnavailable."""
    async with event_stream(settings) as stream:
        return (
            f"stream {stream.name} at {settings.nats_url}, "
            f"sequences {stream.first_sequence} to {stream.last_sequence}"
        )


async def _ensured(context: JetStreamContext, name: str) -> StreamInfo:
    """Return the stream's state; make the stream if there is none, but never alter one."""
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
        # Somebody else just made it, or another stream has its subjects.
        return await context.stream_info(name)


def _options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "servers": (settings.nats_url or "").split(","),
        "name": "connector-pipeline",
        "connect_timeout": 2,
        # A tick is short, and the next one connects anew.
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
    """The path of the credentials file, whose content is checked. Raises NatsUnavailable.

    nats-py reads for ever in a file without a token, and raises various errors for a malformed
    seed.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise NatsUnavailable(f"NATS_CREDENTIALS_FILE: {error.strerror}.") from None
    token, seed = _USER_TOKEN.search(text), _USER_SEED.search(text)
    try:
        if token is None or seed is None:
            raise ValueError
        SECRETS.keep([seed[1].decode(), token[0].split()[-1].decode()])
        nkeys.from_seed(bytearray(seed[1])).wipe()  # pyright: ignore[reportUnknownMemberType]
    except (ValueError, nkeys.NkeysError):
        raise NatsUnavailable(
            "NATS_CREDENTIALS_FILE holds no user's token and seed.",
            remedy="Export it anew, for example by `nsc generate creds`. Nothing is lost so far.",
        ) from None
    return str(file)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """The context of the NATS_TLS_* files. If none is set, None: tls:// then uses the system's."""
    if settings.nats_tls_ca_file is None and settings.nats_tls_cert_file is None:
        return None
    context = ssl.create_default_context(cafile=settings.nats_tls_ca_file)
    if settings.nats_tls_cert_file is not None:
        context.load_cert_chain(settings.nats_tls_cert_file, settings.nats_tls_key_file)
    return context


async def _ignore(_: Exception) -> None:
    # nats-py also raises the errors that matter; its default callback prints a traceback besides.
    return
