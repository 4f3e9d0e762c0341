"""The fixture `publisher`: a fresh database with two registered shops."""

import pytest

from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.catalog.snapshots import ACME, OTHER, Publisher


@pytest.fixture
def publisher(database: Database, registry: ShopRegistry) -> Publisher:
    """A Publisher on a database in which both shops are registered."""
    registry.add(ACME)
    registry.add(OTHER)
    return Publisher(database)
