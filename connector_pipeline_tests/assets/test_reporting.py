"""Each shop of a run is materialized or failed, whatever happens to the others."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    BackfillPolicy,
    DagsterInstance,
    DynamicPartitionsDefinition,
    MetadataValue,
    asset,
    materialize,
)
from dagster._utils import Counter as QueryCounter
from dagster._utils import traced_counter

from connector_pipeline.assets.reporting import Evaluate, PartitionMetadata, report_partitions
from connector_pipeline.model.errors import (
    ConnectorError,
    DatabaseUnavailable,
    PlatformUnavailable,
    ShopDisconnected,
)

KEYS = [f"shopify/shop-{number}.myshopify.com" for number in range(6)]


def counting_asset(
    failing: Mapping[str, ConnectorError], evaluate: Evaluate | None = None
) -> AssetsDefinition:
    """An asset that reports a number for each shop, and fails the given shops."""

    @asset(partitions_def=DynamicPartitionsDefinition(name="shops"))
    def counted(context: AssetExecutionContext) -> None:
        succeeded: dict[str, PartitionMetadata] = {
            key: {"number": MetadataValue.int(number)}
            for number, key in enumerate(context.partition_keys)
            if key not in failing
        }
        report_partitions(context, succeeded, failing, evaluate=evaluate)

    return counted.with_attributes(backfill_policy=BackfillPolicy.multi_run(100))


def outcomes(
    failing: Mapping[str, ConnectorError], keys: list[str], evaluate: Evaluate | None = None
) -> tuple[Counter[str], bool]:
    """How often one run over `keys` materialized each partition, and whether it succeeded."""
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", keys)
        ranged = {
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        }
        result = materialize(
            [counting_asset(failing, evaluate)],
            instance=instance,
            partition_key=keys[0] if len(keys) == 1 else None,
            tags=ranged if len(keys) > 1 else {},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        records = instance.fetch_materializations(
            AssetRecordsFilter(asset_key=AssetKey("counted")), limit=100
        ).records
        return Counter(str(record.partition_key) for record in records), result.success


@pytest.mark.parametrize(
    "bad", [[], KEYS[:1], KEYS[-1:], KEYS[1:4], KEYS], ids=["none", "first", "last", "some", "all"]
)
def test_exactly_the_good_shops_are_materialized_once(bad: list[str]) -> None:
    """None is materialized twice, none is missing, and a run with a failed shop fails."""
    materialized, success = outcomes({key: PlatformUnavailable("it is down.") for key in bad}, KEYS)
    assert materialized == Counter(key for key in KEYS if key not in bad)
    assert success == (not bad)


@pytest.mark.parametrize("bad", [[], KEYS[:1]], ids=["good", "bad"])
def test_a_run_over_one_shop_ends_as_the_shop_does(bad: list[str]) -> None:
    """It is a run over a single partition, as from the UI."""
    materialized, success = outcomes({key: ShopDisconnected("no.") for key in bad}, KEYS[:1])
    assert (sum(materialized.values()), success) == ((0, False) if bad else (1, True))


def test_the_cost_of_a_shop_does_not_grow_with_the_number_of_partitions() -> None:
    """Dagster's public method reads all partitions, tens of thousands, for each shop."""
    lookups: list[int] = []
    for number in (1, 2):
        counter = QueryCounter()
        token = traced_counter.set(counter)
        materialized, success = outcomes({}, KEYS[: 3 * number])
        traced_counter.reset(token)
        assert (sum(materialized.values()), success) == (3 * number, True)
        lookups.append(
            sum(calls for what, calls in counter.counts().items() if "dynamic_partition" in what)
        )
    assert lookups[0] == lookups[1] > 0


@pytest.mark.parametrize("bad", [[], KEYS[1:4], KEYS], ids=["none", "some", "all"])
def test_the_step_itself_checks_the_good_shops_only_if_others_failed(bad: list[str]) -> None:
    """Otherwise the checks that follow the step judge them."""
    asked: list[list[str]] = []

    def evaluate(keys: Sequence[str]) -> list[AssetCheckEvaluation]:
        asked.append(sorted(keys))
        return []

    outcomes({key: ShopDisconnected("no.") for key in bad}, KEYS, evaluate)
    good = [key for key in KEYS if key not in bad]
    assert asked == ([good] if bad and good else [])


@pytest.mark.parametrize("error", [DatabaseUnavailable("it is down."), RuntimeError("a defect")])
def test_checks_that_cannot_be_evaluated_fail_no_shop(error: Exception) -> None:
    """The shops that succeeded are materialized all the same."""

    def evaluate(keys: Sequence[str]) -> list[AssetCheckEvaluation]:
        raise error

    bad = {KEYS[0]: ShopDisconnected("no.")}
    materialized, success = outcomes(bad, KEYS, evaluate)
    assert materialized == Counter(KEYS[1:])
    assert not success
