"""Postgres goes away in the middle of a publish and comes back, as in a failover."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline_tests import postgres_faults as faults
from connector_pipeline_tests.assets.conftest import Pipeline
from connector_pipeline_tests.conftest import enterable_directory

KEY = "shopify/nordic-tea.myshopify.com"


@pytest.fixture(scope="module")
def own_server() -> Generator[str]:
    """A server of these tests alone, as they stop it. It writes as a real one does."""
    with enterable_directory() as directory, EmbeddedPostgres(directory) as server:
        migrate(server.url("catalog"))
        yield server.url("catalog")


@pytest.fixture
def database_url(own_server: str) -> str:
    """The fixture `pipeline` syncs into this database."""
    return own_server


def catalog(url: str) -> list[tuple[Any, ...]]:
    """All rows, deleted ones too, and the shop's last good sync, as somebody else sees them."""
    with psycopg.connect(url) as reader:
        rows = reader.execute(
            "SELECT variant_id, price, deleted_at, sync_id FROM catalog.catalog_items"
            " ORDER BY variant_id"
        ).fetchall()
        shop = reader.execute("SELECT last_successful_sync_at FROM connector.shops").fetchall()
    return [*rows, *shop]


@pytest.mark.parametrize(
    ("fault", "at_commit"), [("terminate", False), ("terminate", True), ("immediate", True)]
)
def test_a_publish_that_loses_its_connection_is_done_again_as_a_whole(
    pipeline: Pipeline, own_server: str, fault: str, at_commit: bool
) -> None:
    """Readers see the rows of before until those of after are all there.

    `terminate` ends the session, `immediate` is a crash of the server, which then recovers.
    """
    pipeline.register(KEY)
    assert pipeline.materialize(KEY).success
    platform, domain = KEY.split("/")
    shop = pipeline.sandbox.store.shop(platform, domain)
    for variant_id in list(pipeline.served(KEY))[:3]:
        shop.edit_variant(int(variant_id), {"price": f"{1000 + len(fault)}.{int(at_commit)}0"})
    before = catalog(own_server)
    with (
        faults.paused(own_server, "catalog.catalog_items", at_commit=at_commit) as pause,
        ThreadPoolExecutor(1) as beside,
    ):

        def lose_the_connection() -> list[tuple[Any, ...]]:
            first = pause.reached()
            if fault == "immediate":
                faults.restart(own_server, mode=fault)
                return before
            with psycopg.connect(own_server, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 60000)", (first,))
            again = pause.reached()
            assert again != first
            seen = catalog(own_server)
            pause.release()
            return seen

        lost = beside.submit(lose_the_connection)
        done = pipeline.materialize(KEY)
        assert lost.result() == before
    if fault == "immediate" and not done.success:
        # These tests' retries come at once, and may be over before the server is back.
        assert "DatabaseUnavailable" in pipeline.failure(done)
        assert catalog(own_server) == before
        done = pipeline.materialize(KEY)
    assert done.success
    prices = {row["variant_id"]: row["price"] for row in pipeline.rows(KEY).to_dict("records")}
    assert prices == {key: item["price"] for key, item in pipeline.served(KEY).items()}
    assert catalog(own_server) != before
