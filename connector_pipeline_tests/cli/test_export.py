"""`connector-pipeline shops export`: all that is stored of a shop, in files for its merchant."""

import json
import stat
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connector_pipeline_tests.cli.conftest import Command


def lines(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def synced(command: Command, sandbox_shops: list[str]) -> str:
    """A shop with a snapshot, rows, a sync and an event."""
    assert command("sync", sandbox_shops[0]).status == 0
    return sandbox_shops[0]


def test_an_export_has_every_row_and_the_pages_as_the_platform_sent_them(
    command: Command, synced: str, database_url: str, tmp_path: Path
) -> None:
    """As a folder and as a zip archive, with the same files, for their owner alone."""
    folder, archive = tmp_path / "out", tmp_path / "out.zip"
    [printed] = command("shops", "export", synced, "--to", str(folder), "--json").rows()
    assert command("shops", "export", synced, "--to", str(archive)).status == 0
    platform, _, domain = synced.partition("/")
    with psycopg.connect(database_url) as connection:
        stored = connection.execute(
            "SELECT variant_id, price FROM catalog.catalog_items"
            " WHERE platform_name = %s AND domain = %s ORDER BY variant_id",
            (platform, domain),
        ).fetchall()
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    items = lines(files["catalog_items.jsonl"].read_bytes())
    assert [(item["variant_id"], Decimal(item["price"])) for item in items if item["price"]] == [
        (variant_id, price) for variant_id, price in stored if price is not None
    ]
    assert len(items) == len(stored) == printed["counts"]["catalog_items"]
    assert all(isinstance(item["price"], str | None) for item in items)
    [shop] = lines(files["shop.jsonl"].read_bytes())
    assert shop["domain"] == domain
    assert "refused_credential" not in shop
    assert len(lines(files["syncs.jsonl"].read_bytes())) == 1
    assert len(lines(files["events.jsonl"].read_bytes())) == 1
    pages = lines(files["raw/pages.jsonl"].read_bytes())
    assert len(pages) == printed["counts"]["raw_pages"] > 0
    for page in pages:
        assert json.loads(files[f"raw/{page['name']}"].read_bytes())
    described = json.loads(files["export.json"].read_bytes())
    assert (described["format"], described["shop"]) == (1, synced)
    assert printed["counts"] == described["counts"]

    with zipfile.ZipFile(archive) as zipped:
        assert set(zipped.namelist()) == set(files)
        for name, path in files.items():
            if name != "export.json":
                assert zipped.read(name) == path.read_bytes()
    for path in (archive, *files.values()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_export_overwrites_nothing_and_leaves_no_half_one(
    command: Command, sandbox_shops: list[str], tmp_path: Path
) -> None:
    """A path that is taken is wrong usage; a shop of which nothing is stored has no files."""
    taken = tmp_path / "taken"
    taken.mkdir()
    assert command("shops", "export", sandbox_shops[0], "--to", str(taken)).status == 2
    unknown = "shopify/nobody.myshopify.com"
    for name in ("new", "new.zip"):
        ended = command("shops", "export", unknown, "--to", str(tmp_path / name))
        assert (ended.status, "nothing is stored of it" in ended.err) == (1, True)
    read_only = tmp_path / "no" / "such"
    ended = command("shops", "export", sandbox_shops[0], "--to", str(read_only / "x.zip"))
    assert ended.status == 1
    assert "cannot be written" in ended.err
    assert {path.name for path in tmp_path.iterdir()} <= {"taken", "home"}
    assert list(taken.iterdir()) == []
