"""The cells that every run of the tests plays. `pytest -m slow` plays the others.

Most cells of the matrix repeat each other: a 502 and a 503 take the same path in every phase. Every
run plays each fault on each platform and, in each phase, every outcome that docs/faults.md states
for each family of faults. Of the storage it plays each fault at each point of a sync, on one
platform at least, and on both where their outcomes differ or the fault is one of the whole server.
A cell that the page does not know yet is always played, and so is every cell while the page is
written.
"""

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

import pytest

from connector_pipeline_tests.faults import cells, table
from connector_pipeline_tests.faults.cells import CELLS, Cell
from connector_pipeline_tests.faults.running import CellOutcome
from connector_pipeline_tests.faults.storage_cells import STORAGE_CELLS, StorageCell

FAMILIES: Final = {
    "connection": cells.CONNECTION,
    "bodies": cells.BODIES,
    "redirects": cells.REDIRECTS,
    "statuses": cells.STATUSES,
    "Shopify's": cells.SHOPIFYS,
    "paging": cells.PAGING,
    "clocks": cells.CLOCKS,
    "times": cells.TIMES,
    "expiry": cells.EXPIRY,
}
_FAMILY: Final = {fault.name: family for family, faults in FAMILIES.items() for fault in faults}

Stated = Mapping[str, CellOutcome]


def platform_cells(stated: Stated) -> frozenset[str]:
    """The keys of the cells of the platforms that every run plays."""
    return _covering({key: _of_cell(cell, stated.get(key)) for key, cell in CELLS.items()})


def storage_cells(stated: Stated) -> frozenset[str]:
    """The same of the storage's cells, by the keys of `table.storage_key`."""
    places: dict[str, set[Hashable]] = {}
    for number, (name, cell) in enumerate(STORAGE_CELLS.items()):
        # Each platform in turn, as the first of two that cover as much is chosen.
        for platform in table.PLATFORMS[:: 1 if number % 2 else -1]:
            key = table.storage_key(platform, name)
            places[key] = _of_storage_cell(platform, cell, stated.get(key))
    return _covering(places)


def parameters(kept: Iterable[str], given: Mapping[str, object]) -> Sequence[object]:
    """The parameters of a test over cells, marked `slow` where the cell is not kept."""
    all_are = table.VARIABLE in os.environ
    always = given.keys() if all_are else set(kept)
    return [
        pytest.param(value, id=key, marks=() if key in always else pytest.mark.slow)
        for key, value in given.items()
    ]


def _of_cell(cell: Cell, outcome: CellOutcome | None) -> set[Hashable]:
    """What a cell covers."""
    if outcome is None:
        return {cell.key}
    platform, fault = cell.phase.platform, cell.fault.name
    return {(platform, fault), (cell.phase.key, _FAMILY[fault], outcome)}


def _of_storage_cell(
    platform: str, cell: StorageCell, outcome: CellOutcome | None
) -> set[Hashable]:
    if outcome is None:
        return {(platform, cell.key)}
    if cell.own_server:
        # What a server's restart breaks depends on what its sessions did before.
        return {(platform, cell.key)}
    return {
        (cell.key, outcome),
        (platform, cell.fault),
        (platform, cell.phase, outcome),
    }


def _covering(covered: Mapping[str, set[Hashable]]) -> frozenset[str]:
    """Few keys that cover all, each chosen because it covers the most of what is left."""
    left = set[Hashable]().union(*covered.values())
    chosen: list[str] = []
    while left:
        best = max(covered, key=lambda key: len(covered[key] & left))
        chosen.append(best)
        left -= covered[best]
    return frozenset(chosen)
