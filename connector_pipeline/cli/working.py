"""A word on a terminal about work that takes longer than a second, before its result is there."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

_shown: "list[Status]" = []


def may_be_terminal() -> bool:
    """Whether standard error may be a terminal to Rich. False saves the import of Rich."""
    asked = (os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))
    return sys.stderr.isatty() or any(asked)


@contextmanager
def working(doing: str) -> Generator[None]:
    """While the block runs, show on a terminal what is done, e.g. "Loading Dagster".

    It is gone at the end of the block, and where standard error is no terminal nothing is shown.
    Within another one, it takes that one's place.
    """
    if not may_be_terminal():
        yield
        return
    from connector_pipeline.cli.output import err

    if not err.is_terminal:
        yield
        return
    if _shown:
        before = _shown[-1].status
        _shown[-1].update(doing)
        try:
            yield
        finally:
            _shown[-1].update(before)
        return
    with err.status(f"{doing} …") as status:
        _shown.append(status)
        try:
            yield
        finally:
            _shown.pop()
