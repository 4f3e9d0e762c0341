"""The sizes of the pages that a shop is asked for: smaller where the usual ones are too much.

A page can be too expensive, by the points that it requests, or too heavy: Shopify fails at it, or
takes too long. A page too expensive stays smaller for the rest of the walk. Pages too heavy are
remembered for the shop, so that the next sync begins with pages that it can be read by. They grow
again after some full pages that were read well. If a page that had grown is too heavy again, it
takes twice as many of them the next time: so a shop of heavy products is seldom asked for too much,
and a bad moment of Shopify's slows no shop down for long.
"""

from collections.abc import Mapping
from typing import Final

from connector_pipeline.platforms.shopify.queries import VARIANTS_IN_A_SMALL_BUCKET

FIRST_PATIENCE: Final = 4
"""After so many full pages without trouble, pages grow for the first time."""
LONGEST_PATIENCE: Final = 256
SMALLEST_OF_VARIANTS: Final = 10
"""Pages are not made smaller than so many variants: the trouble must have another cause."""


class PageSizes:
    """The page sizes of one walk, by the kind of its questions and by the name of the variable.

    `memory` is the adapter's memory of the shop (`FetchReport.page_sizes`). It holds nothing of a
    kind whose pages have their usual sizes.
    """

    def __init__(self, usual: Mapping[str, Mapping[str, int]], memory: dict[str, int]):
        self._usual = usual
        self._memory = memory
        self._affordable = {kind: dict(sizes) for kind, sizes in usual.items()}

    def of(self, kind: str) -> dict[str, int]:
        """The sizes to ask for now."""
        return {
            name: min(size, self._bearable(kind, name))
            for name, size in self._affordable[kind].items()
        }

    def too_expensive(self, kind: str, asked: Mapping[str, int], *, bucket: bool) -> bool:
        """Make pages smaller than the one that was asked for. False if that was the smallest.

        `bucket`: the shop's bucket does not hold its points, even when it is full.
        """
        if bucket and kind == "products" and asked["variants"] > VARIANTS_IN_A_SMALL_BUCKET:
            self._affordable[kind]["variants"] = VARIANTS_IN_A_SMALL_BUCKET
            return True
        name = next((name for name, size in asked.items() if size > 1), None)
        if name is None:
            return False
        # Of several questions too expensive at once, only the first makes the page smaller.
        held = self._affordable[kind]
        held[name] = min(held[name], asked[name] // 2)
        return True

    def too_heavy(self, kind: str, asked: Mapping[str, int]) -> bool:
        """Make pages smaller than the one that failed. False if none smaller is worth a try."""
        name = next((name for name, size in asked.items() if size > _smallest(name)), None)
        if name is None:
            return False
        smaller = max(_smallest(name), asked[name] // 2)
        self._memory[_key(kind, name)] = min(self._bearable(kind, name), smaller)
        patience = self._memory.get(_key(kind, "patience"), FIRST_PATIENCE)
        if self._memory.pop(_key(kind, "grown"), 0):
            patience = min(LONGEST_PATIENCE, 2 * patience)
        self._memory[_key(kind, "patience")] = patience
        self._memory[_key(kind, "good")] = 0
        return True

    def read_well(self, kind: str, asked: Mapping[str, int], objects: int) -> None:
        """Count a page of so many objects that came in good time, and grow after enough of them.

        Only a full page shows that its size can be borne.
        """
        if _key(kind, "patience") not in self._memory or dict(asked) != self.of(kind):
            return
        if objects < next(iter(asked.values()), 0):
            return
        good = self._memory.get(_key(kind, "good"), 0) + 1
        self._memory[_key(kind, "good")] = good
        if good >= self._memory[_key(kind, "patience")]:
            self._grow(kind)

    def remembered(self, kind: str) -> dict[str, int]:
        """What is remembered of the kind, for `restore`."""
        return {key: size for key, size in self._memory.items() if _is_of(kind, key)}

    def restore(self, kind: str, remembered: Mapping[str, int]) -> None:
        """Remember this of the kind and nothing else: no page was small enough, so none was."""
        self._forget(kind)
        self._memory.update(remembered)

    def _grow(self, kind: str) -> None:
        for name in reversed(list(self._usual[kind])):
            size, usual = self._bearable(kind, name), self._usual[kind][name]
            if size < usual:
                self._memory[_key(kind, name)] = min(usual, 2 * size)
                self._memory[_key(kind, "good")] = 0
                self._memory[_key(kind, "grown")] = 1
                return
        self._forget(kind)

    def _forget(self, kind: str) -> None:
        for key in self.remembered(kind):
            del self._memory[key]

    def _bearable(self, kind: str, name: str) -> int:
        usual = self._usual[kind][name]
        return min(usual, max(1, self._memory.get(_key(kind, name), usual)))


def _key(kind: str, name: str) -> str:
    return f"{kind}.{name}"


def _is_of(kind: str, key: str) -> bool:
    return key.startswith(f"{kind}.")


def _smallest(name: str) -> int:
    return SMALLEST_OF_VARIANTS if name == "variants" else 1
