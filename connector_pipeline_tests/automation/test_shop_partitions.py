"""The partitions equal the shops of the registry, paused ones left out."""

from collections.abc import Callable

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    SensorResult,
    SkipReason,
    build_sensor_context,
)
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.assets.partitions import shops
from connector_pipeline.automation.own_storage import StorageOfAnother
from connector_pipeline.automation.shop_partitions import (
    add_active_partitions,
    partition_changes,
    shop_partitions,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry

KEYS = st.sets(st.sampled_from([f"shopify/shop-{n}.myshopify.com" for n in range(8)]))
ACME = "shopify/acme.myshopify.com"
BETA = "woocommerce/beta.example"


@given(active=KEYS, existing=KEYS, in_runs=KEYS)
def test_after_a_change_only_keys_in_runs_are_not_active(
    active: set[str], existing: set[str], in_runs: set[str]
) -> None:
    """The changes make the partitions equal to the registry, except for keys that runs work on."""
    to_add, to_delete = partition_changes(registered=active, existing=existing, in_runs=in_runs)
    after = (existing | set(to_add)) - set(to_delete)
    assert active <= after
    assert after - active == (existing - active) & in_runs
    assert not set(to_delete) & in_runs


@given(active=KEYS, existing=KEYS)
def test_no_key_is_deleted_while_the_keys_in_runs_are_unknown(
    active: set[str], existing: set[str]
) -> None:
    """Deleting a key under a run would kill the run."""
    to_add, to_delete = partition_changes(registered=active, existing=existing, in_runs=None)
    assert set(to_add) == active - existing
    assert to_delete == []


def shop(key: str) -> Shop:
    platform, domain = key.split("/")
    return Shop(
        merchant_id="m-1",
        platform_name=platform,
        platform_shop_id="1",
        domain=domain,
    )


def tick(instance: DagsterInstance, registry: ShopRegistry) -> SensorResult | SkipReason:
    """Evaluate the sensor once and carry out its requests, as the daemon does."""
    with build_sensor_context(instance=instance, resources={"registry": registry}) as context:
        result = shop_partitions(context)
    assert isinstance(result, SensorResult | SkipReason)
    if isinstance(result, SensorResult):
        for request in result.dynamic_partitions_requests or []:
            keys = list(request.partition_keys)
            if type(request).__name__ == "AddDynamicPartitionsRequest":
                instance.add_dynamic_partitions("shops", keys)
            else:
                for key in keys:
                    instance.delete_dynamic_partition("shops", key)
    return result


def test_a_tick_adds_and_removes(registry: ShopRegistry) -> None:
    """Registered shops get partitions; paused and removed ones lose theirs, disconnected ones not.

    A disconnected shop stays where an operator looks for it.
    """
    with DagsterInstance.ephemeral() as instance:
        registry.add(shop(ACME))
        registry.add(shop(BETA))
        tick(instance, registry)
        assert set(instance.get_dynamic_partitions("shops")) == {ACME, BETA}
        registry.set_state(ACME, ShopState.PAUSED)
        tick(instance, registry)
        assert instance.get_dynamic_partitions("shops") == [BETA]
        registry.set_state(ACME, ShopState.DISCONNECTED)
        registry.remove(BETA)
        tick(instance, registry)
        assert instance.get_dynamic_partitions("shops") == [ACME]
        assert isinstance(tick(instance, registry), SkipReason)


def test_a_key_without_a_shop_goes_and_the_log_says_how_to_register_it(
    registry: ShopRegistry, capfd: pytest.CaptureFixture[str]
) -> None:
    """Somebody typed it into the dialog of the UI."""
    with DagsterInstance.ephemeral() as instance:
        registry.add(shop(ACME))
        instance.add_dynamic_partitions("shops", [BETA])
        tick(instance, registry)
        assert instance.get_dynamic_partitions("shops") == [ACME]
    said = capfd.readouterr().err
    assert f"no shop in the registry and are deleted: {BETA}" in said
    assert "connector-pipeline shops add" in said


def other_deployment(new_database: Callable[[str | None], str], template: str) -> ShopRegistry:
    """The registry of another deployment, without a shop."""
    registry = ShopRegistry(database=Database(url=new_database(template)))
    with registry.database.connect() as connection:
        # Every database is made at another time, but for the tests' copies of one template.
        connection.execute("UPDATE connector.installation SET made_at = made_at - interval '1 h'")
    return registry


def test_a_storage_of_another_deployment_keeps_its_partitions(
    registry: ShopRegistry, new_database: Callable[[str | None], str], migrated_template: str
) -> None:
    """The default database `dagster` of a server is the same for two catalogs beside it."""
    other = other_deployment(new_database, migrated_template)
    with DagsterInstance.ephemeral() as instance:
        registry.add(shop(ACME))
        tick(instance, registry)
        result = tick(instance, other)
        assert isinstance(result, SkipReason)
        assert "DAGSTER_POSTGRES_URL: " in str(result.skip_message)
        other.add(shop(BETA))
        with pytest.raises(StorageOfAnother, match=r"^DAGSTER_POSTGRES_URL: "):
            add_active_partitions(instance, other)
        assert instance.get_dynamic_partitions("shops") == [ACME]


def test_a_command_does_not_claim_a_storage_with_partitions_of_others(
    registry: ShopRegistry, new_database: Callable[[str | None], str], migrated_template: str
) -> None:
    """An older version noted no owner, and its daemon is to do so at its first tick."""
    other = other_deployment(new_database, migrated_template)
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [ACME])
        registry.add(shop(ACME))
        other.add(shop(BETA))
        add_active_partitions(instance, other)
        assert not isinstance(tick(instance, registry), SkipReason)
        assert instance.get_dynamic_partitions("shops") == [ACME]
        with pytest.raises(StorageOfAnother):
            add_active_partitions(instance, other)


def test_a_registry_that_cannot_be_read_is_not_an_empty_one() -> None:
    """An outage of the database deletes no partition."""
    nowhere = ShopRegistry(database=Database(url="postgresql://nobody@127.0.0.1:1/nothing"))
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [ACME])
        result = tick(instance, nowhere)
        assert isinstance(result, SkipReason)
        assert "DatabaseUnavailable" in str(result.skip_message)
        assert instance.get_dynamic_partitions("shops") == [ACME]


def test_a_database_that_was_not_migrated_is_named_in_the_tick(empty_database_url: str) -> None:
    """A deployment that forgot to migrate says so, with the remedy, and removes no partition."""
    unmigrated = ShopRegistry(database=Database(url=empty_database_url))
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [ACME])
        result = tick(instance, unmigrated)
        assert isinstance(result, SkipReason)
        assert "DatabaseNotMigrated" in str(result.skip_message)
        assert "connector-pipeline migrate" in str(result.skip_message)
        assert instance.get_dynamic_partitions("shops") == [ACME]


def test_a_key_stays_while_a_run_works_on_it(registry: ShopRegistry) -> None:
    """The partition goes at the first tick after the run."""
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [ACME, BETA])
        run = create_run_for_test(
            instance, status=DagsterRunStatus.STARTED, tags={"dagster/partition": ACME}
        )
        tick(instance, registry)
        assert instance.get_dynamic_partitions("shops") == [ACME]
        instance.report_run_failed(run)
        tick(instance, registry)
        assert instance.get_dynamic_partitions("shops") == []


def test_no_key_goes_while_a_run_works_on_a_range(registry: ShopRegistry) -> None:
    """The keys between a range's ends change with the partitions, so all deletions wait."""
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [ACME, BETA])
        create_run_for_test(
            instance,
            status=DagsterRunStatus.STARTED,
            tags={
                "dagster/asset_partition_range_start": ACME,
                "dagster/asset_partition_range_end": ACME,
            },
        )
        tick(instance, registry)
        assert set(instance.get_dynamic_partitions("shops")) == {ACME, BETA}


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        (BulkActionStatus.REQUESTED, True),
        (BulkActionStatus.CANCELING, True),
        (BulkActionStatus.COMPLETED_SUCCESS, False),
        (BulkActionStatus.FAILED, False),
    ],
)
def test_no_key_goes_while_a_backfill_is_under_way(
    registry: ShopRegistry, status: BulkActionStatus, kept: bool
) -> None:
    """A backfill whose key is gone fails as a whole, also between its runs."""
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [ACME, BETA])
        instance.add_backfill(
            PartitionBackfill(
                backfill_id="b-1",
                status=status,
                from_failure=False,
                tags={},
                backfill_timestamp=0.0,
            )
        )
        tick(instance, registry)
        assert bool(instance.get_dynamic_partitions("shops")) == kept


def test_the_partitions_definition_is_called_shops() -> None:
    """Operators and backfills use this name."""
    assert shops.name == "shops"
