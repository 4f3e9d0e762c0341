"""Log lines as JSON: one object a line, for programs that collect logs (LOG_FORMAT=json).

Whatever a process logs to its standard output or error takes this form, by whichever handler:
Dagster, Celery and libraries put in their own, some of them late. So the form is given where all
such handlers make their text, `logging.StreamHandler.format`, and not by one handler of ours.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

VARIABLE: Final = "LOG_FORMAT"

_OURS: Final = "connector_pipeline"
_OF_A_SYNC: Final = ("run_id", "sync_id", "correlation_id", "shop")
_DAGSTERS: Final = "dagster_meta"

_text_of: Final = logging.StreamHandler[Any].format


def wanted() -> bool:
    """Whether the setting asks for JSON. Read here: the start of every process comes by."""
    return os.environ.get(VARIABLE) == "json"


def write_json_lines() -> None:
    """Give all that this process logs to its own output the form. A second call changes nothing."""
    logging.StreamHandler.format = _format
    # Python prints warnings itself, in lines of text.
    logging.captureWarnings(True)
    ours = logging.getLogger(_OURS)
    if not ours.handlers:
        # The end of each sync is a line. Lines of text do without: Dagster's UI shows the shops.
        ours.addHandler(logging.StreamHandler())
        ours.setLevel(logging.INFO)
        ours.propagate = False


def line_of(record: logging.LogRecord) -> str:
    """The record as one line: time in UTC, level, logger, message, and the sync where known.

    Message and traceback are as the record has them: secrets were taken out when it was made.
    """
    found: dict[str, Any] = {
        "time": _time(record.created),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    of_dagster = getattr(record, _DAGSTERS, None)
    for name in _OF_A_SYNC:
        value = getattr(record, name, None)
        if value is None and isinstance(of_dagster, dict):
            value = of_dagster.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if value is not None:
            found[name] = str(value)  # pyright: ignore[reportUnknownArgumentType]
    if named := getattr(record, "names_in_text", None):
        # Lines of text name the sync at their end. Here the fields do.
        found["message"] = found["message"].removesuffix(named)
    exception = record.exc_text
    if exception is None and record.exc_info:
        exception = logging.Formatter().formatException(record.exc_info)
    if exception:
        found["exception"] = exception
    if record.stack_info:
        found["stack"] = record.stack_info
    return _dumped(found)


def line_of_error(text: str) -> str:
    """A traceback that Python prints at a process's end, or a thread's, as one line."""
    last = text.rstrip("\n").rpartition("\n")[2]
    return _dumped(
        {
            "time": _time(datetime.now(UTC).timestamp()),
            "level": "CRITICAL",
            "logger": "uncaught",
            "message": last,
            "exception": text,
        }
    )


def _format(self: "logging.StreamHandler[Any]", record: logging.LogRecord) -> str:
    # Not for one that writes to a file or to memory: somebody else reads those.
    if self.stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        return line_of(record)
    return _text_of(self, record)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _dumped(found: dict[str, Any]) -> str:
    # In ASCII: half of a surrogate pair, or a character that moves a terminal, is an escape.
    return json.dumps(found)
