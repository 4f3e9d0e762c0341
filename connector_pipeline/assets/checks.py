"""The asset checks on `catalog_items`.

One op makes all checks with one query over the run's shops, after they were published. In a run
without partitions it judges every active shop: only such a run finds a shop that no run has reached
for days. The reasons for this form (docs/facts/dagster.md, Checks and freshness; Dagster 1.13.27):

- If a step raises Failure, because one shop of a hundred failed, Dagster skips the checks that
  follow it for the other ninety-nine, and those stay "planned" for ever. Checks in the asset's own
  op (`check_specs`) fare no better, because the failure is raised while the op's output is handled.
  So assets/reporting.py logs the evaluations of the shops that succeeded before it raises, and
  Dagster takes them for the planned ones. Shops that failed are not judged, because nothing of
  theirs was published.
- In a run over a range of partitions an evaluation has no partition, and a partitioned check cannot
  run without partitions (DagsterInvariantViolationError). So these checks are not partitioned, and
  an evaluation names the shops that fall short.
- No check is blocking: whatever its severity, it fails no run, no step and no shop's partition.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
    ResourceParam,
    multi_asset_check,
)

from connector_pipeline.catalog.expectations import EXPECTATIONS, Expectation, Judgement, judge
from connector_pipeline.catalog.shop_facts import shop_facts
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry

CATALOG_ITEMS: Final = AssetKey("catalog_items")

MOST_SHOPS_NAMED: Final = 20
"""Failing shops that an evaluation names, the worst first: thousands would swell the event log."""


def severity(expectation: Expectation) -> AssetCheckSeverity:
    """ERROR if a failing shop misleads readers, WARN if an operator should look at it."""
    misled = expectation.misleads_readers
    return AssetCheckSeverity.ERROR if misled else AssetCheckSeverity.WARN


@multi_asset_check(
    name="catalog_checks",
    description="Judges the run's shops, or every active shop in a run without partitions.",
    specs=[
        AssetCheckSpec(expectation.name, asset=CATALOG_ITEMS, description=expectation.description)
        for expectation in EXPECTATIONS
    ],
)
def catalog_checks(
    context: AssetCheckExecutionContext,
    database: ResourceParam[Database],
    registry: ResourceParam[ShopRegistry],
) -> Iterator[AssetCheckResult]:
    """Yield one result per check, over all judged shops."""
    if context.has_partition_key or context.has_partition_key_range:
        keys = context.partition_keys
    else:
        keys = registry.active_partition_keys()
    for judgement in judgements(database, keys):
        yield AssetCheckResult(
            check_name=judgement.expectation.name,
            passed=judgement.passed,
            severity=severity(judgement.expectation),
            description=judgement.words,
            metadata=judgement_metadata(judgement),
        )


def evaluations(database: Database, keys: Sequence[str]) -> list[AssetCheckEvaluation]:
    """Evaluate every check over these shops, for a step that logs the evaluations itself."""
    return [
        AssetCheckEvaluation(
            asset_key=CATALOG_ITEMS,
            check_name=judgement.expectation.name,
            passed=judgement.passed,
            severity=severity(judgement.expectation),
            description=judgement.words,
            metadata=judgement_metadata(judgement),
            blocking=False,
        )
        for judgement in judgements(database, keys)
    ]


def judgements(database: Database, keys: Sequence[str]) -> list[Judgement]:
    """Judge these shops by every expectation. Raises DatabaseUnavailable."""
    with database.connect() as connection:
        shops = shop_facts(connection, keys)
    now = datetime.now(UTC)
    return [judge(expectation, shops, now) for expectation in EXPECTATIONS]


def judgement_metadata(judgement: Judgement) -> Mapping[str, MetadataValue]:
    """The numbers of shops that were judged and that fall short, and the worst of them by name."""
    named = judgement.failing[:MOST_SHOPS_NAMED]
    return {
        "shops_judged": MetadataValue.int(judgement.judged),
        "shops_failing": MetadataValue.int(len(judgement.failing)),
        "failing_shops": MetadataValue.json({key: found.words for key, found in named}),
        "failing_shops_not_named": MetadataValue.int(len(judgement.failing) - len(named)),
    }
