"""`connector-pipeline shops erase`: nothing of the shop is left, and all of the others is."""

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    build_schedule_context,
)

from connector_pipeline.assets.sync_shops import run_config
from connector_pipeline.automation import erasing
from connector_pipeline.automation.erasing import HOLDER
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.definitions import build_definitions
from connector_pipeline.engine import mentions
from connector_pipeline.model.events import DEAD_LETTERS
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.postgres import named_locks
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.settings import load_settings
from connector_pipeline.state import erase_demands
from connector_pipeline.sync.locks import lock_name
from connector_pipeline_tests.canaries import database, files
from connector_pipeline_tests.cli.conftest import Command


def dagster_url() -> str:
    return os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")


def home() -> Path:
    return Path(os.environ["CONNECTOR_HOME"])


def left(domain: str) -> Iterator[str]:
    """Where the domain is, in both databases, the archive, Dagster's files and the logs."""
    places = (
        database("the catalog's database", os.environ["CONNECTOR_DATABASE_URL"]),
        database("Dagster's database", dagster_url()),
        files("files", home()),
    )
    wanted = domain.encode()
    for place in places:
        searched = 0
        for where, text in place.texts:
            searched += 1
            if wanted in text:
                yield f"{place.name}: {where}: {text[max(0, text.find(wanted) - 200) :][:400]!r}"
        assert searched
    with psycopg.connect(dagster_url()) as connection:
        bodies = connection.execute("SELECT snapshot_body FROM snapshots").fetchall()
    assert bodies
    for (body,) in bodies:
        if wanted in zlib.decompress(body):
            yield "a snapshot"


def counted(url: str) -> dict[str, int]:
    """The rows of each table of the catalog's database."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname IN ('catalog', 'connector')"
        ).fetchall()
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchall()[0][0]
            for (name,) in tables
        }


def materialized(instance: DagsterInstance) -> set[str]:
    return set(instance.get_materialized_partitions(AssetKey("catalog_items")))


@pytest.fixture(autouse=True)
def dagsters_home(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's folder is where the commands would make it."""
    folder = home() / "dagster"
    folder.mkdir(parents=True)
    shutil.copyfile(instance_config(), folder / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    # The second attempt at a shop comes ten times as long after the first.
    monkeypatch.setenv("CONNECTOR_RETRY_DELAY", "0.01")


@pytest.fixture
def synced(command: Command, sandbox: SandboxServer, sandbox_shops: list[str]) -> list[str]:
    """The sandbox's shops after real runs: of each alone, of all, and some that failed."""
    first = sandbox_shops[0]
    assert command("backfill").status == 0
    assert command("sync", first, "--type", "full").status == 0
    domain = first.partition("/")[2]
    sandbox.faults.set([{"match": {"domain": domain}, "kind": "body", "status": 401, "body": {}}])
    assert command("backfill").status == 1
    assert command("sync", first).status == 1
    sandbox.faults.set([])
    assert command("sync", first, "--request").status == 0
    with psycopg.connect(os.environ["CONNECTOR_DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO connector.rejected_variants (platform_name, domain, reason, raw, sync_id,"
            " rejected_at) VALUES (%s, %s, 'no price', '{}', 's', now())",
            first.split("/"),
        )
        connection.execute(
            "INSERT INTO connector.hints (platform_name, domain, source, topic)"
            " VALUES (%s, %s, 'webhook', 'shop/update')",
            first.split("/"),
        )
        connection.execute(
            "INSERT INTO connector.change_looks (platform_name, domain, look_at)"
            " VALUES (%s, %s, now()) ON CONFLICT DO NOTHING",
            first.split("/"),
        )
        connection.execute(
            "INSERT INTO connector.erase_demands (platform_name, domain) VALUES (%s, %s)",
            first.split("/"),
        )
    logs = home() / "logs"
    logs.mkdir(exist_ok=True)
    (logs / "daemon.log").write_text(f"reads {first}\nreads my-{domain} and {domain}.example\n")
    with DagsterInstance.get() as instance:
        instance.daemon_cursor_storage.set_cursor_values(
            {"a sensor": json.dumps({"reported": sandbox_shops})}
        )
    return sandbox_shops


def test_nothing_of_an_erased_shop_is_left_anywhere(
    command: Command, synced: list[str], database_url: str
) -> None:
    """Both databases, the archive, Dagster's files and the logs are searched for its domain."""
    first, *others = synced
    domain = first.partition("/")[2]
    assert list(left(domain))
    with DagsterInstance.get() as instance:
        runs = len(instance.get_runs())
        assert materialized(instance) == set(synced)
    erased = command("shops", "erase", first, "--yes", "--json")
    assert erased.status == 0, erased.err
    [printed] = erased.rows()
    counts = printed["counts"]
    assert {name for name, number in counts.items() if not number} == set(), printed
    # The log names longer domains still, which are not this shop's.
    log = home() / "logs" / "daemon.log"
    filler = "x" * len(domain)
    assert log.read_text() == (
        f"reads {first.replace(domain, filler)}\nreads my-{domain} and {domain}.example\n"
    )
    log.unlink()
    assert list(left(domain)) == []

    # All of the others is there: their partitions, the runs that they shared with it, their rows.
    with DagsterInstance.get() as instance:
        assert materialized(instance) == set(others)
        assert set(instance.get_dynamic_partitions("shops")) == set(others)
        kept = instance.get_runs()
        assert len(kept) == runs - counts["dagster_runs"]
        assert {run.status for run in kept} == {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE}
        for run in kept:
            assert list(instance.all_logs(run.run_id))
    for other in others:
        assert command("catalog", "show", other).status == 0
        assert command("sync", other).status == 0
    assert [row["shop"] for row in command("shops", "list", "--json").rows()] == sorted(others)

    # Again finds nothing, and changes nothing.
    before = counted(database_url)
    [again] = command("shops", "erase", first, "--yes", "--json").rows()
    assert (again["shop"], set(again["counts"].values())) == (first, {0})
    assert counted(database_url) == before
    assert "there was nothing" in command("shops", "erase", first, "--yes").out


def test_a_demand_of_a_platform_is_done_by_the_schedules_job(
    command: Command, synced: list[str], database_url: str
) -> None:
    """One that cannot be done yet waits with the reason, and the others are done."""
    first, second = synced[:2]
    definitions = build_definitions(load_settings())
    schedule = definitions.resolve_schedule_def("erase_demanded_shops_quarter_hourly")
    job = definitions.resolve_job_def("erase_demanded_shops")

    def demanded(key: str) -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO connector.erase_demands (platform_name, domain) VALUES (%s, %s)"
                " ON CONFLICT DO NOTHING",
                key.split("/"),
            )

    def waiting() -> dict[str, str | None]:
        with Database(url=database_url).connect() as connection:
            found = erase_demands.waiting(connection)
        return {each.partition_key: each.trouble for each in found}

    def launched() -> bool:
        with (
            DagsterInstance.get() as instance,
            # It makes an instance of its own, which it leaves behind if nothing ends it.
            build_schedule_context(
                instance,
                resources={"database": Database(url=database_url)},
                scheduled_execution_time=datetime.now(UTC),
            ) as context,
        ):
            requests = schedule.evaluate_tick(context).run_requests
        if not requests:
            return False
        with DagsterInstance.get() as instance:
            return job.execute_in_process(instance=instance).success

    demanded(second)
    with connect(database_url) as holder:
        holder.autocommit = True
        key = named_locks.begin_session(holder)
        assert named_locks.take(holder, key, lock_name(second), holder="a test") is None
        assert launched()
    [(left_over, trouble)] = waiting().items()
    assert left_over == second
    assert "a test has the shop" in (trouble or "")
    (home() / "logs" / "daemon.log").unlink()
    assert list(left(first.partition("/")[2])) == []
    assert launched()
    assert waiting() == {}
    assert list(left(second.partition("/")[2])) == []
    assert not launched()
    assert "No platform demands" in command("shops", "erase", "--demanded", "--yes").err


def test_an_erasure_that_was_killed_is_completed_by_the_next(
    command: Command, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of its steps: until then the shop is paused, and no sync fills it again."""
    first = synced[0]

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    steps = (
        (erasing, "erase_mentions"),
        (mentions, "_erase_events"),
        (mentions, "_rewrite_texts"),
        (erasing.state_erasing, "erase"),
        (erasing, "_refuse_lost"),
    )
    for module, step in steps:
        with monkeypatch.context() as patched:
            patched.setattr(module, step, killed)
            with pytest.raises(Killed):
                command("shops", "erase", first, "--yes")
        [row] = [row for row in command("shops", "list", "--json").rows() if row["shop"] == first]
        assert row["state"] == "paused"
        assert command("sync", first).status == 1
    assert command("shops", "erase", first, "--yes").status == 0
    (home() / "logs" / "daemon.log").unlink()
    assert list(left(first.partition("/")[2])) == []


def test_an_erasure_does_not_wait_for_an_intake_that_waits_for_it(
    command: Command, sandbox_shops: list[str], database_url: str
) -> None:
    """The intake locks requests before the queue, the erasure the queue before requests."""
    first = sandbox_shops[0]
    assert command("sync", first).status == 0
    platform_name, _, domain = first.partition("/")
    with psycopg.connect(database_url) as intake:
        for sync_id in ("old", "new"):
            intake.execute(
                "INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id,"
                " domain, sync_id) VALUES ('m', %s, '1', %s, %s)",
                (platform_name, domain, sync_id),
            )
        intake.commit()
        intake.execute(
            "SELECT FROM connector.sync_requests WHERE sync_id = 'new' FOR UPDATE SKIP LOCKED"
        )
        erased = command("shops", "erase", first, "--yes", "--json")
        assert erased.status == 0, erased.err
        assert erased.rows()[0]["counts"]["requests"] == 1


def test_dead_letters_that_name_an_erased_shop_go_and_no_others(
    command: Command, sandbox_shops: list[str], database_url: str
) -> None:
    """A message names it as its sender wrote it; a longer name is another shop's."""
    first = sandbox_shops[0]
    domain = first.partition("/")[2]
    written = [domain.upper(), f"other-{domain}", f"{domain}.example"]
    with psycopg.connect(database_url) as connection:
        for each in written:
            connection.execute(
                "INSERT INTO connector.outbox (partition_key, subject, event_id, payload)"
                " VALUES (%s, %s, gen_random_uuid(), %s)",
                (DEAD_LETTERS, DEAD_LETTERS, json.dumps({"raw": f'{{"domain": "{each}"}}'})),
            )
    assert command("shops", "erase", first, "--yes").status == 0
    with psycopg.connect(database_url) as connection:
        kept = connection.execute("SELECT payload ->> 'raw' FROM connector.outbox").fetchall()
    assert sorted(json.loads(raw)["domain"] for (raw,) in kept) == sorted(written[1:])


def started_run(instance: DagsterInstance, shop: str) -> DagsterRun:
    """A run that has the shop, as the queue launches it."""
    return instance.create_run_for_job(
        build_definitions(load_settings()).resolve_job_def("sync_shops"),
        run_config=run_config([ShopToSync(partition_key=shop)]),
        status=DagsterRunStatus.STARTED,
    )


def test_a_run_that_began_meanwhile_is_not_overlooked(
    command: Command, sandbox_shops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody launches one by hand, say. Dagster's texts had been searched already."""
    first = sandbox_shops[0]
    assert command("sync", first).status == 0
    begun: list[DagsterRun] = []
    refuse_lost = erasing._refuse_lost

    def launch(held: psycopg.Connection, key: str) -> None:
        with DagsterInstance.get() as instance:
            begun.append(started_run(instance, first))
        refuse_lost(held, key)

    with monkeypatch.context() as patched:
        patched.setattr(erasing, "_refuse_lost", launch)
        refused = command("shops", "erase", first, "--yes")
    assert refused.status == 1
    assert f"Dagster run {begun[0].run_id} began while the shop was erased" in refused.err
    with DagsterInstance.get() as instance:
        instance.report_run_canceled(begun[0])
    assert command("shops", "erase", first, "--yes").status == 0
    assert list(left(first.partition("/")[2])) == []


def test_a_shop_that_a_run_has_is_not_erased(
    command: Command, sandbox_shops: list[str], database_url: str
) -> None:
    """Neither one that a run fetches, nor one that a run will come to; it is paused meanwhile."""
    first = sandbox_shops[0]
    assert command("sync", first).status == 0
    before = counted(database_url)
    with connect(database_url) as other:
        other.autocommit = True
        key = named_locks.begin_session(other)
        named_locks.take(other, key, lock_name(first), holder="run-1")
        refused = command("shops", "erase", first, "--yes")
    assert refused.status == 1
    assert "ShopBusy" in refused.err
    assert "run-1 has the shop" in refused.err
    with DagsterInstance.get() as instance:
        run = started_run(instance, first)
        refused = command("shops", "erase", first, "--yes")
        assert f"Dagster run {run.run_id} has the shop" in refused.err
        assert "--wait" in refused.err
        instance.report_run_canceled(run)
    with psycopg.connect(database_url) as connection:
        [(state,)] = connection.execute(
            "SELECT state FROM connector.shops WHERE domain = %s", (first.partition("/")[2],)
        ).fetchall()
    assert state == "paused"
    assert counted(database_url) | {"connector.locks": 0} == before | {"connector.locks": 0}
    assert command("shops", "erase", first, "--yes").status == 0


def test_no_run_fetches_a_shop_that_is_being_erased(
    command: Command, sandbox_shops: list[str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock under which runs fetch it, until its last row is deleted."""
    first = sandbox_shops[0]
    assert command("sync", first).status == 0
    seen: list[str | None] = []
    refuse_lost = erasing._refuse_lost

    def look(held: psycopg.Connection, key: str) -> None:
        with connect(database_url) as other:
            seen.append(named_locks.held_by(other, lock_name(first)))
        refuse_lost(held, key)

    monkeypatch.setattr(erasing, "_refuse_lost", look)
    assert command("shops", "erase", first, "--yes").status == 0
    assert seen == [HOLDER]
    with connect(database_url) as other:
        assert named_locks.held_by(other, lock_name(first)) is None


def test_a_person_types_the_name_of_what_is_erased(
    command: Command, sandbox_shops: list[str], database_url: str
) -> None:
    """Where nobody can be asked, --yes confirms it; a shop and a merchant exclude each other."""
    first = sandbox_shops[0]
    before = counted(database_url)
    refused = command("shops", "erase", first)
    assert refused.status == 2
    assert command("shops", "erase").status == 2
    assert command("shops", "erase", first, "--merchant-id", "m-1").status == 2
    assert command("shops", "erase", "nonsense", "--yes").status == 2
    assert counted(database_url) == before
    for typed, status in (("another\n", 1), (f"{first}\n", 0)):
        ended = typed_at_a_terminal(typed, "shops", "erase", first)
        assert ended.returncode == status, ended.stdout
        assert f"Type {first} to go on" in ended.stdout
    assert first not in {row["shop"] for row in command("shops", "list", "--json").rows()}


def typed_at_a_terminal(typed: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command at a pseudo terminal at which a person types."""
    main, terminal = os.openpty()
    try:
        os.write(main, typed.encode())
        return subprocess.run(
            [sys.executable, "-m", "connector_pipeline.cli", *words],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
    finally:
        os.close(terminal)
        os.close(main)


def test_all_shops_of_a_merchant_are_erased(
    command: Command, sandbox_shops: list[str], database_url: str
) -> None:
    """Also those that have left the registry, of which rows are left."""
    first = sandbox_shops[0]
    rows = command("shops", "list", "--json").rows()
    merchant = next(row["merchant_id"] for row in rows if row["shop"] == first)
    of_merchant = {row["shop"] for row in rows if row["merchant_id"] == merchant}
    assert command("sync", first).status == 0
    assert command("shops", "remove", first).status == 0
    erased = command("shops", "erase", "--merchant-id", merchant, "--yes", "--json")
    assert {row["shop"] for row in erased.rows()} == of_merchant
    with psycopg.connect(database_url) as connection:
        for table in ("catalog.catalog_items", "connector.shops", "connector.syncs"):
            found = connection.execute(
                f"SELECT count(*) FROM {table} WHERE merchant_id = %s".encode(), (merchant,)
            ).fetchone()
            assert found == (0,)
    nobody = command("shops", "erase", "--merchant-id", "nobody", "--yes")
    assert (nobody.status, "Nothing is stored" in nobody.err) == (0, True)


def test_readers_are_told_where_events_are_sent(
    command: Command, sandbox_shops: list[str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No tombstone tells a follower of the catalog: an event does, in place of all others."""
    first = sandbox_shops[0]
    assert command("sync", first).status == 0
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:9")
    assert command("shops", "erase", first, "--yes").status == 0
    with psycopg.connect(database_url) as connection:
        [(subject, data)] = connection.execute(
            "SELECT subject, payload -> 'data' FROM connector.outbox WHERE partition_key = %s",
            (first,),
        ).fetchall()
    assert subject == "evt.platform.shop.erased"
    platform, _, domain = first.partition("/")
    assert (data["platform_name"], data["domain"]) == (platform, domain)
