"""The columns of `catalog.catalog_items`, and the platforms' fields that they are made of."""

from collections.abc import Callable, Mapping
from typing import Final

from dagster import (
    AssetKey,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)

from connector_pipeline.model.catalog_columns import CATALOG_COLUMNS
from connector_pipeline.platforms.kit.source import PlatformSource

TABLE_NAME: Final = "catalog.catalog_items"


def catalog_schema(sources: Mapping[str, PlatformSource]) -> TableSchema:
    """The columns with types, comments and, in words, the fields of each platform.

    In words too, because the UI of Dagster 1.13.27 without Dagster+ shows no column lineage.
    """
    return TableSchema(
        columns=[
            TableColumn(
                name=column.name,
                type=column.type,
                description=f"{column.comment}{_origin(column.name, sources)}",
                constraints=TableColumnConstraints(nullable=column.nullable),
            )
            for column in CATALOG_COLUMNS
        ]
    )


def _origin(column: str, sources: Mapping[str, PlatformSource]) -> str:
    found = [
        f"{source.title}: {', '.join(source.fields[column])}"
        for source in sources.values()
        if column in source.fields
    ]
    return f" From {'; '.join(found)}." if found else ""


def catalog_lineage(
    sources: Mapping[str, PlatformSource], key_of: Callable[[str], AssetKey]
) -> TableColumnLineage:
    """For each column that answers fill, the fields of the platforms' assets that make it."""
    return TableColumnLineage(
        deps_by_column={
            column.name: [
                TableColumnDep(asset_key=key_of(platform_name), column_name=field)
                for platform_name, source in sources.items()
                for field in source.fields.get(column.name, ())
            ]
            for column in CATALOG_COLUMNS
            if any(column.name in source.fields for source in sources.values())
        }
    )


def view_lineage(table: AssetKey) -> TableColumnLineage:
    """Of the view of available items: each column is the table's of the same name."""
    return TableColumnLineage(
        deps_by_column={
            column.name: [TableColumnDep(asset_key=table, column_name=column.name)]
            for column in CATALOG_COLUMNS
            if column.name != "deleted_at"
        }
    )
