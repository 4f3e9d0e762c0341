"""A server that the tests share and cannot have is reported once."""

import os
import subprocess
import sys
from pathlib import Path

from connector_pipeline_tests.conftest import TEST_SERVER_VARIABLE

PROJECT = Path(__file__).parents[1]


def test_a_server_that_cannot_be_had_ends_the_tests_with_one_message() -> None:
    """And not with the same one for each of hundreds that use it."""
    tests = PROJECT / "connector_pipeline_tests" / "state" / "test_outbox.py"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", str(tests), "-p", "no:cacheprovider"],
        env=os.environ | {TEST_SERVER_VARIABLE: "postgresql://nobody@127.0.0.1:1/none"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stdout
    assert ended.stdout.count("Connection refused") == 1
    assert "Exit: fixture postgres_url: OperationalError:" in ended.stdout
    assert "ERROR" not in ended.stdout
    assert ended.stderr == ""
