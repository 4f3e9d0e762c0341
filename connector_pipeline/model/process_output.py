"""All that a process logs and each traceback it prints, without secrets and control characters.

A log record factory sees all records of a process: those of a Dagster run's own log, of adapters
and of libraries. A filter would see only the records of its own logger.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from connector_pipeline.model import json_lines
from connector_pipeline.model.redaction import redacted
from connector_pipeline.model.storable import printable


def guard_output() -> None:
    """Redact every log record and every traceback of this process from here on.

    Each process calls it at its start; a second call changes nothing. Where LOG_FORMAT asks for
    JSON, records and tracebacks are written as JSON, too.
    """
    if json_lines.wanted():
        json_lines.write_json_lines()
    factory = logging.getLogRecordFactory()
    if not _is_guarded(factory):
        logging.setLogRecordFactory(_Redacting(factory))
    sys.excepthook = _print_uncaught
    # Whoever put in hooks of their own for these, as pytest does, sees to what they show.
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _print_uncaught_in_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _print_unraisable


def shown(text: str) -> str:
    """A text of several lines without secrets, and with escapes for what does not print."""
    return printable(redacted(text))


def traceback_text(error: BaseException) -> str:
    """The traceback of an error with its causes, as Python prints it, without secrets."""
    return shown("".join(traceback.format_exception(error)))


class _Redacting:
    def __init__(self, factory: Callable[..., logging.LogRecord]):
        self.factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.factory(*args, **kwargs)
        try:
            message = record.getMessage()
        except Exception:
            # Arguments that do not fit the format: logging reports that itself, and shows them.
            message, record.msg, record.args = "", repr(record.msg), ()
        clean = shown(message or str(record.msg))
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[1] is not None:
            # Formatters take the text of the exception from here if it is there.
            record.exc_text = traceback_text(record.exc_info[1]).rstrip("\n")
        return record


def _is_guarded(factory: object) -> bool:
    """Whether the factory redacts, or one that it is put around."""
    while factory is not None:
        if isinstance(factory, _Redacting):
            return True
        factory = getattr(factory, "factory", None)
    return False


def _print_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _print(traceback_text(error.with_traceback(trace)))


def _print_uncaught_in_thread(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_value is None or caught.exc_type is SystemExit:
        return
    name = caught.thread.name if caught.thread is not None else "?"
    _print(f"Exception in thread {name}:\n{traceback_text(caught.exc_value)}")


def _print_unraisable(caught: "sys.UnraisableHookArgs") -> None:
    if caught.exc_value is not None:
        what = caught.err_msg or "Exception ignored in"
        _print(f"{what} {type(caught.object).__name__}:\n{traceback_text(caught.exc_value)}")


def _print(text: str) -> None:
    if json_lines.wanted():
        text = f"{json_lines.line_of_error(text)}\n"
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # pythonw has none
        sys.stderr.write(text)
        sys.stderr.flush()
