"""The search for canaries finds what it must: a search that finds nothing proves nothing."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import zstandard

from connector_pipeline_tests.canaries import Canaries, database, files, plant, texts

SECRET = "shpat_0123%456789/abcdef"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        f"cut off: {SECRET[:14]}",
        f"{SECRET[8:]} is the end of it",
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        json.dumps({"said": json.dumps(f'"{SECRET}"')}),
        base64.b64encode(SECRET.encode()).decode(),
        *(base64.b64encode(f"{'u' * n}:{SECRET}:p".encode()).decode() for n in range(1, 4)),
        "GET /wp-json?oauth_signature=abcdefghijklmnop%3D&x=1",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGF0Zm9ybSJ9.abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_a_secret_is_found_in_each_form(written: str) -> None:
    canaries = Canaries()
    canaries.add("token", SECRET)
    assert len(canaries.search([texts("somewhere", "nothing", written)])) == 1


def test_what_is_no_secret_is_not_found() -> None:
    canaries = plant()
    canaries.add("token", SECRET)
    harmless = "oauth_signature=***&shpat_***", "shopify answered 401", "eyJ is no token."
    assert canaries.search([texts("somewhere", *harmless)]) == []


def test_files_and_tables_are_searched(tmp_path: Path, empty_database_url: str) -> None:
    canaries = Canaries()
    canaries.add("token", SECRET)
    (tmp_path / "raw").mkdir()
    packed = zstandard.ZstdCompressor().compress(f"[{SECRET}]".encode())
    (tmp_path / "raw" / "page.zst").write_bytes(packed)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE SCHEMA other")
        connection.execute("CREATE TABLE other.rows (number int, content jsonb)")
        connection.execute(
            "INSERT INTO other.rows VALUES (1, %s)", [json.dumps({"warnings": [SECRET]})]
        )
    found = canaries.search([files("files", tmp_path), database("tables", empty_database_url)])
    assert [(each.place, each.where.rsplit("/")[-1]) for each in found] == [
        ("files", "page.zst"),
        ("tables", "other.rows, row 0"),
    ]


def test_a_role_can_log_in_with_its_canary(empty_database_url: str) -> None:
    canaries = plant()
    url = canaries.login(empty_database_url, "database password")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert "database password" in canaries.secrets
