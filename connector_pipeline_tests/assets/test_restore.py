"""A backup that pg_dump made is restored into another database, and the shops are synced again."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from connector_pipeline.automation.own_storage import StorageOfAnother, refuse_storage_of_another
from connector_pipeline.postgres.compatibility import oldest_code
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.programs import program_file
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.revision import database_revision, needed_revision
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.assets.conftest import Pipeline

KEYS = ["shopify/nordic-tea.myshopify.com", "woocommerce/keramik.example"]


def run(name: str, *words: str) -> None:
    done = subprocess.run([program_file(name), *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def right(pipeline: Pipeline, key: str) -> bool:
    """Whether the catalog's live rows of the shop have the prices that the shop serves."""
    prices = {row["variant_id"]: row["price"] for row in pipeline.rows(key).to_dict("records")}
    return prices == {name: item["price"] for name, item in pipeline.served(key).items()}


def database_mark(url: str) -> tuple[str, str | None]:
    """The revision, and the oldest one whose code works on."""
    with psycopg.connect(url) as connection:
        revision = str(database_revision(connection))
        return revision, oldest_code(connection, revision)


def test_a_restored_backup_is_synced_to_what_the_shops_are_now(
    stored: Pipeline,
    database_url: str,
    new_database: Callable[[str | None], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was published after the backup is in the archive and in the shops, and comes back.

    The catalog keeps its mark, so Dagster's storage is still this deployment's. A database that was
    made anew has another one.
    """
    stored.register(*KEYS)
    for key in KEYS:
        assert stored.materialize(key).success
    refuse_storage_of_another(stored.instance, stored.database)
    backup = str(tmp_path / "catalog.dump")
    run("pg_dump", "--format=custom", f"--file={backup}", f"--dbname={database_url}")

    changed = {key: list(stored.served(key)) for key in KEYS}
    for key, variants in changed.items():
        shop = stored.sandbox.store.shop(*key.split("/"))
        edited = next(each for each in variants if each.isdigit())
        shop.edit_variant(int(edited), {"price": "4711.00"})
        shop.remove_product(int(stored.served(key)[variants[-1]]["product_id"]))
        assert stored.materialize(key).success
        assert right(stored, key)

    restored_url = new_database(None)
    run("pg_restore", "--exit-on-error", f"--dbname={restored_url}", backup)
    # The mark by which the version before knows that it may go on is kept.
    marks = [database_mark(url) for url in (database_url, restored_url)]
    assert marks[0] == marks[1] != (needed_revision(), None)
    # It gives the roles their rights, which a dump without them lacks.
    assert migrate(restored_url).before == migrate(restored_url).after
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", restored_url)
    # As docs/deploying.md has it; by itself the next sync would be incremental.
    monkeypatch.setenv("FULL_SYNC_EVERY", "24h")
    with psycopg.connect(restored_url) as operator:
        operator.execute("UPDATE connector.shops SET last_full_sync_at = NULL")
    database = Database(url=restored_url)
    restored = replace(stored, database=database, registry=ShopRegistry(database=database))
    refuse_storage_of_another(stored.instance, database)
    for key in KEYS:
        assert not right(restored, key)
        assert restored.materialize(key).success
        assert right(restored, key)
    anew = new_database(None)
    migrate(anew)
    with pytest.raises(StorageOfAnother, match="another deployment's"):
        refuse_storage_of_another(stored.instance, Database(url=anew))
