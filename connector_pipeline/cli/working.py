"""A word on a terminal about work that takes longer than a second, before its result is there."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.status import Status

from connector_pipeline.cli.output import err

_shown: list[Status] = []


@contextmanager
def working(doing: str) -> Generator[None]:
    """While the block runs, show on a terminal what is done, e.g. "Loading Dagster".

    It is gone at the end of the block, and where standard error is no terminal nothing is shown.
    Within another one, it takes that one's place.
    """
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
