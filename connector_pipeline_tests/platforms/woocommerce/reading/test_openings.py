"""Promises of a walk over several lists: it waits for none of their first pages alone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.platforms.woocommerce.shop_reading import (
    ALL_VARIATIONS,
    SMALL,
    Reading,
)

SPEC = replace(SMALL, domain="openings.example", products=250, variants=(1, 1), awkward=False)
STATUSES = "publish,draft"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer([SPEC]) as running:
        yield running


async def test_the_next_lists_are_asked_for_before_the_list_ends(sandbox: SandboxServer) -> None:
    """Requests take their turns in order, and eight pages are asked for after these."""
    reading = Reading(sandbox, SPEC, batch_size=10, statuses=STATUSES)
    sandbox.requests.clear()
    await reading.read()
    asked = [
        f"{each.path}?{each.query}"
        for each in sandbox.requests.requests(service="woocommerce", domain=SPEC.domain)
    ]
    last = max(place for place, each in enumerate(asked) if "status=publish" in each)
    early = [each for each in asked[:last] if "status=draft" in each or ALL_VARIATIONS in each]
    assert early
    assert len(asked) == len(set(asked))
    assert reading.report.complete
    assert reading.items() == reading.expected(("publish", "draft"))


async def test_what_was_asked_for_early_fails_in_its_place(sandbox: SandboxServer) -> None:
    """The pages before it are read, and none of what it asked for is left behind."""
    sandbox.faults.set([FaultRule("status", status=503, match={"query_contains": "status=draft"})])
    reading = Reading(sandbox, SPEC, batch_size=10, statuses=STATUSES, max_retries=0)
    try:
        await reading.fails(PlatformUnavailable)
    finally:
        sandbox.faults.clear()
    assert len(reading.pages) == 22
