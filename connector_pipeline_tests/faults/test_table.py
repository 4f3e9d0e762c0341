"""The tables in docs/faults.md are those of the cells."""

import os

import pytest

from connector_pipeline_tests.faults import table


@pytest.mark.skipif(table.VARIABLE in os.environ, reason="the table is being written")
def test_the_docs_state_every_cell_and_no_other() -> None:
    """Each cell's own test compares its outcome with them."""
    page = table.PAGE.read_text()
    stated = table.read(page)
    assert stated.keys() == set(table.all_keys()), f"write the tables: {table.COMMAND}"
    assert table.block_of(page) == table.block(stated), f"write the tables: {table.COMMAND}"
