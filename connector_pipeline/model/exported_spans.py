"""Spans by OpenTelemetry's SDK, sent over OTLP/HTTP. Only `tracing` imports this module.

The SDK reads the variables OTEL_* itself: endpoint, headers, sampler, limits, resource.
"""

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision

Attributes = Mapping[str, str | int | float | bool]

_SERVICE: Final = "connector-pipeline"

_of_root: ContextVar[tuple[int, int] | None] = ContextVar("connector_pipeline_root", default=None)


class _Ids(IdGenerator):
    """Random ids, but those that are given for the first span of a sync."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        given = _of_root.get()
        return self._random.generate_trace_id() if given is None else given[0]

    def generate_span_id(self) -> int:
        given = _of_root.get()
        return self._random.generate_span_id() if given is None else given[1]


@dataclass(frozen=True, slots=True)
class StartedSpan:
    """A span under way."""

    span: trace.Span

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        self.span.set_attributes(attributes)

    def fail(self, error: str, message: str) -> None:
        """Mark it as failed by this error. The traceback is left out: it could quote anything."""
        self.span.set_attribute("error.type", error)
        self.span.set_status(trace.Status(trace.StatusCode.ERROR, message))


class ExportedSpans:
    """The spans of this process. Any thread may use it."""

    def __init__(self) -> None:
        # Ends with the process and not by its exit hook, which waits for a receiver that is down.
        self._provider = TracerProvider(
            resource=Resource.create(_service()), id_generator=_Ids(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(_SERVICE)

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Generator[StartedSpan]:
        """A span in the one that is current, for the block."""
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as started:
            yield StartedSpan(started)

    @contextmanager
    def of_sync(self, ids: tuple[int, int]) -> Generator[None]:
        """Make the first span of a sync the current one for the block; it is written later."""
        # Parts must be sampled where the first span will be.
        sampled = self._provider.sampler.should_sample(contexts.Context(), ids[0], "sync")
        flags = trace.TraceFlags(
            trace.TraceFlags.SAMPLED
            if sampled.decision is Decision.RECORD_AND_SAMPLE
            else trace.TraceFlags.DEFAULT
        )
        root = trace.SpanContext(*ids, is_remote=True, trace_flags=flags)
        parent = trace.set_span_in_context(trace.NonRecordingSpan(root))
        token = contexts.attach(parent)
        try:
            yield
        finally:
            contexts.detach(token)

    @contextmanager
    def root(
        self, ids: tuple[int, int], since: datetime, attributes: Attributes
    ) -> Generator[StartedSpan]:
        """The first span of a sync, from `since` to the end of the block."""
        token = _of_root.set(ids)
        try:
            started = self._tracer.start_span(
                "sync",
                context=contexts.Context(),
                attributes=attributes,
                start_time=int(since.timestamp() * 1_000_000_000),
            )
        finally:
            _of_root.reset(token)
        yield StartedSpan(started)
        started.end(time.time_ns())

    def flush(self) -> None:
        """Send what has ended."""
        self._provider.force_flush()


def _service() -> dict[str, str]:
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return {} if named else {"service.name": _SERVICE}
