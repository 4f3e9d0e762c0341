"""The logs of processes that a test starts: what it needs to say why it failed."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LONGEST: Final = 20_000
"""Characters of the end of a log."""

_open: Final[list[Callable[[], Sequence[Path]]]] = []
_left: Final[list[tuple[str, str]]] = []


@contextmanager
def shown_if_failed(logs: Callable[[], Sequence[Path]]) -> Generator[None]:
    """A test that fails in the block, or while it is open, shows the end of each of these files.

    `logs` is called then: files may come and go meanwhile. A fixture's block is open while tests
    use it, and ends with their failure where it is the test's own.
    """
    _open.append(logs)
    try:
        yield
    except BaseException:
        _left.extend(_ends(logs()))
        raise
    finally:
        _open.remove(logs)


def take(*, of_open: bool) -> list[tuple[str, str]]:
    """The names of the logs with their ends, since this was called last.

    `of_open`: also of the blocks that are still open.
    """
    found = [*_left, *(end for logs in _open if of_open for end in _ends(logs()))]
    _left.clear()
    return found


def _ends(logs: Sequence[Path]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in logs:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        found.append((f"end of {path.name}", text[-_LONGEST:]))
    return found
