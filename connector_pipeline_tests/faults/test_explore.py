import time

import pytest

from connector_pipeline_tests.faults.cells import CELLS
from connector_pipeline_tests.faults.running import run_cell


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_cell(world, shops, cell):
    t = time.perf_counter()
    res = None
    try:
        res = run_cell(world, shops, cell)
        out = f"{res.lasting} | {res.once}"
    except BaseException as e:
        out = "FAIL " + (str(e).splitlines() or [repr(e)])[0][:300]
        raise
    finally:
        with open("/tmp/fx/out.tsv", "a") as f:
            print(cell.phase.key, cell.fault.name, out, round(time.perf_counter()-t, 2), sep="\t", file=f)
