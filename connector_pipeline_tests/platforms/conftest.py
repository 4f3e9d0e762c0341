"""A sandbox for adapters to read, and a `publisher` of what they made."""

from collections.abc import Iterator

import pytest

from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.catalog.snapshots import ACME, OTHER, Publisher


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """One sandbox for the module, without shops."""
    with SandboxServer(()) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> Iterator[SandboxServer]:
    """The sandbox without faults and with an empty log."""
    server.requests.clear()
    yield server
    server.faults.clear()


@pytest.fixture
def publisher(database: Database, registry: ShopRegistry) -> Publisher:
    """A Publisher on a database in which a shop of each platform is registered."""
    registry.add(ACME)
    registry.add(OTHER)
    return Publisher(database)
