"""The fixtures of the assets' tests: through a run it shows how its shops get on."""

from connector_pipeline_tests.assets.conftest import pipeline, stored

__all__ = ["pipeline", "stored"]
