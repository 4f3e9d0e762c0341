"""`connector-pipeline shops export SHOP`: all that is stored of a shop, for its merchant."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import typer

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.archive.reader import Snapshot
from connector_pipeline.cli.export_files import ExportFiles, export_files
from connector_pipeline.cli.json_output import as_stored, print_json
from connector_pipeline.cli.local_services import SchemaUse, database_services, database_url
from connector_pipeline.cli.output import err, out
from connector_pipeline.cli.working import working
from connector_pipeline.model.errors import SnapshotMissing, UnknownShop
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.postgres.connections import connect
from connector_pipeline.state import stored_rows

FORMAT: Final = 1
"""The number of the format that docs/operating.md describes, Erase and export."""


def run_export(shop: str, *, to: Path | None, as_json: bool) -> None:
    """Write what is stored of the shop to a folder or a zip archive, and print what it holds.

    Raises UnknownShop if nothing is stored of it, DatabaseUnavailable, ArchiveUnavailable.
    """
    platform_name, domain = parse_partition_key(shop)
    target = Path(f"{platform_name}-{domain}") if to is None else to
    if target.exists():
        raise typer.BadParameter(f"{target} exists already; name a new one.", param_hint="--to")
    with database_services(SchemaUse.ROWS) as settings:
        archive = RawArchive(url=settings.archive_url)
        with connect(database_url(settings)) as connection:
            # All tables as of one moment, although a sync may publish meanwhile.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            snapshot = _latest(archive, shop)
            try:
                with working(f"Writing {target}"), export_files(target) as files:
                    counts = _write(files, connection, shop, snapshot)
            except OSError as error:
                err.print(f"{target} cannot be written: {error.strerror}.", soft_wrap=True)
                raise typer.Exit(1) from None
    if as_json:
        print_json({"shop": shop, "to": str(target), "counts": counts})
    else:
        counted = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        out.print(f"{shop}: {counted} in {target}.", soft_wrap=True)


def _write(
    files: ExportFiles, connection: psycopg.Connection, shop: str, snapshot: Snapshot | None
) -> dict[str, int]:
    counts = {
        name: _rows(files, f"{name}.jsonl", stored_rows.rows(connection, shop, name))
        for name in stored_rows.names()
    }
    counts["raw_pages"] = 0 if snapshot is None else _pages(files, snapshot)
    if not any(counts.values()):
        raise UnknownShop(
            "nothing is stored of it.",
            partition_key=shop,
            remedy="`connector-pipeline shops list` has the shops that are registered.",
        )
    with files.file("export.json") as file:
        described = {"format": FORMAT, "shop": shop, "made_at": datetime.now(UTC)}
        file.write(_line({**described, "counts": counts}))
    return counts


def _rows(files: ExportFiles, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
    number = 0
    with files.file(name) as file:
        for row in rows:
            file.write(_line(row))
            number += 1
    return number


def _pages(files: ExportFiles, snapshot: Snapshot) -> int:
    """Write the pages as the platform sent them, and what the connector noted of each."""
    entries = snapshot.manifest.pages
    noted: list[bytes] = []
    for entry, page in zip(entries, snapshot.pages(), strict=True):
        name = entry.name.removesuffix(".zst")
        with files.file(f"raw/{name}") as file:
            file.write(page.body)
        noted.append(_line({"name": name, "kind": page.kind, "facts": page.facts}))
    with files.file("raw/pages.jsonl") as file:
        file.writelines(noted)
    with files.file("raw/manifest.json") as file:
        file.write(snapshot.manifest.model_dump_json().encode() + b"\n")
    return len(entries)


def _latest(archive: RawArchive, shop: str) -> Snapshot | None:
    try:
        return archive.latest(shop)
    except SnapshotMissing:
        return None


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, default=as_stored).encode() + b"\n"
