"""The migrations make exactly tables.py, from several places at once, and never go backwards."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import NullPool, create_engine

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.migrate import (
    READER_ROLE,
    Migration,
    SchemaNotOurs,
    current_and_head,
    migrate,
)
from connector_pipeline.postgres.tables import CATALOG, CONNECTOR, metadata

# Every column, constraint, index and comment of both schemas, as Postgres itself describes them.
DESCRIBE = """
    SELECT 'column', class.oid::regclass::text, attname::text,
        format(
            '%s %s %s %s %s', format_type(atttypid, atttypmod), attnotnull, attidentity,
            attcollation::regcollation, pg_get_expr(adbin, adrelid)
        ),
        col_description(class.oid, attnum)
    FROM pg_class AS class
        JOIN pg_attribute ON attrelid = class.oid AND attnum > 0 AND NOT attisdropped
        LEFT JOIN pg_attrdef ON adrelid = class.oid AND adnum = attnum
    WHERE relnamespace IN ('catalog'::regnamespace, 'connector'::regnamespace) AND relkind = 'r'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), NULL
    FROM pg_constraint
    WHERE connamespace IN ('catalog'::regnamespace, 'connector'::regnamespace)
    UNION ALL
    SELECT 'index', tablename::text, indexname::text, indexdef, NULL
    FROM pg_indexes WHERE schemaname IN ('catalog', 'connector')
    UNION ALL
    SELECT 'table', oid::regclass::text, '', '', obj_description(oid)
    FROM pg_class
    WHERE relnamespace IN ('catalog'::regnamespace, 'connector'::regnamespace) AND relkind = 'r'
"""


def described(url: str) -> set[tuple[str | None, ...]]:
    """Both schemas without Alembic's own table."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(DESCRIBE).fetchall()
    return {row for row in rows if "alembic_version" not in row[1]}


def test_the_migrations_make_exactly_the_tables(database_url: str, empty_database_url: str) -> None:
    """Types, collations, defaults, constraints, indexes and comments."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(empty_database_url),
        poolclass=NullPool,
    )
    with engine.begin() as connection:
        for schema in (CATALOG, CONNECTOR):
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        metadata.create_all(connection)
    assert described(database_url) == described(empty_database_url)


def test_alembic_finds_nothing_to_migrate(database_url: str) -> None:
    """Autogenerate, comments included, would write an empty migration."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database_url), poolclass=NullPool
    )
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": CONNECTOR,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_every_column_has_a_comment() -> None:
    """A reader of the catalog finds what a column means in the database itself."""
    columns = [column for table in metadata.sorted_tables for column in table.columns]
    assert [str(column) for column in columns if not column.comment] == []


def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    """The result tells where the database was and is."""
    first, second = migrate(empty_database_url), migrate(empty_database_url)
    assert first.before is None
    assert second == Migration(before=first.after, after=first.after, reader_granted=True)
    with connect(empty_database_url) as connection:
        assert current_and_head(connection) == (first.after, first.after)


def test_an_empty_database_has_no_revision(empty_database_url: str) -> None:
    """And saying so writes nothing to it."""
    with connect(empty_database_url) as connection:
        current, head = current_and_head(connection)
    assert current is None
    assert head


def test_several_places_may_migrate_at_once(
    new_database: Callable[[str | None], str],
) -> None:
    """Each succeeds, in one database and in neighbours that share the server's roles."""
    urls = [new_database(None), new_database(None)]
    start = threading.Barrier(6)
    results: list[Migration | BaseException] = []

    def run(url: str) -> None:
        start.wait()
        try:
            results.append(migrate(url))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(url,)) for url in urls * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result for result in results if not isinstance(result, Migration)] == []
    assert sum(isinstance(each, Migration) and each.before is None for each in results) == 2


def test_a_database_newer_than_the_code_is_refused(database_url: str) -> None:
    """With what to do, and untouched."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE connector.alembic_version SET version_num = 'fff0'")
    with pytest.raises(SchemaNotOurs, match=r"fff0.*Upgrade connector-pipeline"):
        migrate(database_url)
    with connect(database_url) as connection:
        assert current_and_head(connection)[0] == "fff0"


def step_back(url: str) -> None:
    """Undo the last migration, as an operator who returns to the version before would."""
    config = Config()
    config.set_main_option("script_location", "connector_pipeline.postgres:migrations")
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")


def test_the_last_step_goes_down_and_up_again(database_url: str) -> None:
    """Both schemas are what they were, no row is lost, and the readers have their grants again."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO catalog.catalog_items (merchant_id, platform_name, platform_shop_id,"
            " domain, product_id, variant_id, product_title, variant_title, currency,"
            " product_status, first_synced_at, changed_at, sync_id) VALUES ('m1', 'shopify', '101',"
            " 'acme.myshopify.com', '1', '2', 'Tea', 'Green', 'SEK', 'active', now(), now(), 's')"
        )
        before = connection.execute("SELECT * FROM catalog.catalog_items").fetchall()
    schema = described(database_url)

    step_back(database_url)
    assert described(database_url) != schema
    with connect(database_url) as connection:
        previous, head = current_and_head(connection)
        assert connection.execute("SELECT * FROM catalog.catalog_items").fetchall() == before
    assert previous != head

    assert migrate(database_url) == Migration(before=previous, after=head, reader_granted=True)
    assert described(database_url) == schema
    with psycopg.connect(database_url) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(READER_ROLE)))
        assert connection.execute("SELECT * FROM catalog.catalog_items").fetchall() == before
        assert len(connection.execute("SELECT * FROM catalog.available_items").fetchall()) == 1


def test_two_processes_may_take_the_last_step_at_once(database_url: str) -> None:
    """A deployment starts several at once: one migrates, the other finds it done."""
    step_back(database_url)
    program = (
        "import sys; from connector_pipeline.postgres.migrate import migrate;"
        " done = migrate(sys.stdin.read()); print(done.before == done.after)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(database_url)
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate()[0].strip() for process in processes]
    assert sorted(answers) == ["False", "True"]


def test_logging_is_left_as_it_is(empty_database_url: str) -> None:
    """Alembic's customary fileConfig would silence every logger made before."""
    ours = logging.getLogger("connector_pipeline.test")
    root_handlers = list(logging.getLogger().handlers)
    migrate(empty_database_url)
    assert not ours.disabled
    assert logging.getLogger().handlers == root_handlers


def test_readers_may_select_and_nothing_else(database_url: str) -> None:
    """catalog_reader sees the catalog, cannot change it, and does not see connector."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(READER_ROLE)))
        connection.execute("SELECT * FROM catalog.catalog_items")
        for forbidden in (
            "DELETE FROM catalog.catalog_items",
            "SELECT * FROM connector.shops",
            "CREATE TABLE catalog.mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)  # type: ignore[arg-type]


def test_a_user_who_may_not_create_roles_can_migrate(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The migration is done, the grants are left out, and a warning says what to do."""
    monkeypatch.setattr("connector_pipeline.postgres.migrate.READER_ROLE", "no_such_reader")
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        user = sql.Identifier(f"plain_{admin.info.dbname}")
        database = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("CREATE ROLE {}").format(user))
        admin.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, user))
        # Every session of this database now starts as that user.
        admin.execute(
            sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET role = {}").format(database, user)
        )
        try:
            assert migrate(empty_database_url).reader_granted is False
            assert "CREATE ROLE no_such_reader NOLOGIN" in caplog.text
        finally:
            admin.execute(
                sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} RESET role").format(database)
            )
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(user))
            admin.execute(sql.SQL("DROP ROLE {}").format(user))


def test_a_database_that_is_not_utf8_is_refused(postgres_url: str) -> None:
    """Before a title in another alphabet fails in the middle of a publish."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(
            "CREATE DATABASE connector_test_latin ENCODING 'LATIN1' LOCALE 'C'"
            " LOCALE_PROVIDER libc TEMPLATE template0"
        )
        url = urlunsplit(urlsplit(postgres_url)._replace(path="/connector_test_latin"))
        try:
            with pytest.raises(SchemaNotOurs, match="LATIN1"):
                migrate(url)
        finally:
            admin.execute("DROP DATABASE connector_test_latin")


def test_a_server_that_is_away_is_said_to_be(home: Path) -> None:
    """As the error that every command shows, and with no password in it."""
    url = f"postgresql://someone:hunter2@/catalog?host={home}"
    with pytest.raises(DatabaseUnavailable) as away:
        migrate(url)
    assert "hunter2" not in str(away.value)
    assert away.value.__cause__ is None
