"""A sync leaves one trace at a real OTLP/HTTP receiver, and none where nobody asked for it."""

import gzip
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.model import tracing
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.cli.conftest import environment, sandbox
from connector_pipeline_tests.test_imports import imported_by

__all__ = ["environment", "sandbox"]

KEY: Final = "key-of-the-receiver-0123456789"
ERROR: Final = 2


@dataclass
class Receiver:
    """Decodes what OTLP/HTTP sends to /v1/traces, and refuses everything else."""

    url: str = ""
    resources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    spans: list[Any] = field(default_factory=list[Any])
    bodies: list[bytes] = field(default_factory=list[bytes])
    keys: set[str | None] = field(default_factory=set["str | None"])

    @contextmanager
    def serving(self) -> Generator["Receiver"]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                usable = (self.path, self.headers["Content-Type"]) == (
                    "/v1/traces",
                    "application/x-protobuf",
                )
                self.send_response(200 if usable else 400)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()
                if not usable:
                    return
                receiver.bodies.append(body)
                receiver.keys.add(self.headers["api-key"])
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    receiver.resources.append(values(resource.resource))
                    for scope in resource.scope_spans:
                        receiver.spans += scope.spans
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def tree(self) -> set[tuple[str, str | None]]:
        """Each span's name, with that of the span that it is a part of."""
        names = {span.span_id: span.name for span in self.spans}
        return {(span.name, names.get(span.parent_span_id)) for span in self.spans}

    def named(self, name: str) -> Any:
        """The one span of this name."""
        [found] = [span for span in self.spans if span.name == name]
        return found


def values(of: Any) -> dict[str, Any]:
    """The attributes of a span or of a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with Receiver().serving() as serving:
        yield serving


def sync(shop: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "connector_pipeline.cli", "sync", shop, "--type", "full"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def variables_of(receiver: Receiver) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={KEY}",
    }


@pytest.mark.usefixtures("environment")
def test_a_sync_is_one_trace_without_secrets(
    receiver: Receiver, registry: ShopRegistry, sandbox: SandboxServer
) -> None:
    """The phases are its parts, with shop, ids and counts. The trace's id is of the sync_id."""
    spec = next(each for each in DEFAULT_SHOPS if each.platform == "woocommerce")
    [shop] = register_sandbox_shops(registry, [spec])
    ended = sync(shop.partition_key, **variables_of(receiver))
    assert ended.returncode == 0, ended.stderr
    assert receiver.tree() == {
        ("sync", None),
        ("fetch", "sync"),
        ("credentials", "read"),
        ("read", "fetch"),
        ("archive", "fetch"),
        ("publish", "sync"),
        ("normalize", "publish"),
        ("write", "publish"),
    }
    [trace_id] = {span.trace_id for span in receiver.spans}
    root, published = receiver.named("sync"), values(receiver.named("publish"))
    found = values(root)
    assert found["connector.shop"] == shop.partition_key
    assert found["connector.sync_type"] == "full"
    assert found["connector.items"] == found["connector.inserted"] == published["connector.items"]
    assert found["connector.items"] > 0
    assert found["connector.run_id"]
    assert trace_id.hex() == tracing.trace_id(found["connector.sync_id"])
    assert root.status.code != ERROR
    assert root.start_time_unix_nano <= receiver.named("read").start_time_unix_nano
    assert values(receiver.named("fetch"))["connector.requests"] > 0
    assert values(receiver.named("archive"))["connector.pages"] > 0
    assert {each["service.name"] for each in receiver.resources} == {"connector-pipeline"}
    assert receiver.keys == {KEY}
    sent = b"".join(receiver.bodies)
    issued = sandbox.store.shop(spec.platform, spec.domain).credentials
    secrets = [issued.consumer_key, issued.consumer_secret, KEY]
    assert [each for each in secrets if each.encode() in sent or each in ended.stderr] == []


@pytest.mark.usefixtures("environment")
def test_a_sync_that_failed_has_its_error(receiver: Receiver, registry: ShopRegistry) -> None:
    """In the first span and in the part in which it happened; without a traceback."""
    [shop] = register_sandbox_shops(registry, DEFAULT_SHOPS[:1])
    ended = sync(
        shop.partition_key,
        **variables_of(receiver),
        TOKEN_SERVICE_URL="http://127.0.0.1:1",
        CONNECTOR_RETRY_DELAY="0.01",
    )
    assert ended.returncode == 1
    root = receiver.named("sync")
    assert root.status.code == ERROR
    assert values(root)["error.type"] == "TokenServiceUnavailable"
    failed = {span.name for span in receiver.spans if span.status.code == ERROR}
    assert failed == {"sync", "fetch", "read", "credentials"}
    assert [span for span in receiver.spans if span.events] == []


OFF: Final = """
from connector_pipeline.model import tracing
with tracing.spans_sent(), tracing.of_sync("s-1"), tracing.span("part", shop="one/a") as part:
    part.set(pages=1)
"""


def test_no_package_is_imported_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where OTEL_SDK_DISABLED takes it back."""
    assert imported_by(OFF, ["opentelemetry"]) == set()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert imported_by(OFF, ["opentelemetry"]) == set()


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("import sys; sys.modules['opentelemetry'] = None\n", "connector-pipeline[traces]"),
        ("", ""),
    ],
    ids=["without the extra", "without a receiver"],
)
def test_a_run_goes_on_without_extra_or_receiver(before: str, said: str) -> None:
    """It says what is missing, and ends."""
    ended = subprocess.run(
        [sys.executable, "-c", before + OFF],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert said in ended.stderr


RUNS: Final = """
import threading
for _ in range(3):
    with tracing.spans_sent(), tracing.of_sync("s-1"), tracing.span("part"):
        pass
print(sum(each.name == "spans" for each in threading.enumerate()))
"""


def test_a_receiver_that_hangs_holds_no_more_than_one_thread() -> None:
    """Of a worker that executes one run after the other; it is waited for once."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        ended = subprocess.run(
            [sys.executable, "-c", OFF + RUNS],
            env={
                **os.environ,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{hangs.getsockname()[1]}",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
