"""A foreign page does nothing in the UI, and nobody in the UI decides where a credential goes."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.cli.ports import free_port
from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.cli.test_dev import LAUNCH, LONG, Dev, dev

KEY = "shopify/nordic-tea.myshopify.com"
JSON = {"Content_Type": "application/json"}
ADD_PARTITION = """
mutation Add($key: String!) {
  addDynamicPartition(partitionKey: $key, partitionsDefName: "shops", repositorySelector: {
    repositoryLocationName: "connector_pipeline", repositoryName: "__repository__"
  }) { __typename }
}
"""
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    ... on LaunchBackfillSuccess { backfillId } } }
"""
BACKFILL_STATUS = """
query Status($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status } } }
"""
FAILURES = """
query Failures($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on ExecutionStepFailureEvent { error { message } failureMetadata { description } } } } } }
"""
LIVE_LOGS = """
subscription Logs($id: ID!) { pipelineRunLogs(runId: $id) {
  ... on PipelineRunLogsSubscriptionSuccess { messages { __typename } } } }
"""


@dataclass(frozen=True)
class Attacked:
    """A running `dev`, and a server elsewhere to which an attacker would have a token sent."""

    dev: Dev
    elsewhere: socket.socket

    @property
    def url(self) -> str:
        """Where a credential must not go."""
        return f"http://127.0.0.1:{self.elsewhere.getsockname()[1]}"

    @property
    def port(self) -> int:
        """The UI's port."""
        port = urlsplit(self.dev.session["ui_url"]).port
        assert port is not None
        return port

    def answer(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, str]:
        """Send a request with these headers (`Sec_Fetch_Site` for `Sec-Fetch-Site`)."""
        return answer(self.port, method, path, body, **headers)

    def runs(self) -> int:
        """How many runs Dagster has, but for those of schedules."""
        return len(self.dev.runs())

    def forget_requests(self) -> None:
        """Let the sandbox count its requests from now on."""
        port = urlsplit(self.dev.sandbox_url).port
        assert port is not None
        assert answer(port, "DELETE", "/sandbox/requests")[0] == 204

    def asked(self) -> list[tuple[str, str]]:
        """Service and domain of each request that the sandbox got."""
        found = self.dev.sandbox("GET", "/sandbox/requests")["requests"]
        return [(request["service"], request["domain"]) for request in found]

    def nothing_went_elsewhere(self) -> bool:
        """Whether nobody has connected to the attacker's server."""
        self.elsewhere.setblocking(False)
        try:
            self.elsewhere.accept()
        except BlockingIOError:
            return True
        return False

    def launch(self, params: dict[str, Any]) -> dict[str, Any]:
        """Launch a run as the UI does."""
        launched: dict[str, Any] = self.dev.graphql(LAUNCH, params=params)["launchRun"]
        return launched

    def failures(self, run_id: str) -> str:
        """What the failed steps of the run report, as the UI shows it."""
        events = self.dev.graphql(FAILURES, id=run_id)["logsForRun"]["events"]
        return json.dumps(events, ensure_ascii=False)


def answer(
    port: int, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[int, str]:
    """The status and the body that a server on this machine answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def attacked() -> Generator[Attacked]:
    """One `dev` for all tests of this file: it takes long to start.

    It looks at no change feed: the sandbox would be asked for a reason that is no test's.
    """
    home = Path(tempfile.mkdtemp(prefix="connector-ui-"))
    with (
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
        dev(home, "--port", "3930", CHANGE_LOOKS_PER_MINUTE="0") as running,
    ):
        yield Attacked(running, elsewhere)
    shutil.rmtree(home, ignore_errors=True)


def execution(run_config: dict[str, Any], **tags: str) -> dict[str, Any]:
    """The parameters by which the UI materializes both assets of a shop."""
    return {
        "selector": {
            "repositoryLocationName": "connector_pipeline",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["raw_products"]}, {"path": ["catalog_items"]}],
        },
        "runConfigData": run_config,
        "executionMetadata": {
            "tags": [
                {"key": key, "value": value}
                for key, value in ({"dagster/partition": KEY} | tags).items()
            ]
        },
    }


def of_job(job: str, run_config: dict[str, Any]) -> dict[str, Any]:
    """The parameters by which the Launchpad launches a job."""
    return {
        "selector": {
            "repositoryLocationName": "connector_pipeline",
            "repositoryName": "__repository__",
            "pipelineName": job,
        },
        "runConfigData": run_config,
    }


def shops(*listed: dict[str, Any]) -> dict[str, Any]:
    """The run config of `sync_shops`."""
    return {"ops": {"fetch_and_publish": {"config": {"shops": list(listed)}}}}


def as_link(params: dict[str, Any]) -> str:
    """A mutation that launches a run, as the address of an image."""
    return f"/graphql?{urlencode({'query': LAUNCH, 'variables': json.dumps({'params': params})})}"


def test_an_image_on_a_foreign_page_launches_no_run(attacked: Attacked) -> None:
    """The browser of a person who has the UI open fetches it; of old browsers nothing tells so."""
    attacked.forget_requests()
    before = attacked.runs()
    link = as_link(execution({}))
    of_a_page = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert attacked.answer("GET", link, Sec_Fetch_Dest="image", **of_a_page)[0] == 403
    status, reason = attacked.answer("GET", link)
    assert status == 405
    assert "Send mutations by POST" in reason
    assert attacked.answer("HEAD", link)[0] == 405
    assert (attacked.runs(), attacked.asked()) == (before, [])


@pytest.mark.parametrize(
    "spelled",
    [
        "/graphql%0A",
        "/graphql%0a",
        "/%67raphql",
        "/%67raphql%0A",
        "/graphql%2F",
        "//graphql",
        "/./graphql",
        "/x/../graphql",
        "/graphql/",
        "/graphql;x",
        "/graphql%00",
        "/GraphQL",
        "http://evil.example/graphql",
        "http://evil.example/graphql%0A",
    ],
)
def test_no_spelling_of_the_address_launches_a_run(attacked: Attacked, spelled: str) -> None:
    """Some of them are pages of the UI's, and none executes what is in the address."""
    before = attacked.runs()
    link = as_link(execution({})).replace("/graphql", spelled, 1)
    for method in ("GET", "HEAD"):
        assert "launchRun" not in attacked.answer(method, link)[1]
    assert attacked.runs() == before


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; x=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
    ],
)
def test_a_form_on_a_foreign_page_launches_no_run(attacked: Attacked, content_type: str) -> None:
    """Its body may be JSON, and its address may hold the mutation."""
    before = attacked.runs()
    params = execution({})
    body = json.dumps({"query": LAUNCH, "variables": {"params": params}})
    for path in ("/graphql", as_link(params)):
        assert attacked.answer("POST", path, body, Content_Type=content_type)[0] == 415
    assert attacked.answer("POST", as_link(params))[0] == 415
    assert attacked.runs() == before


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_a_script_on_a_foreign_page_launches_no_run(attacked: Attacked, origin: str) -> None:
    """Nor does it report an asset as materialized."""
    before = attacked.runs()
    body = json.dumps({"query": LAUNCH, "variables": {"params": execution({})}})
    assert attacked.answer("POST", "/graphql", body, Origin=origin, **JSON)[0] == 403
    reported = "/report_asset_materialization/raw_products?partition=x"
    assert attacked.answer("POST", reported, "{}", Origin=origin, **JSON)[0] == 403
    assert attacked.answer("OPTIONS", "/graphql", Origin=origin)[0] == 403
    assert attacked.runs() == before


def test_a_name_that_was_led_here_gets_nothing(attacked: Attacked) -> None:
    """Its page and the UI have the same origin for the browser, and may read each other."""
    evil = f"evil.example:{attacked.port}"
    for path in ("/", "/graphql?query={version}", "/server_info"):
        status, reason = attacked.answer("GET", path, Host=evil)
        assert status == 403
        assert "CONNECTOR_UI_HOSTS" in reason
    body = json.dumps({"query": "{ version }"})
    own = {"Host": evil, "Origin": f"http://{evil}", "Sec_Fetch_Site": "same-origin"}
    assert attacked.answer("POST", "/graphql", body, **own, **JSON)[0] == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_the_ui_works_under_the_names_of_this_machine(attacked: Attacked, name: str) -> None:
    """A browser of today sends these headers from the UI's own page."""
    host = f"{name}:{attacked.port}"
    own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
    status, page = attacked.answer("GET", "/overview", Host=host, Sec_Fetch_Site="none")
    assert (status, "<!DOCTYPE html>" in page) == (200, True)
    script = page.partition('src="/_next/')[2].partition('"')[0]
    assert attacked.answer("GET", f"/_next/{script}", **own)[0] == 200
    body = json.dumps({"query": "{ version }"})
    status, answered = attacked.answer("POST", "/graphql", body, **own, **JSON)
    assert (status, json.loads(answered)) == (200, {"data": {"version": "1.13.27"}})
    assert attacked.answer("GET", f"/graphql?query={quote('{ version }')}", **own)[0] == 200


async def first_messages(url: str, started: dict[str, Any], origin: str | None) -> list[Any]:
    """What the UI's WebSocket answers to an operation, until it reports an error or a run's end."""
    async with connect(
        url,
        subprotocols=[Subprotocol("graphql-ws")],
        additional_headers={} if origin is None else {"Origin": origin},
    ) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        await socket.send(json.dumps({"type": "start", "id": "1", "payload": started}))
        received: list[Any] = []
        async for message in socket:
            received.append(json.loads(message))
            if "RunSuccessEvent" in str(message) or received[-1]["type"] == "error":
                return received
    return received


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_page_reads_no_live_logs(attacked: Attacked, origin: str) -> None:
    """A browser lets any page open a WebSocket to any server."""
    url = f"ws://127.0.0.1:{attacked.port}/graphql"
    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(first_messages(url, {"query": LIVE_LOGS}, origin))
    assert refused.value.response.status_code == 403


def test_live_logs_arrive_in_the_ui_and_at_a_program(attacked: Attacked) -> None:
    """The run that they are of is launched by the UI, too, and asks where the settings say."""
    attacked.forget_requests()
    tags = {
        "dagster/image": "evil.example/image",
        "docker/image": "evil.example/image",
        "dagster/executor": "multiprocess",
        "dagster-k8s/config": json.dumps({"container_config": {"image": "evil.example/image"}}),
        "connector/token_service_url": attacked.url,
        ".dagster/grpc_info": json.dumps(
            {"host": "127.0.0.1", "port": urlsplit(attacked.url).port}
        ),
    }
    launched = attacked.launch(execution({}, **tags))
    run_id = launched["run"]["runId"]
    url = f"ws://127.0.0.1:{attacked.port}/graphql"
    started = {"query": LIVE_LOGS, "variables": {"id": run_id}}
    for origin in (f"http://127.0.0.1:{attacked.port}", None):
        messages = asyncio.run(asyncio.wait_for(first_messages(url, started, origin), LONG))
        assert "RunSuccessEvent" in json.dumps(messages)
    assert attacked.dev.status(run_id) == "SUCCESS"
    assert {domain for _, domain in attacked.asked()} == {KEY.partition("/")[2]}
    assert attacked.nothing_went_elsewhere()


def test_a_websocket_executes_no_mutation(attacked: Attacked) -> None:
    """Dagster looks for the field of a mutation among the subscriptions."""
    before = attacked.runs()
    url = f"ws://127.0.0.1:{attacked.port}/graphql"
    started = {"query": LAUNCH, "variables": {"params": execution({})}}
    messages = asyncio.run(asyncio.wait_for(first_messages(url, started, None), LONG))
    assert "'launchRun' is not defined" in json.dumps(messages)
    assert attacked.runs() == before


RESOURCES: dict[str, dict[str, Any]] = {
    "shopify": {"base_url": "ELSEWHERE/{domain}"},
    "woocommerce": {"base_url": "ELSEWHERE/{domain}", "allow_private_hosts": True},
    "token_service": {"url": "ELSEWHERE"},
    "raw_archive": {"url": "/tmp/elsewhere"},
    "database": {"url": "postgresql://evil.example/"},
    "registry": {"database": {"url": "postgresql://evil.example/"}},
    "services": {"token_service": {"url": "ELSEWHERE"}},
    "catalog_io_manager": {"url": "postgresql://evil.example/"},
    "io_manager": {"base_dir": "/tmp/elsewhere"},
}


def hostile_configs(elsewhere: str) -> list[tuple[dict[str, Any], str]]:
    """Run configs that would send or write something elsewhere, and what the answer names."""
    named = json.loads(json.dumps(RESOURCES).replace("ELSEWHERE", elsewhere))
    return [
        *(
            ({"resources": {name: {"config": config}}}, next(iter(config)))
            for name, config in named.items()
        ),
        ({"execution": {"config": {"multiprocess": {}}}}, "multiprocess"),
        ({"execution": {"config": {"image": "evil.example/image"}}}, "image"),
        ({"loggers": {"papertrail": {"config": {"host": "evil.example"}}}}, "papertrail"),
    ]


def test_a_run_config_that_names_a_destination_is_refused_with_the_reason(
    attacked: Attacked,
) -> None:
    """Before a run is made, and before anybody is asked for a credential."""
    attacked.forget_requests()
    before = attacked.runs()
    for config, field in hostile_configs(attacked.url):
        listed = of_job("sync_shops", config | shops({"shop": KEY}))
        for params in (execution(config), listed):
            refused = attacked.launch(params)
            assert refused["__typename"] == "RunConfigValidationInvalid", (config, refused)
            assert any(field in error["message"] for error in refused["errors"]), refused
    assert (attacked.runs(), attacked.asked()) == (before, [])
    assert attacked.nothing_went_elsewhere()


def test_no_run_config_shows_a_variable_of_the_environment(attacked: Attacked) -> None:
    """`CONNECTOR_DATABASE_URL` holds a password; a wrong shop is shown in the run's message."""
    secret = {"env": "CONNECTOR_DATABASE_URL"}
    for listed in ({"shop": secret}, {"shop": KEY, "correlation_id": secret}):
        refused = attacked.launch(of_job("sync_shops", shops(listed)))
        assert refused["__typename"] == "RunConfigValidationInvalid", refused
        assert "postgresql://" not in json.dumps(refused)
    shown = attacked.dev.graphql("{ instance { info } }")["instance"]["info"]
    assert "MarkingRunStorage" in shown
    assert "postgresql" not in shown


def test_a_backfill_that_names_a_destination_asks_nobody(attacked: Attacked) -> None:
    """Its runs are made by the daemon, which judges their config as the UI does."""
    attacked.forget_requests()
    config = {"resources": {"shopify": {"config": {"base_url": f"{attacked.url}/{{domain}}"}}}}
    launched = attacked.dev.graphql(
        BACKFILL,
        params={
            "partitionNames": [KEY],
            "assetSelection": [{"path": ["raw_products"]}],
            "runConfigData": config,
        },
    )["launchPartitionBackfill"]
    until = time.monotonic() + LONG
    while True:
        found = attacked.dev.graphql(BACKFILL_STATUS, id=launched["backfillId"])
        status = found["partitionBackfillOrError"]["status"]
        if status in ("FAILED", "COMPLETED_FAILED", "COMPLETED_SUCCESS", "CANCELED"):
            break
        assert time.monotonic() < until, status
        time.sleep(0.2)
    assert status in ("FAILED", "COMPLETED_FAILED")
    assert attacked.asked() == []
    assert attacked.nothing_went_elsewhere()


def test_a_shop_that_nobody_registered_is_not_asked(attacked: Attacked) -> None:
    """Neither as a partition that was added in the UI, nor in the list of a run."""
    attacked.forget_requests()
    port = attacked.elsewhere.getsockname()[1]
    keys = [
        "shopify/evil.myshopify.com",
        f"woocommerce/127.0.0.1:{port}",
        f"shopify/127.0.0.1:{port}/nordic-tea.myshopify.com",
        f"shopify/nordic-tea.myshopify.com@127.0.0.1:{port}",
        "shopify/../woocommerce",
        "elsewhere/evil.example",
    ]
    attacked.dev.graphql(ADD_PARTITION, key=keys[0])
    runs = [
        attacked.launch(execution({}, **{"dagster/partition": keys[0]})),
        attacked.launch(of_job("sync_shops", shops(*({"shop": key} for key in keys)))),
    ]
    for launched in runs:
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        assert attacked.dev.wait_for(run_id, "SUCCESS", "FAILURE") == "FAILURE"
    reported = attacked.failures(runs[1]["run"]["runId"])
    assert "UnknownShop" in reported
    assert all(key in reported for key in keys), reported
    assert attacked.asked() == []
    assert attacked.nothing_went_elsewhere()


@dataclass(frozen=True)
class Deployed:
    """A running `connector-pipeline ui`."""

    process: subprocess.Popen[str]
    port: int
    command: list[str]
    environment: dict[str, str]


@pytest.fixture
def deployed(environment: None, tmp_path: Path) -> Generator[Deployed]:
    """The UI of a deployment that people reach as ui.example; no code server is part of it."""
    shutil.copyfile(instance_config(), tmp_path / "dagster.yaml")
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text('{"load_from": []}')
    port = free_port(3960)
    options = ("--workspace", str(workspace), "--read-only", "--path-prefix", "/ui")
    ui = [sys.executable, "-m", "connector_pipeline.cli", "ui", *options]
    names = {**os.environ, "DAGSTER_HOME": str(tmp_path), "CONNECTOR_UI_HOSTS": "ui.example"}
    process = subprocess.Popen(
        [*ui, "--port", str(port)],
        env=names,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + LONG
    while True:
        try:
            if answer(port, "GET", "/ui/server_info")[0] == 200:
                break
        except OSError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.1)
    yield Deployed(process, port, ui, names)
    if process.poll() is None:
        process.kill()
        process.communicate()


def test_a_deployment_serves_the_ui_under_its_name(deployed: Deployed) -> None:
    """TLS ends at the proxy before it, which passes the Host on; Ctrl-C is no error."""
    query = json.dumps({"query": "{ version }"})
    own = {"Host": "ui.example", "Origin": "https://ui.example", "Sec_Fetch_Site": "same-origin"}
    assert answer(deployed.port, "POST", "/ui/graphql", query, **own, **JSON)[0] == 200
    assert answer(deployed.port, "GET", "/ui/overview", Host="ui.example")[0] == 200
    for foreign in ({"Host": "evil.example"}, own | {"Origin": "https://ui.example:8443"}):
        status, _ = answer(deployed.port, "POST", "/ui/graphql", query, **foreign, **JSON)
        assert status == 403
    link = f"/ui/graphql?query={quote('mutation { setNuxSeen }')}"
    assert answer(deployed.port, "GET", link, Host="ui.example")[0] == 405

    body = json.dumps({"query": LAUNCH, "variables": {"params": of_job("sync_shops", {})}})
    status, refused = answer(deployed.port, "POST", "/ui/graphql", body, **own, **JSON)
    assert (status, "LaunchRunSuccess" in refused) == (200, False)

    deployed.process.send_signal(signal.SIGINT)
    said, _ = deployed.process.communicate(timeout=LONG)
    assert deployed.process.returncode == 0, said
    assert "refused POST /ui/graphql: The UI is not served under the host 'evil.example'" in said
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_one_line(deployed: Deployed) -> None:
    """The port is in the address that people know, so no other one is taken in its place."""
    ended = subprocess.run(
        [*deployed.command, "--port", str(deployed.port)],
        env=deployed.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
    )
    [line] = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert line.startswith(
        f"AddressUnusable: the UI cannot listen on 127.0.0.1 port {deployed.port}"
    )
    assert "choose another --host or --port" in line


def test_without_a_home_of_dagster_the_ui_says_what_to_set(
    command: Command, tmp_path: Path
) -> None:
    """A temporary storage would show an empty Dagster."""
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text('{"load_from": []}')
    ended = command("ui", "--workspace", str(workspace))
    assert (ended.status, ended.out) == (1, "")
    [line] = ended.err.splitlines()
    assert line.startswith("DAGSTER_HOME: not set;")


@pytest.mark.parametrize(
    "options",
    [
        ["--workspace", "/nowhere/workspace.yaml"],
        ["--path-prefix", "dagster"],
        ["--path-prefix", "/dagster/"],
        ["--port", "65536"],
    ],
)
def test_wrong_options_are_wrong_usage(command: Command, options: list[str]) -> None:
    """Nothing is started."""
    assert command("ui", *options).status == 2
