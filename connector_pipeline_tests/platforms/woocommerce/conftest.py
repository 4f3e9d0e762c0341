"""Fixtures of the tests of the WooCommerce adapter: real answers of a real shop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector_pipeline_tests.shared_files import recorded_answers


@pytest.fixture(scope="session")
def real_answer() -> Callable[[str], Any]:
    """A recorded body of WooCommerce 10.5.0, by name, cut to the fields that the adapter reads."""
    data = Path(__file__).parent / "data"
    return lambda name: json.loads((data / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of all recorded answers, if it is there."""
    return recorded_answers()
