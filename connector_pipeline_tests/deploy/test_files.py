"""Image, composition and manifests hold their promises, as far as no engine is needed to see it."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from connector_pipeline.cli.main import app
from connector_pipeline.cli.ports import METRICS_PORT, WEBHOOKS_PORT
from connector_pipeline.engine.code_server import LOCATION_NAME, workspace_file
from connector_pipeline.model.code_server_address import parse_code_server
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.settings import Settings

PROJECT: Final = Path(__file__).parents[2]
DEPLOY: Final = PROJECT / "deploy"
BIN: Final = Path(sys.executable).parent
MANIFESTS: Final = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OF_OTHERS: Final = {"kustomization.yaml", "autoscaling.yaml", "dagster-values.yaml"}
"""Not of Kubernetes itself: of kustomize, KEDA, and Dagster's chart."""


def composed() -> dict[str, Any]:
    """The services of compose.yaml."""
    found: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())
    return found


def test_linters_find_nothing() -> None:
    """In the Dockerfile, in YAML, and against the schemas of Kubernetes."""
    for command in (
        ["hadolint", "Dockerfile"],
        ["yamllint", "--strict", "compose.yaml", "workspace.yaml", "dagster.yaml", "deploy"],
        ["kubernetes-validate", "--strict", *(m for m in MANIFESTS if m.name not in OF_OTHERS)],
    ):
        program, *words = command
        ended = subprocess.run(
            [BIN / program, *words], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def manifests() -> Iterator[dict[str, Any]]:
    """Every object of our manifests, and the one that Dagster's chart makes for us."""
    for path in MANIFESTS:
        if path.name == "dagster-values.yaml":
            yield from yaml.safe_load(path.read_text())["extraManifests"]
        else:
            yield from yaml.safe_load_all(path.read_text())


def test_the_job_of_the_chart_is_one_of_kubernetes(tmp_path: Path) -> None:
    """It stands in the values of the chart, where no validator looks, and runs before its pods."""
    [job] = [found for found in manifests() if found["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    validated = [BIN / "kubernetes-validate", "--strict", tmp_path / "job.yaml"]
    ended = subprocess.run(validated, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def stages() -> dict[str, Any]:
    """The stages of the Dockerfile, as the script reads them that makes it without an engine."""
    spec = importlib.util.spec_from_file_location("dockerfile", PROJECT / ".ci" / "dockerfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dockerfile"] = module
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.stages_of(PROJECT / "Dockerfile")
    return found


def test_the_image_is_lean_and_nobodys() -> None:
    """A numeric user, so that Kubernetes can see that it is not root; no Postgres, no compiler."""
    *_, last = stages().values()
    assert last.name == "connector"
    assert last.last("USER") == "10001:10001"
    extras = (stages()["build"].last("ARG") or "").removeprefix("EXTRAS=").split(",")
    assert {"celery", "nats", "ui"} <= set(extras)
    assert not {"embedded", "dev", "sandbox"} & set(extras)
    text = (PROJECT / "Dockerfile").read_text()
    assert "apt-get" not in text
    for line in re.findall(r"pip \S*\s?\S* ?(?:install|wheel) [^&]*", text.replace("\\\n", "")):
        assert "--require-hashes" in line or "--no-index" in line or "--no-deps" in line, line


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of ours that an image is to execute, with where it stands."""
    for name, stage in stages().items():
        for word in ("CMD", "HEALTHCHECK"):
            if (rest := stage.last(word)) and "[" in rest:
                yield f"Dockerfile, {name}", yaml.safe_load(rest[rest.index("[") :])
    for name, service in composed()["services"].items():
        yield f"compose, {name}", service.get("command") or []
        yield f"compose, {name}", service.get("healthcheck", {}).get("test", [])[1:]
    yield from _commands_in(yaml.safe_load((DEPLOY / "kubernetes/dagster-values.yaml").read_text()))
    for manifest in manifests():
        yield from _commands_in(manifest)


def _commands_in(found: object) -> Iterator[tuple[str, list[str]]]:
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "command" and isinstance(value, list):
                yield "kubernetes", value
            yield from _commands_in(value)
    elif isinstance(found, list):
        for value in found:
            yield from _commands_in(value)


def test_every_command_is_one_of_ours_with_its_options() -> None:
    """A container that is started with a word which the command does not know ends at once."""
    ours = [words for _, words in commands() if words[:1] == ["connector-pipeline"]]
    assert len(ours) > 12
    group = typer.main.get_command(app)
    for _, name, *words in ours:
        command = group.commands[name]  # type: ignore[attr-defined]
        command.make_context(name, list(words), resilient_parsing=False)


def test_only_the_proxy_is_published_and_on_loopback() -> None:
    """The UI asks nobody for a password."""
    services = composed()["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "proxy": [
            "${UI_ADDRESS:-127.0.0.1:8080}:8080",
            "${WEBHOOKS_ADDRESS:-127.0.0.1:8081}:8081",
        ]
    }
    inner = ("ui", "daemon", "code-server", "webhooks")
    assert "published" not in {n for s in inner for n in services[s]["networks"]}
    networks = composed()["networks"]
    assert networks["inside"] == networks["front"] == {"internal": True}
    ui, webhooks = (DEPLOY / "compose/Caddyfile").read_text().split(":8081 {")
    assert "basic_auth" in ui
    assert f"reverse_proxy webhooks:{WEBHOOKS_PORT}" in webhooks


def test_every_service_is_pinned_and_started_again() -> None:
    """Exact versions; a health check or the reason against one; a bound to what is ours."""
    for name, service in composed()["services"].items():
        image = service["image"]
        if not image.startswith("${CONNECTOR_IMAGE"):
            assert re.search(r":\d+\.\d+\.\d+|:\d+\.\d+-bookworm", image), image
            assert "healthcheck" in service, name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        assert service.get("profiles", ["sandbox"]) == ["sandbox"]
        assert name.startswith("sandbox") == ("profiles" in service)


def test_no_secret_stands_in_a_file() -> None:
    """They come from files that `prepare` makes, and from secrets that are named."""
    for name, service in composed()["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            assert not re.search(r"PASSWORD|SECRET|TOKEN", variable) or re.search(
                r"_FILE$|_HASH$", variable
            ), (name, variable, value)
    kinds = {manifest["kind"] for manifest in manifests()}
    assert "Secret" not in kinds
    for path in (PROJECT / "compose.yaml", *MANIFESTS):
        assert not re.search(r"://[^/\s\"]*:[^/\s\"]*@", path.read_text()), path


def test_the_manifests_confine_every_container_of_ours() -> None:
    """As the namespace policy `restricted` of Kubernetes asks, with bounds of memory."""
    pods = [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests()
        if manifest["kind"] in ("Deployment", "Job")
    ]
    assert len(pods) == 5
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            confined = container["securityContext"]
            assert confined["readOnlyRootFilesystem"] is True
            assert confined["allowPrivilegeEscalation"] is False
            assert "memory" in container["resources"]["limits"]


def test_dagsters_chart_finds_our_instance_and_our_location() -> None:
    """Its own dagster.yaml has neither our storage nor our launcher; its web server has no gate."""
    values = yaml.safe_load((DEPLOY / "kubernetes/dagster-values.yaml").read_text())
    [server] = values["dagster-user-deployments"]["deployments"]
    home = {"name": "DAGSTER_HOME", "value": "/etc/connector"}
    assert home in server["env"]
    assert home in values["dagsterDaemon"]["env"]
    assert LOCATION_NAME in server["dagsterApiGrpcArgs"]
    assert values["dagsterWebserver"]["replicaCount"] == 0
    settings, workspace = yaml.safe_load_all((DEPLOY / "kubernetes/settings.yaml").read_text())
    address = settings["data"]["CONNECTOR_CODE_SERVER"]
    assert address == f"{server['name']}:{server['port']}"
    expected = yaml.safe_load(workspace_file(parse_code_server(address)))
    assert yaml.safe_load(workspace["data"]["workspace.yaml"]) == expected
    name = values["dagsterWebserver"]["workspace"]["externalConfigmap"]
    assert workspace["metadata"]["name"] == name


def test_the_sandbox_of_the_composition_is_where_its_settings_say() -> None:
    """They are those that the sandbox prints, at the port that it is started with."""
    lines = (DEPLOY / "compose/sandbox.env").read_text().splitlines()
    with SandboxServer() as sandbox:
        printed = sandbox.environment()
        port = sandbox.url.rpartition(":")[2]
    assert dict(line.split("=", 1) for line in lines) == {
        name: value.replace(f":{port}", ":4010") for name, value in printed.items()
    }


def test_the_page_of_metrics_is_served_by_a_user_who_reads_nothing_else() -> None:
    """It has no password, so nobody but Prometheus reaches it, and it knows no other secret."""
    service = composed()["services"]["metrics"]
    assert service["env_file"] == "deploy/compose/made/metrics.env"
    assert (service["environment"], service["volumes"]) == ({}, [])
    assert service["networks"] == ["inside"]
    init = (DEPLOY / "compose/postgres-init.sh").read_text()
    assert (
        "CREATE ROLE connector_metrics LOGIN PASSWORD :'metrics' IN ROLE connector_monitor;" in init
    )
    [pod] = [
        manifest["spec"]["template"]["spec"]["containers"][0]
        for manifest in manifests()
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == "connector-metrics"
    ]
    assert pod["envFrom"] == [{"secretRef": {"name": "connector-metrics"}}]
    [policy] = [
        manifest["spec"]
        for manifest in manifests()
        if manifest["kind"] == "NetworkPolicy"
        and manifest["metadata"]["name"] == "connector-metrics"
    ]
    [way_in] = policy["ingress"]
    assert [port["port"] for port in way_in["ports"]] == [METRICS_PORT]


@pytest.mark.parametrize("sandbox", [True, False])
def test_prepare_makes_the_secrets_once(tmp_path: Path, sandbox: bool) -> None:
    """The settings are valid ones, nobody else reads them, and a second time changes nothing."""
    folder = tmp_path / "compose"
    folder.mkdir()
    for name in ("prepare", "sandbox.env"):
        (folder / name).write_bytes((DEPLOY / "compose" / name).read_bytes())
    words = ["sh", folder / "prepare", *(["--sandbox"] if sandbox else [])]
    environment = {
        "PATH": "/usr/bin:/bin",
        "CONNECTOR": f"{sys.executable} -m connector_pipeline.cli",
        "PYTHONPATH": str(PROJECT),
        "TOKEN_SERVICE_URL": "http://token-service:8000",
    }
    subprocess.run(words, env=environment, check=True)
    made = folder / "made"
    assert made.stat().st_mode & 0o077 == 0
    values = dict(line.split("=", 1) for line in (made / "connector.env").read_text().splitlines())
    Settings.model_validate({name.lower(): value for name, value in values.items()})
    assert f":{(made / 'connector_password').read_text()}@" in values["CONNECTOR_DATABASE_URL"]
    assert values["LOG_FORMAT"] == "text"
    watches = (made / "metrics.env").read_text()
    assert f"connector_metrics:{(made / 'metrics_password').read_text()}@" in watches
    before = (made / "connector.env").read_bytes()
    again = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (again.returncode, "nothing was changed" in again.stderr) == (1, True)
    assert (made / "connector.env").read_bytes() == before
