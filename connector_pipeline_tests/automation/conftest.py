"""A Dagster instance for ticks of the sensors."""

from collections.abc import Generator

import pytest
from dagster import DagsterInstance


@pytest.fixture
def instance() -> Generator[DagsterInstance]:
    """A temporary instance without runs or partitions."""
    with DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
