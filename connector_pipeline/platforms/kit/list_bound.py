"""Ends a list that goes on without end: page after page, each with objects that nobody had before.

Such a list passes every check of its single pages. Without a bound it is read until the shop's
deadline or until the archive's room for the shop is used up.
"""

from typing import Final

from connector_pipeline.model.errors import InvalidResponse

MOST_OBJECTS: Final = 10_000_000
"""No list of a shop is as long. One that is, or that says so, is not read."""

_SPARE: Final = 500
"""A merchant may add so many objects, and as many again as there were, while the list is read."""

_REMEDY: Final = (
    "Nothing is published, and only the next sync tries again. Something on the way makes up "
    "pages or counts them wrongly: look at the pages of this sync in the raw archive, and ask the "
    "merchant which plugin, cache or proxy answers."
)


class ListBound:
    """Counts the objects of one list. `counted` is how many the platform states, if it does."""

    def __init__(self, what: str, counted: int | None = None):
        self._what = what
        self._counted = counted
        self._most = MOST_OBJECTS if counted is None else 2 * counted + _SPARE
        self._given = 0
        refuse_count(what, counted)

    def add(self, objects: int) -> None:
        """Count the objects of a page. Raises InvalidResponse where they are far too many."""
        self._given += objects
        if self._given > self._most:
            counted = "" if self._counted is None else f"{self._counted} were counted, "
            raise InvalidResponse(
                f"The list of {self._what} does not end: {self._given} objects came, {counted}and "
                f"at most {self._most} are read.",
                remedy=_REMEDY,
            )


def refuse_count(what: str, counted: int | None) -> None:
    """Raise InvalidResponse for a count that no shop can have."""
    if counted is not None and counted > MOST_OBJECTS:
        raise InvalidResponse(
            f"The list of {what} is said to have {counted} objects; at most {MOST_OBJECTS} are "
            "read.",
            remedy=_REMEDY,
        )
