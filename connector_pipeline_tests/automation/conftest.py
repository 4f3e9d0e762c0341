"""A Dagster instance for ticks of the sensors."""

from collections.abc import Generator

import pytest
from dagster import DagsterInstance


@pytest.fixture
def instance() -> Generator[DagsterInstance]:
    """A temporary instance without runs or partitions, with threads for sensors as dagster.yaml."""
    with DagsterInstance.ephemeral(settings={"sensors": {"use_threads": True}}) as ephemeral:
        yield ephemeral
