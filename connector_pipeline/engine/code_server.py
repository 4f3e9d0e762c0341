"""The code server of a deployment: the command that runs it, and whether one serves an address.

`dagster api grpc` is one process that waits for no heartbeat. The server that Dagster starts by
itself for a `python_module` ends if it hears none for 20 s, and its runs are lost; the proxy of
`dagster code-server start` waits for heartbeats between its own two processes
(docs/facts/dagster.md, Code servers).

Needs: `python -m dagster api grpc` and its options; that the server answers gRPC's health check for
the service `DagsterApi`. Tried with Dagster 1.13.27. A documented server without heartbeats would
replace the command.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from connector_pipeline.model.code_server_address import CodeServerAddress

LOCATION_NAME: Final = "connector_pipeline"
DEFINITIONS_MODULE: Final = "connector_pipeline.definitions"
SERVING_MODULE: Final = "connector_pipeline.engine.serve_code"
_SERVICE: Final = "DagsterApi"

_WORKSPACE: Final = """\
# Where Dagster's own tools find the project: the code server, as CONNECTOR_CODE_SERVER has it.
# `connector-pipeline ui` and `connector-pipeline daemon` read that setting, and no file.
load_from:
  - grpc_server:
"""


def grpc_server(address: CodeServerAddress) -> dict[str, Any]:
    """The entry `grpc_server` of a workspace file."""
    where: dict[str, Any] = (
        {"socket": address.socket}
        if address.socket is not None
        else {"host": address.host, "port": address.port}
    )
    return where | {"location_name": LOCATION_NAME}


def workspace_file(address: CodeServerAddress) -> str:
    """The text of a workspace file for Dagster's own tools, e.g. `dagster-webserver`."""
    entry = grpc_server(address)
    # A value of JSON is one of YAML, too.
    lines = "".join(f"      {name}: {json.dumps(value)}\n" for name, value in entry.items())
    return f"{_WORKSPACE}{lines}"


def code_server_command(address: CodeServerAddress) -> tuple[str, ...]:
    """The command that serves the project's definitions there, with the present Python."""
    where = (
        ("--socket", address.socket)
        if address.socket is not None
        else ("--host", address.host, "--port", str(address.port))
    )
    return (
        *(sys.executable, "-m", SERVING_MODULE, "api", "grpc", *where),
        *("--module-name", DEFINITIONS_MODULE, "--location-name", LOCATION_NAME),
    )


def reloading_code_server_command(socket: Path) -> tuple[str, ...]:
    """The command of a code server that can be asked to load the definitions anew.

    It starts a second server of `code_server_command` behind itself, each time that it is asked to.
    """
    return (
        *(sys.executable, "-m", SERVING_MODULE, "code-server", "start"),
        *("--socket", str(socket), "--module-name", DEFINITIONS_MODULE),
    )


def serves(address: CodeServerAddress, *, within: float) -> bool:
    """Whether a code server answers there within so many seconds. Does not import Dagster."""
    # Imported here: it takes longer than most commands.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    target = f"unix:{address.socket}" if address.socket is not None else str(address)
    with grpc.insecure_channel(target) as channel:
        # Its methods are made at run time.
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer: Any = health.Check(
                health_pb2.HealthCheckRequest(service=_SERVICE), timeout=within, wait_for_ready=True
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
