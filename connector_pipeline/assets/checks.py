"""The asset checks on `catalog_items`.

A check is about all registered shops, and stays red until the last of them is put right. The sensor
of `shop_health` judges every shop by one statement every few minutes. Besides, each run judges its
shops together with those that the last evaluation named as falling short: so a finding shows at
once and goes at once, and the sync of a good shop hides no other. (One statement over 10,000 shops
and 1,000,000 rows takes 1.3 s, over a run's hundred shops 15 ms: in every run of a sweep the former
would cost more than the sync.) The checks run alone, without a partition, judge every shop, too.

One op makes all checks with one query, after its shops were published. The reasons for this form
(docs/facts/dagster.md, Checks and freshness; Dagster 1.13.27):

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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    DagsterInstance,
    IntMetadataValue,
    MetadataValue,
    ResourceParam,
    TableColumn,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    multi_asset_check,
)

from connector_pipeline.catalog.expectations import EXPECTATIONS, Expectation, Judgement, judge
from connector_pipeline.catalog.shop_facts import facts_of_all_shops, shop_facts
from connector_pipeline.engine.check_history import last_evaluation
from connector_pipeline.model.counted import counted
from connector_pipeline.postgres.database import Database

CATALOG_ITEMS: Final = AssetKey("catalog_items")
_NAMED: Final = "failing_shops"
_NOT_NAMED: Final = "failing_shops_not_named"

MOST_SHOPS_NAMED: Final = 20
"""Failing shops that an evaluation names, the worst first: thousands would swell the event log."""


def severity(expectation: Expectation) -> AssetCheckSeverity:
    """ERROR if a failing shop misleads readers, WARN if an operator should look at it."""
    misled = expectation.misleads_readers
    return AssetCheckSeverity.ERROR if misled else AssetCheckSeverity.WARN


@multi_asset_check(
    name="catalog_checks",
    description="Judges the run's shops and those that fell short before; without a partition "
    "every shop.",
    specs=[
        AssetCheckSpec(expectation.name, asset=CATALOG_ITEMS, description=expectation.description)
        for expectation in EXPECTATIONS
    ],
    # Without it the UI's *Execute* is grey: each check must be able to run alone.
    can_subset=True,
)
def catalog_checks(
    context: AssetCheckExecutionContext, database: ResourceParam[Database]
) -> Iterator[AssetCheckResult]:
    """Yield one result per check of the run."""
    wanted = {key.name for key in context.selected_asset_check_keys}
    if context.has_partition_key or context.has_partition_key_range:
        found = judgements(database, context.partition_keys, fell_short(context.instance))
    else:
        found = judgements_of_all(database)
    for judgement in found:
        if judgement.expectation.name not in wanted:
            continue
        yield AssetCheckResult(
            check_name=judgement.expectation.name,
            passed=judgement.passed,
            severity=severity(judgement.expectation),
            description=judgement.words,
            metadata=judgement_metadata(judgement),
        )


@dataclass(frozen=True, slots=True)
class FellShort:
    """What the last evaluation of a check found: the shops that it named, and how many it did not.

    The unnamed ones keep a check red until all shops are judged again.
    """

    named: frozenset[str] = frozenset()
    others: int = 0


def fell_short(instance: DagsterInstance) -> dict[str, FellShort]:
    """By check, what its last evaluation found, whichever run or tick made it."""
    found: dict[str, FellShort] = {}
    for expectation in EXPECTATIONS:
        last = last_evaluation(instance, AssetCheckKey(CATALOG_ITEMS, expectation.name))
        if last is None or last.passed:
            continue
        named, others = last.metadata.get(_NAMED), last.metadata.get(_NOT_NAMED)
        found[expectation.name] = FellShort(
            frozenset(
                str(record.data["shop"])
                for record in (named.records if isinstance(named, TableMetadataValue) else ())
            ),
            others.value or 0 if isinstance(others, IntMetadataValue) else 0,
        )
    return found


def evaluations(
    database: Database, instance: DagsterInstance, keys: Sequence[str]
) -> list[AssetCheckEvaluation]:
    """Evaluate every check over these shops and those that fell short before.

    For a step that logs the evaluations itself.
    """
    return as_evaluations(judgements(database, keys, fell_short(instance)))


def as_evaluations(found: Iterable[Judgement]) -> list[AssetCheckEvaluation]:
    """The judgements as Dagster's events."""
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
        for judgement in found
    ]


def judgements(
    database: Database, keys: Sequence[str], before: Mapping[str, FellShort]
) -> list[Judgement]:
    """Judge these shops by every expectation, and by each also those that fell short of it before.

    Raises DatabaseUnavailable.
    """
    wanted = set(keys).union(*(each.named for each in before.values()))
    with database.connect() as connection:
        shops = shop_facts(connection, sorted(wanted))
    now = datetime.now(UTC)
    return [
        judge(expectation, shops, now, others_failing=before[expectation.name].others)
        if expectation.name in before
        else judge(expectation, shops, now)
        for expectation in EXPECTATIONS
    ]


def judgements_of_all(database: Database) -> list[Judgement]:
    """Judge every registered shop by every expectation. Raises DatabaseUnavailable."""
    with database.connect() as connection:
        shops = facts_of_all_shops(connection)
    now = datetime.now(UTC)
    return [judge(expectation, shops, now) for expectation in EXPECTATIONS]


def judgement_metadata(judgement: Judgement) -> Mapping[str, MetadataValue]:
    """How many shops were judged and fall short, and the worst of these by name.

    Only the number of those that fall short is plotted: a run judges its own shops and no others.
    """
    named = judgement.failing[:MOST_SHOPS_NAMED]
    not_named = len(judgement.failing) - len(named) + judgement.others_failing
    return {
        "shops_judged": MetadataValue.text(counted(judgement.judged, "shop")),
        "shops_failing": MetadataValue.int(len(judgement.failing) + judgement.others_failing),
        **(
            {
                _NAMED: MetadataValue.table(
                    records=[
                        TableRecord({"shop": key, "finding": found.words}) for key, found in named
                    ],
                    schema=TableSchema(columns=[TableColumn("shop"), TableColumn("finding")]),
                )
            }
            if named
            else {}
        ),
        **({_NOT_NAMED: MetadataValue.int(not_named)} if not_named else {}),
    }
