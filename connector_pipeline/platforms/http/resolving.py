"""Resolves a host once for each connection, and refuses the one that is not public."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.addresses import is_public

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host for a port, the best first. Raises socket.gaierror."""

_NO_NAME: Final = "there is no such name"


class NotPublic(Exception):
    """A host is not on the public internet, so no connection was made."""

    def refusal(self, where: str) -> InvalidResponse:
        """The error for a request to `where`."""
        return InvalidResponse(
            f"{where} {self}.",
            remedy="A shop is on the public internet (ALLOW_PRIVATE_HOSTS=true lifts this).",
        )


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine's resolver gives. Raises socket.gaierror."""
    loop = asyncio.get_running_loop()
    if _is_address(host):
        # The resolver would be asked in a thread, and would say the same.
        return [host]
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        # Python encodes names itself, and knows no label that is empty or longer than 63 bytes.
        raise socket.gaierror(socket.EAI_NONAME, _NO_NAME) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def addresses_of(host: str, port: int, resolve: Resolve, *, public: bool) -> Sequence[str]:
    """The addresses to connect to, at least one.

    With `public`, all must be public: a name with a private one beside it is meant to mislead.
    Raises NotPublic and socket.gaierror.
    """
    found = await resolve(host, port)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, _NO_NAME)
    for address in found if public else ():
        if not is_public(address):
            raise NotPublic(f"resolves to a private address ({address})")
    return found
