"""How often the shop of a cell was edited before it: the same whichever other cells run.

Some outcomes depend on the products that the shop has by then.
"""

from collections import defaultdict
from typing import Final

from connector_pipeline_tests.faults.cells import CELLS

MOST_CELLS: Final = 4
"""A shop that was edited in so many cells has other products than a new one."""


def _edits() -> dict[str, int]:
    found: dict[str, int] = {}
    earlier: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
    for key, cell in CELLS.items():
        of_shop = earlier[cell.phase.key, cell.fault.tls]
        found[key] = sum(of_shop)
        # One edit before each of the cell's syncs under the fault.
        of_shop.append(1 if cell.fault.closed else 2)
        if len(of_shop) == MOST_CELLS:
            of_shop.clear()
    return found


EDITS: Final = _edits()
