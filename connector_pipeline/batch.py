"""Outcomes of many shops in one Dagster run: each shop's partition on its own account.

What Dagster offers for this was tried out; `docs/architecture.md` has the table. When every shop
succeeded, metadata is added per partition and Dagster writes one materialization each. When some
failed, the good ones' materializations are logged by us and the step fails: exactly the good ones
are then materialized and exactly the bad ones failed. Anything else loses or doubles events.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    Failure,
    MetadataValue,
)

from connector_pipeline.model.errors import ConnectorError, Defect

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

    def succeeded(self, partition_key: str, metadata: PartitionMetadata) -> None:
        """The shop's partition is to be materialized with this metadata."""
        self._succeeded[partition_key] = metadata

    def failed(self, partition_key: str, error: ConnectorError) -> None:
        """The shop's partition is to fail; the log says why at once."""
        self._failed[partition_key] = error.of(partition_key)
        self._context.log.error(f"{error.code}: {error}")

    def finish(self) -> None:
        """Report every shop's outcome to Dagster. Raises Failure if any shop failed."""
        if not self._failed:
            for key, metadata in self._succeeded.items():
                self._context.add_asset_metadata(metadata, partition_key=key)
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
    """Every failed shop with its error, grouped by what to do about it."""
    if of == 1:
        [error] = failed.values()
        return f"{error.code}: {error}"
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, error in failed.items():
        groups[error.code, error.mend].append(f"  {key}: {error.message}")
    parts = [f"{len(failed)} of {of} shops failed; the others are done."]
    for (code, mend), lines in sorted(groups.items()):
        parts.append(f"{code} ({len(lines)}). {mend}\n" + "\n".join(lines))
    return "\n".join(parts)
