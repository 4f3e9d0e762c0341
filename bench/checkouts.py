"""Two checkouts of the project side by side: over one Postgres server and one sandbox.

Each side is a checkout with its own `.venv`, databases and CONNECTOR_HOME, and is used as an
operator uses it: by environment variables, its command line and rows of the schema `connector`.
Nothing of a checkout is imported by the other.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from psycopg import sql
from sandbox_process import sandbox, write_csv

from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.shops.spec import ShopSpec

HERE: Final = Path(__file__).resolve().parents[1]
NEVER: Final = "0 0 1 1 *"
"""A SYNC_CRON without sweeps."""
_START_PATIENCE: Final = 180.0
_STOP_PATIENCE: Final = 120.0
_OWN_SETTINGS: Final = (
    "CONNECTOR_", "DAGSTER_", "SHOPIFY_", "WOOCOMMERCE_", "WEBHOOK", "NATS_", "RAW_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spent:
    """The seconds that a command took, and the CPU seconds of it and its children.

    `peak` is the most memory of any of these processes, in megabytes.
    """

    wall: float
    cpu: float
    output: str
    peak: float


@dataclass(frozen=True, slots=True)
class Side:
    """A checkout under measurement, with its own databases."""

    name: str
    checkout: Path
    home: Path
    url: str
    dagster_url: str
    sandbox_environment: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        return str(self.checkout / ".venv" / "bin" / "python")

    @property
    def program(self) -> str:
        return str(self.checkout / ".venv" / "bin" / "connector-pipeline")

    def environment(self) -> dict[str, str]:
        """This process's environment with the settings of this side instead of any other."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)
        }
        return (
            kept
            | {
                "CONNECTOR_HOME": str(self.home),
                "CONNECTOR_DATABASE_URL": self.url,
                "DAGSTER_POSTGRES_URL": self.dagster_url,
                "SYNC_CRON": NEVER,
            }
            | self.sandbox_environment
            | self.settings
        )

    def connect(self) -> psycopg.Connection:
        """A connection to the side's own database, each statement a transaction."""
        return psycopg.connect(self.url, autocommit=True)

    def cli(self, *arguments: str, patience: float = 3600, check: bool = True) -> Spent:
        """Run a command of the side to its end."""
        return self.run([self.program, *arguments], patience=patience, check=check)

    def register(self, specs: Sequence[ShopSpec]) -> None:
        """Import the shops into the registry."""
        self.cli("shops", "import", str(write_csv(self.home / "shops.csv", specs)))

    def dagster(self) -> psycopg.Connection:
        """A connection to Dagster's database of the side."""
        url = self.dagster_url.replace("postgresql+psycopg2://", "postgresql://", 1)
        return psycopg.connect(url, autocommit=True)

    def run(self, command: Sequence[str], *, patience: float = 3600, check: bool = True) -> Spent:
        """Run a program to its end. Raises RuntimeError if it fails or takes too long."""
        with tempfile.TemporaryFile() as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                command,
                cwd=self.checkout,
                env=self.environment(),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
            watch = threading.Timer(patience, process.kill)
            watch.start()
            memory = _HighWater(process.pid)
            try:
                # wait4 and not Popen.wait: it reports what the process and its children used.
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            finally:
                watch.cancel()
                memory.stop()
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if check and process.returncode != 0:
            raise RuntimeError(
                f"{self.name}: {' '.join(command)} ended with {process.returncode} after "
                f"{wall:.0f} s:\n{text[-3000:]}"
            )
        return Spent(
            wall=wall,
            cpu=usage.ru_utime + usage.ru_stime,
            output=text,
            peak=memory.peak,
        )

    @contextmanager
    def dev(self, **settings: str) -> Generator["Dev"]:
        """`connector-pipeline dev` of this side: code server, daemon and UI, until the end."""
        # A file and not a pipe: nobody would read the pipe while the bench waits.
        with (
            (self.home / "dev.out").open("wb") as output,
            (self.home / "dev.err").open("wb") as errors,
        ):
            process = subprocess.Popen(
                _with_parent([self.program, "dev", "--json", "--port", "3900"]),
                cwd=self.checkout,
                env=self.environment() | settings,
                stdout=output,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                yield Dev(self, process, _announced(self, process))
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    try:
                        process.wait(_STOP_PATIENCE)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()


class _HighWater:
    """Watches the most memory of a process, or of one of its children, in megabytes, on Linux.

    Not by `ru_maxrss`, in which the kernel counts the bench's own memory too: a process that is
    started has, until it runs its program, the memory of its parent.
    """

    def __init__(self, pid: int):
        self.peak = 0.0
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            with suppress(OSError):
                folder = Path(f"/proc/{self._pid}/task/{self._pid}")
                # The kernel keeps the peak, so that only growth in the last moment is missed.
                for pid in (self._pid, *(folder / "children").read_text().split()):
                    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                        if line.startswith("VmHWM:"):
                            self.peak = max(self.peak, int(line.split()[1]) * 1024 / 1e6)


class Dev:
    """A running `dev` of a side."""

    def __init__(self, side: Side, process: subprocess.Popen[bytes], session: dict[str, Any]):
        self._side = side
        self._process = process
        self.ui_url: str = session["ui_url"]
        self.webhooks_url: str | None = session.get("webhooks_url")

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(_dead(self._side))

    def cpu(self) -> float:
        """The CPU seconds of its processes so far, of those that ended, too."""
        total = 0.0
        for process in self._processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def largest_worker(self) -> float:
        """The megabytes of the largest run worker."""
        sizes = [0.0]
        for process in self._processes():
            with suppress(psutil.Error):
                if any("spawn_main" in word for word in process.cmdline()):
                    sizes.append(process.memory_info().rss / 1e6)
        return max(sizes)

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        return []


def _with_parent(command: Sequence[str]) -> list[str]:
    # The program ends when this process does, even if this is killed. `-P`: the working directory
    # is another checkout, which has modules of the same names.
    child = [sys.executable, "-P", "-m", "connector_pipeline.cli.child", str(os.getpid())]
    return [*child, *command]


def _announced(side: Side, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    until = time.monotonic() + _START_PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(_dead(side))
        written = (side.home / "dev.out").read_text()
        if written.strip():
            with suppress(json.JSONDecodeError):
                return json.loads(written)
        time.sleep(0.1)
    raise RuntimeError(f"{side.name}: dev did not start within {_START_PATIENCE:.0f} s")


def _dead(side: Side) -> str:
    return f"{side.name}: dev ended.\n{(side.home / 'dev.err').read_text()[-3000:]}"


@contextmanager
def sides(
    today: Path | None, specs: Sequence[ShopSpec], *, latency: float, **settings: str
) -> Generator[list[Side]]:
    """The sides, today's first if it is given: migrated, and without registered shops.

    `specs` are the shops of the sandbox, with `latency` seconds an answer. `settings` are
    environment variables for both sides. Ctrl-C and SIGTERM stop all that was started.
    """
    # An exception, and not the signal, ends the process, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    checkouts = [("today", today.resolve())] if today is not None else []
    checkouts.append(("new", HERE))
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="connector-bench-"))
        folder = Path(name)
        folder.chmod(0o711)
        server = stack.enter_context(EmbeddedPostgres(folder / "server"))
        environment = stack.enter_context(sandbox(specs, latency=latency))
        made: list[Side] = []
        for name, checkout in checkouts:
            if not (checkout / ".venv" / "bin" / "connector-pipeline").exists():
                raise SystemExit(f"{checkout} has no .venv with connector-pipeline: `make install`")
            home = folder / name
            home.mkdir()
            databases = [f"catalog_{name}", f"dagster_{name}"]
            with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
                for database in databases:
                    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            side = Side(
                name=name,
                checkout=checkout,
                home=home,
                url=server.url(databases[0]),
                dagster_url=server.url(databases[1]).replace(
                    "postgresql://", "postgresql+psycopg2://", 1
                ),
                sandbox_environment=environment,
                settings=settings,
            )
            side.cli("migrate")
            made.append(side)
        yield made


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """The options that all benches of two checkouts have."""
    options = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--today",
        type=Path,
        metavar="CHECKOUT",
        help="a checkout of an older commit with its own .venv, measured in the same call",
    )
    return options
