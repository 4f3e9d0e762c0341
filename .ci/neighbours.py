"""Serve a database and a Token Service for another install: the embedded Postgres and the sandbox.

Prints the settings that lead to them, one NAME=VALUE a line, CONNECTOR_DATABASE_URL first. Serves
until its input ends.
"""

import sys
import tempfile
from pathlib import Path

from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.server import SandboxServer

with tempfile.TemporaryDirectory(prefix="connector-") as name:
    home = Path(name)
    # A server that root starts runs as another account, which must be able to enter.
    home.chmod(0o711)
    with EmbeddedPostgres(home) as postgres, SandboxServer() as sandbox:
        settings = {"CONNECTOR_DATABASE_URL": postgres.url(), **sandbox.environment()}
        for variable, value in settings.items():
            print(f"{variable}={value}")
        sys.stdout.flush()
        sys.stdin.read()
