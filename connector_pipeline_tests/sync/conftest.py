"""Runs over the sandbox, for what a whole run shows of fetching and publishing."""

from connector_pipeline_tests.assets.conftest import pipeline, stored

__all__ = ["pipeline", "stored"]
