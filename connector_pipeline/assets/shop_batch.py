"""Outcomes of many shops in one Dagster run: each shop's partition on its own account.

What Dagster offers for this was tried out; `docs/architecture.md` has the table. When every shop
succeeded, metadata is added per partition and Dagster writes one materialization each. When some
failed, the good ones' materializations are logged by us and the step fails: exactly the good ones
are then materialized and exactly the bad ones failed. Anything else loses or doubles events.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten
from typing import Final

from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    Failure,
    MetadataValue,
)

from connector_pipeline.model.errors import ConnectorError, Defect

ROOT_RUN_ID_TAG: Final = "dagster/root_run_id"
RETRY_NUMBER_TAG: Final = "dagster/retry_number"

RETRY_DELAYS: Final = 10
"""A shop's second attempt waits so many CONNECTOR_RETRY_DELAYs after its failure: single requests
were retried within a few, so what still failed takes longer to pass."""

_NAMED_GROUPS: Final = 10
_NAMED_IN_A_GROUP: Final = 100
_LONGEST_MESSAGE: Final = 300

PartitionMetadata = Mapping[str, MetadataValue]
Evaluate = Callable[[Sequence[str]], Sequence[AssetCheckEvaluation]]


class ShopBatch:
    """Collects what became of each shop of a step, and says it to Dagster once, at the end.

    `evaluate` checks shops: asked for the good ones if others failed, because Dagster then skips
    the checks that follow the step. What it raises is logged and fails no shop.
    """

    def __init__(self, context: AssetExecutionContext, *, evaluate: Evaluate | None = None):
        self._context = context
        self._evaluate = evaluate
        self._asset_key: AssetKey = context.asset_key
        self._succeeded: dict[str, PartitionMetadata] = {}
        self._failed: dict[str, ConnectorError] = {}

    @property
    def partition_keys(self) -> list[str]:
        """The shops of this step."""
        return list(self._context.partition_keys)

    @property
    def root_run_id(self) -> str:
        """The first run of those that were retried one after the other; else this run."""
        return self._context.run.tags.get(ROOT_RUN_ID_TAG, self._context.run.run_id)

    @property
    def retried(self) -> bool:
        """Whether this run takes the place of one that crashed. A person's re-execution does not.

        Dagster numbers the retries of its own making, and drops the number when a person
        re-executes such a run.
        """
        return RETRY_NUMBER_TAG in self._context.run.tags

    def succeeded(self, partition_key: str, metadata: PartitionMetadata) -> None:
        """The shop's partition is to be materialized with this metadata."""
        self._succeeded[partition_key] = metadata

    def failed(self, partition_key: str, error: ConnectorError) -> None:
        """The shop's partition is to fail; the log says why at once."""
        self._failed[partition_key] = error.of(partition_key)
        self._context.log.error(f"{error.code}: {error}")

    def warn(self, partition_key: str, warning: str) -> None:
        """Log what somebody should look at; the shop has not failed for it."""
        self._context.log.warning(f"{partition_key}: {warning}")

    def postponed(self, partition_key: str, error: ConnectorError) -> None:
        """The shop failed and is tried again by this run; the log says so."""
        named = error.of(partition_key)
        self._context.log.warning(
            f"{named.code}: {named} It is tried once more after the other shops."
        )

    def finish(self) -> None:
        """Report every shop's outcome to Dagster. Raises Failure if any shop failed."""
        if not self._failed:
            self._add_metadata()
            return
        for key, metadata in self._succeeded.items():
            self._context.log_event(
                AssetMaterialization(self._asset_key, partition=key, metadata=metadata)
            )
        if self._succeeded:
            self._log_evaluations()
        raise Failure(
            summarize(self._failed, of=len(self._succeeded) + len(self._failed)),
            metadata={
                "failed_shops": MetadataValue.json(
                    {key: error.code for key, error in self._failed.items()}
                )
            },
            # A retry policy would repeat the whole batch, the good shops too.
            allow_retries=False,
        )

    def _add_metadata(self) -> None:
        if not isinstance(self._context, AssetExecutionContext):  # pyright: ignore[reportUnnecessaryIsInstance]
            # Of listed shops, which are no range of partitions (assets/sync_shops.py).
            for key, metadata in self._succeeded.items():
                self._context.add_asset_metadata(metadata, partition_key=key)
            return
        # Its own add_asset_metadata reads all partitions there are at each call, to see whether the
        # key is one of the run's: 40 ms a shop where there are 15,000. The keys are the run's own.
        step = self._context.get_step_execution_context()
        accumulator = step._metadata_accumulator  # pyright: ignore[reportPrivateUsage]
        for key, metadata in self._succeeded.items():
            accumulator = accumulator.with_additional_asset_metadata(self._asset_key, key, metadata)
        step._metadata_accumulator = accumulator  # pyright: ignore[reportPrivateUsage]

    def _log_evaluations(self) -> None:
        if self._evaluate is None:
            return
        try:
            evaluations = self._evaluate(list(self._succeeded))
        except Exception as error:
            # Whatever it is, the Failure that names the failed shops must still be raised.
            named = error if isinstance(error, ConnectorError) else Defect.from_exception(error)
            self._context.log.warning(f"The checks were not evaluated: {named.code}: {named}")
            return
        for evaluation in evaluations:
            # log_event takes them, though its annotation leaves them out.
            self._context.log_event(evaluation)  # pyright: ignore[reportArgumentType]


def summarize(failed: Mapping[str, ConnectorError], *, of: int) -> str:
    """The failed shops with their errors, grouped by what to do about it, most shops first.

    What is too long to be read is cut short: the failure's metadata `failed_shops` name them all.
    """
    if of == 1:
        [error] = failed.values()
        return f"{error.code}: {error}"
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, error in failed.items():
        message = shorten(error.message, _LONGEST_MESSAGE, placeholder=" …")
        groups[error.code, error.remedy].append(f"  {key}: {message}")
    parts = [f"{len(failed)} of {of} shops failed; the others are done."]
    largest_first = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    for (code, remedy), lines in largest_first[:_NAMED_GROUPS]:
        parts.append(f"{code} ({len(lines)}). {remedy}")
        parts += lines[:_NAMED_IN_A_GROUP]
        if len(lines) > _NAMED_IN_A_GROUP:
            parts.append(f"  and {len(lines) - _NAMED_IN_A_GROUP} more: see `failed_shops`.")
    if unnamed := sum(len(lines) for _, lines in largest_first[_NAMED_GROUPS:]):
        parts.append(f"And {unnamed} more with other troubles: see `failed_shops`.")
    return "\n".join(parts)
