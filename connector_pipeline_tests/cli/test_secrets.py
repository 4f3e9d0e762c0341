"""Commands print no secret of the settings, whatever is wrong with them."""

import pytest

from connector_pipeline_tests.cli.conftest import Command

MALFORMED = {
    "CONNECTOR_DATABASE_URL": "postgresql://canary:{}@127.0.0.1:9/db",
    "DAGSTER_POSTGRES_URL": "postgresql+psycopg2://canary:{}@127.0.0.1:9/db",
    "RAW_ARCHIVE_URL": "nothing-known://key:{}@bucket/raw",
    "CONNECTOR_PROXY_URL": "http://canary:{}@127.0.0.1:9/path",
    "NATS_URL": "nats://canary:{}@127.0.0.1:9",
    "TOKEN_SERVICE_URL": "http://canary:{}@127.0.0.1:9",
    "ALERT_WEBHOOK_URL": "htp://127.0.0.1:9/{}",
}
PASSWORDS = {
    "percent": "Kanari%ssKanari-1",
    "slash": "Kanari/ss@Kanari:1",
    "space": "Kanari ss\tKanari%zz",
    "quotes": "Kanari-\"ss'\\Kanari",
    "brackets": "Kanari[ss]Kanari?#1",
}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=list(PASSWORDS))
@pytest.mark.parametrize("variable", MALFORMED)
def test_a_setting_that_cannot_be_read_is_named_without_a_part_of_its_password(
    command: Command, variable: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unescaped, pieces of a password end up in what libraries take for host, port or path."""
    monkeypatch.setenv("TOKEN_SERVICE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, MALFORMED[variable].format(password))
    for words in (("doctor",), ("doctor", "--json"), ("shops", "list"), ("migrate", "--check")):
        ended = command(*words)
        assert "Traceback" not in ended.err
        assert "Kanari" not in ended.out + ended.err


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg2://u:pa%ss@h/d", "postgresql+psycopg2://u:p/a@b:c@h/d"]
)
def test_a_dagster_url_that_cannot_be_read_is_one_line(
    command: Command, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare % was printed by a traceback of SQLAlchemy's."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    ended = command("sync", "shopify/acme.myshopify.com")
    assert ended.status == 1
    assert ended.err.splitlines() == [ended.err.rstrip()]
    assert ended.err.startswith("DAGSTER_POSTGRES_URL: cannot be read: %, @, /")


def test_an_unforeseen_error_is_a_line_or_a_traceback_without_secrets(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback is for the report of a defect, so it is shown; the secrets in it are not."""
    monkeypatch.setenv("NATS_PASSWORD", "kanari%password/0123")

    def fails(**_: object) -> None:
        try:
            raise ValueError("password kanari%25password%2F0123 \x1b[31m")
        except ValueError as error:
            raise RuntimeError("url nats://x:other@host, kanari%password/0123") from error

    monkeypatch.setattr("connector_pipeline.cli.doctor.run_doctor", fails)
    command("shops", "list")
    [line] = command("doctor").err.splitlines()
    assert line.startswith("RuntimeError: url nats://***@host, *** (")
    ended = command("doctor", "--debug")
    assert ended.status == 1
    assert "ValueError: password *** \\x1b[31m" in ended.err
    assert "RuntimeError: url nats://***@host, ***" in ended.err
    assert "in fails" in ended.err
