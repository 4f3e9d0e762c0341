"""The fixtures of whole runs over the sandbox, for the tests of fetching and publishing."""

from connector_pipeline_tests.assets.conftest import pipeline, stored

__all__ = ["pipeline", "stored"]
