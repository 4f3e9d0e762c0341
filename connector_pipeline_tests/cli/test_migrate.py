"""`connector-pipeline migrate` changes the schema of a database, and no other command does."""

from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from connector_pipeline.postgres.embedded.postmaster import data_directory
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.revision import needed_revision
from connector_pipeline_tests.cli.conftest import Command

SHOP = "shopify/acme.myshopify.com"
LOOKING = [
    ["shops", "list"],
    ["catalog", "show", SHOP],
    ["catalog", "rejects", SHOP],
    ["doctor"],
    ["migrate", "--check"],
]
WRITING = [
    ["shops", "add", SHOP, "--merchant-id", "m-1"],
    ["shops", "import", "FILE"],
    ["shops", "pause", SHOP],
    ["shops", "resume", SHOP],
    ["shops", "remove", SHOP],
    ["sync", SHOP],
    ["sync", SHOP, "--request"],
    ["backfill"],
    ["dev"],
]


def tables(url: str) -> list[str]:
    """All tables of a database but Postgres's own."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    return [row[0] for row in rows]


def databases(url: str) -> set[str]:
    """The databases of the server."""
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


@pytest.fixture
def unmigrated(command: Command, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment names a database that was never migrated; the other one is Dagster's."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", empty_database_url)
    return empty_database_url


@pytest.mark.parametrize("words", [*LOOKING, *WRITING], ids=" ".join)
def test_only_migrate_changes_the_schema_of_a_named_server(
    command: Command, unmigrated: str, words: list[str], tmp_path: Path
) -> None:
    """Other commands refuse, name the command to run, and leave the database as it is."""
    file = tmp_path / "shops.csv"
    file.write_text("merchant_id,platform_name,platform_shop_id,domain\n")
    ended = command(*(str(file) if word == "FILE" else word for word in words))
    assert ended.status == 1
    said = ended.out + ended.err
    assert needed_revision() in said
    assert "connector-pipeline migrate" in said or words[0] == "migrate"
    assert "Traceback" not in said
    assert tables(unmigrated) == []


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_looking_makes_no_database_for_dagster(
    command: Command,
    database_url: str,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    """They make no database if none is named, and no tables in one that is."""
    assert command("shops", "add", SHOP, "--merchant-id", "m-1").status == 0
    assert command(*words).status == 0
    assert tables(empty_database_url) == []
    monkeypatch.delenv("DAGSTER_POSTGRES_URL")
    before = databases(database_url)
    ended = command(*words)
    assert ended.status == 0, ended
    assert databases(database_url) == before


def test_migrate_brings_a_database_to_the_needed_revision(
    command: Command, unmigrated: str
) -> None:
    """--check reports it before and after, by its exit status too."""
    head = needed_revision()
    checked = command("migrate", "--check", "--json")
    assert (checked.status, checked.rows()) == (
        1,
        [{"revision": None, "needed": head, "works": False}],
    )
    assert f"no revision and is at revision {head}" in command("migrate").out
    assert command("migrate", "--json").rows() == [
        {"before": head, "revision": head, "granted": True}
    ]
    checked = command("migrate", "--check")
    assert checked.status == 0
    assert checked.out == (f"The database is at revision {head}, and this version needs {head}.\n")
    assert command("shops", "list").status == 0


def test_the_printed_sql_can_be_run_by_another(
    command: Command, unmigrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command prints nothing else and no password, and changes nothing."""
    parts = urlsplit(unmigrated)
    host = parts.netloc.rpartition("@")[2]
    monkeypatch.setenv(
        "CONNECTOR_DATABASE_URL", parts._replace(netloc=f"postgres:hunter2@{host}").geturl()
    )
    printed = command("migrate", "--sql")
    assert printed.status == 0
    assert "hunter2" not in printed.out + printed.err
    assert command("migrate", "--check").status == 1
    with psycopg.connect(unmigrated, autocommit=True) as connection:
        connection.execute(printed.out.encode())
    assert command("migrate", "--check").status == 0
    [again] = command("migrate", "--sql", "--json").rows()
    assert "CREATE TABLE" not in again["sql"]


def test_check_and_sql_exclude_each_other(command: Command) -> None:
    """Both together are wrong usage."""
    assert command("migrate", "--check", "--sql").status == 2


def test_a_missing_grant_is_one_line(
    command: Command, unmigrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line has the right that the user lacks and the remedy for an administrator."""
    parts = urlsplit(unmigrated)
    name = f"plain_{parts.path.removeprefix('/')}"
    host = parts.netloc.rpartition("@")[2]
    with psycopg.connect(unmigrated, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN".encode())
    try:
        monkeypatch.setenv(
            "CONNECTOR_DATABASE_URL", parts._replace(netloc=f"{name}@{host}").geturl()
        )
        ended = command("migrate")
    finally:
        with psycopg.connect(unmigrated, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {name}".encode())
    assert (ended.status, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("MayNotMigrate: ")
    assert "GRANT CREATE ON DATABASE" in ended.err


@pytest.fixture
def own_server(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of an installation whose embedded server was never started."""
    monkeypatch.setenv("CONNECTOR_HOME", str(home))
    monkeypatch.delenv("CONNECTOR_DATABASE_URL")
    monkeypatch.delenv("DAGSTER_POSTGRES_URL")
    monkeypatch.delenv("TOKEN_SERVICE_URL")
    return home


@pytest.mark.parametrize(
    "words",
    [
        *LOOKING,
        ["migrate", "--sql"],
        *(words for words in WRITING if words not in (["dev"], WRITING[1])),
    ],
    ids=" ".join,
)
def test_only_migrate_dev_and_demo_make_an_embedded_server(
    command: Command, own_server: Path, words: list[str]
) -> None:
    """Any other command on a fresh clone names the one that makes the server."""
    ended = command(*words)
    assert ended.status == 1
    assert "connector-pipeline migrate" in ended.out + ended.err
    assert not data_directory(own_server).exists()


def test_migrate_makes_the_embedded_server_that_other_commands_use(
    command: Command, own_server: Path
) -> None:
    """It is the first command of an installation without `dev`."""
    assert command("migrate").status == 0
    assert command("shops", "add", SHOP, "--merchant-id", "m-1").status == 0
    assert command("migrate", "--check").status == 0
    [listed] = command("shops", "list", "--json").rows()
    assert listed["shop"] == SHOP


def test_an_embedded_server_that_holds_something_is_migrated_by_migrate(
    command: Command, own_server: Path
) -> None:
    """It works as on any server; commands that look or write do not migrate it."""
    with EmbeddedPostgres(own_server, settings={"fsync": "off"}) as server:
        url = server.url("catalog")
        assert command("shops", "list").status == 1
        assert tables(url) == []
        assert command("migrate").status == 0
        assert command("shops", "list").status == 0
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE connector.alembic_version SET version_num = '0007'")
        for words in (["shops", "list"], ["sync", SHOP], ["demo"], ["migrate"]):
            ended = command(*words)
            assert ended.status == 1
            assert "unreleased" in ended.err
            assert "delete the folder `postgres` in CONNECTOR_HOME" in ended.err
