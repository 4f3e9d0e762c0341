"""Each fault of the raw archive and of Postgres, in each phase of a sync.

A run without the mark `slow` plays half of the cells: covering.py says which.
"""

import pytest

from connector_pipeline_tests.faults import table
from connector_pipeline_tests.faults.covering import parameters, storage_cells
from connector_pipeline_tests.faults.outcomes import Outcomes
from connector_pipeline_tests.faults.running import Shops, run_storage_cell
from connector_pipeline_tests.faults.storage_cells import STORAGE_CELLS
from connector_pipeline_tests.faults.table import PLATFORMS, storage_key
from connector_pipeline_tests.faults.world import World

_CELLS = {storage_key(name, key): (name, key) for name in PLATFORMS for key in STORAGE_CELLS}
_KEPT = storage_cells(table.read(table.PAGE.read_text()))


@pytest.mark.parametrize("cell", parameters(_KEPT, _CELLS))
def test_the_catalog_is_as_before_or_true_and_recovers(
    request: pytest.FixtureRequest, outcomes: Outcomes, cell: tuple[str, str]
) -> None:
    """The error is the table's and legible, and the next sync makes every row true."""
    platform, key = cell
    of_own = STORAGE_CELLS[key].own_server
    world: World = request.getfixturevalue("own_world" if of_own else "world")
    shops: Shops = request.getfixturevalue("own_shops" if of_own else "storage_shops")
    ended = run_storage_cell(world, shops, platform, STORAGE_CELLS[key])
    outcomes.ended(storage_key(platform, key), ended)
