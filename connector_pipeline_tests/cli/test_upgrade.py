"""Two versions over one database, as a rolling upgrade has them, and the way back."""

from pathlib import Path

import psycopg
import pytest

from connector_pipeline.postgres import at_revision
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.migrate import migrate, migration_sql
from connector_pipeline.postgres.revision import database_revision, needed_revision
from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.postgres.newer_version import NEWER, NewerVersion, made
from connector_pipeline_tests.postgres.test_migrate import described

SHOP = "shopify/acme.myshopify.com"


@pytest.fixture
def newer(tmp_path: Path) -> NewerVersion:
    """The next version, whose migration only adds."""
    return made(tmp_path / "newer")


def revision_of(url: str) -> str | None:
    with connect(url) as connection:
        return database_revision(connection)


def at_work(newer: NewerVersion, *words: str) -> str:
    """The output of a command of the newer version that succeeds."""
    ended = newer.run(*words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_workers_of_the_version_before_go_on_after_a_migration_that_only_adds(
    command: Command, sandbox_shops: list[str], newer: NewerVersion, database_url: str
) -> None:
    """Runs of both versions sync, and the older version's own `migrate` changes nothing."""
    old = needed_revision()
    assert command("sync", sandbox_shops[0]).status == 0
    assert f"and is at revision {NEWER}" in at_work(newer, "migrate")
    assert revision_of(database_url) == NEWER
    # This process is the old worker: it has the old code, and compares the revision anew.
    at_revision._found_right.clear()
    assert command("sync", sandbox_shops[0]).status == 0
    at_work(newer, "sync", sandbox_shops[1])
    checked = command("migrate", "--check")
    assert (checked.status, checked.out) == (
        0,
        f"A newer version brought the database to revision {NEWER}, and this version, of {old}, "
        "works with it.\n",
    )
    # The hook of a rollback to the old version runs its `migrate`.
    assert command("migrate").out == f"The database is at revision {NEWER} already.\n"
    assert migration_sql(database_url).startswith("-- ")
    assert f"at {NEWER}, with which {old} works, too" in command("doctor").out
    assert revision_of(database_url) == NEWER


def test_workers_of_the_version_before_stop_where_the_migration_does_not_suit_them(
    command: Command, sandbox_shops: list[str], tmp_path: Path, database_url: str
) -> None:
    """They refuse before they write anything, and name both revisions."""
    at_work(made(tmp_path / "newer", compatible_from=NEWER), "migrate")
    at_revision._found_right.clear()
    for words in (
        ["sync", sandbox_shops[0]],
        ["shops", "list"],
        ["migrate"],
        ["migrate", "--check"],
    ):
        ended = command(*words)
        assert ended.status == 1, words
    assert command("shops", "list").err.startswith(
        f"SchemaNotOurs: the database is at revision {NEWER}"
    )
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM connector.syncs").fetchone() == (0,)


def test_a_rollback_takes_the_database_back(
    command: Command, newer: NewerVersion, database_url: str, empty_database_url: str
) -> None:
    """It says what is lost and asks; the database is then as the old version made it."""
    old = needed_revision()
    at_work(newer, "migrate")
    asked = newer.run("migrate", "--to", old)
    assert asked.returncode == 2
    assert f"{NEWER} is undone. Lost: The colours of shops." in asked.stderr
    assert "--yes confirms it" in asked.stderr
    assert revision_of(database_url) == NEWER
    done = at_work(newer, "migrate", "--to", old, "--yes")
    assert done == f"The database was at revision {NEWER} and is at revision {old}.\n"
    migrate(empty_database_url)
    assert described(database_url) == described(empty_database_url)
    assert command("shops", "list").status == 0
    # The newer version asks for its migration again, and gets it.
    refused = newer.run("shops", "list")
    assert refused.returncode == 1
    assert "DatabaseNotMigrated" in refused.stderr
    at_work(newer, "migrate")
    assert revision_of(database_url) == NEWER


def test_where_there_is_no_way_back_nothing_is_changed(
    command: Command, tmp_path: Path, database_url: str
) -> None:
    """A migration that cannot be undone, one of ours too, a revision nobody knows, a later one."""
    old = needed_revision()
    newer = made(tmp_path / "newer", lost=None)
    refused = newer.run("migrate", "--to", NEWER, "--yes")
    assert refused.returncode == 1
    assert f"is at revision {old}, and {NEWER} is no earlier one" in refused.stderr
    at_work(newer, "migrate")
    refused = newer.run("migrate", "--to", old, "--yes")
    assert refused.returncode == 1
    assert f"NoWayBack: the migration {NEWER} cannot be undone." in refused.stderr
    assert revision_of(database_url) == NEWER
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE connector.alembic_version SET version_num = %s", (old,))
    assert "0004_installation cannot be undone" in command("migrate", "--to", "0003_bad_days").err
    assert "knows no revision '17'" in command("migrate", "--to", "17").err
    assert command("migrate", "--to", old).out == f"The database is at revision {old} already.\n"
    assert command("migrate", "--to", old, "--check").status == 2
