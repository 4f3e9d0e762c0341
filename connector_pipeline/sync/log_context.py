"""Every log line that is written on behalf of a sync names it and its correlation id.

By the record factory, which sees all of a process's records: the run's own log (`context.log`), the
adapters' loggers and the libraries' alike. A filter sees only what is logged on its very logger.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple


class _Sync(NamedTuple):
    sync_id: str
    correlation_id: str


_current: ContextVar[_Sync | None] = ContextVar("connector_pipeline_sync", default=None)


def log_as(sync_id: str, correlation_id: str) -> None:
    """What is logged from here on in this task or thread is of this sync."""
    _install()
    _current.set(_Sync(sync_id, correlation_id))


def log_as_none() -> None:
    """What is logged from here on in this task or thread is of no sync."""
    _current.set(None)


def _install() -> None:
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _NamesTheSync):
        logging.setLogRecordFactory(_NamesTheSync(factory))


class _NamesTheSync:
    def __init__(self, factory: Callable[..., logging.LogRecord]):
        self._factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._factory(*args, **kwargs)
        sync = _current.get()
        if sync is not None:
            record.sync_id, record.correlation_id = sync
            names = f"sync_id={sync.sync_id}"
            if sync.correlation_id != sync.sync_id:
                names += f" correlation_id={sync.correlation_id}"
            # The text too: Dagster's log and most formatters show nothing else.
            record.msg, record.args = f"{record.getMessage()} [{names}]", ()
        return record
