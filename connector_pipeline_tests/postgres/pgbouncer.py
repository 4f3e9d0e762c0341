"""A real PgBouncer on loopback before the tests' server."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

PROGRAM: Final = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
_STARTS_WITHIN: Final = 120


@contextmanager
def pgbouncer(
    postgres_url: str, folder: Path, *, pool_mode: str, **settings: object
) -> Generator[str]:
    """A PgBouncer that leads to all databases of the server. Yields its URL, of no database.

    What is not given is PgBouncer's own default. `folder` is one that another account may enter.
    """
    assert PROGRAM is not None
    server = conninfo_to_dict(postgres_url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password = f" password={server['password']}" if server.get("password") else ""
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": pool_mode,
        "admin_users": "",
        **settings,
    }
    lines = [
        "[databases]",
        f"* = host={server['host']} port={server.get('port') or 5432} user={server['user']}"
        + password,
        "[pgbouncer]",
        *(f"{name} = {value}" for name, value in options.items()),
    ]
    ini = folder / f"{pool_mode}-{port}.ini"
    ini.write_text("\n".join(lines))
    ini.chmod(0o644)
    # It does not run as root, and must reach the server's socket.
    as_other = ["-u", Path(str(server["host"])).owner()] if os.getuid() == 0 else []
    log = folder / f"{pool_mode}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([PROGRAM, *as_other, str(ini)], stdout=output, stderr=output)
    url = f"postgresql://{server['user']}@127.0.0.1:{port}"
    try:
        _wait(f"{url}/{server['dbname']}", process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def through(pooler: str, database_url: str) -> str:
    """The URL of the same database behind the pooler."""
    return urlunsplit(urlsplit(pooler)._replace(path=urlsplit(database_url).path))


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)
        else:
            return
