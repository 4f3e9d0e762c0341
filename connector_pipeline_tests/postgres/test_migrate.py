"""The migrations make exactly the tables, from several places at once, and only ever grow."""

import logging
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from hashlib import sha256
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import NullPool, create_engine

import connector_pipeline
from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres import (  # noqa: F401 - they add their tables to the metadata
    catalog_tables,
    connector_tables,
    grants,
    hint_tables,
    installation,
    lock_tables,
    request_tables,
    totals_table,
)
from connector_pipeline.postgres.compatibility import oldest_code
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.downgrade import downgrade
from connector_pipeline.postgres.grants import READER_ROLE
from connector_pipeline.postgres.migrate import MayNotMigrate, Migration, migrate, migration_sql
from connector_pipeline.postgres.revision import (
    VERSIONS,
    SchemaNotOurs,
    database_revision,
    known_revisions,
    needed_revision,
)
from connector_pipeline.postgres.schema import metadata
from connector_pipeline.postgres.schema_names import CATALOG, CONNECTOR
from connector_pipeline.postgres.steps import Step, steps
from connector_pipeline.state import sync_totals

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
    WHERE relnamespace IN (to_regnamespace('catalog'), to_regnamespace('connector'))
        AND relkind = 'r'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), NULL
    FROM pg_constraint
    WHERE connamespace IN (to_regnamespace('catalog'), to_regnamespace('connector'))
    UNION ALL
    SELECT 'index', tablename::text, indexname::text, indexdef, NULL
    FROM pg_indexes WHERE schemaname IN ('catalog', 'connector')
    UNION ALL
    SELECT 'table', oid::regclass::text, '', '', obj_description(oid)
    FROM pg_class
    WHERE relnamespace IN (to_regnamespace('catalog'), to_regnamespace('connector'))
        AND relkind = 'r'
"""


def described(url: str) -> set[tuple[str | None, ...]]:
    """Both schemas without Alembic's own table."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(DESCRIBE).fetchall()
    return {row for row in rows if "alembic_version" not in row[1]}


def test_the_migrations_make_exactly_the_tables(database_url: str, empty_database_url: str) -> None:
    """The types, collations, defaults, constraints, indexes and comments are the same."""
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


def test_no_comment_names_a_platform() -> None:
    """A platform is a name that an adapter brings: nothing in the schema lists them."""
    tables = metadata.sorted_tables
    comments = [str(each.comment) for table in tables for each in (table, *table.columns)]
    named = [each for each in comments if re.search("shopify|woocommerce", each, re.IGNORECASE)]
    assert named == []


FROZEN = {
    "0001_catalog_and_connector": "3647a1d01851618b998ea1504b69424e",
    "0002_sync_queue": "4307ffb3a32308dd6233d6998e8da1fd",
    "0003_bad_days": "542c4084d58eba9d8e83d9b9312e60d6",
    "0004_installation": "349e22bd768a8c303b86cc23faf658e4",
    "0005_operations": "902f8984cad5af4f75ab1dbb6d2ccb48",
    "0006_hints": "86e3da88e699de068189c8c1bc5d7104",
    "0007_requesters": "fcd5e5e647f0dc62cc4882a347a59aa3",
}
"""Each migration and the first half of its file's SHA-256, since the day it was merged."""


def test_migrations_only_grow() -> None:
    """A database never runs a migration again, so a change to an old one would be lost."""
    sums = {
        name: sha256((VERSIONS / f"{name}.py").read_bytes()).hexdigest()[:32] for name in FROZEN
    }
    assert sums == FROZEN, (
        "migrations only grow: take the change to this one back and add a new one, with "
        "`python -m connector_pipeline.postgres.migrations.new 0002_what_it_adds`"
    )
    assert list(known_revisions()) == list(FROZEN), (
        "a new migration is frozen from the day it is merged: add its line to FROZEN"
    )


def test_the_newest_file_is_the_revision_that_alembic_ends_at() -> None:
    """Every revision is named as its file, so that no process needs Alembic to know the newest."""
    config = Config()
    config.set_main_option("script_location", "connector_pipeline.postgres:migrations")
    scripts = ScriptDirectory.from_config(config)
    walked = [script.revision for script in scripts.walk_revisions()]
    assert list(reversed(walked)) == list(known_revisions())
    assert scripts.get_current_head() == needed_revision()


def test_a_migration_states_which_older_code_it_suits_and_what_its_undoing_loses() -> None:
    """Those before the first that older code could outlive state neither: there is no way back."""
    config = Config()
    config.set_main_option("script_location", "connector_pipeline.postgres:migrations")
    for script in ScriptDirectory.from_config(config).walk_revisions():
        stated = set(vars(script.module)) & {"compatible_from", "lost_by_downgrade"}
        assert len(stated) == (0 if script.revision < "0005" else 2), script.revision
    for step in steps():
        assert step.compatible_from in known_revisions()
        assert step.compatible_from <= step.revision


def test_a_new_migration_has_what_the_tables_gained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command after a change of a table writes it, in a file with the revision's name."""
    package = shutil.copytree(
        Path(connector_pipeline.__file__).parent,
        tmp_path / "connector_pipeline",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    tables = package / "postgres" / "catalog_tables.py"
    tables.write_text(
        tables.read_text()
        + '\n\ncatalog_items.append_column(Column("weight", Integer, comment="Grams."))\n'
    )
    made = subprocess.run(
        [sys.executable, "-m", "connector_pipeline.postgres.migrations.new", "9999_weights"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    written = package / "postgres" / "migrations" / "versions" / "9999_weights.py"
    assert made.stdout.splitlines()[-1] == str(written)
    text = written.read_text()
    assert 'revision = "9999_weights"' in text.replace("'", '"')
    assert f'down_revision = "{needed_revision()}"' in text.replace("'", '"')
    # Until its author states otherwise, no older code may go on, and there is no way back.
    assert 'compatible_from = "9999_weights"' in text.replace("'", '"')
    assert "lost_by_downgrade = None" in text
    assert text.count("op.add_column") == 1
    assert "weight" in text


def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    """The result has the revisions before and after."""
    first, second = migrate(empty_database_url), migrate(empty_database_url)
    assert first == Migration(before=None, after=needed_revision(), granted=True)
    assert second == Migration(before=first.after, after=first.after, granted=True)
    with connect(empty_database_url) as connection:
        assert database_revision(connection) == needed_revision()


def test_an_empty_database_has_no_revision(empty_database_url: str) -> None:
    """The look at it writes nothing."""
    with connect(empty_database_url) as connection:
        assert database_revision(connection) is None
    assert described(empty_database_url) == set()


def test_several_places_may_migrate_at_once(
    new_database: Callable[[str | None], str],
) -> None:
    """Each succeeds, in one database and in others of the server, which share its roles."""
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


def migrated_to(url: str, revision: str) -> None:
    """Make an empty database one that the migrations until this one have made."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url),
        poolclass=NullPool,
    )
    config = Config()
    config.set_main_option("script_location", "connector_pipeline.postgres:migrations")
    with engine.begin() as connection:
        for schema in (CATALOG, CONNECTOR):
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@pytest.fixture
def first_release(empty_database_url: str) -> str:
    """The URL of a database that the first migration alone has made."""
    migrated_to(empty_database_url, "0001_catalog_and_connector")
    return empty_database_url


@pytest.mark.parametrize(
    "step", [step for step in steps() if step.lost_by_downgrade is not None], ids=str
)
def test_a_migration_that_can_be_undone_is_undone_and_done_again(
    step: Step, empty_database_url: str, new_database: Callable[[str | None], str]
) -> None:
    """The database is then as the migrations before it make one, with its rows and its mark."""
    before = known_revisions()[known_revisions().index(step.revision) - 1]
    oldest = next(other.compatible_from for other in steps() if other.revision == before)
    migrated_to(empty_database_url, before)
    url, anew = new_database(None), new_database(None)
    migrate(url)
    migrate(anew)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO connector.syncs (sync_id, platform_name, domain, merchant_id, status,"
            " correlation_id, started_at, finished_at, waited_seconds)"
            " VALUES ('s-1', 'shopify', 'a.myshopify.com', 'm-1', 'succeeded', 'c-1', now(), now(),"
            " 1.5)"
        )
        sync_totals.count(connection)
    assert downgrade(url, before).after == before
    assert described(url) == described(empty_database_url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT sync_id FROM connector.syncs").fetchall() == [("s-1",)]
        assert oldest_code(connection, before) == oldest
    assert migrate(url) == Migration(before=before, after=needed_revision(), granted=True)
    assert described(url) == described(anew)
    with psycopg.connect(url) as connection:
        assert oldest_code(connection, needed_revision()) is not None


BEFORE_THE_QUEUE = """
    INSERT INTO connector.shops (platform_name, domain, merchant_id, platform_shop_id, state)
    SELECT 'shopify', name || '.myshopify.com', 'm-' || name, name, 'active'
    FROM unnest(ARRAY['waits', 'runs', 'done', 'asked', 'both', 'once']) AS shop (name);

    INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id, domain,
        sync_id, sync_type, requested_at, accepted_at, launched_at, run_id, refused_at, relaunches)
    SELECT 'm-' || name, 'shopify', name, name || '.myshopify.com', 's-' || name, sync_type,
        '2026-01-01 12:00+00', accepted_at::timestamptz, launched_at::timestamptz, run_id,
        refused_at::timestamptz, relaunches
    FROM (VALUES
        ('runs', 'full', '2026-01-01 12:01+00', '2026-01-01 12:02+00', 'run-1', NULL, 1),
        ('waits', 'incremental', '2026-01-01 12:01+00', NULL, NULL, NULL, 0),
        ('done', 'full', '2026-01-01 12:01+00', '2026-01-01 12:02+00', 'run-2', NULL, 0),
        ('refused', 'full', '2026-01-01 12:01+00', NULL, NULL, '2026-01-01 12:01+00', 0),
        ('asked', 'auto', NULL, NULL, NULL, NULL, 0)
    ) AS request (name, sync_type, accepted_at, launched_at, run_id, refused_at, relaunches);

    INSERT INTO connector.syncs (sync_id, platform_name, domain, merchant_id, status,
        correlation_id)
    SELECT 's-' || name, 'shopify', name || '.myshopify.com', 'm-' || name, status, 'c-' || name
    FROM (VALUES ('runs', 'running'), ('waits', 'pending'), ('done', 'succeeded'),
        ('refused', 'failed')) AS sync (name, status);

    INSERT INTO connector.backfill_shops (backfill_id, platform_name, domain, status)
    SELECT backfill_id, 'shopify', name || '.myshopify.com', status
    FROM (VALUES ('b-1', 'both', 'waiting'), ('b-2', 'both', 'launched'),
        ('b-1', 'once', 'waiting'), ('b-2', 'once', 'failed'), ('b-1', 'done', 'succeeded'),
        ('b-1', 'gone', 'waiting')) AS backfill (backfill_id, name, status);

    INSERT INTO connector.sweeps (sweep_id, shops, taken) VALUES ('2026-01-01T12:00Z', 6, 6);
"""


@pytest.mark.parametrize("printed", [False, True])
def test_what_has_not_ended_moves_into_the_queue(first_release: str, printed: bool) -> None:
    """Requests that wait or run, and the shops of backfills. Those not accepted yet stay."""
    with psycopg.connect(first_release, autocommit=True) as connection:
        connection.execute(BEFORE_THE_QUEUE)
        if printed:
            connection.execute(migration_sql(first_release).encode())
    migrate(first_release)
    with psycopg.connect(first_release) as connection:
        rows = connection.execute(
            """
            SELECT domain, reason, priority, sync_type, awaited, backfills, state, run_id,
                relaunches
            FROM connector.sync_queue ORDER BY id
            """
        ).fetchall()
        requests = connection.execute(
            """
            SELECT sync_id, merchant_id, correlation_id, lane, launch_id IS NULL,
                put_at = '2026-01-01 12:00+00', taken_at = '2026-01-01 12:02+00'
            FROM connector.sync_queue WHERE awaited ORDER BY id
            """
        ).fetchall()
        inbox = connection.execute(
            "SELECT sync_id FROM connector.sync_requests"
            " WHERE accepted_at IS NULL AND refused_at IS NULL"
        ).fetchall()
    assert rows == [
        ("runs.myshopify.com", "request", 0, "full", True, [], "taken", "run-1", 1),
        ("waits.myshopify.com", "request", 0, "incremental", True, [], "waiting", None, 0),
        ("both.myshopify.com", "backfill", 2, "auto", False, ["b-1", "b-2"], "waiting", None, 0),
        ("once.myshopify.com", "backfill", 2, "auto", False, ["b-1"], "waiting", None, 0),
    ]
    assert requests == [
        ("s-runs", "m-runs", "c-runs", "foreground", False, True, True),
        ("s-waits", "m-waits", "c-waits", None, True, True, None),
    ]
    assert inbox == [("s-asked",)]


def at_revision(url: str, revision: str) -> None:
    """Leave the database at this revision, whatever its tables are."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE connector.alembic_version SET version_num = %s", (revision,))


def test_a_database_newer_than_the_code_is_refused(database_url: str) -> None:
    """The error has the remedy, and the database is not changed."""
    at_revision(database_url, "9999_from_the_future")
    for refused in (migrate, migration_sql):
        with pytest.raises(SchemaNotOurs, match=r"9999_from_the_future.*Upgrade connector-pipe"):
            refused(database_url)
    with connect(database_url) as connection:
        assert database_revision(connection) == "9999_from_the_future"


@pytest.mark.parametrize("revision", ["0001", "0007"])
def test_a_database_of_an_unreleased_version_is_refused(database_url: str, revision: str) -> None:
    """The seven migrations before the first release became one: nothing leads on from them."""
    at_revision(database_url, revision)
    for refused in (migrate, migration_sql):
        with pytest.raises(SchemaNotOurs, match=rf"unreleased.*{revision}.*Make a new database"):
            refused(database_url)
    with connect(database_url) as connection:
        assert database_revision(connection) == revision


def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    """A deployment starts several at once: one migrates, and the other finds that done."""
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
        process.stdin.write(empty_database_url)
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate()[0].strip() for process in processes]
    assert sorted(answers) == ["False", "True"]


def test_the_printed_sql_does_what_migrate_does(empty_database_url: str, database_url: str) -> None:
    """The database is then as `migrate` would leave it, and `migrate` finds nothing to do."""
    script = migration_sql(empty_database_url)
    assert described(empty_database_url) == set()
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(script.encode())
    assert described(empty_database_url) == described(database_url)
    head = needed_revision()
    assert migrate(empty_database_url) == Migration(before=head, after=head, granted=True)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(READER_ROLE)))
        assert connection.execute("SELECT * FROM catalog.available_items").fetchall() == []


def test_the_printed_sql_of_a_migrated_database_only_grants(database_url: str) -> None:
    """It can be run any number of times."""
    script = migration_sql(database_url)
    before = described(database_url)
    assert "CREATE" not in script
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(script.encode())
    assert described(database_url) == before


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


@pytest.fixture
def plain_user(empty_database_url: str) -> Generator[tuple[str, str]]:
    """A user who may only connect, and that user's URL of the database."""
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        name = f"plain_{admin.info.dbname}"
        user = sql.Identifier(name)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'hunter2'").format(user))
        parts = urlsplit(empty_database_url)
        host = parts.netloc.rpartition("@")[2]
        yield name, urlunsplit(parts._replace(netloc=f"{name}:hunter2@{host}"))
        admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(user))
        admin.execute(sql.SQL("DROP ROLE {}").format(user))


def by_admin(url: str, statement: LiteralString, user: str = "", script: str = "") -> None:
    """Run a statement as the administrator; `{}` is the user."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(sql.Identifier(user)))
        if script:
            admin.execute(script.encode())


def test_migrate_names_the_grant_that_it_lacks(
    empty_database_url: str, plain_user: tuple[str, str]
) -> None:
    """In one line each: to make schemas, to make tables in them, to change another user's table."""
    user, url = plain_user
    database = urlsplit(url).path.removeprefix("/")
    with pytest.raises(MayNotMigrate) as lacking:
        migrate(url)
    remedy = f"`GRANT CREATE ON DATABASE {database} TO {user}`"
    assert remedy.replace('"', "") in str(lacking.value).replace('"', "")
    assert "migrate --sql" in str(lacking.value)
    assert "\n" not in str(lacking.value)

    by_admin(empty_database_url, "CREATE SCHEMA catalog")
    by_admin(empty_database_url, "CREATE SCHEMA connector AUTHORIZATION {}", user)
    with pytest.raises(MayNotMigrate, match="GRANT USAGE, CREATE ON SCHEMA catalog TO"):
        migrate(url)

    script = migration_sql(url)
    by_admin(empty_database_url, "GRANT USAGE, CREATE ON SCHEMA catalog TO {}", user)
    by_admin(empty_database_url, "CREATE TABLE connector.shops ()")
    with pytest.raises(MayNotMigrate, match=r"connector\.shops, which belongs to "):
        migrate(url)

    by_admin(empty_database_url, "DROP TABLE connector.shops")
    by_admin(empty_database_url, "REVOKE ALL ON SCHEMA catalog FROM {}", user, script)
    assert migrate(url).before == needed_revision()


def test_the_printed_sql_lets_an_administrator_migrate_for_the_user(
    empty_database_url: str, plain_user: tuple[str, str]
) -> None:
    """The tables belong to the user, and the user's password is not in the script."""
    user, url = plain_user
    script = migration_sql(url)
    assert "hunter2" not in script
    by_admin(empty_database_url, "SELECT 1", script=script)
    with connect(url) as connection:
        assert database_revision(connection) == needed_revision()
        connection.execute("ALTER TABLE connector.shops ADD COLUMN mine int")
        owners = connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('catalog', 'connector')"
        ).fetchall()
    assert owners == [(user,)]


def test_a_user_who_may_not_create_roles_can_migrate(
    empty_database_url: str,
    plain_user: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The migration succeeds without the grants, and a warning has the remedy."""
    monkeypatch.setitem(grants._GRANTS, "no_such_reader", ())
    user, url = plain_user
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        database = sql.Identifier(admin.info.dbname)
        admin.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(user))
        )
    assert migrate(url) == Migration(before=None, after=needed_revision(), granted=False)
    assert "CREATE ROLE no_such_reader NOLOGIN" in caplog.text


def test_a_schema_that_the_user_may_not_read_is_reported_as_such(
    database_url: str, plain_user: tuple[str, str]
) -> None:
    """The error does not say that the database was never migrated."""
    user, url = plain_user
    theirs = urlunsplit(urlsplit(url)._replace(path=urlsplit(database_url).path))
    with pytest.raises(SchemaNotOurs, match=f"{user} may not read the schema connector"):
        migrate(theirs)


def test_a_database_that_is_not_utf8_is_refused(postgres_url: str) -> None:
    """A title in another alphabet would fail later, in the middle of a publish."""
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


def test_a_server_that_is_away_is_reported_as_unavailable(home: Path) -> None:
    """The error is the one that every command shows, and has no password in it."""
    url = f"postgresql://someone:hunter2@/catalog?host={home}"
    with pytest.raises(DatabaseUnavailable) as away:
        migrate(url)
    assert "hunter2" not in str(away.value)
    assert away.value.__cause__ is None
