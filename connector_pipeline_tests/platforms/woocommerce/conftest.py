"""What the tests of the WooCommerce adapter share: real answers of a real shop."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECORDED_VARIABLE = "CONNECTOR_WOOCOMMERCE_RECORDED"
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def real_answer() -> Callable[[str], Any]:
    """A body recorded from WooCommerce 10.5.0, by name; cut to the fields the adapter reads."""
    data = Path(__file__).parent / "data"
    return lambda name: json.loads((data / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The directory of all recorded answers, where they are at hand."""
    directory = Path(
        os.environ.get(RECORDED_VARIABLE) or REPOSITORY.parent / "shared/woocommerce/recorded"
    )
    if not directory.is_dir():
        reason = f"no recorded WooCommerce answers: set {RECORDED_VARIABLE} to their directory"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return directory
