"""The ports on loopback that commands prefer, and how they find free ones."""

import socket
from typing import Final

UI_PORT: Final = 3000
SANDBOX_PORT: Final = 4010
WEBHOOKS_PORT: Final = 3001
METRICS_PORT: Final = 9464
_TRIES: Final = 100


def free_port(first: int) -> int:
    """`first`, or the next port on loopback that nobody listens on. Raises OSError if none is."""
    for port in range(first, min(first + _TRIES, 65_536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # Servers bind so: a port whose last connections linger is free, a listener's is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port on 127.0.0.1 from {first} to {first + _TRIES - 1}")
