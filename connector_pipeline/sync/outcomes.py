"""Collect how each shop of a run ended, log it at once, and sum it up for an operator."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from textwrap import shorten
from typing import Final, Generic, TypeVar

from connector_pipeline.model.errors import ConnectorError, Defect

ResultT = TypeVar("ResultT")

_NAMED_GROUPS: Final = 10
_NAMED_IN_A_GROUP: Final = 100
_READ_AT_A_GLANCE: Final = 3
_LONGEST_MESSAGE: Final = 300


class Outcomes(Generic[ResultT]):
    """Collects how each shop of a run ended; a shop in neither dictionary has not ended.

    `log` gets each failure and warning at once: a run over a hundred shops goes on for minutes.
    """

    def __init__(self, log: logging.Logger):
        self._log = log
        self.succeeded: dict[str, ResultT] = {}
        self.failed: dict[str, ConnectorError] = {}

    def succeed(self, partition_key: str, result: ResultT) -> None:
        """Record that the shop succeeded."""
        self.succeeded[partition_key] = result

    def fail(self, partition_key: str, error: ConnectorError) -> None:
        """Record that the shop failed, and that this run does not try it again."""
        self.failed[partition_key] = error.of(partition_key)
        self._log.error(f"{error.code}: {error}")

    def postpone(self, partition_key: str, error: ConnectorError) -> None:
        """Log that the shop failed, and that this run tries it again after the others.

        No remedy and no error code: nobody has to do anything yet, and a refusal is not believed.
        """
        self._log.warning(
            f"{partition_key}: {error.message} This run tries it once more, after the other shops."
        )

    def note(self, text: str) -> None:
        """Log a remark about the run as a whole."""
        self._log.info(text)

    def warn(self, partition_key: str, warning: str) -> None:
        """Log something that an operator should look at, though it did not make the shop fail."""
        self._log.warning(f"{partition_key}: {warning}")


def as_connector_error(error: Exception) -> ConnectorError:
    """The error itself if it is a ConnectorError, else the Defect that an operator can report."""
    return error if isinstance(error, ConnectorError) else Defect.from_exception(error)


def summarize(failed: Mapping[str, ConnectorError], *, of: int) -> str:
    """List the failed shops and their errors, grouped by error and remedy, most shops first.

    Each group begins with its shops and their causes, then come the error's name and the remedy on
    a line of their own; above the causes where those are many. Of more than one shop, the last line
    counts them. Long messages and long groups are cut short.
    """
    groups: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for key, error in failed.items():
        message = error.message
        if of > 1:
            message = shorten(message, _LONGEST_MESSAGE, placeholder=" …")
        groups[error.code, error.remedy][key] = message
    largest_first = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    parts = [
        line
        for (code, remedy), messages in largest_first[:_NAMED_GROUPS]
        for line in _group(f"{code}: {remedy}", messages)
    ]
    if unnamed := sum(len(messages) for _, messages in largest_first[_NAMED_GROUPS:]):
        parts.append(f"And {unnamed} more with other troubles: see `failed_shops`.")
    if of > 1:
        others = "the others are done" if len(failed) < of else "no other was to be done"
        parts.append(f"{len(failed)} of {of} shops failed; {others}.")
    return "\n".join(parts)


def _group(what_to_do: str, messages: Mapping[str, str]) -> list[str]:
    """The lines of the shops that failed alike."""
    causes = [f"{key}: {message}" for key, message in messages.items()]
    if len(causes) <= _READ_AT_A_GLANCE:
        return [*causes, what_to_do]
    first = ", ".join(list(messages)[:_READ_AT_A_GLANCE])
    heading = f"{first} and {len(causes) - _READ_AT_A_GLANCE} more"
    lines = [heading, what_to_do, *(f"  {cause}" for cause in causes[:_NAMED_IN_A_GROUP])]
    if len(causes) > _NAMED_IN_A_GROUP:
        lines.append(f"  and {len(causes) - _NAMED_IN_A_GROUP} more: see `failed_shops`.")
    return lines
