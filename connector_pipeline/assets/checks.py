"""The asset checks on `catalog_items`.

One op judges all of them, after the shops were published, from one statement over the run's shops.
In a run without partitions it judges every active shop: only there can a shop be found out that
no run has reached for days. How Dagster 1.13.27 was seen to behave, and so why it is so:

- A step that raises Failure, because one shop of a hundred failed, has its downstream checks
  skipped for the other ninety-nine, and they stay "planned" for ever. Checks inside the asset's
  own op (`check_specs`) fare no better: the failure is raised while its output is handled. So
  assets/reporting.py logs the evaluations of the shops that succeeded before it raises; Dagster
  takes them for the planned ones. Shops that failed are not judged: nothing of theirs was
  published.
- An evaluation in a range run has no partition, and a partitioned check cannot run outside of one
  (DagsterInvariantViolationError), so these checks are not partitioned: an evaluation names the
  shops that fall short.
- None is blocking: whatever its severity, it fails no run, no step and no shop's partition.
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

from connector_pipeline.catalog.expectations import EXPECTATIONS, Expectation, Verdict, judge
from connector_pipeline.catalog.shop_facts import shop_facts
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry

CATALOG_ITEMS: Final = AssetKey("catalog_items")

MOST_SHOPS_NAMED: Final = 20
"""Failing shops that an evaluation names, the worst first: an event is no place for thousands."""


def severity(expectation: Expectation) -> AssetCheckSeverity:
    """ERROR where readers would be misled, WARN where somebody should look."""
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
    """One result per check, over all the shops judged."""
    if context.has_partition_key or context.has_partition_key_range:
        keys = context.partition_keys
    else:
        keys = registry.active_partition_keys()
    for verdict in verdicts(database, keys):
        yield AssetCheckResult(
            check_name=verdict.expectation.name,
            passed=verdict.passed,
            severity=severity(verdict.expectation),
            description=verdict.words,
            metadata=verdict_metadata(verdict),
        )


def evaluations(database: Database, keys: Sequence[str]) -> list[AssetCheckEvaluation]:
    """The same for the shops that were published in a step that is about to fail for others."""
    return [
        AssetCheckEvaluation(
            asset_key=CATALOG_ITEMS,
            check_name=verdict.expectation.name,
            passed=verdict.passed,
            severity=severity(verdict.expectation),
            description=verdict.words,
            metadata=verdict_metadata(verdict),
            blocking=False,
        )
        for verdict in verdicts(database, keys)
    ]


def verdicts(database: Database, keys: Sequence[str]) -> list[Verdict]:
    """Every check's verdict over these shops. Raises DatabaseUnavailable."""
    with database.connect() as connection:
        shops = shop_facts(connection, keys)
    now = datetime.now(UTC)
    return [judge(expectation, shops, now) for expectation in EXPECTATIONS]


def verdict_metadata(verdict: Verdict) -> Mapping[str, MetadataValue]:
    """How many shops were judged and fall short, and the worst of them by name."""
    named = verdict.failing[:MOST_SHOPS_NAMED]
    return {
        "shops_judged": MetadataValue.int(verdict.judged),
        "shops_failing": MetadataValue.int(len(verdict.failing)),
        "failing_shops": MetadataValue.json({key: found.words for key, found in named}),
        "failing_shops_not_named": MetadataValue.int(len(verdict.failing) - len(named)),
    }
