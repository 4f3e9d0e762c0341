"""Check that sync requests survive kills: one sync and one outcome each, in order per shop.

The bench publishes every request three times, while it kills the daemon, the code server (with its
run workers), a run worker alone, and nats-server at random by kill -9, and starts them again. Runs
have few shops that answer slowly, so that most kills hit some. Then a consumer that is
nothing but nats-py's `subscribe` reads the events. It ends with status 1 if a promise was broken:

- each sync_id has one row in the queue and one sync, both ended, and one outcome event;
- the syncs of one shop follow one another, in the order in which their requests arrived, and so do
  their outcome events;
- Dagster has one run for each launch, and its retries begin after the run before has ended; a run
  has only shops that were asked for, and no two runs work on one sync at once.

    python bench/events_chaos.py        500 requests for 50 shops, up to 40 kills
    python bench/events_chaos.py --requests 6 --shops 2 --kills 3
    python bench/events_chaos.py --requests 6 --shops 2 --kills 0 --nats-down 60

In the last one NATS is away for a minute while syncs run. Without kills the bench prints the
latency from the publish of a request to the launch of its run.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import nats
import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dagster import DagsterInstance, RunRecord  # noqa: E402
from deployment import deployment  # noqa: E402

from connector_pipeline.assets.run_identity import LAUNCH_TAG  # noqa: E402
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres  # noqa: E402
from connector_pipeline.postgres.migrate import migrate  # noqa: E402
from connector_pipeline.sandbox.controls.faults import FaultRule  # noqa: E402
from connector_pipeline.sandbox.server import SandboxServer  # noqa: E402
from connector_pipeline.sandbox.shops.spec import ShopSpec  # noqa: E402
from connector_pipeline_tests.messaging.nats_server import NatsServer  # noqa: E402

SUBJECT = "evt.catalog.sync.requested"
STREAM = "GLAM_EVENTS"

Problems = list[str]


def specs(count: int) -> list[ShopSpec]:
    """Small shops: the bench tries the way of a request, not the fetching."""
    return [
        ShopSpec(
            platform="shopify",
            domain=f"chaos-{number}.myshopify.com",
            merchant_id=f"merchant-{number}",
            platform_shop_id=str(number),
            products=3,
            variants=(1, 2),
            seed=number,
            awkward=False,
        )
        for number in range(count)
    ]


def requests(count: int, shops: list[ShopSpec]) -> list[dict[str, str]]:
    return [
        {
            "merchant_id": shop.merchant_id,
            "platform_name": shop.platform,
            "platform_shop_id": shop.platform_shop_id,
            "domain": shop.domain,
            "sync_id": f"sync-{number}",
            "correlation_id": f"correlation-{number}",
        }
        for number in range(count)
        for shop in [shops[number % len(shops)]]
    ]


async def publish(url: str, messages: list[dict[str, str]], pause: float) -> dict[str, float]:
    """Publish each request until it is acknowledged. Returns when each first was."""
    first: dict[str, float] = {}
    for message in messages:
        while True:
            try:
                client = await nats.connect(
                    url, allow_reconnect=False, connect_timeout=2, error_cb=_ignore
                )
                await client.jetstream().publish(SUBJECT, json.dumps(message).encode(), timeout=2)
                await client.close()
                break
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.5)
        first.setdefault(message["sync_id"], time.time())
        await asyncio.sleep(random.uniform(0, 2 * pause))
    return first


async def _ignore(_: Exception) -> None:
    """Ignore errors of nats-py: a server that is away is the point of the trial."""


async def consume(url: str) -> list[dict[str, object]]:
    """The events on the stream, read as any consumer does."""
    client = await nats.connect(url)
    js = client.jetstream()
    subscription = await js.subscribe("evt.platform.fetch.*", stream=STREAM)
    received: list[dict[str, object]] = []
    while True:
        try:
            message = await subscription.next_msg(timeout=3)
        except nats.errors.TimeoutError:
            break
        await message.ack()
        received.append(json.loads(message.data))
    await client.close()
    return received


def wait_until(what: str, done: Callable[[], bool], patience: float) -> None:
    until = time.monotonic() + patience
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {patience:.0f} s: {what}")
        time.sleep(1)


def run(options: argparse.Namespace, folder: Path) -> Problems:
    """One trial. Returns the broken promises."""
    random.seed(options.seed)
    shops = specs(options.shops)
    wanted = requests(options.requests, shops)
    with (
        SandboxServer(shops) as sandbox,
        EmbeddedPostgres(folder / "postgres") as postgres,
        NatsServer(folder / "nats") as server,
    ):
        sandbox.faults.set([FaultRule("latency", seconds=options.latency)])
        migrate(postgres.url("catalog"))
        deployed = deployment(
            folder,
            sandbox.environment(),
            postgres,
            NATS_URL=server.url,
            SHOPS_PER_RUN=str(options.shops_per_run),
        )
        code, daemon = deployed.code, deployed.daemon
        with DagsterInstance.get() as instance:
            instance.add_dynamic_partitions("shops", [])
            code.start()
            daemon.start()
            try:
                return _trial(options, folder, postgres, server, code, daemon, instance, wanted)
            finally:
                daemon.kill()
                code.kill()
                if options.keep_logs:
                    shutil.copytree(
                        folder,
                        options.keep_logs,
                        ignore=lambda _, names: [
                            name
                            for name in names
                            if not name.endswith(".log")
                            and name in ("postgres", "raw", "dagster", "code")
                        ],
                        dirs_exist_ok=True,
                    )


def _trial(options, folder, postgres, server, code, daemon, instance, wanted) -> Problems:
    began = time.monotonic()
    messages = [message for message in wanted for _ in range(3)]
    random.shuffle(messages)
    acknowledged: dict[str, float] = {}
    publisher = threading.Thread(
        target=lambda: acknowledged.update(
            asyncio.run(publish(server.url, messages, options.pause))
        )
    )
    publisher.start()
    connection = psycopg.connect(postgres.url("catalog"), autocommit=True)

    def count(statement: str) -> int:
        [(number,)] = connection.execute(statement).fetchall()  # type: ignore[arg-type]
        return int(number)

    if options.nats_down:
        wait_until(
            "a sync runs",
            lambda: count("SELECT count(*) FROM connector.syncs WHERE status <> 'pending'") > 0,
            300,
        )
        server.kill()
        print(f"nats-server down for {options.nats_down} s", flush=True)
        time.sleep(options.nats_down)
        waiting = count("SELECT count(*) FROM connector.outbox WHERE sent_at IS NULL")
        print(f"syncs that ended meanwhile and whose events wait: {waiting}", flush=True)
        server.start()
    kills: Counter[str] = Counter()
    for _ in range(options.kills):
        time.sleep(random.uniform(0.5, 1.5) * options.every)
        victim = random.choice(["daemon", "code", "worker", "nats"])
        if victim == "worker" and not code.kill_worker():
            victim = "code"
        kills[victim] += 1
        if victim != "worker":
            process = {"daemon": daemon, "code": code, "nats": server}[victim]
            process.kill()
            time.sleep(random.uniform(0, 3))
            if victim == "code":
                (folder / "code").unlink(missing_ok=True)
            process.start()
        finished = count(
            "SELECT count(*) FROM connector.syncs WHERE status IN ('succeeded','failed')"
        )
        print(f"{time.monotonic() - began:6.0f} s: killed {victim}; {finished} ended", flush=True)
        if finished >= len(wanted) and not publisher.is_alive():
            break
    publisher.join()
    total = len(wanted)
    ended = "SELECT count(*) FROM connector.syncs WHERE status IN ('succeeded', 'failed')"
    unsent = "SELECT count(*) FROM connector.outbox WHERE sent_at IS NULL"
    late: Problems = []
    for what, done in (
        ("every sync ended", lambda: count(ended) >= total),
        ("every event sent", lambda: count(unsent) == 0),
    ):
        try:
            wait_until(what, done, options.patience - (time.monotonic() - began))
        except TimeoutError as error:
            late.append(f"{error}; {count(ended)} of {total} syncs ended, {count(unsent)} unsent")
    # An event or a run that exists twice would be there by now.
    time.sleep(10)
    print(f"killed {dict(kills)}; {total} requests in {time.monotonic() - began:.0f} s")
    return late + _judge(
        connection, instance, asyncio.run(consume(server.url)), wanted, acknowledged
    )


def _judge(connection, instance, received, wanted, acknowledged) -> Problems:
    ids = {request["sync_id"] for request in wanted}
    runs = instance.get_run_records(ascending=True)
    problems = _judge_syncs(connection, ids) + _judge_runs(runs, ids)
    outcomes: Counter[str] = Counter(event["data"]["sync_id"] for event in received)
    problems += [f"{each}: {outcomes[each]} outcomes" for each in ids if outcomes[each] != 1]
    problems += [f"{each}: an outcome nobody asked for" for each in outcomes.keys() - ids]
    order: defaultdict[str, list[str]] = defaultdict(list)
    for key, event_id in connection.execute(
        "SELECT partition_key, event_id::text FROM connector.outbox ORDER BY id"
    ):
        order[key].append(event_id)
    place = {str(event["event_id"]): number for number, event in enumerate(received)}
    for key, events in order.items():
        places = [place.get(event, -1) for event in events]
        if places != sorted(places):
            problems.append(f"{key}: outcomes out of order")
    subjects = Counter(str(event["event_type"]) for event in received)
    failures = Counter(
        event["data"]["error"].split(":")[0] for event in received if "error" in event["data"]
    )
    [(relaunched, launches)] = connection.execute(
        "SELECT sum(relaunches), count(DISTINCT launch_id) FROM connector.sync_queue"
    ).fetchall()
    retries = sum(record.dagster_run.parent_run_id is not None for record in runs)
    print(
        f"{len(runs)} runs, {retries} of them retries by Dagster; the {len(ids)} shops ended in "
        f"{launches} launches, {relaunched} were put into the queue again; received "
        f"{dict(subjects)}"
    )
    if failures:
        print(f"failures: {dict(failures)}")
    launched: dict[str, float] = {}
    for record in runs:
        for sync_id in _sync_ids(record):
            launched.setdefault(sync_id, _created(record))
    waits = [launched[sync] - acknowledged[sync] for sync in ids if sync in launched]
    if waits:
        print(
            f"publish to run launched: median {statistics.median(waits):.1f} s, "
            f"longest {max(waits):.1f} s"
        )
    return problems


def _judge_syncs(connection, ids: set[str]) -> Problems:
    """One ended row in the queue and one ended sync for each; of a shop one after the other."""
    problems: Problems = []
    queued: dict[str, str] = {}
    syncs: defaultdict[str, list[tuple[str, datetime | None, datetime | None]]] = defaultdict(list)
    for sync_id, key, state, status, started_at, finished_at in connection.execute(
        """
        SELECT row.sync_id, row.platform_name || '/' || row.domain, row.state, sync.status,
            sync.started_at, sync.finished_at
        FROM connector.sync_queue AS row LEFT JOIN connector.syncs AS sync USING (sync_id)
        ORDER BY row.id
        """
    ):
        if sync_id in queued:
            problems.append(f"{sync_id}: twice in the queue")
        queued[sync_id] = key
        if state != "ended" or status not in ("succeeded", "failed"):
            problems.append(f"{sync_id}: {state} in the queue, its sync is {status}")
        syncs[key].append((sync_id, started_at, finished_at))
    problems += [f"{sync_id}: not in the queue" for sync_id in ids - queued.keys()]
    problems += [f"{sync_id}: in the queue, nobody asked for it" for sync_id in queued.keys() - ids]
    others = connection.execute(
        "SELECT sync_id FROM connector.syncs WHERE NOT sync_id = ANY(%s)", (list(ids),)
    )
    problems += [f"{sync_id}: a sync nobody asked for" for (sync_id,) in others]
    for key, of_shop in syncs.items():
        # A sync that failed before it began has no start.
        began = [each for each in of_shop if each[1] is not None and each[2] is not None]
        for (before, _, ended), (after, started, _) in pairwise(began):
            if started < ended:
                problems.append(f"{key}: {after} began before {before} ended, which came first")
    return problems


def _judge_runs(runs: Sequence[RunRecord], ids: set[str]) -> Problems:
    """One run for each launch, a retry after the run before, and no sync in two runs at once."""
    problems: Problems = []
    roots = Counter(
        record.dagster_run.tags.get(LAUNCH_TAG, "none")
        for record in runs
        if record.dagster_run.parent_run_id is None
    )
    problems += [
        f"launch {launch}: {count} runs"
        for launch, count in roots.items()
        if count != 1 or launch == "none"
    ]
    last: dict[str, RunRecord] = {}
    for record in runs:
        unknown = _sync_ids(record) - ids
        if unknown:
            problems.append(f"run {record.dagster_run.run_id}: shops nobody asked for: {unknown}")
        for sync_id in _sync_ids(record):
            before = last.get(sync_id)
            if before is not None and (
                before.end_time is None or _created(record) < before.end_time
            ):
                problems.append(f"{sync_id}: a run again while the one before was not over")
            last[sync_id] = record
    return problems


def _sync_ids(record: RunRecord) -> set[str]:
    """The sync_ids that the run's config lists."""
    ops = record.dagster_run.run_config.get("ops", {})
    return {
        shop["sync_id"]
        for op in ops.values()
        for shop in op.get("config", {}).get("shops", [])
        if "sync_id" in shop
    }


def _created(record: RunRecord) -> float:
    return record.create_timestamp.replace(tzinfo=UTC).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--shops", type=int, default=50)
    parser.add_argument("--kills", type=int, default=40, help="at most")
    parser.add_argument(
        "--every", type=float, default=10.0, help="seconds between kills, on average"
    )
    parser.add_argument("--shops-per-run", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of a shop's answer")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between messages")
    parser.add_argument("--nats-down", type=float, default=0.0, help="seconds without NATS")
    parser.add_argument("--patience", type=float, default=7200.0, help="seconds in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-logs", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connector-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        problems = run(options, folder)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} promises broken at {datetime.now(UTC):%H:%M:%S}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
