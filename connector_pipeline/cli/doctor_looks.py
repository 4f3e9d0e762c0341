"""How `doctor` looks at something that may hang, fail or answer too slowly: a look has its time."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import Final

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.finding import Finding
from connector_pipeline.settings import SettingsError

LONGEST_LOOK: Final = 30.0
"""Seconds. Something that answers byte by byte must not keep the other lines from an operator."""


def looked_at(subject: str, look: Callable[[], str], *, longest: float = LONGEST_LOOK) -> Finding:
    """Look, and wait for the finding: `longest` seconds at most."""
    return begun(subject, look, longest=longest)()


def begun(
    subject: str, look: Callable[[], str], *, longest: float = LONGEST_LOOK
) -> Callable[[], Finding]:
    """Begin to look. Returns a function that waits for the finding, `longest` seconds at most.

    The look returns what is seen, or raises ConnectorError, SettingsError or OSError, which make
    the finding one of a failure.
    """
    seen: Future[str] = Future()

    def looking() -> None:
        try:
            seen.set_result(look())
        except BaseException as error:
            seen.set_exception(error)

    # A daemon: a look that hangs must not keep the command from ending.
    Thread(target=looking, name=f"doctor: {subject}", daemon=True).start()
    return lambda: _finding(subject, seen, longest)


def _finding(subject: str, seen: "Future[str]", longest: float) -> Finding:
    wait([seen], longest)
    if not seen.done():
        return no_answer(subject, longest)
    try:
        return Finding(subject, True, seen.result())
    except ConnectorError as error:
        return Finding(subject, False, error.message, error.remedy)
    except SettingsError as error:
        return Finding(subject, False, " ".join(error.lines))
    except OSError as error:
        return Finding(subject, False, f"{type(error).__name__}: {error.strerror}.")


def no_answer(subject: str, seconds: float) -> Finding:
    """The finding of a look that did not end within so many seconds."""
    return Finding(
        subject,
        False,
        f"no whole answer within {seconds:g} s.",
        "It takes connections, but is too slow for a sync, or hangs: look at its own log.",
    )
