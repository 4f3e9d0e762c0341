"""The child processes of `connector-pipeline dev`. Each has a log file; none is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connector_pipeline.private_files import (
    LARGEST_LOG,
    bound_log,
    make_private_folder,
    open_private,
)

_LAST_LINES: Final = 15
# Dagster colours its logs, and where we show a part of one, codes would be escaped.
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


class ChildEnded(Exception):
    """A child ended by itself; the text has its name, exit status and last log lines."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child. It has a process group of its own, so that only we pass Ctrl-C on to it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Supervisor:
    """Starts children and stops them in the reverse order."""

    def __init__(self, logs: Path):
        make_private_folder(logs)
        self._logs = logs
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a child. Its output replaces the file `{logs}/{name}.log`."""
        log = self._logs / f"{name}.log"
        # Appended to, so that a child goes on where a log that grew too large was emptied.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        with open_private(log, flags) as output:
            process = subprocess.Popen(  # noqa: S603  our own commands, without a shell
                [sys.executable, "-m", "connector_pipeline.cli.child", str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise ChildEnded if one of the children has ended. Keeps their logs from growing."""
        for child in self._children:
            bound_log(child.log, most_bytes=LARGEST_LOG)
            status = child.process.poll()
            if status is not None:
                log = _COLOURS.sub("", child.log.read_text(errors="replace"))
                tail = log.splitlines()[-_LAST_LINES:]
                raise ChildEnded(
                    f"{child.name} ended with status {status}; the end of {child.log}:\n"
                    + "\n".join(tail)
                    + "\nStart it again: shops that waited and runs that were under way go on."
                )

    def stop(self, child: Child, *, patience: float) -> None:
        """Interrupt a child, wait `patience` seconds, then kill the rest of its process group."""
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGINT)
            try:
                child.process.wait(patience)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        _kill_group(child.process.pid)
        if child in self._children:
            self._children.remove(child)

    def stop_all(self, *, patience: float) -> None:
        """Interrupt all children at once, then wait for each and kill the late ones."""
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGINT)
        until = time.monotonic() + patience
        for child in reversed(list(self._children)):
            self.stop(child, patience=max(0.1, until - time.monotonic()))


def _kill_group(group: int) -> None:
    # Run workers and code servers are grandchildren: they share the child's process group.
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
