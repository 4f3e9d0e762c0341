"""The graph of assets as the UI shows it: the origins, our two assets, the readers, in words.

The origins and the readers are external assets: Dagster shows them and never materializes them. The
project's own assets get what depends on the settings and on the installed adapters here, because
their modules are imported before either is known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dagster import AssetKey, AssetsDefinition, AssetSpec, MetadataValue, TableColumn, TableSchema

from connector_pipeline.assets import words
from connector_pipeline.assets.columns import (
    TABLE_NAME,
    catalog_lineage,
    catalog_schema,
    view_lineage,
)
from connector_pipeline.model.redaction import redacted
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.kit.source import PlatformSource
from connector_pipeline.postgres.grants import READER_ROLE
from connector_pipeline.settings import Settings

CATALOG_ITEMS: Final = AssetKey("catalog_items")
TOKEN_SERVICE: Final = AssetKey("token_service")
AVAILABLE_ITEMS: Final = AssetKey("available_items")
SYNC_EVENTS: Final = AssetKey("sync_events")

_LAYER: Final = "connector/layer"
_READABLE: Final = {"readable_by_role": MetadataValue.text(READER_ROLE)}


def platform_key(platform_name: str) -> AssetKey:
    """The key of the external asset of a platform's shops. The graph shows a key's last part."""
    return AssetKey(f"{platform_name}_shops")


def _place(adapter: type[Adapter]) -> str:
    return f"{adapter.__module__}.{adapter.__qualname__}"


@dataclass(frozen=True, slots=True)
class Graph:
    """The assets around our own, and ours with all that the UI shows of their definitions."""

    settings: Settings
    adapters: Mapping[str, type[Adapter]]

    def external(self) -> list[AssetSpec]:
        """The Token Service, each platform, and what readers take from the catalog."""
        return [self._token_service(), *self._platforms(), self._available_items(), self._events()]

    def raw_products(self, asset: AssetsDefinition) -> AssetsDefinition:
        """`raw_products`, downstream of the Token Service and of every platform."""
        upstream = [TOKEN_SERVICE, *map(platform_key, self.adapters)]
        return asset.map_asset_specs(
            lambda spec: spec.replace_attributes(  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
                deps=upstream,
                description=words.raw_products(self.settings),
                owners=self.settings.owners,
                tags={_LAYER: "raw"},
                kinds=spec.kinds,
                metadata={
                    "dagster/uri": MetadataValue.text(redacted(self.settings.archive_url)),
                    "snapshots_kept_per_shop": MetadataValue.int(self.settings.raw_archive_keep),
                    "most_shops_per_run": MetadataValue.int(self.settings.shops_per_run),
                },
            )
        )

    def shop_health(self, asset: AssetsDefinition) -> AssetsDefinition:
        """`shop_health`, beside the others: it is made of the registry."""
        return asset.map_asset_specs(
            lambda spec: spec.replace_attributes(  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
                description=words.shop_health(self.settings),
                owners=self.settings.owners,
            )
        )

    def catalog_items(self, asset: AssetsDefinition) -> AssetsDefinition:
        """`catalog_items`, with its table, its columns and the platforms' fields behind them."""
        return asset.map_asset_specs(
            lambda spec: spec.replace_attributes(  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
                description=words.catalog_items(self.settings),
                owners=self.settings.owners,
                tags={_LAYER: "catalog"},
                kinds=spec.kinds,
                metadata={
                    "dagster/table_name": MetadataValue.text(TABLE_NAME),
                    **_READABLE,
                    "dagster/column_schema": MetadataValue.table_schema(
                        catalog_schema(self._sources())
                    ),
                    "dagster/column_lineage": MetadataValue.column_lineage(
                        catalog_lineage(self._sources(), platform_key)
                    ),
                },
            )
        )

    def _sources(self) -> dict[str, PlatformSource]:
        return {
            name: adapter.source or PlatformSource(title=name, reads="")
            for name, adapter in self.adapters.items()
        }

    def _token_service(self) -> AssetSpec:
        return self._spec(
            TOKEN_SERVICE,
            group="sources",
            layer="source",
            kinds={"http"},
            description=words.token_service(self.settings),
            metadata={
                "url": MetadataValue.text(redacted(self.settings.token_service_url or "unset"))
            },
        )

    def _platforms(self) -> Iterable[AssetSpec]:
        for name, source in self._sources().items():
            columns_of: dict[str, list[str]] = {}
            for column, fields in source.fields.items():
                for each in fields:
                    columns_of.setdefault(each, []).append(column)
            schema = TableSchema(
                columns=[
                    TableColumn(each, "json", description=f"Makes {', '.join(columns_of[each])}.")
                    for each in sorted(columns_of)
                ]
            )
            yield self._spec(
                platform_key(name),
                group="sources",
                layer="source",
                kinds={name},
                description=words.platform(self.settings, source),
                metadata={
                    "adapter": MetadataValue.text(_place(self.adapters[name])),
                    **(
                        {"dagster/column_schema": MetadataValue.table_schema(schema)}
                        if columns_of
                        else {}
                    ),
                },
            )

    def _available_items(self) -> AssetSpec:
        return self._spec(
            AVAILABLE_ITEMS,
            group="readers",
            layer="reader",
            kinds={"postgres", "view"},
            deps=[CATALOG_ITEMS],
            description=words.available_items(self.settings),
            metadata={
                "dagster/table_name": MetadataValue.text("catalog.available_items"),
                **_READABLE,
                "dagster/column_lineage": MetadataValue.column_lineage(view_lineage(CATALOG_ITEMS)),
            },
        )

    def _events(self) -> AssetSpec:
        return self._spec(
            SYNC_EVENTS,
            group="readers",
            layer="reader",
            kinds={"postgres"} if self.settings.nats_url is None else {"postgres", "nats"},
            deps=[CATALOG_ITEMS],
            description=words.sync_events(self.settings),
            metadata={
                "dagster/table_name": MetadataValue.text("connector.outbox"),
                "sent_to": MetadataValue.text(
                    "nowhere: NATS_URL is unset"
                    if self.settings.nats_url is None
                    else f"the stream {self.settings.nats_stream} of NATS"
                ),
            },
        )

    def _spec(
        self,
        key: AssetKey,
        *,
        group: str,
        layer: str,
        kinds: set[str],
        description: str,
        deps: Iterable[AssetKey] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> AssetSpec:
        return AssetSpec(
            key,
            deps=deps,
            description=description,
            metadata=metadata,
            group_name=group,
            owners=self.settings.owners,
            tags={_LAYER: layer},
            kinds=kinds,
        )
