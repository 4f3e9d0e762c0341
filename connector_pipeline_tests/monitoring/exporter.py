"""The exporter as an operator starts it, and a database that has something to say by every name."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import psycopg

from connector_pipeline.postgres.database import Database
from connector_pipeline.state import sync_totals

ROWS: Final = """
    INSERT INTO connector.shops (platform_name, domain, merchant_id, platform_shop_id, state,
        last_successful_sync_at, consecutive_failures, last_error_code)
    VALUES ('one', 'a', 'm', '1', 'active', now() - interval '100 s', 0, NULL),
        ('one', 'b', 'm', '2', 'active', NULL, 2, 'RateLimited'),
        ('two', 'c', 'm', '3', 'disconnected', now() - interval '9 days', 0, NULL);
    INSERT INTO connector.syncs (sync_id, platform_name, domain, merchant_id, status,
        correlation_id, run_id, started_at, finished_at, inserted, updated, unchanged, revived,
        deleted, rejected, requests, waited_seconds, error_code)
    SELECT sync_id, 'one', 'a', 'm', status, sync_id, 'r-' || sync_id,
        now() - age - interval '1 min', CASE WHEN status <> 'running' THEN now() - age END,
        1, 2, 3, 0, 4, 5, 6, 0.5, CASE WHEN status = 'failed' THEN 'RateLimited' END
    FROM (VALUES ('now', 'succeeded', interval '1 min'), ('bad', 'failed', interval '2 min'),
        ('before', 'succeeded', interval '30 min'), ('long-ago', 'failed', interval '2 hours'),
        ('under-way', 'running', interval '1 hour'), ('alive', 'running', interval '0'))
        AS sync (sync_id, status, age);
    UPDATE connector.syncs SET sync_type = 'hinted', freshness_seconds = 4,
        freshness_worst_seconds = 8 WHERE sync_id = 'now';
    UPDATE connector.syncs SET sync_type = 'hinted', freshness_seconds = 40,
        freshness_worst_seconds = 80 WHERE sync_id = 'before';
    UPDATE connector.shops SET subscribed = true WHERE domain = 'a';
    UPDATE connector.shops SET subscribed = false, subscriptions_trouble = 'lost'
    WHERE domain <> 'a';
    INSERT INTO connector.hints (platform_name, domain, source, topic, received_at, gathered_at)
    VALUES ('one', 'a', 'webhook', 't', now() - interval '90 s', NULL),
        ('one', 'a', 'feed', 't', now() - interval '30 min', now());
    INSERT INTO connector.hints (platform_name, domain, source, topic, received_at, not_before)
    VALUES ('one', 'a', 'again', 't', now() - interval '15 min', now() + interval '3 min');
    INSERT INTO connector.erase_demands (platform_name, domain, demanded_at)
    VALUES ('two', 'c', now() - interval '2 days');
    INSERT INTO connector.change_looks (platform_name, domain, looked_at, look_at, failures)
    VALUES ('one', 'a', now() - interval '20 min', now(), 0), ('one', 'b', now(), now(), 1);
    INSERT INTO connector.run_workers (run_id, host, pid, process_started, beat_at)
    VALUES ('r-alive', 'h', 1, 0, now()), ('r-of-an-ended-run', 'h', 2, 0, now() - interval '1 h');
    INSERT INTO connector.sync_queue (platform_name, domain, merchant_id, reason, priority, put_at)
    VALUES ('one', 'a', 'm', 'request', 0, now() - interval '50 s'),
        ('one', 'b', 'm', 'request', 0, now());
    INSERT INTO connector.outbox (partition_key, subject, event_id, payload, created_at)
    VALUES ('one/a', 's', gen_random_uuid(), '{}', now() - interval '70 s');
    INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id, domain,
        sync_id, requested_at)
    VALUES ('m', 'one', '1', 'a', 'asked', now() - interval '80 s');
"""


def fill(database: Database) -> None:
    """Put in two platforms, three shops, six syncs, and something of everything else."""
    with psycopg.connect(database.connection_url()) as connection:
        connection.execute(ROWS.encode())
    with database.connect() as connection:
        sync_totals.count(connection)


@contextmanager
def exporter(url: str) -> Generator[str]:
    """`connector-pipeline metrics` over this database. Yields the address of its page."""
    process = subprocess.Popen(
        [sys.executable, "-m", "connector_pipeline.cli", "metrics", "--port", "0"],
        env={**os.environ, "CONNECTOR_DATABASE_URL": url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        yield process.stderr.readline().removeprefix("Metrics: ").strip()
    finally:
        process.terminate()
        _, rest = process.communicate()
    assert (process.returncode, rest) == (0, ""), (process.returncode, rest)


def page(url: str) -> str:
    """The page, as Prometheus reads it."""
    with urllib.request.urlopen(url) as answer:
        assert answer.status == 200
        return answer.read().decode()
