"""A user of the database who may read the catalog, and means harm, holds up nobody."""

import asyncio
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from connector_pipeline.model.errors import DatabaseUnavailable, ShopBusy
from connector_pipeline.postgres import named_locks
from connector_pipeline.postgres import steps as migrating
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import Limits
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.pool import close_idle_connections
from connector_pipeline.state import looking_on, sync_queue
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline_tests.catalog.snapshots import ACME, Publisher, item

KEY = "shopify/acme.myshopify.com"
PATIENCE = 240

SHADOWS: tuple[LiteralString, ...] = (
    # Fits our arguments better than Postgres's own, and so would be chosen.
    "CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint"
    " LANGUAGE sql AS 'SELECT 1::bigint'",
    "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS"
    " $$ SELECT timestamptz '2001-01-01' $$",
    "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
    " $$ SELECT timestamptz '2001-01-01' $$",
    "CREATE FUNCTION public.pg_backend_pid() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
    "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same)",
    "CREATE TABLE public.pg_locks (locktype text)",
    "CREATE TABLE public.pg_class (relname text)",
    "CREATE TABLE public.pg_namespace (nspname text)",
    "CREATE TABLE public.pg_database (datname text)",
    "CREATE TABLE public.pg_roles (rolname text)",
    "CREATE TABLE public.catalog_items (variant_id text)",
)


@pytest.fixture
def publisher(database: Database, registry: ShopRegistry) -> Publisher:
    """Publishes snapshots of a registered shop."""
    registry.add(ACME)
    return Publisher(database)


def shadowed(url: str) -> None:
    """Put look-alikes before Postgres's own in the path of every later session."""
    with psycopg.connect(url, autocommit=True) as admin:
        for statement in SHADOWS:
            admin.execute(statement)
        names = {
            "database": sql.Identifier(admin.info.dbname),
            "user": sql.Identifier(admin.info.user),
        }
        for whose in ("DATABASE {database}", "ROLE {user} IN DATABASE {database}"):
            path = sql.SQL("ALTER " + whose + " SET search_path = public, pg_catalog")
            admin.execute(path.format(**names))
    # Those that a process keeps were opened before.
    close_idle_connections()


async def test_look_alikes_in_public_change_nothing(publisher: Publisher) -> None:
    """Neither what is published and when, nor locks, nor the revision that we see."""
    url = publisher.database.url
    shadowed(url)
    with connect(url) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog, pg_temp",)
    assert publisher([item("1"), item("2")]).inserted == 2
    assert publisher([item("1"), item("2")]).unchanged == 2
    with psycopg.connect(url) as admin:
        [(made_up,)] = admin.execute(
            "SELECT count(*) FROM catalog.catalog_items WHERE changed_at < '2020-01-01'"
        ).fetchall()
    assert made_up == 0
    async with (
        ShopLocks(publisher.database, run_id="run-1") as locks,
        locks.hold(KEY),
        ShopLocks(publisher.database, run_id="run-2") as others,
    ):
        with pytest.raises(ShopBusy, match="run-1"):
            async with others.hold(KEY):
                pass
        async with others.hold(KEY + "x"):
            pass


def test_look_alikes_do_not_disturb_a_migration(empty_database_url: str) -> None:
    """The tables come where they belong."""
    shadowed(empty_database_url)
    assert migrate(empty_database_url).before is None
    assert migrate(empty_database_url).before is not None


@contextmanager
def reader(url: str, role: str = "catalog_reader") -> Generator[psycopg.Connection]:
    """A session with the rights of a reader or requester alone."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        yield connection


def takes_every_key(watching: psycopg.Connection) -> None:
    """Wait for every advisory lock of the database that anybody holds just now."""
    for classid, objid in watching.execute(
        "SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory'"
    ).fetchall():
        key = (classid << 32 | objid) - (2**64 if classid >= 2**31 else 0)
        watching.execute("SELECT pg_advisory_lock(%s)", (key,))


def found(url: str, query: LiteralString) -> None:
    """Return once the query has a row."""
    with psycopg.connect(url, autocommit=True) as watcher:
        until = time.monotonic() + PATIENCE
        while not watcher.execute(query).fetchall():
            assert time.monotonic() < until
            time.sleep(0.01)


async def test_a_reader_who_takes_the_keys_in_use_stops_no_fetch(database: Database) -> None:
    """pg_locks shows everybody which keys to take, and a reader gets one once it is free."""
    with reader(database.url) as hostile, ThreadPoolExecutor(1) as thread:
        async with ShopLocks(database, run_id="run-1") as first, first.hold(KEY):
            taking = thread.submit(takes_every_key, hostile)
            waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await asyncio.to_thread(found, database.url, waiting)
        taking.result(PATIENCE)
        async with ShopLocks(database, run_id="run-2") as second, second.hold(KEY):
            pass


async def test_a_lock_of_a_session_that_ended_is_free(database: Database) -> None:
    """Its row is left by a process that was killed. A reader may hold the key that it names."""
    with connect(database.url) as ended:
        ended.autocommit = True
        key = named_locks.begin_session(ended)
        assert named_locks.take(ended, key, f"fetch {KEY}", holder="run-1") is None
    with reader(database.url) as hostile:
        hostile.execute("SELECT pg_advisory_lock(%s)", (key,))
        async with ShopLocks(database, run_id="run-2") as second, second.hold(KEY):
            pass


def test_a_lock_is_one_sessions(database: Database) -> None:
    """Of many that ask at once, one gets it. The others learn who has it."""
    with ThreadPoolExecutor(8) as threads:

        def take(number: int) -> str | None:
            connection = sessions[number]
            return named_locks.take(connection, keys[number], "one", holder=str(number))

        sessions = [psycopg.connect(database.url, autocommit=True) for _ in range(8)]
        keys = [named_locks.begin_session(session) for session in sessions]
        for _ in range(20):
            holders = list(threads.map(take, range(8)))
            winner = holders.index(None)
            assert [each for each in holders if each is not None] == [str(winner)] * 7
            named_locks.release(sessions[winner], keys[winner], "one")
        for session in sessions:
            session.close()


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("catalog_reader", "LOCK TABLE catalog.catalog_items IN ROW SHARE MODE"),
        ("catalog_reader", "LOCK TABLE catalog.catalog_items IN ROW EXCLUSIVE MODE"),
        ("catalog_reader", "LOCK TABLE catalog.catalog_items IN ACCESS EXCLUSIVE MODE"),
        ("catalog_reader", "LOCK TABLE catalog.available_items IN ACCESS EXCLUSIVE MODE"),
        ("catalog_reader", "SELECT FROM catalog.catalog_items FOR SHARE"),
        ("catalog_reader", "SELECT FROM catalog.catalog_items FOR KEY SHARE"),
        ("catalog_reader", "SELECT FROM catalog.available_items FOR UPDATE"),
        ("catalog_reader", "SELECT FROM connector.locks"),
        ("catalog_reader", "LOCK TABLE connector.locks IN ACCESS SHARE MODE"),
        ("sync_requester", "SELECT FROM connector.locks FOR UPDATE"),
        ("sync_requester", "LOCK TABLE connector.locks IN ACCESS SHARE MODE"),
        ("sync_requester", "LOCK TABLE connector.sync_requests IN ACCESS EXCLUSIVE MODE"),
        ("sync_requester", "SELECT FROM connector.sync_requests FOR UPDATE"),
    ],
)
def test_a_reader_and_a_requester_may_take_no_lock_that_we_wait_for(
    database_url: str, role: str, statement: LiteralString
) -> None:
    """Postgres refuses them each lock that conflicts with a sync."""
    with reader(database_url, role) as hostile, hostile.transaction():
        with pytest.raises(
            (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
        ):
            hostile.execute(statement)
        raise psycopg.Rollback


def test_a_reader_in_a_long_transaction_holds_up_no_publish(publisher: Publisher) -> None:
    """It has read every table that it may, and holds the strongest locks that it may take."""
    with reader(publisher.database.url) as hostile, hostile.transaction():
        hostile.execute("LOCK TABLE catalog.catalog_items IN ACCESS SHARE MODE")
        hostile.execute("SELECT * FROM catalog.catalog_items, catalog.available_items")
        assert publisher([item("1")]).inserted == 1


def test_a_migration_says_who_keeps_it_waiting(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up soon, as everybody who comes after it waits for it."""
    soon = Limits(statement=None, lock=timedelta(seconds=1))
    monkeypatch.setattr(migrating, "MIGRATING", soon)
    with reader(database_url) as hostile:
        hostile.execute("SELECT pg_advisory_lock(%s)", (migrating.MIGRATION_LOCK,))
        with pytest.raises(DatabaseUnavailable) as failed:
            migrate(database_url)
        assert f"session {hostile.info.backend_pid} of user" in str(failed.value)
        assert "pg_terminate_backend" in str(failed.value)
    migrate(database_url)


def test_the_queues_lock_is_held_until_the_transaction_ends(database: Database) -> None:
    """Another that wants it waits; nobody without rights in the schema can make it wait."""
    with ThreadPoolExecutor(1) as thread:

        def second() -> None:
            with database.connect() as connection:
                sync_queue.lock(connection)

        with database.connect() as connection:
            sync_queue.lock(connection)
            waiting = thread.submit(second)
            found(
                database.url,
                "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()",
            )
            assert not waiting.done()
        waiting.result(PATIENCE)


def test_ticks_look_on_again_when_dev_has_stopped(database: Database) -> None:
    """Also after a `dev` that was killed in the middle of it."""
    with database.connect() as connection:
        assert not looking_on.is_forbidden(connection)
    with looking_on.forbidden(database), database.connect() as connection:
        assert looking_on.is_forbidden(connection)
    with database.connect() as connection:
        assert not looking_on.is_forbidden(connection)
