"""Each parser has its property test."""

import importlib
from pathlib import Path

import pytest

from connector_pipeline_tests.parsers import PARSERS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("parser", PARSERS)
def test_a_parser_has_a_property_test(parser: str) -> None:
    """The parser's module and the test are there, and hypothesis gives the test its input."""
    path = ROOT / "connector_pipeline" / parser.partition(": ")[0]
    assert path.exists()
    file, _, name = PARSERS[parser].partition("::")
    module = importlib.import_module(
        f"connector_pipeline_tests.{file.removesuffix('.py').replace('/', '.')}"
    )
    assert hasattr(getattr(module, name), "hypothesis")


def test_each_parser_has_a_test_of_its_own() -> None:
    assert len(set(PARSERS.values())) == len(PARSERS)
