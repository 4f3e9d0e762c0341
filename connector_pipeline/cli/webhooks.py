"""`connector-pipeline webhooks`: the receiver of the platforms' webhooks."""

import logging
import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from connector_pipeline.cli.ports import WEBHOOKS_PORT
from connector_pipeline.model import json_lines
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.extra import Extra, require

if TYPE_CHECKING:
    from connector_pipeline.settings import Settings

_CHECKED_SECONDS: Final = 5.0


class NoReceiver(ConnectorError):
    """No receiver answers where it was looked for."""

    default_remedy = "Start one: `connector-pipeline webhooks`."


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port.")] = WEBHOOKS_PORT,
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing; exit 1 unless one answers there.")
    ] = False,
) -> None:
    """Take the deliveries of the platforms' webhooks, until SIGTERM or Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    if check:
        _look(host, port)
        return
    run_webhooks(host=host, port=port)


def run_webhooks(*, host: str, port: int) -> None:
    """Take deliveries until Ctrl-C or SIGTERM.

    Raises ExtraMissing, SettingsError, AddressUnusable.
    """
    require(Extra.WEBHOOKS)
    # Imported here: its packages are an extra, and the help of commands needs no settings.
    from connector_pipeline.cli.listening import listening_socket
    from connector_pipeline.cli.output import err
    from connector_pipeline.hints.server import serve as serve_receiver
    from connector_pipeline.settings import load_settings

    settings = load_settings()

    if not json_lines.wanted():
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("connector_pipeline").setLevel(logging.INFO)
    for line in _without_secrets(settings):
        err.print(line, soft_wrap=True)
    # Uvicorn sends itself the signal that ended it once more. A supervisor's stop is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        serve_receiver(settings, partial(listening_socket, host, port, server="the receiver"))


def _look(host: str, port: int) -> None:
    # Imported here: every command imports this module for its help.
    from http.client import InvalidURL
    from urllib.request import ProxyHandler, build_opener

    from connector_pipeline.cli.listening import host_in_url

    shown = host_in_url(host)
    url = f"http://{shown}:{port}/health"
    try:
        # Not by a proxy of the environment: it is this machine that is looked at.
        with build_opener(ProxyHandler({})).open(url, timeout=_CHECKED_SECONDS):
            return
    except (OSError, InvalidURL):
        raise NoReceiver(f"no receiver answers at {shown} port {port}.") from None


def _without_secrets(settings: "Settings") -> list[str]:
    """A line for each platform of which no delivery could be verified."""
    from connector_pipeline.platforms.adapters import build_adapters

    if settings.token_service_url is not None:
        return []
    return [
        f"No webhook of {name} can be verified: neither its secret nor TOKEN_SERVICE_URL is set."
        for name, adapter in build_adapters(settings).items()
        if (reader := adapter.webhooks) is not None
        and not reader.app_secrets(settings)
        and not (reader.shops_have_secrets and settings.webhook_keys)
    ]
