"""Where the servers of commands listen: UI, receiver of webhooks, metrics."""

import socket
from typing import Final

from connector_pipeline.model.errors import ConnectorError

_BACKLOG: Final = 2_048


class AddressUnusable(ConnectorError):
    """A server cannot listen where it was asked to."""

    default_remedy = "End the process that listens there, or choose another --host or --port."


def listening_socket(host: str, port: int, *, server: str) -> socket.socket:
    """A socket that listens there; port 0 is any free one. Raises AddressUnusable.

    A server that made it by itself, as uvicorn does, would end the process with a status that no
    other command has. `server` is what the error calls it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise unusable(host, port, error, server=server) from None


def unusable(host: str, port: int, error: OSError, *, server: str) -> AddressUnusable:
    """The error of a server that could not listen there."""
    return AddressUnusable(f"{server} cannot listen on {host} port {port}: {error.strerror}.")


def host_in_url(host: str) -> str:
    """The host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
