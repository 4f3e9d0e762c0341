"""If NATS_URL is not set, the project does not use NATS."""

import os
import subprocess
import sys

_LOAD = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from connector_pipeline.definitions import defs
names = sorted(sensor.name for sensor in defs.sensors)
print(names, sorted(name for name in sys.modules if name.split(".")[0] in ("nats", "nkeys")))
"""


def test_without_nats_the_project_does_not_mention_it() -> None:
    """It imports no NATS library, has no sensor that sends events, and logs nothing about NATS."""
    environment = {name: value for name, value in os.environ.items() if "NATS" not in name}
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD], env=environment, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip().endswith("[]")
    assert "'sync_queue'" in loaded.stdout
    assert "event_relay" not in loaded.stdout
    assert "nats" not in loaded.stderr.lower()
