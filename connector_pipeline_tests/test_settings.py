"""Settings from the environment."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connector_pipeline.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECTOR_DATABASE_URL", "DAGSTER_POSTGRES_URL", "TOKEN_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_valid() -> None:
    """A newcomer sets nothing."""
    settings = load_settings()
    assert settings.home == Path.cwd() / ".connector"
    assert settings.shopify_batch_size == 250


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTOR_DATABASE_URL", "mysql://db"),
        ("DAGSTER_POSTGRES_URL", "postgresql://db/dagster"),
        ("TOKEN_SERVICE_URL", "token-service:8000"),
        ("TOKEN_SERVICE_URL", "http://user:secret@token-service"),
        ("TOKEN_SERVICE_TIMEOUT", "0"),
        ("CONNECTOR_MAX_RETRIES", "-1"),
        ("SHOPIFY_API_VERSION", "2026-13"),
        ("SHOPIFY_API_VERSION", "latest"),
        ("SHOPIFY_BATCH_SIZE", "251"),
        ("SHOPIFY_BASE_URL", "https://proxy.example"),
        ("WOOCOMMERCE_BATCH_SIZE", "101"),
        ("WOOCOMMERCE_STATUSES", "published"),
        ("SHOPS_AT_ONCE", "many"),
        ("FULL_SYNC_EVERY", "24"),
        ("FULL_SYNC_EVERY", "a day"),
        ("CONNECTOR_SHOP_DEADLINE", "0s"),
        ("CONNECTOR_SHOP_DEADLINE", "30"),
        ("CONNECTOR_SHOP_WAIT", "soon"),
        ("SYNC_CRON", "hourly"),
        ("SYNC_CRON", "0 * * *"),
        ("SYNC_CRON", "61 * * * *"),
        ("SYNC_CRON", "0 0 0 * * *"),
        ("SYNC_CRON", "@hourly"),
        ("SYNC_CRON", "0 22-2 * * *"),
        ("SYNC_CRON", "0 0 30 2 *"),
        ("SYNC_CRON", "0 0 */3 2 MON#5"),
        ("EVENT_LOG_KEEP", "12h"),
        ("SYNC_LOG_KEEP", "ever"),
        ("WEBHOOKS_URL", "https://hooks.example.com?from=us"),
        ("ALERT_WEBHOOK_URL", "alerts.internal"),
        ("ALLOW_PRIVATE_HOSTS", "perhaps"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_variable_and_an_example(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The line is all an operator needs to correct it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    [line] = raised.value.lines
    assert line.startswith(f"{name}: ")
    assert f"Example: {name}=" in line


def test_all_wrong_values_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator need not start again for each of them."""
    monkeypatch.setenv("SHOPS_AT_ONCE", "0")
    monkeypatch.setenv("SHOPS_PER_RUN", "0")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert [line.split(":")[0] for line in raised.value.lines] == ["SHOPS_PER_RUN", "SHOPS_AT_ONCE"]


def test_a_wrong_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped database URL holds a password, too."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "postgre://connector:hunter2@db/catalog")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_webhook_key_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new key as well as the old one. The secret of each shop is made of them."""
    monkeypatch.setenv("WEBHOOK_KEYS", f"{'k' * 32} shortkey")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    [line] = raised.value.lines
    assert line == "WEBHOOK_KEYS: each key must have 32 characters at least, at random."
    monkeypatch.setenv("WEBHOOK_KEYS", f"{'k' * 32} {'o' * 43}")
    assert load_settings().webhook_keys is not None


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and shells leave empty variables behind."""
    monkeypatch.setenv("TOKEN_SERVICE_URL", "")
    assert load_settings().token_service_url is None


def test_settings_are_parsed_once_for_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection to the database asks for them, and parsing them takes milliseconds."""
    monkeypatch.setenv("SHOPS_AT_ONCE", "7")
    assert load_settings() is load_settings()


def test_a_changed_environment_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands export the addresses of the services that they start, and take them back."""
    assert load_settings().shops_at_once == 16
    monkeypatch.setenv("SHOPS_AT_ONCE", "7")
    assert load_settings().shops_at_once == 7
    monkeypatch.setenv("SHOPS_AT_ONCE", "none")
    for _ in range(2):
        with pytest.raises(SettingsError):
            load_settings()
    monkeypatch.delenv("SHOPS_AT_ONCE")
    assert load_settings().shops_at_once == 16


def test_an_override_is_for_its_caller_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands before the environment, and nobody else gets it."""
    monkeypatch.setenv("SHOPS_AT_ONCE", "7")
    assert load_settings(shops_at_once=9).shops_at_once == 9
    assert load_settings().shops_at_once == 7


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may end up in a log or a traceback."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "postgresql://connector:hunter2@db/catalog")
    monkeypatch.setenv("INTERNAL_JWT_SECRET", "hunter3")
    assert "hunter" not in repr(load_settings())


def test_a_cron_is_read_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Superfluous spaces are dropped."""
    monkeypatch.delenv("SYNC_CRON")
    assert load_settings().sync_cron == "0 * * * *"
    monkeypatch.setenv("SYNC_CRON", " */15  6-22 * * mon-Fri ")
    assert load_settings().sync_cron == "*/15 6-22 * * mon-Fri"


def test_settings_are_read_without_dagster() -> None:
    """Dagster takes seconds to import, and programs that do not need it read the settings."""
    program = "import sys; import connector_pipeline.settings; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_webhook_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its URL may hold a token, also a URL that is refused."""
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "https://alerts.example/T0KEN")
    assert "T0KEN" not in repr(load_settings())
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "alerts.example/T0KEN")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "T0KEN" not in str(raised.value)


@pytest.mark.parametrize(
    "hosts", ["https://storage.googleapis.com", "a b", "a,,b", "A.example", "a/"]
)
def test_bulk_hosts_are_host_names(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    """A scheme or a path there would match no host, and every download would be refused."""
    monkeypatch.setenv("SHOPIFY_BULK_HOSTS", hosts)
    with pytest.raises(SettingsError, match="SHOPIFY_BULK_HOSTS: must be host names"):
        load_settings()
    monkeypatch.setenv("SHOPIFY_BULK_HOSTS", "storage.googleapis.com, files.example")
    assert load_settings().shopify_bulk_hosts == "storage.googleapis.com,files.example"


@pytest.mark.parametrize(
    "hosts",
    [
        "https://ui.example",
        "ui.example:3000",
        "*",
        "*.example",
        "a,,b",
        "[::1]",
        "UI.example",
        "a b",
    ],
)
def test_hosts_of_the_ui_are_names_or_addresses(
    monkeypatch: pytest.MonkeyPatch, hosts: str
) -> None:
    """A pattern would let in names that somebody else may lead to the UI."""
    monkeypatch.setenv("CONNECTOR_UI_HOSTS", hosts)
    with pytest.raises(SettingsError, match="CONNECTOR_UI_HOSTS: must be host names"):
        load_settings()
    monkeypatch.setenv("CONNECTOR_UI_HOSTS", "ui.example, 10.0.0.7,fd00::7")
    assert load_settings().connector_ui_hosts == "ui.example,10.0.0.7,fd00::7"


def test_the_operators_table_lists_the_settings_there_are() -> None:
    """It lists each once, and no variable that nothing reads."""
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    [table] = re.findall(r"\| variable \|.*?\n\n", page.read_text(), re.DOTALL)
    listed = re.findall(r"`([A-Z][A-Z0-9_]+)`", "\n".join(re.findall(r"(?m)^\|([^|]*)\|", table)))
    assert sorted(listed) == sorted(name.upper() for name in Settings.model_fields)
