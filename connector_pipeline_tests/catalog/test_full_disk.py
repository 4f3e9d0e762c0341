"""A full disk of Postgres ends a publish in one clear line, and the next one is good."""

import os
import shutil
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.account import server_user_account
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.pool import close_idle_connections
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.catalog.snapshots import ACME, Publisher, item, many
from connector_pipeline_tests.conftest import TEST_SERVER_VARIABLE
from connector_pipeline_tests.full_disk import fill, small_disk

SPACE = "small_disk"


def assert_one_clear_line(error: DatabaseUnavailable) -> None:
    """It has the server's reason and what to do, and is tried again."""
    line = str(error)
    assert "Make room on the server's disk" in line
    assert "\n" not in line
    assert error.retryable


@pytest.fixture
def disk() -> Generator[Path]:
    """A disk that the server's account may enter, too: pytest's folders are closed to it."""
    if TEST_SERVER_VARIABLE in os.environ:
        pytest.skip("the server may be on another machine")
    folder = Path(tempfile.mkdtemp(prefix="connector-disk-"))
    with small_disk(folder, kilobytes=2_048) as mounted:
        mounted.chmod(0o711)
        yield mounted
    folder.rmdir()


@pytest.fixture
def tablespace(disk: Path, publisher: Publisher) -> Generator[str]:
    """A tablespace on that disk. What is in it goes back to the default one in the end."""
    account = server_user_account()
    if account is not None:
        os.chown(disk, account.pw_uid, account.pw_gid)
        disk.chmod(0o700)
    with psycopg.connect(publisher.database.connection_url(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(SPACE), str(disk))
        )
        yield SPACE
        admin.execute("ALTER TABLE catalog.catalog_items SET TABLESPACE pg_default")
        # A session drops its temporary tables after its client has closed the connection.
        close_idle_connections()
        while admin.execute("SELECT FROM pg_class WHERE relpersistence = 't'").fetchall():
            time.sleep(0.02)
        admin.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(SPACE)))


def test_a_disk_that_is_full_of_staged_rows_is_one_clear_line(
    publisher: Publisher, tablespace: str, disk: Path
) -> None:
    """Temporary tables lie on it; a smaller snapshot is published as if nothing had been."""
    options = quote(f"-c temp_tablespaces={tablespace}")
    url = f"{publisher.database.connection_url()}&options={options}"
    small = Publisher(Database(url=url), numbers=publisher.numbers)
    small([item("1")])
    with pytest.raises(DatabaseUnavailable, match="No space left on device") as full:
        small(many(20_000))
    assert_one_clear_line(full.value)
    assert publisher.live() == {"1"}
    # The rows do not stay on it until the session ends.
    assert shutil.disk_usage(disk).free > 1_500_000
    assert small([item("1"), item("2")]).inserted == 1


def test_a_disk_that_is_full_of_the_catalog_is_one_clear_line(
    publisher: Publisher, tablespace: str
) -> None:
    """The catalog is as it was before; when there is room, the same snapshot is published."""
    publisher([item("1")])
    url = publisher.database.connection_url()
    with psycopg.connect(url, autocommit=True) as admin:
        move = sql.SQL("ALTER TABLE catalog.catalog_items SET TABLESPACE {}")
        admin.execute(move.format(sql.Identifier(tablespace)))
        with pytest.raises(DatabaseUnavailable, match="No space left on device") as full:
            publisher([item("1"), *many(20_000)])
        assert_one_clear_line(full.value)
        assert publisher.live() == {"1"}
        admin.execute("ALTER TABLE catalog.catalog_items SET TABLESPACE pg_default")
    assert publisher([item("1"), *many(20_000)]).inserted == 20_000


def test_a_disk_that_is_full_at_the_commit_is_one_clear_line(publisher: Publisher) -> None:
    """Everything is undone; the server's words stand in the line."""
    publisher([item("1")])
    with publisher.database.connect() as connection:
        connection.execute(
            "CREATE FUNCTION pg_temp_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';"
            " END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON catalog.catalog_items"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp_full()"
        )
    with pytest.raises(DatabaseUnavailable, match="No space left on device") as full:
        publisher([item("1"), item("2")])
    assert_one_clear_line(full.value)
    assert publisher.live() == {"1"}
    with publisher.database.connect() as connection:
        connection.execute("DROP TRIGGER full_disk ON catalog.catalog_items")
    assert publisher([item("1"), item("2")]).inserted == 1


def test_a_server_that_its_full_disk_ended_goes_on_when_there_is_room() -> None:
    """Without room for its log of changes a server ends itself; nothing of the catalog is lost."""
    folder = Path(tempfile.mkdtemp(prefix="connector-server-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "home") as server:
            migrate(server.url())
            log_of_changes = server.log_path.parent / "pg_wal"
        with small_disk(folder / "disk", kilobytes=48 * 1_024) as disk:
            _move(log_of_changes, disk / "pg_wal")
            with EmbeddedPostgres(folder / "home") as server:
                database = Database(url=server.url())
                ShopRegistry(database=database).add(ACME)
                publisher = Publisher(database)
                publisher([item("1")])
                filler = fill(disk)
                publishes = (publisher(many(10_000, product_title=f"{n}")) for n in range(20))
                with pytest.raises(DatabaseUnavailable) as full:
                    list(publishes)
                assert "\n" not in str(full.value)
                assert full.value.retryable
                filler.unlink()
                _wait_for_recovery(server, database)
                before = publisher.live()
                publisher([item(each) for each in sorted(before)])
                assert publisher.live() == before
    finally:
        shutil.rmtree(folder)


def _wait_for_recovery(server: EmbeddedPostgres, database: Database) -> None:
    until = time.monotonic() + 120
    while True:
        server.revive()
        try:
            with database.connect():
                return
        except DatabaseUnavailable:
            assert time.monotonic() < until
            time.sleep(0.1)


def _move(folder: Path, to: Path) -> None:
    """Move a folder of the server to another disk, and leave a link in its place."""
    shutil.copytree(folder, to)
    for path in (to, *to.rglob("*")):
        shutil.copystat(folder, to)
        os.chown(path, folder.stat().st_uid, folder.stat().st_gid)
    shutil.rmtree(folder)
    folder.symlink_to(to)
