"""Each fault of a platform or the Token Service, in each phase of a sync.

A run without the mark `slow` plays a quarter of the cells: covering.py says which.
"""

import pytest

from connector_pipeline_tests.faults import table
from connector_pipeline_tests.faults.cells import CELLS, Cell
from connector_pipeline_tests.faults.covering import parameters, platform_cells
from connector_pipeline_tests.faults.outcomes import Outcomes
from connector_pipeline_tests.faults.running import Shops, run_cell
from connector_pipeline_tests.faults.world import World

_KEPT = platform_cells(table.read(table.PAGE.read_text()))


@pytest.mark.parametrize("cell", parameters(_KEPT, CELLS))
def test_the_catalog_is_as_before_or_true_and_recovers(
    request: pytest.FixtureRequest, outcomes: Outcomes, cell: Cell
) -> None:
    """The error is the table's, legible, and without a secret; the shop stays connected."""
    world: World = request.getfixturevalue("secure_world" if cell.fault.tls else "world")
    shops: Shops = request.getfixturevalue("secure_shops" if cell.fault.tls else "shops")
    outcomes.ended(cell.key, run_cell(world, shops, cell))
