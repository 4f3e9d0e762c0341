"""A domain is found where it is meant, and not in a longer one, by Python and Postgres alike."""

import re
from pathlib import Path

import psycopg
import pytest

from connector_pipeline.model.name_in_texts import PLACEHOLDER, pattern, replace_in_file

DOMAIN = "acme-1.example"

NAMED = [
    "shopify/acme-1.example",
    '{"shop": "shopify/acme-1.example"}',
    r'{"text": "failed:\nacme-1.example. Next"}',
    "file:///raw/shopify%2Facme-1.example/pages",
    "https://acme-1.example:443/admin",
    "(acme-1.example)",
]
OTHERS = [
    "shop.acme-1.example",
    "my-acme-1.example",
    "acme-1.example.com",
    "acme-1.example-2",
    "acme-1xexample",
    "nacme-1.example",
]


def test_python_and_postgres_find_the_same(postgres_url: str) -> None:
    """Dagster's texts are rewritten by Postgres, and files by Python."""
    with psycopg.connect(postgres_url) as connection:
        for text in (*NAMED, *OTHERS):
            expected = text.replace(DOMAIN, PLACEHOLDER) if text in NAMED else text
            assert re.sub(pattern(DOMAIN), PLACEHOLDER, text) == expected
            written = connection.execute(
                "SELECT regexp_replace(%s, %s, %s, 'g')", (text, pattern(DOMAIN), PLACEHOLDER)
            ).fetchone()
            assert written == (expected,)


@pytest.mark.parametrize("before", [0, 1024 * 1024 - 7, 2 * 1024 * 1024 - len(DOMAIN)])
def test_a_file_keeps_its_length_and_all_that_is_not_the_domain(
    tmp_path: Path, before: int
) -> None:
    """Also where a read cuts the domain; a process that appends to the file goes on."""
    file = tmp_path / "daemon.log"
    text = f"{' ' * before}{DOMAIN} my-{DOMAIN}\n{DOMAIN}"
    file.write_text(text)
    with file.open("a") as appending:
        assert replace_in_file(file, DOMAIN) == 2
        appending.write("more")
    filler = "x" * len(DOMAIN)
    assert file.read_text() == f"{' ' * before}{filler} my-{DOMAIN}\n{filler}more"
    assert replace_in_file(tmp_path / "gone.log", DOMAIN) == 0
