"""Report to Dagster how each shop of a step ended, so that each partition has its own status.

All ways that Dagster offers for this were tried (docs/facts/dagster.md, One run, many shops). If
every shop succeeded, this module adds metadata per partition, and Dagster writes one
materialization each. If some failed, this module logs the materializations of those that succeeded
and fails the step: exactly the former are then materialized, and exactly the latter failed. Any
other way loses or doubles events.
"""

import re
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DagsterExecutionInterruptedError,
    MetadataValue,
    OpExecutionContext,
)

from connector_pipeline.engine.asset_events import (
    add_partition_metadata,
    log_check_evaluations,
    plan_materializations,
    write_materializations,
)
from connector_pipeline.engine.plain_failure import PlainFailure
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.storable import clipped
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import LOOKING
from connector_pipeline.settings import load_settings
from connector_pipeline.state.shop_health import TroubledShop, troubles_of
from connector_pipeline.state.sweep_times import next_sweep_begins
from connector_pipeline.sync.interruptible import Interrupted
from connector_pipeline.sync.outcomes import as_connector_error, summarize

PartitionMetadata = Mapping[str, MetadataValue]
Troubles = Mapping[str, TroubledShop]
Evaluate = Callable[[Sequence[str]], Sequence[AssetCheckEvaluation]]

_LONGEST_TEXT = 2_000
_PLACEHOLDER = re.compile(r"\bSHOP\b")


def report_partitions(
    context: AssetExecutionContext,
    succeeded: Mapping[str, PartitionMetadata],
    failed: Mapping[str, ConnectorError],
    *,
    evaluate: Evaluate | None = None,
    database: Database | None = None,
    fails_too: AssetKey | None = None,
) -> None:
    """Report the partitions that succeeded, with their metadata, and those that failed.

    If any shop failed, Dagster skips the checks that follow the step; `evaluate` then evaluates
    them for the shops that succeeded. `database` has since when a shop fails. `fails_too` is the
    asset that is made of this one: of a shop that failed its partition fails, too, also where a
    backfill has runs of their own for the two. Raises Failure if any shop failed.
    """
    if not failed:
        add_partition_metadata(context, context.asset_key, succeeded)
        return
    write_materializations(
        context,
        [
            AssetMaterialization(context.asset_key, partition=key, metadata=metadata)
            for key, metadata in succeeded.items()
        ],
    )
    if succeeded and evaluate is not None:
        report_checks(context, evaluate, list(succeeded))
    troubles = troubles_of_shops(context, list(failed), database)
    explain_failures(context, context.asset_key, failed, troubles)
    if fails_too is not None:
        # Planned a second time, where the run has both assets, it fails just as well.
        plan_materializations(context, fails_too, list(failed))
        explain_failures(context, fails_too, failed, troubles)
    raise failure_of(
        {key: error.code for key, error in failed.items()},
        summarize(failed, of=len(succeeded) + len(failed)),
        troubles,
    )


def explain_failures(
    context: OpExecutionContext | AssetExecutionContext,
    asset_key: AssetKey,
    failed: Mapping[str, ConnectorError],
    troubles: Troubles,
) -> None:
    """Log an observation on each failed partition: its error, the remedy, since when, what follows.

    Of a partition that failed the UI shows the run, and of the run's failure the page of all its
    shops. The observation is on the page of the partition itself.
    """
    for key, error in failed.items():
        context.log_event(
            AssetObservation(
                asset_key,
                partition=key,
                description=f"{key}: {clipped(error.message, most_bytes=_LONGEST_TEXT)}",
                metadata=_explanation(key, error, troubles.get(key)),
            )
        )


def _explanation(
    key: str, error: ConnectorError, trouble: TroubledShop | None
) -> PartitionMetadata:
    """Text, not Markdown: platforms and merchants have their words in an error.

    A command of the remedy can be copied as it is: it names the shop, and not SHOP.
    """
    remedy = clipped(error.remedy, most_bytes=_LONGEST_TEXT)
    explained: dict[str, MetadataValue] = {
        "error": MetadataValue.text(clipped(error.message, most_bytes=_LONGEST_TEXT)),
        "remedy": MetadataValue.text(_PLACEHOLDER.sub(lambda _: shlex.quote(key), remedy)),
    }
    if trouble is not None:
        explained["failing_since"] = MetadataValue.timestamp(trouble.since)
        if (next_try := _next_try(trouble)) is not None:
            explained["next_try"] = MetadataValue.timestamp(next_try)
        if trouble.last_successful_sync_at is not None:
            explained["last_good_sync"] = MetadataValue.timestamp(trouble.last_successful_sync_at)
        explained["failures"] = MetadataValue.int(trouble.consecutive_failures)
        explained["state"] = MetadataValue.text(trouble.state)
    return explained | {"error_code": MetadataValue.text(error.code)}


def _next_try(trouble: TroubledShop) -> datetime | None:
    """When the shop is read again without being asked for, if it is known."""
    if trouble.state == ShopState.DISCONNECTED:
        return trouble.ask_again_at
    return next_sweep_begins(load_settings())


def _tried_again(troubles: Troubles) -> str:
    """When the failed shops are tried again, as the last line of a failure's text."""
    tries = {trouble.state: _next_try(trouble) for trouble in troubles.values()}
    said: list[str] = []
    if (sweep := tries.get(ShopState.ACTIVE)) is not None:
        said.append(f"Next try: with the sweep at {_time(sweep)}.")
    if (asked := tries.get(ShopState.DISCONNECTED)) is not None:
        said.append(
            f"The shop is disconnected. Next try: {_time(asked)}."
            if len(troubles) == 1
            else "Disconnected shops are asked again at growing distances."
        )
    return " ".join(said)


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def troubles_of_shops(
    context: OpExecutionContext | AssetExecutionContext,
    keys: Sequence[str],
    database: Database | None,
) -> Troubles:
    """What the registry says of shops that failed, by key; nothing if Postgres does not answer."""
    if database is None or not keys:
        return {}
    try:
        with database.connect() as connection, under(connection, LOOKING):
            return troubles_of(connection, keys)
    except ConnectorError as error:
        context.log.warning(f"Since when the shops fail is not known: {error.code}: {error}")
        return {}


def report_checks(
    context: OpExecutionContext | AssetExecutionContext,
    evaluate: Evaluate,
    partition_keys: Sequence[str],
) -> None:
    """Evaluate the checks for these shops and log the evaluations. An error fails no shop."""
    try:
        evaluations = evaluate(partition_keys)
    except Exception as error:
        named = as_connector_error(error)
        context.log.warning(f"The checks were not evaluated: {named.code}: {named}")
        return
    log_check_evaluations(context, evaluations)


def failure_of(error_codes: Mapping[str, str], summary: str, troubles: Troubles) -> PlainFailure:
    """The failure of a step in which shops failed, with their error codes by partition key."""
    return PlainFailure(
        "\n".join(filter(None, (summary, _tried_again(troubles)))),
        metadata={"failed_shops": MetadataValue.json(dict(error_codes))},
        # A retry would repeat the whole step, also for the shops that succeeded.
        allow_retries=False,
    )


@contextmanager
def interrupts_cancel_the_run() -> Generator[None]:
    """Turn Interrupted into the exception by which Dagster ends a cancelled run."""
    try:
        yield
    except Interrupted:
        raise DagsterExecutionInterruptedError from None
