"""The numbers of the view `connector.metrics`, each by its name, and what the names mean.

The view is in a migration, so the names and labels are those of the database; docs/operating.md has
the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import psycopg


class Metric(NamedTuple):
    """What a metric means, and the names of its labels in alphabetical order.

    `counts` is true for one that only grows, and so ends with `_total`.
    """

    meaning: str
    labels: tuple[str, ...] = ()

    @staticmethod
    def counts(name: str) -> bool:
        """Whether the metric of this name is a counter."""
        return name.endswith("_total")


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "connector_shops": Metric("Registered shops.", ("platform", "state")),
        "connector_shop_last_good_sync_age_seconds": Metric(
            "Age of the active shops' last good syncs: so many percent are younger. A shop that "
            "was never synced counts from its registration.",
            ("percentile",),
        ),
        "connector_shops_never_synced": Metric("Active shops without any good sync."),
        "connector_shops_failing": Metric(
            "Active shops whose last sync failed, by its error.", ("error", "platform")
        ),
        "connector_queue_shops": Metric(
            "Shops in the queue, waiting or taken for a run.", ("reason", "state")
        ),
        "connector_queue_oldest_age_seconds": Metric(
            "Time since the first of these shops was put into the queue.", ("reason", "state")
        ),
        "connector_syncs_unfinished": Metric("Syncs that wait for a run or are run.", ("status",)),
        "connector_sync_running_oldest_age_seconds": Metric(
            "Time since the first of the syncs under way started."
        ),
        "connector_run_workers": Metric(
            "Runs whose worker gave a sign of life within 40 s, and runs at work without one.",
            ("state",),
        ),
        "connector_recent_syncs": Metric(
            "Syncs that ended in the last minutes.", ("platform", "status", "window")
        ),
        "connector_recent_rows": Metric(
            "Rows of the catalog that these syncs compared, by what they did to them.",
            ("change", "platform", "window"),
        ),
        "connector_recent_requests": Metric(
            "Requests that these syncs made to platforms.", ("platform", "window")
        ),
        "connector_recent_waited_seconds": Metric(
            "Time that these syncs waited as a platform asked, or for a retry.",
            ("platform", "window"),
        ),
        "connector_recent_errors": Metric(
            "Syncs that failed in the last minutes, by error.", ("error", "platform", "window")
        ),
        "connector_recent_freshness_seconds": Metric(
            "Time from the platforms' changes to the commit in these syncs, each by its worst row: "
            "so many percent were quicker. Absent where no change had a time.",
            ("percentile", "platform", "sync_type", "window"),
        ),
        "connector_hints_waiting": Metric("Hints that are not in the queue yet."),
        "connector_hints_oldest_age_seconds": Metric("Age of the first of these hints."),
        "connector_recent_hints": Metric(
            "Hints of the last minutes, by what gave them.", ("platform", "source", "window")
        ),
        "connector_recent_looks": Metric(
            "Shops whose change feed was looked at in the last minutes.", ("platform", "window")
        ),
        "connector_looks_failing": Metric(
            "Shops at whose change feed the last look failed.", ("platform",)
        ),
        "connector_shops_subscribed": Metric(
            "Active shops with webhooks that we subscribed to: all active, or in trouble.",
            ("platform", "state"),
        ),
        "connector_erase_demands": Metric(
            "Shops of which a platform demands that everything is erased."
        ),
        "connector_erase_demands_oldest_age_seconds": Metric("Age of the first of these demands."),
        "connector_syncs_total": Metric(
            "Syncs that ended at least ten minutes ago.", ("error", "platform", "status")
        ),
        "connector_rows_total": Metric(
            "Rows that those syncs compared, by what they did to them.", ("change", "platform")
        ),
        "connector_requests_total": Metric("Requests that those syncs made.", ("platform",)),
        "connector_waited_seconds_total": Metric(
            "Time that those syncs waited as a platform asked, or for a retry.", ("platform",)
        ),
        "connector_totals_age_seconds": Metric(
            "Age of the totals: the end of the last sync they count, or ten minutes."
        ),
        "connector_outbox_unsent": Metric("Events that wait to be sent."),
        "connector_outbox_oldest_age_seconds": Metric("Age of the first of these events."),
        "connector_sync_requests_waiting": Metric("Sync requests that nobody has looked at."),
        "connector_sync_requests_oldest_age_seconds": Metric("Age of the first of these requests."),
        "connector_catalog_rows_estimate": Metric(
            "Rows of the catalog with tombstones, as of Postgres's last ANALYZE."
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the view."""

    name: str
    labels: Mapping[str, str]
    value: float


def read(connection: psycopg.Connection) -> list[Sample]:
    """Every row of the view, in no order. One statement."""
    rows = connection.execute("SELECT name, labels, value FROM connector.metrics").fetchall()
    return [Sample(name, labels, value) for name, labels, value in rows]
