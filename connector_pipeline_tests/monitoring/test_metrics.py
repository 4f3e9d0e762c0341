"""The view connector.metrics and the page for Prometheus are as docs/operating.md says."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from dagster import DagsterInstance, build_sensor_context
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from connector_pipeline.automation.sync_outcomes import sync_outcomes
from connector_pipeline.cli.prometheus.page import OF_THE_EXPORTER, MetricsPage
from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import metrics, sync_totals
from connector_pipeline.state.metrics import METRICS, Sample
from connector_pipeline_tests.monitoring.exporter import exporter, fill, page

PAGE: Final = Path(__file__).parents[2] / "docs" / "operating.md"
_ROW: Final = re.compile(r"^\| `(connector_\w+)` \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
DOCUMENTED: Final = {
    name: (meaning, tuple(re.findall(r"`(\w+)`", labels)))
    for name, labels, meaning in _ROW.findall(PAGE.read_text())
}


def values(samples: Sequence[Sample], name: str) -> dict[str, float]:
    """The values of this name, by the values of its labels in the order of their names."""
    return {
        " ".join(each.labels[label] for label in sorted(each.labels)): each.value
        for each in samples
        if each.name == name
    }


def in_view(database: Database) -> list[Sample]:
    with database.connect() as connection:
        return metrics.read(connection)


def test_the_page_is_as_documented(database: Database) -> None:
    """Each name, its labels, its meaning and whether it counts; read by a monitor's role alone."""
    fill(database)
    url = database.connection_url()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS watcher_of_metrics")
        admin.execute("CREATE ROLE watcher_of_metrics LOGIN IN ROLE connector_monitor")
    parts = urlsplit(url)
    netloc = f"watcher_of_metrics@{parts.netloc.rpartition('@')[2]}"
    try:
        with exporter(urlunsplit(parts._replace(netloc=netloc))) as address:
            text = page(address)
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("DROP ROLE watcher_of_metrics")
    families = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in text_string_to_metric_families(text)
    }
    assert {
        name: (family.documentation, tuple(sorted(family.samples[0].labels)))
        for name, family in families.items()
    } == DOCUMENTED
    assert {name for name, family in families.items() if family.type == "counter"} == {
        name for name in DOCUMENTED if name.endswith("_total")
    }
    assert [sample.value for sample in families["connector_up"].samples] == [1]


def test_the_names_that_the_code_explains_are_those_that_are_documented() -> None:
    """No name is missing on either side."""
    explained = {name: (each.meaning, each.labels) for name, each in METRICS.items()}
    own = {name: (meaning, ()) for name, meaning in OF_THE_EXPORTER.items()}
    assert explained | own == DOCUMENTED


def test_the_view_counts_what_is_there(database: Database) -> None:
    """Shops, queue, syncs, workers, outbox and requests; also what is none."""
    fill(database)
    view = in_view(database)
    shops = values(view, "connector_shops")
    assert shops == {
        "one active": 2, "one paused": 0, "one disconnected": 0,
        "two active": 0, "two paused": 0, "two disconnected": 1,
    }  # fmt: skip
    ages = values(view, "connector_shop_last_good_sync_age_seconds")
    assert ages.keys() == {"50", "90", "99", "100"}
    assert ages["50"] < 100 <= ages["90"] == ages["100"] < 1_000
    assert values(view, "connector_shops_never_synced") == {"": 1}
    assert values(view, "connector_shops_failing") == {"RateLimited one": 1}
    queue = values(view, "connector_queue_shops")
    assert (queue.pop("request waiting"), len(queue), set(queue.values())) == (2, 9, {0})
    assert values(view, "connector_queue_oldest_age_seconds")["request waiting"] >= 50
    assert values(view, "connector_syncs_unfinished") == {"pending": 0, "running": 2}
    assert values(view, "connector_sync_running_oldest_age_seconds")[""] >= 3_600
    assert values(view, "connector_run_workers") == {"beating": 1, "silent": 1}
    recent = values(view, "connector_recent_syncs")
    assert {name: count for name, count in recent.items() if count} == {
        "one failed 1h": 1, "one failed 5m": 1, "one succeeded 1h": 2, "one succeeded 5m": 1
    }  # fmt: skip
    assert values(view, "connector_recent_errors") == {
        "RateLimited one 1h": 1,
        "RateLimited one 5m": 1,
    }
    assert values(view, "connector_recent_rows")["updated one 1h"] == 6
    assert values(view, "connector_recent_requests")["one 1h"] == 18
    assert values(view, "connector_recent_waited_seconds")["one 5m"] == 1.0
    assert values(view, "connector_outbox_unsent") == {"": 1}
    assert values(view, "connector_outbox_oldest_age_seconds")[""] >= 70
    assert values(view, "connector_sync_requests_waiting") == {"": 1}
    assert values(view, "connector_sync_requests_oldest_age_seconds")[""] >= 80


def test_the_view_shows_freshness_hints_looks_and_subscriptions(database: Database) -> None:
    """Freshness by percentiles of the worst rows; paused and disconnected shops do not count."""
    fill(database)
    view = in_view(database)
    fresh = values(view, "connector_recent_freshness_seconds")
    assert fresh["50 one hinted 1h"] == 8
    assert fresh["99 one hinted 1h"] == fresh["100 one hinted 1h"] == 80
    assert fresh["100 one hinted 5m"] == 8
    assert len(fresh) == 8, "nothing is said of syncs without a time"
    assert values(view, "connector_hints_waiting") == {"": 1}
    assert values(view, "connector_hints_oldest_age_seconds")[""] >= 90
    assert values(view, "connector_recent_hints") == {
        "one webhook 1h": 1, "one feed 1h": 1, "one webhook 5m": 1, "one feed 5m": 0,
        "two webhook 1h": 0, "two feed 1h": 0, "two webhook 5m": 0, "two feed 5m": 0,
    }  # fmt: skip
    assert values(view, "connector_recent_looks") == {
        "one 1h": 2, "one 5m": 1, "two 1h": 0, "two 5m": 0
    }  # fmt: skip
    assert values(view, "connector_erase_demands") == {"": 1}
    assert values(view, "connector_erase_demands_oldest_age_seconds")[""] >= 2 * 86_400
    assert values(view, "connector_looks_failing") == {"one": 1, "two": 0}
    assert values(view, "connector_shops_subscribed") == {
        "one whole": 1, "one troubled": 1, "two whole": 0, "two troubled": 0
    }  # fmt: skip


def test_totals_outlive_the_rows_that_they_count(database: Database) -> None:
    """Each sync is counted once, ten minutes after its end, and stays when its row is deleted."""
    fill(database)
    counted = {" one succeeded": 1.0, "RateLimited one failed": 1.0}
    assert values(in_view(database), "connector_syncs_total") == counted
    with database.connect() as connection:
        # Some minutes later: one more sync is old enough, and one of the counted ones begins anew.
        connection.execute(
            "UPDATE connector.sync_totals SET counted_until = now() - interval '20 min'"
        )
        connection.execute(
            "UPDATE connector.syncs SET finished_at = now() - interval '15 min'"
            " WHERE sync_id = 'now'"
        )
        connection.execute("UPDATE connector.syncs SET finished_at = NULL WHERE sync_id = 'before'")
        for _ in range(2):
            sync_totals.count(connection)
        connection.execute("DELETE FROM connector.syncs")
    counted[" one succeeded"] = 2.0
    view = in_view(database)
    assert values(view, "connector_syncs_total") == counted
    assert values(view, "connector_rows_total")["deleted one"] == 12
    assert values(view, "connector_requests_total") == {"one": 18}
    assert values(view, "connector_waited_seconds_total") == {"one": 1.5}


def test_the_daemon_counts(database: Database) -> None:
    """The sensor that looks at syncs all the time does it."""
    fill(database)
    with database.connect() as connection:
        connection.execute("DELETE FROM connector.sync_totals")
    with (
        DagsterInstance.ephemeral() as instance,
        build_sensor_context(instance=instance, resources={"database": database}) as context,
    ):
        sync_outcomes(context)
    assert sum(values(in_view(database), "connector_syncs_total").values()) == 2


def test_an_empty_database_has_a_page(database: Database) -> None:
    """Before the first shop there is nothing to divide by."""
    view = in_view(database)
    assert values(view, "connector_shops_never_synced") == {"": 0}
    assert values(view, "connector_shop_last_good_sync_age_seconds")["100"] == 0


def shown(collector: MetricsPage) -> list[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    return [
        line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")
    ]


def test_a_database_out_of_reach_is_a_number_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Scrapes go on, and neither they nor the log show a password."""

    def read() -> Sequence[Sample]:
        with connect("postgresql://somebody:s3cret-pass@127.0.0.1:1/none") as connection:
            return metrics.read(connection)

    collector = MetricsPage(read, kept=0)
    assert [shown(collector), shown(collector)] == [["connector_up 0.0"]] * 2
    [line] = caplog.messages
    assert DatabaseUnavailable.__name__ in line
    assert "s3cret" not in line


def test_a_database_that_hangs_holds_up_no_scrape_and_gets_no_second_query() -> None:
    """The late answer is dropped; the next scrape reads anew."""
    go_on = threading.Event()
    asked: list[int] = []

    def read() -> Sequence[Sample]:
        asked.append(len(asked))
        go_on.wait()
        return [Sample("connector_shops_never_synced", {}, float(len(asked)))]

    collector = MetricsPage(read, kept=0, within=0.05)
    assert [shown(collector), shown(collector)] == [["connector_up 0.0"]] * 2
    assert asked == [0]
    go_on.set()
    collector._thread.submit(int).result()
    collector._within = 60.0
    assert "connector_shops_never_synced 2.0" in shown(collector)


def test_scrapes_share_a_read() -> None:
    """However many Prometheus servers there are."""
    asked: list[int] = []

    def read() -> Sequence[Sample]:
        asked.append(len(asked))
        return []

    collector = MetricsPage(read, kept=3_600)
    assert shown(collector) == shown(collector)
    assert asked == [0]
