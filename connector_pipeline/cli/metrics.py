"""`connector-pipeline metrics`: serves /metrics for Prometheus."""

import signal
import socket
import threading
from collections.abc import Sequence
from datetime import timedelta
from socketserver import ThreadingMixIn
from types import FrameType
from typing import Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from connector_pipeline.cli.listening import host_in_url, unusable
from connector_pipeline.cli.output import err
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import Limits
from connector_pipeline.settings import load_settings
from connector_pipeline.state import metrics

SCRAPING: Final = Limits(
    statement=timedelta(seconds=5), lock=timedelta(seconds=2), margin=timedelta(seconds=2)
)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
        """Log no request: there is one every few seconds."""


def run_metrics(*, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Raises ExtraMissing, SettingsError, AddressUnusable.

    Port 0 is any free one. A database that does not answer is a number, and no error.
    """
    require(Extra.METRICS)
    load_settings()
    # Imported here: its packages are an extra.
    from prometheus_client import (
        CollectorRegistry,
        make_wsgi_app,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    )

    from connector_pipeline.cli.prometheus.page import MetricsPage

    registry = CollectorRegistry()
    registry.register(MetricsPage(_read))
    try:
        server = make_server(
            host,
            port,
            make_wsgi_app(registry),  # pyright: ignore[reportUnknownArgumentType]
            server_class=_Server6 if ":" in host else _Server,
            handler_class=_Handler,
        )
    except OSError as error:
        raise unusable(host, port, error, server="the metrics' server") from None

    def end(number: int, frame: FrameType | None) -> None:
        # `shutdown` waits for the loop, which this handler interrupts.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    err.print(f"Metrics: http://{host_in_url(host)}:{server.server_port}/metrics", soft_wrap=True)
    with server:
        server.serve_forever()


def _read() -> Sequence[metrics.Sample]:
    # Not by a pool, and without a look at the revision: the role of a monitor sees nothing but the
    # view, and numbers are wanted in the middle of an upgrade, too.
    with connect(Database().connection_url(), limits=SCRAPING) as connection:
        return metrics.read(connection)
