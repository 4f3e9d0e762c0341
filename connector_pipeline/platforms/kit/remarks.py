"""Remarks on items that were published although something about them is odd."""

from typing import Final

_DIFFERENT: Final = 10
"""So many different remarks are listed. A stranger's text is in them, so there may be millions."""


class Remarks:
    """Counts what was remarked on while pages were normalized, with the first variant of each.

    A remark says what is odd and how the item was published all the same.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._more = 0

    def add(self, remark: str, about: str) -> None:
        """Remark on one object; `about` names it, e.g. "variant 41"."""
        if remark not in self._counts and len(self._counts) >= _DIFFERENT:
            self._more += 1
            return
        self._counts[remark] = self._counts.get(remark, 0) + 1
        self._first.setdefault(remark, about)

    def warnings(self) -> list[str]:
        """One sentence for each different remark; none if nothing was odd."""
        listed = [
            f"{remark} ({count}x, first: {self._first[remark]})."
            for remark, count in self._counts.items()
        ]
        return [*listed, f"{self._more} more remarks of other kinds."] if self._more else listed
