"""A reader that reads the catalog again and again while it changes, and remembers what it saw."""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

_PAUSE = 0.002
"""Seconds between two looks."""
_CHECKSUM = """
    SELECT md5(coalesce(
        string_agg(concat_ws(':', variant_id, sku, product_title), ',' ORDER BY variant_id), ''
    ))
    FROM catalog.catalog_items WHERE deleted_at IS NULL
"""


def checksum(items: Iterable[Mapping[str, Any]]) -> str:
    """The checksum that the reader sees when exactly these items are live."""
    texts = [
        ":".join(
            item[name] for name in ("variant_id", "sku", "product_title") if item[name] is not None
        )
        for item in sorted(items, key=lambda item: str(item["variant_id"]))
    ]
    return hashlib.md5(",".join(texts).encode()).hexdigest()


def live_checksum(connection: psycopg.Connection) -> str:
    """The checksum of the catalog's live items as they are now."""
    row = connection.execute(_CHECKSUM).fetchone()
    assert row is not None
    return str(row[0])


class Reader(threading.Thread):
    """Polls the checksum of a catalog of one shop and keeps what it saw, repetitions left out."""

    def __init__(self, url: str):
        super().__init__()
        self._url = url
        self._done = threading.Event()
        self.seen: list[str] = []

    def run(self) -> None:
        """Look at the catalog until `stop` is called."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            # Without a pause it would take a whole core from what it watches.
            while not self._done.wait(_PAUSE):
                found = live_checksum(connection)
                if self.seen[-1:] != [found]:
                    self.seen.append(found)

    def stop(self) -> None:
        """End the reader after its present look."""
        self._done.set()
        self.join()
