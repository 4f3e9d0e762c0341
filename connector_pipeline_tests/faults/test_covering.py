"""What every run of the tests plays of the matrix is a fair part of it."""

from dataclasses import replace

from connector_pipeline_tests.faults import covering, table
from connector_pipeline_tests.faults.cells import CELLS, FAULTS
from connector_pipeline_tests.faults.storage_cells import STORAGE_CELLS

STATED = table.read(table.PAGE.read_text())


def test_every_run_plays_each_fault_on_each_platform_and_each_outcome_of_each_phase() -> None:
    """So it does every family of faults in every phase in which it can come."""
    kept = [CELLS[key] for key in covering.platform_cells(STATED)]
    assert {(cell.phase.platform, cell.fault.name) for cell in kept} == {
        (cell.phase.platform, cell.fault.name) for cell in CELLS.values()
    }
    assert {(cell.phase.key, STATED[cell.key]) for cell in kept} == {
        (cell.phase.key, STATED[key]) for key, cell in CELLS.items()
    }
    for faults in covering.FAMILIES.values():
        assert {cell.phase.key for cell in kept if cell.fault in faults} == {
            cell.phase.key for cell in CELLS.values() if cell.fault in faults
        }
    assert [fault for faults in covering.FAMILIES.values() for fault in faults] == list(FAULTS)


def test_every_run_plays_each_fault_of_the_storage_at_each_point() -> None:
    """On both platforms where their outcomes differ; each meets each fault and each point."""
    kept = covering.storage_cells(STATED)
    for key, cell in STORAGE_CELLS.items():
        keys = {table.storage_key(name, key) for name in table.PLATFORMS}
        assert {STATED[key] for key in keys} == {STATED[key] for key in keys & kept}
        for name in table.PLATFORMS:
            assert any(
                table.storage_key(name, other) in kept
                for other, each in STORAGE_CELLS.items()
                if each.phase == cell.phase
            )
            assert any(
                table.storage_key(name, other) in kept
                for other, each in STORAGE_CELLS.items()
                if each.fault == cell.fault
            )


def test_a_cell_that_the_docs_do_not_state_is_always_played() -> None:
    """A new fault meets its phases at once, and not only in the long form."""
    new = "shopify: later page: 502"
    known = {key: outcome for key, outcome in STATED.items() if key != new}
    assert new in covering.platform_cells(known)
    stored = table.storage_key("shopify", "archive: page: disk full")
    known = {key: outcome for key, outcome in STATED.items() if key != stored}
    assert stored in covering.storage_cells(known)


def test_a_cell_whose_outcome_is_its_own_is_always_played() -> None:
    """An outcome that the docs come to state for one cell alone is not left to the long form."""
    key = "shopify: later page: 502"
    once = STATED[key].once
    assert once is not None
    other = replace(STATED[key], once=replace(once, retried=not once.retried))
    assert key in covering.platform_cells({**STATED, key: other})
