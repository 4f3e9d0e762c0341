"""No credential is left behind by any fault of the matrix.

Each cell's own test searches its messages. Here every other place is searched, once: after the
cells that ran before, and after a fault of each kind of outcome that no sync without fault follows.
"""

from pathlib import Path
from typing import Final

import pytest

from connector_pipeline_tests.canaries import database, files, processes, texts
from connector_pipeline_tests.faults import table
from connector_pipeline_tests.faults.cells import CELLS
from connector_pipeline_tests.faults.running import Ended, Shops, leave, leave_stored
from connector_pipeline_tests.faults.storage_cells import STORAGE_CELLS
from connector_pipeline_tests.faults.world import World


def _one_of_each() -> dict[str, str]:
    """A cell for each platform and error that the docs state, rather one that can quote."""
    found: dict[str, str] = {}
    for key, outcome in table.read(table.PAGE.read_text()).items():
        platform = key.partition(":")[0]
        code = outcome.lasting.code
        cell = CELLS.get(key)
        stored = STORAGE_CELLS.get(key.partition(": ")[2])
        slow = cell is not None and (cell.fault.slow or cell.fault.closed or cell.fault.tls)
        if code.startswith("published") or slow or (stored is not None and stored.own_server):
            continue
        of_kind = f"{platform}: {code}"
        if of_kind not in found or (_quotes(key) and not _quotes(found[of_kind])):
            found[of_kind] = key
    return found


def _quotes(key: str) -> bool:
    """Whether the cell's answer is an error in JSON, which can quote what was sent."""
    rule = CELLS[key].fault.rule if key in CELLS else {}
    return rule.get("kind") == "body" and rule.get("status", 200) >= 400


FAULTS: Final = _one_of_each()


@pytest.mark.parametrize("kinds", [FAULTS], ids=["one of each"])
def test_nothing_is_left_behind_by_any_kind_of_failure(
    world: World, shops: Shops, storage_shops: Shops, kinds: dict[str, str]
) -> None:
    """Not in a table, the archive, a log, an error, or the command line of a process."""
    left: list[Ended] = []
    for kind, key in kinds.items():
        if key in CELLS:
            ended, shop = leave(world, shops, CELLS[key])
        else:
            platform, _, name = key.partition(": ")
            ended, shop = leave_stored(world, storage_shops, platform, STORAGE_CELLS[name])
        assert ended.error is not None
        assert f"{shop.spec.platform}: {ended.error.code}" == kind
        left.append(ended)
    assert len(kinds) >= 14
    places = [
        texts("messages", *(f"{each.error} {each.log}" for each in left)),
        database("the database", world.database.url),
        files("the archive", Path(world.archive_url)),
        processes(),
    ]
    assert [str(found) for found in world.canaries.search(places)] == []
