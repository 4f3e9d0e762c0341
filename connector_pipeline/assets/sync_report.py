"""The report of a published sync, as Markdown for Dagster's UI.

Merchants write titles, SKUs and what a reject quotes. The UI makes links of addresses in Markdown,
however they are escaped, and shows HTML; in a code span it shows text as it is. So all that others
wrote stands in code spans, none in a Markdown table, whose cells end at a `|` in a code span too.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from connector_pipeline.assets.time_chart import time_chart
from connector_pipeline.catalog.examples import ChangedItem, Rejected, title
from connector_pipeline.model.counted import counted
from connector_pipeline.model.duration import in_words
from connector_pipeline.model.storable import clipped
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.sync.publishing import Published

SHOWN_AT_ONCE: Final = 999
"""Bytes of Markdown that the UI shows at once, and not behind a link, at most
(docs/facts/dagster.md, What the UI shows)."""

MOST_BYTES: Final = 12_000
"""Of the examples of one report: thousands of shops have one in the event log."""

_MORE: Final = "More examples are in `changes`."
_LONGEST_VALUE: Final = 60
_LONGEST_REASON: Final = 160
_MOST_DIFFERENCES: Final = 4
_BACKTICKS: Final = re.compile("`+")

_READ: Final = {
    SyncType.FULL: "**Full sync**: the whole shop was read",
    SyncType.INCREMENTAL: "**Incremental sync**: what changed since the last sync was read",
    SyncType.HINTED: "**Hinted sync**: the products that webhooks or a change feed named were read",
}


def summary(published: Published) -> str:
    """What happened, in one line of text, in the words of the columns of `connector.syncs`."""
    counts = published.counts
    changes = {
        "inserted": counts.inserted,
        "updated": counts.updated,
        "revived": counts.revived,
        "deleted": counts.deleted,
        "rejected": counts.rejected,
    }
    said = ", ".join(f"{number:,} {what}" for what, number in changes.items() if number)
    live = counted(published.live, "live item")
    fresh = published.freshness
    return (
        f"{live}; {said or 'nothing changed'}; read in {in_words(published.manifest.seconds)}, "
        f"published in {in_words(published.seconds)}"
        f"{'' if fresh is None else f'; changes arrived after {fresh}'}"
    )


class Report(NamedTuple):
    """Markdown that the UI shows at once, and all examples where that has not room for them."""

    report: str
    changes: str | None


def sync_report(published: Published) -> Report:
    """What the sync read and changed, with examples of each kind of change."""
    counts = published.counts
    head = (
        f"{_READ[published.manifest.sync.sync_type]}, {counted(counts.items, 'item')}. "
        f"The shop has **{counted(published.live, 'live item')}**.\n\n"
        "| inserted | updated | revived | deleted | unchanged | rejected |\n"
        "| ---: | ---: | ---: | ---: | ---: | ---: |\n"
        f"| {counts.inserted:,} | {counts.updated:,} | {counts.revived:,} | {counts.deleted:,} "
        f"| {counts.unchanged:,} | {counts.rejected:,} |"
    )
    budget = _Budget(SHOWN_AT_ONCE - len(head) - len(_MORE) - 4)
    parts = [head, *_sections(published, budget)]
    if not budget.refused:
        return Report("\n\n".join(parts), None)
    changes = "\n\n".join(_sections(published, _Budget(MOST_BYTES)))
    return Report("\n\n".join([*parts, _MORE]), changes)


def time_report(published: Published) -> str:
    """Where the time of the sync went, as a picture."""
    parts = times(published)
    words = ", ".join(f"{label} {in_words(seconds)}" for label, seconds in parts.items())
    return f"![{words}]({time_chart(parts)})"


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
    """The bytes that are left for examples, and whether one was refused for want of them."""

    def __init__(self, left: int):
        self._left = left
        self.refused = False

    def takes(self, text: str) -> bool:
        """Whether the text still fits, with the blank line around it."""
        self.refused |= len(text.encode()) + 2 > self._left
        if not self.refused:
            self._left -= len(text.encode()) + 2
        return not self.refused


def _sections(published: Published, budget: _Budget) -> list[str]:
    """Examples of each kind of change, the worst kind first, as far as they fit."""
    counts, examples = published.counts, published.examples
    found = (
        _section("Rejected", counts.rejected, map(_rejected, examples.rejected), budget),
        _section(
            "Updated or revived" if counts.revived else "Updated",
            counts.updated + counts.revived,
            map(_changed, examples.changed),
            budget,
        ),
        _section("Deleted", counts.deleted, map(_item, examples.deleted), budget),
        _section("Inserted", counts.inserted, map(_item, examples.new), budget),
    )
    return [each for each in found if each]


def _section(heading: str, number: int, lines: Iterable[str], budget: _Budget) -> str:
    if not number:
        return ""
    # Reserved for the last line: how many there are besides.
    title = f"**{heading}**\n\n"
    if not budget.takes(f"{title}- and {number:,} more"):
        return ""
    shown = [line for line in lines if budget.takes(line)]
    if more := number - len(shown):
        shown.append(f"- and {more:,} more" if shown else f"- {more:,}, not shown")
    return "\n".join([f"**{heading}**", "", *shown])


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
        said.insert(0, "revived")
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
