"""The catalog behind PgBouncer's sessions, and Dagster's database behind its transactions."""

from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from dagster_postgres import PostgresRunStorage

from connector_pipeline.cli import doctor
from connector_pipeline.engine.storage import ConnectorStorage
from connector_pipeline.model.errors import DatabaseUnavailable, ShopBusy
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import Limits
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline_tests.assets.conftest import Pipeline, pipeline, stored
from connector_pipeline_tests.conftest import enterable_directory
from connector_pipeline_tests.postgres import pgbouncer
from connector_pipeline_tests.postgres_faults import locked

__all__ = ["pipeline", "stored"]

# .ci/pgbouncer installs it and runs this file.
pytestmark = pytest.mark.skipif(pgbouncer.PROGRAM is None, reason="PgBouncer is not installed")

SHOPIFY = "shopify/nordic-tea.myshopify.com"
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def folder() -> Generator[Path]:
    """Where the poolers' files are."""
    with enterable_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def sessions(postgres_url: str, folder: Path) -> Iterator[str]:
    """A pooler in session mode, PgBouncer's own default."""
    with pgbouncer.pgbouncer(postgres_url, folder, pool_mode="session") as url:
        yield url


@pytest.fixture(scope="module")
def transactions(postgres_url: str, folder: Path) -> Iterator[str]:
    """A pooler in transaction mode."""
    with pgbouncer.pgbouncer(postgres_url, folder, pool_mode="transaction") as url:
        yield url


@pytest.fixture
def direct_url(new_database: Callable[[str | None], str], migrated_template: str) -> str:
    """A fresh, migrated database without a pooler."""
    return new_database(migrated_template)


@pytest.fixture
def database_url(sessions: str, direct_url: str) -> str:
    """The same behind the pooler of sessions."""
    return pgbouncer.through(sessions, direct_url)


@pytest.fixture
def direct_storage_url(new_database: Callable[[str | None], str]) -> str:
    """An empty database without a pooler."""
    return new_database(None)


@pytest.fixture
def empty_database_url(transactions: str, direct_storage_url: str) -> str:
    """The same behind the pooler of transactions: the fixture `stored` gives it to Dagster."""
    return pgbouncer.through(transactions, direct_storage_url)


def test_a_database_is_migrated_behind_a_pooler_of_sessions(
    sessions: str, direct_storage_url: str
) -> None:
    """It refuses no startup parameter that we send, and a second migration finds the first."""
    url = pgbouncer.through(sessions, direct_storage_url)
    assert migrate(url).before is None
    assert migrate(url).before == migrate(url).after


def test_a_shop_is_synced_with_the_storage_behind_a_pooler_of_transactions(
    stored: Pipeline, direct_storage_url: str
) -> None:
    """Its rows are the shop's, and no server's session keeps what one of ours set."""
    stored.register(SHOPIFY)
    done = stored.materialize(SHOPIFY)
    assert done.success
    assert {row["variant_id"] for row in stored.rows(SHOPIFY).to_dict("records")} == set(
        stored.served(SHOPIFY)
    )
    assert stored.instance.get_run_by_id(done.run_id) is not None
    storage = stored.instance.run_storage
    assert isinstance(storage, PostgresRunStorage)
    with storage.connect() as connection:
        shown = connection.exec_driver_sql("SHOW statement_timeout").fetchone()
    assert tuple(shown) == ("0",)


def test_a_storage_behind_a_pooler_of_sessions_has_its_bounds(
    sessions: str, direct_storage_url: str
) -> None:
    url = pgbouncer.through(sessions, direct_storage_url).replace("://", "+psycopg2://")
    storage = ConnectorStorage(url)
    with storage.run_storage.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").fetchone() == ("30min",)


async def test_one_of_two_runs_holds_a_shop_behind_a_pooler_of_sessions(
    database: Database,
) -> None:
    """The lock is free for the other once the first run's connection is closed."""
    async with ShopLocks(database, run_id="run-2") as second:
        async with ShopLocks(database, run_id="run-1") as first, first.hold(SHOPIFY):
            with pytest.raises(ShopBusy, match="Dagster run run-1 has the shop"):
                async with second.hold(SHOPIFY):
                    pass
        async with second.hold(SHOPIFY):
            pass


async def test_locks_behind_a_pooler_of_transactions_are_refused(
    transactions: str, direct_url: str
) -> None:
    """Both runs would hold the shop. So is every other use of the catalog's database."""
    url = pgbouncer.through(transactions, direct_url)
    for run in ("run-1", "run-2"):
        async with ShopLocks(Database(url=url), run_id=run) as locks:
            with pytest.raises(DatabaseUnavailable, match="gives each transaction another session"):
                async with locks.hold(SHOPIFY):
                    pass
    with pytest.raises(DatabaseUnavailable) as refused, Database(url=url).connect():
        pass
    assert refused.value.remedy == (
        "Let it pool sessions (PgBouncer: pool_mode=session for this database), or let "
        "CONNECTOR_DATABASE_URL lead to the server itself, and restart."
    )


@pytest.mark.parametrize("round_robin", [0, 1])
def test_a_pooler_of_transactions_is_recognised_while_others_use_it(
    postgres_url: str, folder: Path, direct_url: str, round_robin: int
) -> None:
    """Whichever session it gives next, and however many it has."""
    with pgbouncer.pgbouncer(
        postgres_url, folder, pool_mode="transaction", server_round_robin=round_robin
    ) as pooler:
        url = pgbouncer.through(pooler, direct_url)
        others = [psycopg.connect(url) for _ in range(5)]
        for other in others:
            other.execute("SELECT 1")
        for other in others[:3]:
            other.rollback()
        with pytest.raises(DatabaseUnavailable, match="another session"), connect(url):
            pass
        for other in others:
            other.close()


def test_a_statement_behind_a_pooler_names_the_session_that_blocks_it(
    database_url: str, direct_url: str
) -> None:
    """The protocol states the pooler's invention in place of the server's process."""
    short = Limits(statement=5 * SECOND, lock=2 * SECOND)
    with (
        locked(direct_url, "connector.locks") as pid,
        pytest.raises(DatabaseUnavailable, match=f"it waited for session {pid} of user"),
        connect(database_url, limits=short) as connection,
    ):
        connection.execute("SELECT FROM connector.locks")


def test_a_pooler_that_takes_no_more_clients_is_one_line(
    postgres_url: str, folder: Path, direct_url: str
) -> None:
    """It names the pooler's own bounds."""
    with pgbouncer.pgbouncer(
        postgres_url, folder, pool_mode="session", max_client_conn=1
    ) as pooler:
        url = pgbouncer.through(pooler, direct_url)
        with psycopg.connect(url), pytest.raises(DatabaseUnavailable) as refused, connect(url):
            pass
    assert "no more connections allowed (max_client_conn)" in refused.value.message
    assert "max_client_conn or default_pool_size" in refused.value.remedy


def test_doctor_says_what_is_behind_which_pooler(
    stored: Pipeline, transactions: str, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog's database fails behind one of transactions, Dagster's does not."""

    def found() -> dict[str, tuple[bool, str]]:
        return {
            each.subject: (each.ok, f"{each.seen} {each.remedy or ''}")
            for each in doctor.findings()
        }

    seen = found()
    assert seen["database"][0]
    assert "behind a pooler of sessions" in seen["database"][1]
    assert seen["dagster storage"][0]
    assert "behind a pooler of transactions" in seen["dagster storage"][1]
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", pgbouncer.through(transactions, direct_url))
    seen = found()
    assert not seen["database"][0]
    assert "pool_mode=session" in seen["database"][1]
