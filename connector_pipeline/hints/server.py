"""The server of the receiver: one process, one event loop, until SIGTERM."""

import logging
import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import uvicorn

from connector_pipeline.credentials.real_or_sandbox import SandboxGuard
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.hints.asked_secrets import AskedSecrets
from connector_pipeline.hints.body import Bodies
from connector_pipeline.hints.bounded_protocol import BoundedProtocol
from connector_pipeline.hints.receiver import Receiver
from connector_pipeline.hints.recording import Recorder, record_in
from connector_pipeline.hints.sources import networks
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings

_MOST_CONNECTIONS: Final = 2_000
_KEPT_ALIVE_SECONDS: Final = 30
_GRACE_SECONDS: Final = 10
"""How long an accepted delivery may take to be committed after the process was asked to end."""
_TOKEN_SERVICE_SECONDS: Final = 2.0
"""The platform waits for five for our answer, and delivers again."""
_log: Final = logging.getLogger(__name__)


def receiver(settings: Settings, database: Database) -> Receiver:
    """The application under these settings. Raises SettingsError as adapters do."""
    token_service = None
    if settings.token_service_url:
        token_service = TokenService(
            url=settings.token_service_url,
            timeout=min(settings.token_service_timeout, _TOKEN_SERVICE_SECONDS),
            retry_count=0,
            guard=SandboxGuard(database, marks=False),
        )
    prefix = urlsplit(str(settings.webhooks_url or "")).path.rstrip("/")
    return Receiver(
        adapters=build_adapters(settings),
        settings=settings,
        recorder=Recorder(lambda received: record_in(database, received)),
        asked=AskedSecrets(database, token_service),
        bodies=Bodies(),
        proxies=networks(settings.webhooks_proxies),
        prefix=prefix,
    )


def serve(settings: Settings, listen: Callable[[], socket.socket]) -> None:
    """Take deliveries on the socket that `listen` opens, until SIGINT or SIGTERM.

    Those that were accepted by then are committed and answered. Raises SettingsError, and what
    `listen` raises.
    """
    config = uvicorn.Config(
        receiver(settings, Database()),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        # Into the process's own log, which may be JSON.
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        # Whose word counts is decided by WEBHOOKS_PROXIES.
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEPT_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    with listen() as listening:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _log.info("webhooks are taken at http://%s:%d", shown, port)
        uvicorn.Server(config).run(sockets=[listening])
