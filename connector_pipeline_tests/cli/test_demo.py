"""`connector-pipeline demo` beside a running `dev`."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from connector_pipeline.cli.dev_session import DevSession, announce, sole_session
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.serves import Serves, mark
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.cli.conftest import Command

TEA = "shopify/nordic-tea.myshopify.com"


@pytest.fixture
def sandbox() -> Generator[SandboxServer]:
    """The sandbox of `dev`, in which a merchant has edited a shop that a new sandbox has, too."""
    shop = ShopSpec(*TEA.split("/"), merchant_id="m-1", platform_shop_id="1", products=2)
    with SandboxServer([shop]) as server:
        edited = server.store.shop(*TEA.split("/"))
        edited.edit_product(edited.product_ids()[0], {"title": "Edited"}, at=None)
        yield server


def test_demo_syncs_the_shops_of_a_running_dev_from_its_sandbox(
    command: Command, sandbox: SandboxServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox of its own would undo the edits. While dev starts, nothing is synced."""
    for name in (*sandbox.environment(), "CONNECTOR_DATABASE_URL", "DAGSTER_POSTGRES_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONNECTOR_HOME", str(home))
    with EmbeddedPostgres(home, settings={"fsync": "off"}) as server, sole_session(home):
        migrate(server.url())
        with connect(server.url()) as connection:
            # As `dev` has marked it before it starts anything.
            mark(connection, Serves.SANDBOX)
        command("shops", "add", TEA, "--merchant-id", "m-1")
        for words in (("demo",), ("sync", TEA)):
            early = command(*words)
            assert (early.status, early.out, len(early.err.splitlines())) == (1, "", 1)
            assert "just starting" in early.err
        announce(
            home,
            DevSession(
                pid=os.getpid(),
                ui_url="http://127.0.0.1:3000",
                database_url=server.url(),
                sandbox_url=sandbox.url,
                sandbox_environment=sandbox.environment(),
            ),
        )
        ended = command("demo", "--json")
        assert ended.status == 0, ended.err
        assert sandbox.url in ended.err
        assert [(row["shop"], row["status"]) for row in ended.rows()] == [(TEA, "succeeded")]
        rows = command("catalog", "show", TEA, "--json").rows()
        assert "Edited" in {row["product_title"] for row in rows}
