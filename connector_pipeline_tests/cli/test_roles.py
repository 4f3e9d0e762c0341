"""The roles that `migrate --roles` prints: each does its work, and nothing else."""

from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest

from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.downgrade import downgrade
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.grants import pipeline_table_grants
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.rights import missing_grants
from connector_pipeline.postgres.roles import roles_sql
from connector_pipeline.postgres.schema import metadata
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.state import pruning
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.cli.conftest import Command

SHOPS: Final = {f"{spec.platform}/{spec.domain}" for spec in DEFAULT_SHOPS}
INSERT: Final = (
    "INSERT INTO connector.sync_requests"
    " (merchant_id, platform_name, platform_shop_id, domain, sync_id)"
    " VALUES ('m-1', 'shopify', '1', 'acme.myshopify.com', 's-1')"
)
LOGINS: Final = {
    "deployer": "connector_owner",
    "connector": "connector_pipeline",
    "service": "catalog_reader",
    "asker": "sync_requester",
    "watcher": "connector_monitor",
}
"""A user for each role. Migrations connect as the role that owns the tables."""


class Server:
    """A fresh server, and the URLs of its users."""

    def __init__(self, url: str):
        self.admin = url

    def url(self, user: str) -> str:
        """The URL of the catalog for this user."""
        return urlsplit(self.admin)._replace(netloc=f"{user}@").geturl()

    def run(self, statement: str, user: str | None = None) -> None:
        """Execute statements as a user, by default as the superuser."""
        url = self.admin if user is None else self.url(user)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def server(home: Path) -> Generator[Server]:
    with EmbeddedPostgres(home, settings={"fsync": "off"}) as postgres:
        yield Server(postgres.url())


@pytest.fixture
def with_roles(server: Server) -> Server:
    """The printed file was run and a user was made for each role, before the first migration."""
    server.run(roles_sql())
    for login, role in LOGINS.items():
        if role != "connector_owner":
            server.run(f"CREATE ROLE {login} LOGIN IN ROLE {role}")
    server.run("ALTER ROLE connector_owner LOGIN")
    migrate(server.url("connector_owner"))
    return server


def test_the_command_prints_the_file_without_a_database(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator needs it before the first migration."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    printed = command("migrate", "--roles")
    assert (printed.status, printed.out) == (0, roles_sql())
    assert command("migrate", "--roles", "--sql").status == 2


def test_the_pipelines_role_has_a_right_to_each_table() -> None:
    """A table that somebody adds must say what the pipeline may do with it."""
    granted = {table for table, _ in pipeline_table_grants()}
    assert {str(table.fullname) for table in metadata.tables.values()} <= granted


def test_everything_a_pipeline_does_is_done_by_its_role(
    command: Command, with_roles: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Syncs by Dagster runs, the queue, the inbox, the outbox and pruning; it migrates nothing."""
    url = with_roles.url("connector")
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", url)
    for spec in DEFAULT_SHOPS:
        shop = f"{spec.platform}/{spec.domain}"
        assert command("shops", "add", shop, "--merchant-id", spec.merchant_id).status == 0
    first, *_ = sorted(SHOPS)
    synced = command("sync", first, "--type", "full", "--json")
    assert synced.status == 0, synced.err
    filled = command("backfill", "--json")
    assert filled.status == 0, filled.err
    assert {row["shop"] for row in filled.rows()} == SHOPS
    assert command("sync", first, "--request").status == 0
    assert command("catalog", "show", first).status == 0
    assert command("catalog", "rejects", first).status == 0
    assert command("doctor").status == 0
    database = Database(url=url)
    with database.connect() as connection:
        pruning.prune(connection, keep=timedelta(0))
        connection.execute("DELETE FROM connector.outbox")
    assert command("shops", "pause", first).status == 0
    assert ShopRegistry(database=database).list(ShopState.PAUSED)
    assert command("shops", "remove", first).status == 0
    # Nor does it delete what readers have; the owner of the tables does.
    refused = command("shops", "erase", first, "--yes")
    assert (refused.status, "MayNotErase: user connector may not" in refused.err) == (1, True)
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", with_roles.url("connector_owner"))
    erased = command("shops", "erase", first, "--yes", "--json")
    assert erased.status == 0, erased.err
    assert erased.rows()[0]["counts"]["catalog_items"] > 0


def rights(command: Command) -> dict[str, Any]:
    """The finding of `doctor` about the rights of its user."""
    ended = command("doctor", "--json")
    [finding] = [row for row in ended.rows() if row["subject"] == "rights"]
    assert ended.status == (0 if finding["ok"] else 1)
    return finding


LACKING: Final = {
    "REVOKE INSERT, DELETE ON connector.syncs FROM connector_pipeline": (
        'GRANT INSERT, DELETE ON "connector"."syncs" TO "connector"'
    ),
    "REVOKE UPDATE (serves) ON connector.installation FROM connector_pipeline": (
        'GRANT UPDATE (serves) ON "connector"."installation" TO "connector"'
    ),
    "REVOKE TEMPORARY ON DATABASE catalog FROM connector_pipeline": (
        'GRANT TEMPORARY ON DATABASE "catalog" TO "connector"'
    ),
    "REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) FROM connector_pipeline": (
        'GRANT EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) TO "connector"'
    ),
    "REVOKE USAGE ON SCHEMA catalog FROM connector_pipeline": (
        'GRANT USAGE ON SCHEMA "catalog" TO "connector"'
    ),
}


def test_doctor_names_each_grant_that_the_pipelines_user_lacks(
    command: Command, with_roles: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each remedy works. A right that a reader has is not enough, and the role has them all."""
    for taken, grant in LACKING.items():
        with_roles.run(taken)
        with psycopg.connect(with_roles.url("connector"), autocommit=True) as connection:
            assert missing_grants(connection) == [grant]
            with_roles.run(grant)
            assert missing_grants(connection) == []

    with_roles.run(roles_sql())
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", with_roles.url("service"))
    finding = rights(command)
    assert 'user "service" may not do all that a pipeline does' in finding["seen"]
    assert '`GRANT connector_pipeline TO "service"`' in finding["remedy"]
    with_roles.run('GRANT connector_pipeline TO "service"')
    assert rights(command)["ok"]


FORBIDDEN: Final[dict[str, list[LiteralString]]] = {
    "connector": [
        "CREATE TABLE connector.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "DROP TABLE connector.syncs",
        "ALTER TABLE connector.shops ADD COLUMN mine int",
        "TRUNCATE catalog.catalog_items",
        "DELETE FROM catalog.catalog_items",
        "UPDATE connector.alembic_version SET version_num = '1'",
        "UPDATE connector.installation SET made_at = now()",
        "DELETE FROM connector.installation",
    ],
    "service": [
        "SELECT * FROM connector.shops",
        "UPDATE catalog.catalog_items SET price = 0",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE TABLE public.mine ()",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
        INSERT,
    ],
    "asker": [
        "SELECT * FROM connector.sync_requests",
        "SELECT * FROM connector.syncs",
        "SELECT * FROM catalog.catalog_items",
        "UPDATE connector.sync_requests SET accepted_at = now()",
        "SELECT pg_advisory_xact_lock(1)",
    ],
    "watcher": [
        "SELECT * FROM connector.shops",
        "SELECT * FROM connector.sync_request_outcomes",
        "SELECT * FROM connector.syncs",
        "SELECT * FROM catalog.catalog_items",
        "CREATE TEMPORARY TABLE mine ()",
        INSERT,
    ],
}


def test_each_role_may_do_what_is_promised_and_no_more(with_roles: Server) -> None:
    """Nobody but the owner owns anything, and nobody but us takes our locks."""
    with_roles.run("SELECT * FROM catalog.catalog_items, catalog.available_items", "service")
    with_roles.run(INSERT, "asker")
    with_roles.run("SELECT * FROM connector.sync_request_outcomes", "asker")
    with_roles.run("SELECT * FROM connector.metrics", "watcher")
    with_roles.run("SELECT pg_advisory_xact_lock(1); CREATE TEMPORARY TABLE mine ()", "connector")
    for user, statements in FORBIDDEN.items():
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                with_roles.run(statement, user)
    with psycopg.connect(with_roles.admin) as admin:
        owners = admin.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class JOIN pg_namespace"
            " ON pg_namespace.oid = relnamespace WHERE nspname IN ('catalog', 'connector')"
            " UNION SELECT pg_get_userbyid(nspowner) FROM pg_namespace"
            " WHERE nspname IN ('catalog', 'connector')"
        ).fetchall()
    assert owners == [("connector_owner",)]


def test_a_database_that_a_superuser_migrated_is_handed_over(server: Server) -> None:
    """The file may be run later, and again; the pipeline's rights then need no migration."""
    migrate(server.admin)
    for _ in range(2):
        server.run(roles_sql())
    server.run("CREATE ROLE connector LOGIN IN ROLE connector_pipeline")
    server.run("ALTER ROLE connector_owner LOGIN")
    registry = ShopRegistry(database=Database(url=server.url("connector")))
    assert registry.list() == []
    assert migrate(server.url("connector_owner")).granted
    server.run("ALTER TABLE connector.shops ADD COLUMN more int", "connector_owner")


def test_an_administrator_who_is_no_superuser_can_run_the_file(server: Server) -> None:
    """All but the part about advisory locks."""
    server.run("CREATE ROLE dba LOGIN CREATEROLE")
    server.run("ALTER DATABASE catalog OWNER TO dba")
    server.run(roles_sql(), "dba")
    server.run("ALTER ROLE connector_owner LOGIN")
    server.run("CREATE ROLE service LOGIN IN ROLE catalog_reader")
    assert migrate(server.url("connector_owner")).granted
    server.run("SELECT pg_advisory_xact_lock(1)", "service")


def lacking(command: Command) -> str:
    """The line by which `migrate` fails."""
    ended = command("migrate")
    assert (ended.status, ended.out) == (1, "")
    [line] = ended.err.splitlines()
    return line


def test_migrate_names_each_grant_that_its_user_lacks(
    command: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in one line, in the order in which an administrator gives them."""
    server.run('CREATE ROLE "some-one" LOGIN')
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", server.url("some-one"))
    assert '`GRANT CREATE ON DATABASE "catalog" TO "some-one"`' in lacking(command)

    server.run(roles_sql())
    line = lacking(command)
    assert '`GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock(bigint) TO "some-one"`' in line
    assert "Migrate as connector_owner" in line
    server.run('GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock(bigint) TO "some-one"')
    line = lacking(command)
    assert '`GRANT USAGE, CREATE ON SCHEMA catalog, connector TO "some-one"`' in line
    assert "Migrate as connector_owner" in line

    server.run("ALTER ROLE connector_owner LOGIN")
    migrate(server.url("connector_owner"))
    line = lacking(command)
    assert '`GRANT USAGE ON SCHEMA connector TO "some-one"`' in line
    assert "connector_owner" in line
    server.run('GRANT USAGE ON SCHEMA connector, catalog TO "some-one"')
    assert '`GRANT SELECT ON connector.alembic_version TO "some-one"`' in lacking(command)

    # As the pipeline's role, over a database of an older version.
    server.run('GRANT connector_pipeline TO "some-one"')
    downgrade(server.url("connector_owner"), "0004_installation")
    line = lacking(command)
    assert "which belongs to connector_owner" in line
    assert '`GRANT "connector_owner" TO "some-one"`' in line
    server.run('GRANT connector_owner TO "some-one" WITH INHERIT FALSE')
    assert 'TO "some-one" WITH INHERIT TRUE`' in lacking(command)
    server.run('GRANT connector_owner TO "some-one" WITH INHERIT TRUE')
    server.run("REVOKE UPDATE, INSERT ON connector.alembic_version FROM connector_owner")
    line = lacking(command)
    assert '`GRANT INSERT, UPDATE ON connector.alembic_version TO "some-one"`' in line
    server.run("GRANT INSERT, UPDATE ON connector.alembic_version TO connector_owner")
    assert command("migrate").status == 0
