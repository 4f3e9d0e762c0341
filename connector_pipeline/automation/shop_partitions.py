"""The sensor that makes the partitions equal to the shops of the registry, but for paused ones.

A disconnected shop keeps its partition: it is in trouble, and its page says which. A run or a
backfill that meets it fails it at once with the remedy and asks its platform nothing.
"""

from collections.abc import Iterable
from typing import Final

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.assets.partitions import shops
from connector_pipeline.automation.busy_shops import busy_shops
from connector_pipeline.automation.own_storage import has_only, refuse_storage_of_another
from connector_pipeline.engine.backfills import a_backfill_is_under_way
from connector_pipeline.engine.runs_under_way import is_of_a_range, runs_under_way
from connector_pipeline.model.counted import counted
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.state.registry import ShopRegistry

EVERY_SECONDS: Final = 15
_NAMED: Final = 20


def partition_changes(
    *, registered: Iterable[str], existing: Iterable[str], in_runs: Iterable[str] | None
) -> tuple[list[str], list[str]]:
    """Compute the keys to add and the keys to delete, each sorted.

    `in_runs` are the keys that runs under way work on, or None if these are not known for all runs.
    Deleting a key kills a run that works on it, so a key that may be in a run is left for a later
    tick.
    """
    wanted, present = set(registered), set(existing)
    to_add = sorted(wanted - present)
    to_delete = [] if in_runs is None else sorted(present - wanted - set(in_runs))
    return to_add, to_delete


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Adds a partition for every shop of the registry that is not paused, and removes the "
        "others. A key that was added here by hand has no shop: register it instead, by "
        "connector-pipeline shops add SHOP --merchant-id M."
    ),
)
def shop_partitions(
    context: SensorEvaluationContext, registry: ResourceParam[ShopRegistry]
) -> SensorResult | SkipReason:
    """Compare the registry with the partitions and ask Dagster for the difference."""
    try:
        refuse_storage_of_another(context.instance, registry.database)
        registered = registry.visible_partition_keys()
    except ConnectorError as error:
        # A registry that cannot be read is not an empty registry.
        return SkipReason(f"{error.code}: {error} No partition was changed.")
    existing = context.instance.get_dynamic_partitions(str(shops.name))
    to_add, to_delete = partition_changes(
        registered=registered, existing=existing, in_runs=_keys_in_runs(context)
    )
    if not to_add and not to_delete:
        return SkipReason(f"{counted(len(existing), 'partition')}, as in the registry.")
    requests = [
        build(keys)
        for build, keys in (
            (shops.build_add_request, to_add),
            (shops.build_delete_request, to_delete),
        )
        if keys
    ]
    if to_delete and (unknown := set(to_delete) - set(registry.registered(to_delete))):
        named = ", ".join(sorted(unknown)[:_NAMED])
        context.log.warning(
            f"{len(unknown)} partitions have no shop in the registry and are deleted: {named}. To "
            "have one synced: `connector-pipeline shops add SHOP --merchant-id M`."
        )
    changes = f"Adding {counted(len(to_add), 'partition')}, deleting {len(to_delete)}."
    context.log.info(changes)
    # Without a reason Dagster would say that the tick had an empty result.
    return SensorResult(dynamic_partitions_requests=requests, skip_reason=changes)


def add_active_partitions(instance: DagsterInstance, registry: ShopRegistry) -> None:
    """Add the partitions that the next tick would add, so that a new run need not wait for it.

    Raises StorageOfAnother before it adds any, if Dagster's storage is another deployment's.
    """
    existing = instance.get_dynamic_partitions(str(shops.name))
    known = [shop.partition_key for shop in registry.list()]
    # In a storage that nobody has claimed yet, partitions of others are a reason not to claim it.
    refuse_storage_of_another(instance, registry.database, claims=has_only(existing, known))
    to_add, _ = partition_changes(
        registered=registry.visible_partition_keys(), existing=existing, in_runs=None
    )
    if to_add:
        instance.add_dynamic_partitions(str(shops.name), to_add)


def _keys_in_runs(context: SensorEvaluationContext) -> set[str] | None:
    if a_backfill_is_under_way(context.instance):
        # Between the runs of a backfill no run works on a key. But the whole backfill fails if one
        # of its keys is deleted, as happens when one of its shops turns out to be disconnected.
        return None
    runs = runs_under_way(context.instance)
    if any(is_of_a_range(run) for run in runs):
        # The keys between the two ends of a range change with the partitions.
        return None
    return busy_shops(context.instance, runs)
