"""`init` writes the folder of a deployment from the settings themselves, and overwrites nothing."""

import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from connector_pipeline.cli.env_file import GROUPS, env_file
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.engine.code_server import workspace_file
from connector_pipeline.model.code_server_address import parse_code_server
from connector_pipeline.postgres.roles import roles_sql
from connector_pipeline.settings import Settings, load_settings
from connector_pipeline_tests.cli.conftest import Command

PROJECT = Path(__file__).parents[2]
FILES = ["README.md", "connector.env", "dagster.yaml", "roles.sql", "workspace.yaml"]


def test_a_folder_of_a_deployment_is_written_whole(command: Command, tmp_path: Path) -> None:
    """The file that will hold secrets is its owner's alone."""
    folder = tmp_path / "etc" / "connector"
    assert command("init", str(folder), "--json").rows() == [
        {"folder": str(folder), "files": FILES}
    ]
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    assert stat.S_IMODE((folder / "connector.env").stat().st_mode) == 0o600
    assert (folder / "dagster.yaml").read_text() == instance_config().read_text()
    assert (folder / "roles.sql").read_text() == roles_sql()
    assert (folder / "workspace.yaml").read_text() == (PROJECT / "workspace.yaml").read_text()


def test_no_file_is_overwritten(command: Command, tmp_path: Path) -> None:
    """It names those that are there, and writes none of the others."""
    (tmp_path / "connector.env").write_text("TOKEN_SERVICE_URL=http://kept")
    (tmp_path / "roles.sql").symlink_to("/nowhere")
    ended = command("init", str(tmp_path))
    [line] = ended.err.splitlines()
    assert (ended.status, ended.out) == (1, "")
    assert f"{tmp_path} has connector.env, roles.sql." in line
    assert (tmp_path / "connector.env").read_text() == "TOKEN_SERVICE_URL=http://kept"
    assert not (tmp_path / "dagster.yaml").exists()


def test_every_setting_is_in_the_file_once() -> None:
    """A setting that somebody adds says there what it means."""
    described = [name for settings in GROUPS.values() for name in settings]
    assert sorted(described) == sorted(Settings.model_fields)


def test_the_file_sets_nothing_but_what_init_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its examples are valid without the signs of comments, and have the defaults as values."""
    text = env_file("/etc/connector", {"connector_home": "/etc/connector/data"})
    set_lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert set_lines == ["DAGSTER_HOME=/etc/connector", "CONNECTOR_HOME=/etc/connector/data"]
    examples = dict(re.findall(r'^# ([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))
    assert {name.lower() for name in examples} == Settings.model_fields.keys() - {"connector_home"}
    for name, value in examples.items():
        # Those of files name no file of this machine.
        monkeypatch.setenv(name, "" if name.endswith("_FILE") else value)
    parsed = load_settings()
    for name, field in Settings.model_fields.items():
        default = field.default
        if default not in (None, "") and name not in ("connector_home",):
            assert getattr(parsed, name) == default, f"the example of {name} is not its default"


def test_the_defaults_are_written_as_they_are_set() -> None:
    """An operator copies them."""
    text = env_file("/etc/connector", {})
    for name, written in {
        "full_sync_every": "24h",
        "event_log_keep": "14d",
        "connector_shop_wait": "60s",
        "connector_shop_deadline": "30m",
        "raw_archive_shop_limit": "10GB",
        "allow_private_hosts": "false",
        "token_service_url": "unset",
    }.items():
        assert re.search(rf"Default: {written}\.\n(# )?{name.upper()}=", text), name
    assert Settings.model_fields["connector_shop_wait"].default == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("written", "entry"),
    [
        ("127.0.0.1:4266", {"host": "127.0.0.1", "port": 4266}),
        ("code.internal:1", {"host": "code.internal", "port": 1}),
        ("[::1]:4266", {"host": "[::1]", "port": 4266}),
        ("/run/connector/code", {"socket": "/run/connector/code"}),
    ],
)
def test_the_workspace_names_the_code_server(written: str, entry: dict[str, object]) -> None:
    """Dagster's own tools find it there under the one name."""
    [location] = yaml.safe_load(workspace_file(parse_code_server(written)))["load_from"]
    assert location == {"grpc_server": {**entry, "location_name": "connector_pipeline"}}
