"""The address of a deployment's code server, as CONNECTOR_CODE_SERVER has it."""

import os
import re
from typing import Final, NamedTuple

_CODE_SERVER: Final = re.compile(
    r"(?P<host>\[[0-9a-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<port>[0-9]{1,5})"
)
_LONGEST_SOCKET_PATH: Final = 107
"""Bytes; Linux refuses to bind a longer one."""


class CodeServerAddress(NamedTuple):
    """Where the code server is: a host and a port, or the absolute path of a socket."""

    host: str
    port: int | None
    socket: str | None

    def __str__(self) -> str:
        """As CONNECTOR_CODE_SERVER has it."""
        return self.socket or f"{self.host}:{self.port}"


def parse_code_server(written: str) -> CodeServerAddress:
    """Read `host:port` or an absolute path. Raises ValueError, which says what it must be."""
    if written.startswith("/"):
        if len(os.fsencode(written)) > _LONGEST_SOCKET_PATH:
            raise ValueError(f"must be a path of {_LONGEST_SOCKET_PATH} bytes at most")
        return CodeServerAddress("localhost", None, written)
    match = _CODE_SERVER.fullmatch(written)
    if match is None or not 0 < int(match["port"]) < 65_536:
        raise ValueError("must be host:port, or the absolute path of a socket")
    return CodeServerAddress(match["host"], int(match["port"]), None)
