"""The fixture `publisher`, for tests that publish what an adapter made."""

import pytest

from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.catalog.snapshots import ACME, OTHER, Publisher


@pytest.fixture
def publisher(database: Database, registry: ShopRegistry) -> Publisher:
    """A Publisher on a database in which a shop of each platform is registered."""
    registry.add(ACME)
    registry.add(OTHER)
    return Publisher(database)
