"""OpenTelemetry traces of syncs: one trace for each, whoever works on it.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and then set up
by the standard variables OTEL_*. While it is off no package is imported, and a span is a shared
object that does nothing.

A sync is fetched and published by several threads, and a retry by another process. So the ids of
its trace and of its first span are made of its sync_id, and nobody has to hand them on. The first
span is written when the sync ends.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from connector_pipeline.model.extra import Extra
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.model.storable import clipped

if TYPE_CHECKING:
    from connector_pipeline.model.exported_spans import ExportedSpans

Value = str | int | float | bool | None

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_LONGEST: Final = 400
_FLUSHED_WITHIN: Final = 5.0
"""How long the end of a run waits for its spans to be sent. A receiver that is down loses them."""

_log: Final = logging.getLogger(__name__)
_lock: Final = threading.Lock()


class Span(Protocol):
    """A part of a sync under way."""

    def set(self, **attributes: Value) -> None:
        """Add attributes. A text is stored without secrets and cut short; None is left out."""
        ...


class _NoSpan:
    def set(self, **attributes: Value) -> None:
        """Nothing."""


_NOTHING: Final[AbstractContextManager[Span]] = nullcontext(_NoSpan())


def span(name: str, **attributes: Value) -> AbstractContextManager[Span]:
    """A span of the block, in the sync that `of_sync` has named. An exception marks it failed."""
    exported = _exported()
    return _NOTHING if exported is None else _recorded(exported, name, attributes)


def of_sync(sync_id: str) -> AbstractContextManager[object]:
    """Spans of the block are parts of this sync."""
    exported = _exported()
    return _NOTHING if exported is None else exported.of_sync(_id_of(sync_id))


def end_sync(
    sync_id: str, *, since: datetime, error: Exception | None = None, **attributes: Value
) -> None:
    """Write the first span of a sync, which has ended now: as succeeded, or with the error."""
    if (exported := _exported()) is not None:
        shown = _shown({"sync_id": sync_id, **attributes})
        with exported.root(_id_of(sync_id), since, shown) as root:
            if error is not None:
                root.fail(type(error).__name__, clipped(str(error), most_bytes=_LONGEST))


@contextmanager
def spans_sent() -> Generator[None]:
    """Send what has ended by the end of the block, for a few seconds at most.

    A process may end after it. While an earlier call still sends, it is not waited for again.
    """
    try:
        yield
    finally:
        _flush()


def _flush() -> None:
    global _sending
    if (exported := _exported()) is None:
        return
    with _lock:
        if _sending is not None and _sending.is_alive():
            # The receiver hangs since an earlier run, and each would leave another thread.
            return
        _sending = threading.Thread(target=exported.flush, name="spans", daemon=True)
        _sending.start()
    _sending.join(_FLUSHED_WITHIN)


def trace_id(sync_id: str) -> str:
    """The id of the sync's trace, as tools for traces show it."""
    return f"{_id_of(sync_id)[0]:032x}"


@contextmanager
def _recorded(
    exported: "ExportedSpans", name: str, attributes: dict[str, Value]
) -> Generator[Span]:
    with exported.span(name, _shown(attributes)) as started:

        class _Started:
            def set(self, **attributes: Value) -> None:
                started.set(_shown(attributes))

        try:
            yield _Started()
        except Exception as error:
            started.fail(type(error).__name__, clipped(str(error), most_bytes=_LONGEST))
            raise


def _shown(attributes: dict[str, Value]) -> dict[str, str | int | float | bool]:
    return {
        f"connector.{name}": clipped(value, most_bytes=_LONGEST)
        if isinstance(value, str)
        else value
        for name, value in attributes.items()
        if value is not None
    }


def _id_of(sync_id: str) -> tuple[int, int]:
    """The ids of the sync's trace and of its first span."""
    digest = hashlib.sha256(f"connector-pipeline:trace:{sync_id}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


_made: "ExportedSpans | None" = None
_looked = False
_sending: threading.Thread | None = None


def _exported() -> "ExportedSpans | None":
    # The first span of a process decides, and not its start: a worker that forks makes none before.
    return _made if _looked else _look()


def _look() -> "ExportedSpans | None":
    global _made, _looked
    with _lock:
        if not _looked:
            _made = _make()
            _looked = True
    return _made


def _make() -> "ExportedSpans | None":
    if (
        not any(os.environ.get(name) for name in _ENDPOINTS)
        or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    ):
        return None
    if not Extra.TRACES.installed:
        _log.warning(
            "No traces are sent: the extra `traces` is not installed. Run `pip install "
            "'connector-pipeline[traces]'`, or unset OTEL_EXPORTER_OTLP_ENDPOINT."
        )
        return None
    for name in _HEADERS:
        # A key of the receiver's: `api-key=…,other=…`.
        pairs = os.environ.get(name, "").split(",")
        SECRETS.keep(pair.partition("=")[2].strip() for pair in pairs)
    # Imported here: its packages are an extra, and cost a process 0.2 s.
    from connector_pipeline.model.exported_spans import ExportedSpans

    return ExportedSpans()
