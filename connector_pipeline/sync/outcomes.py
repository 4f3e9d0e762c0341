"""How each shop of a run ended: collected, logged as it happens, summed up for an operator."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from textwrap import shorten
from typing import Final, Generic, TypeVar

from connector_pipeline.model.errors import ConnectorError

ResultT = TypeVar("ResultT")

_NAMED_GROUPS: Final = 10
_NAMED_IN_A_GROUP: Final = 100
_LONGEST_MESSAGE: Final = 300


class Outcomes(Generic[ResultT]):
    """Collects how each shop of a run ended. A shop has succeeded, has failed, or is not over.

    `log` gets each failure and warning at once: a run over a hundred shops goes on for minutes.
    """

    def __init__(self, log: logging.Logger):
        self._log = log
        self.succeeded: dict[str, ResultT] = {}
        self.failed: dict[str, ConnectorError] = {}

    def succeed(self, partition_key: str, result: ResultT) -> None:
        """The shop succeeded."""
        self.succeeded[partition_key] = result

    def fail(self, partition_key: str, error: ConnectorError) -> None:
        """The shop failed, and this run does not try it again."""
        self.failed[partition_key] = error.of(partition_key)
        self._log.error(f"{error.code}: {error}")

    def postpone(self, partition_key: str, error: ConnectorError) -> None:
        """The shop failed, and this run tries it again after the others."""
        named = error.of(partition_key)
        self._log.warning(f"{named.code}: {named} It is tried once more after the other shops.")

    def note(self, text: str) -> None:
        """Something of the run as a whole that its log is to say."""
        self._log.info(text)

    def warn(self, partition_key: str, warning: str) -> None:
        """Somebody should look at this; the shop has not failed because of it."""
        self._log.warning(f"{partition_key}: {warning}")


def summarize(failed: Mapping[str, ConnectorError], *, of: int) -> str:
    """The failed shops with their errors, grouped by what to do about it, most shops first.

    The summary of a single shop is its error. Long messages and long groups are cut short.
    """
    if of == 1:
        [error] = failed.values()
        return f"{error.code}: {error}"
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, error in failed.items():
        message = shorten(error.message, _LONGEST_MESSAGE, placeholder=" …")
        groups[error.code, error.remedy].append(f"  {key}: {message}")
    parts = [f"{len(failed)} of {of} shops failed; the others are done."]
    largest_first = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    for (code, remedy), lines in largest_first[:_NAMED_GROUPS]:
        parts.append(f"{code} ({len(lines)}). {remedy}")
        parts += lines[:_NAMED_IN_A_GROUP]
        if len(lines) > _NAMED_IN_A_GROUP:
            parts.append(f"  and {len(lines) - _NAMED_IN_A_GROUP} more: see `failed_shops`.")
    if unnamed := sum(len(lines) for _, lines in largest_first[_NAMED_GROUPS:]):
        parts.append(f"And {unnamed} more with other troubles: see `failed_shops`.")
    return "\n".join(parts)
