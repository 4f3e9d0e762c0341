"""The report of a published sync, as Markdown for Dagster's UI.

Merchants write titles, SKUs and what a reject quotes. The UI makes links of addresses in Markdown,
however they are escaped, and shows HTML; in a code span it shows text as it is. So all that others
wrote stands in code spans, none in a Markdown table, whose cells end at a `|` in a code span too.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from connector_pipeline.assets.time_chart import time_chart
from connector_pipeline.catalog.examples import ChangedItem, Rejected, title
from connector_pipeline.model.duration import in_words
from connector_pipeline.model.storable import clipped
from connector_pipeline.model.sync import SyncType
from connector_pipeline.sync.publishing import Published

MOST_BYTES: Final = 12_000
"""Of the examples of one report: thousands of shops have one in the event log."""

_LONGEST_VALUE: Final = 60
_LONGEST_REASON: Final = 160
_MOST_DIFFERENCES: Final = 4
_BACKTICKS: Final = re.compile("`+")

_READ: Final = {
    SyncType.FULL: "**Full sync**: the whole shop was read",
    SyncType.INCREMENTAL: "**Incremental sync**: what changed since the last sync was read",
    SyncType.HINTED: "**Hinted sync**: the products that webhooks or a change feed named were read",
}


def sync_report(published: Published) -> str:
    """What the sync changed, with a few examples of each kind, and where the time went."""
    counts, manifest, examples = published.counts, published.manifest, published.examples
    budget = _Budget(MOST_BYTES)
    changed = counts.updated + counts.revived
    parts = [
        f"{_READ[manifest.sync.sync_type]}, {counts.items:,} items. "
        f"The shop has **{published.live:,} live items**.",
        "| new | changed | returned | deleted | unchanged | rejected |\n"
        "| ---: | ---: | ---: | ---: | ---: | ---: |\n"
        f"| {counts.inserted:,} | {counts.updated:,} | {counts.revived:,} | {counts.deleted:,} "
        f"| {counts.unchanged:,} | {counts.rejected:,} |",
    ]
    if not (changed or counts.inserted or counts.deleted or counts.rejected):
        parts.append("Nothing changed.")
    parts += [
        _section("Rejected", counts.rejected, map(_rejected, examples.rejected), budget),
        _section("Changed", changed, map(_changed, examples.changed), budget),
        _section("Deleted", counts.deleted, map(_item, examples.deleted), budget),
        _section("New", counts.inserted, map(_item, examples.new), budget),
        _times(published),
    ]
    return "\n\n".join(part for part in parts if part)


def times(published: Published) -> dict[str, float]:
    """The seconds of the sync's parts. Requests wait side by side, so waits are cut to the rest."""
    manifest = published.manifest
    archiving = min(manifest.archive_seconds, manifest.seconds)
    waiting = min(manifest.waited_seconds, manifest.seconds - archiving)
    return {
        "waiting (limits, retries)": waiting,
        "reading the platform": manifest.seconds - archiving - waiting,
        "archiving": archiving,
        "publishing": published.seconds,
    }


class _Budget:
    """The bytes that are left for examples."""

    def __init__(self, left: int):
        self._left = left

    def takes(self, line: str) -> bool:
        self._left -= len(line.encode())
        return self._left >= 0


def _section(heading: str, number: int, lines: Iterable[str], budget: _Budget) -> str:
    if not number:
        return ""
    shown = [line for line in lines if budget.takes(line)]
    more = number - len(shown)
    if more:
        shown.append(f"- and {more:,} more" if shown else f"- {more:,}, not shown")
    return "\n".join([f"#### {heading}", "", *shown])


def _times(published: Published) -> str:
    parts = times(published)
    words = ", ".join(f"{label} {in_words(seconds)}" for label, seconds in parts.items())
    return (
        f"#### Where the time went: {in_words(sum(parts.values()))}\n\n"
        f"![{words}]({time_chart(parts)})"
    )


def _item(row: dict[str, Any]) -> str:
    sku = f", SKU {code_span(row['sku'])}" if row["sku"] else ""
    currency = "" if row["price"] is None else f" {row['currency']}"
    return (
        f"- {code_span(title(row))}{sku}, price {code_span(row['price'])}{currency}, "
        f"stock {code_span(row['inventory'])}, variant {code_span(row['variant_id'])}"
    )


def _changed(item: ChangedItem) -> str:
    said = [
        f"{name} {code_span(before)} → {code_span(after)}"
        for name, before, after in item.differences[:_MOST_DIFFERENCES]
    ]
    if len(item.differences) > _MOST_DIFFERENCES:
        said.append(f"{len(item.differences) - _MOST_DIFFERENCES} columns more")
    if item.returned:
        said.insert(0, "is back")
    if not said:
        said.append("only the platform's time of the last change")
    return f"- {code_span(item.title)}, variant {code_span(item.variant_id)}: {'; '.join(said)}"


def _rejected(variant: Rejected) -> str:
    ids: Sequence[str] = [
        f"{name} {code_span(found)}"
        for name, found in (("product", variant.product_id), ("variant", variant.variant_id))
        if found is not None
    ]
    reason = code_span(variant.reason, most_bytes=_LONGEST_REASON)
    return f"- {', '.join(ids) or 'without an id'}: {reason}"


def code_span(value: object, *, most_bytes: int = _LONGEST_VALUE) -> str:
    """A value in Markdown that shows it as it is, cut to so many bytes, in one line.

    A span ends at a run of backticks as long as the one that it began with, so that one is longer
    than each run within (CommonMark 0.31, Code spans).
    """
    if value is None:
        return "*none*"
    if isinstance(value, Decimal):
        value = f"{value.normalize():f}"
    text = clipped(" ".join(str(value).split()), most_bytes=most_bytes)
    if not text:
        return "*empty*"
    runs = [len(run) for run in _BACKTICKS.findall(text)]
    fence = "`" * (max(runs, default=0) + 1)
    space = " " if runs else ""
    return f"{fence}{space}{text}{space}{fence}"
