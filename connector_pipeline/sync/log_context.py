"""Name the sync and its correlation id in every log line that is written on its behalf.

A log record factory sees all records of a process: those of the run's own log (`context.log`), of
the adapters' loggers and of libraries. A filter would see only the records of its own logger.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from connector_pipeline.model.storable import clipped

_LONGEST: Final = 400


class _Sync(NamedTuple):
    sync_id: str
    correlation_id: str
    shop: str
    run_id: str


_current: ContextVar[_Sync | None] = ContextVar("connector_pipeline_sync", default=None)


def log_as(sync_id: str, correlation_id: str, *, shop: str, run_id: str) -> None:
    """Name this sync in all records that this task or thread logs from here on.

    `shop` is its partition key. Shop and run are fields of a record alone: most texts have both.
    """
    _install()
    # Requesters choose the first two.
    ids = (clipped(each, most_bytes=_LONGEST) for each in (sync_id, correlation_id))
    _current.set(_Sync(*ids, shop=shop, run_id=run_id))


@contextmanager
def logging_as(sync_id: str, correlation_id: str, *, shop: str, run_id: str) -> Generator[None]:
    """Name this sync in all records of the block, and afterwards the one that was named before."""
    before = _current.get()
    log_as(sync_id, correlation_id, shop=shop, run_id=run_id)
    try:
        yield
    finally:
        _current.set(before)


def log_as_none() -> None:
    """Name no sync in the records that this task or thread logs from here on."""
    _current.set(None)


def _install() -> None:
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _NamesTheSync):
        logging.setLogRecordFactory(_NamesTheSync(factory))


class _NamesTheSync:
    def __init__(self, factory: Callable[..., logging.LogRecord]):
        self.factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.factory(*args, **kwargs)
        sync = _current.get()
        # A library may have put its own factory around this one, and then this one is there twice.
        if sync is not None and not hasattr(record, "sync_id"):
            record.sync_id, record.correlation_id = sync.sync_id, sync.correlation_id
            record.shop, record.run_id = sync.shop, sync.run_id
            names = f"sync_id={sync.sync_id}"
            if sync.correlation_id != sync.sync_id:
                names += f" correlation_id={sync.correlation_id}"
            # In the text, too: Dagster's log and most formatters show no other field. Dagster's own
            # handler logs a text again that has the names already.
            message, named = record.getMessage(), f" [{names}]"
            record.msg, record.args = message.removesuffix(named) + named, ()
            record.names_in_text = named
        return record
