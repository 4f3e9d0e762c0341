"""The Database resource chooses the server, refuses another revision, and shows no password."""

from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from connector_pipeline.model.errors import ConnectorError, DatabaseUnavailable
from connector_pipeline.postgres import at_revision, revision
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.revision import DatabaseNotMigrated, SchemaNotOurs


@pytest.fixture(autouse=True)
def _own_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTOR_DATABASE_URL", raising=False)
    monkeypatch.setenv("CONNECTOR_HOME", str(home))


def test_the_environment_names_the_server(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resource without a URL of its own uses that server."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
    with Database().connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_embedded_server_is_used_while_it_runs(home: Path) -> None:
    """Without it, the error says what an operator can do."""
    with EmbeddedPostgres(home, settings={"fsync": "off"}) as server:
        migrate(server.url("catalog"))
        with Database().connect() as connection:
            assert connection.info.dbname == "catalog"
    with (
        pytest.raises(DatabaseUnavailable, match=r"connector-pipeline dev.*CONNECTOR_DATABASE_URL"),
        Database().connect(),
    ):
        pass


def test_each_statement_may_be_a_transaction_of_its_own(database_url: str) -> None:
    """Others see it at once, no error undoes it, and the next user has a block again."""
    database = Database(url=database_url)

    def fail_after_one() -> None:
        with database.connect_for_statements() as alone:
            alone.execute("CREATE TABLE public.kept ()")
            with Database(url=database_url).connect() as other:
                assert other.execute("SELECT to_regclass('public.kept')").fetchone() != (None,)
            alone.execute("SELECT 1 / 0")

    def fail_in_a_block() -> None:
        with database.connect() as block:
            block.execute("CREATE TABLE public.undone ()")
            block.execute("SELECT 1 / 0")

    for fail in (fail_after_one, fail_in_a_block):
        with pytest.raises(psycopg.errors.DivisionByZero):
            fail()
    with database.connect() as after:
        found = after.execute("SELECT to_regclass('public.kept'), to_regclass('public.undone')")
        assert found.fetchall() == [("public.kept", None)]


def test_its_url_is_never_shown() -> None:
    """Logs and errors show a resource by its repr."""
    database = Database(url="postgresql://someone:hunter2@db.example.com/catalog")
    assert "hunter2" not in f"{database} {database!r}"


def fails(database: Database, statement: LiteralString = "SELECT 1") -> ConnectorError:
    """The error with which a use of the database is refused."""
    with pytest.raises(ConnectorError) as refused, database.connect() as connection:
        connection.execute(statement)
    return refused.value


def test_a_database_that_was_never_migrated_is_refused(empty_database_url: str) -> None:
    """Once it is migrated, the same process can use it without a restart."""
    database = Database(url=empty_database_url)
    refused = fails(database)
    assert isinstance(refused, DatabaseNotMigrated)
    assert "connector-pipeline migrate" in str(refused)
    migrate(empty_database_url)
    with database.connect() as connection:
        connection.execute("SELECT FROM connector.shops")


def test_an_older_database_is_refused_with_both_revisions(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code has one migration more than the database."""
    was = revision.needed_revision()
    for file in (*revision.VERSIONS.glob("0*.py"), Path("9999_more.py")):
        (tmp_path / file.name).touch()
    monkeypatch.setattr(revision, "VERSIONS", tmp_path)
    revision.known_revisions.cache_clear()
    try:
        refused = fails(Database(url=database_url))
    finally:
        revision.known_revisions.cache_clear()
    assert isinstance(refused, DatabaseNotMigrated)
    assert str(refused) == (
        f"the database is at revision {was}, and this version needs 9999_more. "
        "Run `connector-pipeline migrate`."
    )


def test_a_newer_database_is_refused(database_url: str) -> None:
    """A process of an older version of the code starts after the migration."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE connector.alembic_version SET version_num = '9999_newer'")
    refused = fails(Database(url=database_url))
    assert isinstance(refused, SchemaNotOurs)
    assert "9999_newer" in str(refused)


@pytest.mark.parametrize(
    ("changed", "statement"),
    [
        ("DROP TABLE connector.shops CASCADE", "SELECT FROM connector.shops"),
        (
            "ALTER TABLE connector.shops DROP COLUMN state CASCADE",
            "SELECT state FROM connector.shops",
        ),
        ("DROP SCHEMA catalog CASCADE", "CREATE TABLE catalog.mine ()"),
    ],
)
def test_a_database_migrated_while_a_process_runs_is_refused(
    database_url: str, changed: LiteralString, statement: LiteralString
) -> None:
    """A process that misses a table or column reports the revision, and no UndefinedTable."""
    database = Database(url=database_url)
    with database.connect() as connection:
        connection.execute("SELECT FROM connector.shops")
    with psycopg.connect(database_url) as admin:
        admin.execute(changed)
        admin.execute("UPDATE connector.alembic_version SET version_num = '9999_newer'")
    assert isinstance(fails(database, statement), SchemaNotOurs)


def test_a_database_migrated_without_a_trace_is_refused_in_a_while(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that executes run after run notices it, though no statement misses anything."""
    database = Database(url=database_url)
    with database.connect() as connection:
        connection.execute("SELECT FROM connector.shops")
    with psycopg.connect(database_url) as admin:
        admin.execute("UPDATE connector.alembic_version SET version_num = '9999_newer'")
    monkeypatch.setattr(at_revision, "COMPARED_EVERY_SECONDS", 0.0)
    assert isinstance(fails(database), SchemaNotOurs)


def test_a_mistake_of_ours_is_not_taken_for_another_revision(database_url: str) -> None:
    """The revision is right, so the statement is wrong, and its own error is raised."""
    database = Database(url=database_url)
    with pytest.raises(psycopg.errors.UndefinedTable), database.connect() as connection:
        connection.execute("SELECT * FROM no_such_table")
