"""Every record that is logged on behalf of a sync names the sync and its correlation id."""

import asyncio
import logging
from typing import Any

import pytest

from connector_pipeline.sync.log_context import log_as, log_as_none


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The records that are logged, from INFO on."""
    caplog.set_level(logging.INFO)
    return caplog


async def _of_one_sync(sync_id: str, correlation_id: str) -> None:
    log_as(sync_id, correlation_id, shop=f"shop of {sync_id}", run_id="r-1")
    for logger in ("connector_pipeline.platforms", "a.library", "a.library.connections"):
        await asyncio.sleep(0)
        logging.getLogger(logger).info("%s of %d", sync_id, 3)


async def _of_two_syncs() -> None:
    await asyncio.gather(_of_one_sync("s-1", "c-1"), _of_one_sync("s-2", "s-2"))


def test_every_record_of_a_sync_names_it(records: pytest.LogCaptureFixture) -> None:
    """The project's records and the libraries', of two syncs at once, in the text and as fields."""
    asyncio.run(_of_two_syncs())
    logging.getLogger("connector_pipeline").info("of no sync")
    said = sorted(record.getMessage() for record in records.records)
    assert said == [
        "of no sync",
        *["s-1 of 3 [sync_id=s-1 correlation_id=c-1]"] * 3,
        *["s-2 of 3 [sync_id=s-2]"] * 3,
    ]
    fields = {
        tuple(map(record.__dict__.get, ("sync_id", "correlation_id", "shop", "run_id")))
        for record in records.records
    }
    assert fields == {
        ("s-1", "c-1", "shop of s-1", "r-1"),
        ("s-2", "s-2", "shop of s-2", "r-1"),
        (None,) * 4,
    }


def test_a_record_that_is_logged_once_more_names_its_sync_once(
    records: pytest.LogCaptureFixture,
) -> None:
    """Dagster's log manager hands the text of a record to the loggers of the run."""
    log_as("s-1", "c-1", shop="one/a", run_id="r-1")
    logging.getLogger("connector_pipeline").info("%d pages", 3)
    logging.getLogger("dagster").info(records.messages[0])
    log_as_none()
    assert records.messages == ["3 pages [sync_id=s-1 correlation_id=c-1]"] * 2


def test_after_a_sync_records_name_none(records: pytest.LogCaptureFixture) -> None:
    """A run's last records concern all its shops."""
    log_as("s-1", "c-1", shop="one/a", run_id="r-1")
    log_as_none()
    logging.getLogger("connector_pipeline").info("the end")
    assert records.messages == ["the end"]


def test_a_record_names_its_sync_once(records: pytest.LogCaptureFixture) -> None:
    """Also where a library has put a record factory of its own around ours between two runs."""
    log_as("s-1", "s-1", shop="one/a", run_id="r-1")
    ours = logging.getLogRecordFactory()

    def theirs(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(theirs)
    try:
        log_as("s-2", "s-2", shop="one/a", run_id="r-1")
        logging.getLogger("connector_pipeline").info("read")
    finally:
        logging.setLogRecordFactory(ours)
        log_as_none()
    assert records.messages == ["read [sync_id=s-2]"]
