"""What the tests of the WooCommerce adapter share: real answers of a real shop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector_pipeline_tests.shared_files import recorded_answers


@pytest.fixture(scope="session")
def real_answer() -> Callable[[str], Any]:
    """A body recorded from WooCommerce 10.5.0, by name; cut to the fields the adapter reads."""
    data = Path(__file__).parent / "data"
    return lambda name: json.loads((data / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The directory of all recorded answers, where they are at hand."""
    return recorded_answers()
