"""A requester reads in a view how its own requests ended, as docs/contracts.md shows it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from connector_pipeline.model.errors import PlatformUnavailable, SyncInterrupted
from connector_pipeline.model.sync_request import SyncRequest
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox, sync_failure

CONTRACTS: Final = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
Row = dict[str, Any]


def block(heading: str, language: str, number: int = 0) -> str:
    """A block of code below a heading of the document."""
    _, _, part = CONTRACTS.partition(f" {heading}\n")
    return re.findall(rf"```{language}\n(.+?)```", part, re.S)[number]


@pytest.fixture
def users(database_url: str) -> Iterator[str]:
    """The two users of the document, and one more requester; roles belong to the server."""
    made = ("catalog_service", "sync_service", "other_service")
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(block("Connect", "sql").encode())
        admin.execute("CREATE ROLE other_service LOGIN IN ROLE sync_requester")
        yield database_url
        for user in made:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


def connected(url: str, dsn: str) -> psycopg.Connection[Row]:
    """A connection by a documented DSN, to the test's server in place of the example's."""
    example = urlsplit(dsn)
    with psycopg.connect(url) as admin:
        server = admin.info
        return psycopg.connect(
            user=example.username,
            password=example.password,
            host=server.host,
            port=server.port,
            dbname=server.dbname,
            autocommit=True,
            row_factory=dict_row,
        )


@pytest.fixture
def requester(users: str) -> Iterator[psycopg.Connection[Row]]:
    """The documented requester."""
    with connected(users, re.findall(r"REQUESTS_DSN=(\S+)", CONTRACTS)[0]) as connection:
        yield connection


def ask(connection: psycopg.Connection[Row], sync_id: str, domain: str = "a.myshopify.com") -> None:
    """Leave the documented request under another sync_id, for another shop."""
    statement = block("Sync requests", "sql")
    statement = statement.replace("a-sync-id-of-yours", sync_id)
    connection.execute(statement.replace("acme.myshopify.com", domain).encode())


def outcome(connection: psycopg.Connection[Row], sync_id: str) -> Row | None:
    """How a request ended, by the documented code."""
    names: dict[str, Any] = {"connection": connection, "sync_id": sync_id}
    exec(block("How a request ended", "python"), names)
    return names["row"]


def state(connection: psycopg.Connection[Row], sync_id: str) -> tuple[Any, ...] | None:
    row = outcome(connection, sync_id)
    return row and (row["state"], row["error_code"], row["finished_at"] is not None)


@pytest.mark.parametrize(
    ("heading", "relation"),
    [
        ("The catalog: `catalog.catalog_items`", "catalog.catalog_items"),
        ("How a request ended", "connector.sync_request_outcomes"),
    ],
)
def test_the_contract_names_every_column(database_url: str, heading: str, relation: str) -> None:
    """Its table has all columns that are there, and no other."""
    _, _, part = CONTRACTS.partition(f" {heading}\n")
    _, _, table = part.partition("| column |")
    rows = table.partition("\n\n")[0].splitlines()[2:]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
            (relation,),
        )
        assert documented == {name for (name,) in found}


def test_a_documented_user_may_do_what_its_role_may(users: str) -> None:
    """The reader reads; after the documented GRANT it leaves requests as well."""
    with connected(users, re.findall(r"CATALOG_DSN=(\S+)", CONTRACTS)[0]) as reader:
        assert reader.execute("SELECT * FROM catalog.available_items").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(reader, "s-1")
        with psycopg.connect(users, autocommit=True) as admin:
            admin.execute(block("Connect", "sql", 1).encode())
        ask(reader, "s-1")
        assert state(reader, "s-1") == ("waiting", None, False)


def test_a_requester_sees_each_state_of_its_request(
    requester: psycopg.Connection[Row], database: Database
) -> None:
    """An interrupted sync runs on; a failed one says why; a refused one says why at once."""
    for sync_id, domain in {"s-1": "a.myshopify.com", "s-2": "a b"}.items():
        ask(requester, sync_id, domain)
    assert state(requester, "s-1") == ("waiting", None, False)
    with database.connect() as connection:
        assert inbox.accept(connection, limit=10) == (1, 1)
    assert state(requester, "s-1") == ("waiting", None, False)
    assert state(requester, "s-2") == ("refused", "InvalidSyncRequest", True)
    with database.connect() as connection:
        sync_failure.fail(connection, "s-1", SyncInterrupted("the run was cancelled."))
    assert state(requester, "s-1") == ("running", None, False)
    with database.connect() as connection:
        sync_failure.fail(connection, "s-1", PlatformUnavailable("answered 503.", remedy="Wait."))
    row = outcome(requester, "s-1")
    assert row is not None
    assert (row["state"], row["error_code"]) == ("failed", "PlatformUnavailable")
    assert row["error_message"] == "answered 503. Wait."
    with database.connect() as connection:
        connection.execute(
            "UPDATE connector.syncs SET status = 'succeeded', error_code = NULL, items = 3"
            " WHERE sync_id = 's-1'"
        )
    row = outcome(requester, "s-1")
    assert row is not None
    assert (row["state"], row["items"]) == ("succeeded", 3)
    with database.connect() as connection:
        connection.execute("DELETE FROM connector.syncs")
    assert state(requester, "s-1") == ("forgotten", None, False)


def test_a_requester_sees_no_request_of_another(
    requester: psycopg.Connection[Row], database: Database, users: str
) -> None:
    """Neither another user's, nor one over NATS, nor the sync whose id its own request took."""
    with connected(users, "postgresql://other_service@example/catalog") as other:
        ask(other, "s-1")
        with database.connect() as connection:
            nats = SyncRequest(
                merchant_id="m-1",
                platform_name="shopify",
                platform_shop_id="101",
                domain="b.myshopify.com",
                sync_id="s-2",
            )
            inbox.put(connection, [nats])
            inbox.accept(connection, limit=10)
        assert requester.execute("SELECT * FROM connector.sync_request_outcomes").fetchall() == []
        assert [
            each["sync_id"]
            for each in other.execute("SELECT sync_id FROM connector.sync_request_outcomes")
        ] == ["s-1"]
        # The request that had this sync_id is forgotten, and its sync is not.
        with database.connect() as connection:
            connection.execute("DELETE FROM connector.sync_requests WHERE sync_id = 's-1'")
        ask(requester, "s-1")
        with database.connect() as connection:
            inbox.accept(connection, limit=10)
        row = requester.execute("SELECT * FROM connector.sync_request_outcomes").fetchone()
        assert row is not None
        assert (row["state"], row["sync_type"], row["items"]) == ("refused", None, None)
        assert "already a sync of this sync_id" in row["error_message"]
