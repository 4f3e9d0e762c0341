"""Measure one sync request alone on a quiet machine: from its insert to readable rows.

    python bench/one_request.py --today ../base                     20 requests each
    python bench/one_request.py --times 2 --rounds 1 --today ../base    a trial

`connector-pipeline dev` runs and has nothing else to do. A request for a sandbox shop (Shopify, 20
variants, 50 ms an answer) is inserted at a random moment of Dagster's loops; the catalog is asked
every 20 ms. The rounds of the checkouts alternate. Printed are median and maximum of the whole, and
of each moment on the way: after how many seconds it came, how many seconds after the moment before,
and these as a share of the whole. The moments are those of `connector.syncs` and of Dagster's
tables; "accepted" is when the row of `connector.syncs` is seen.

Goal: at most 6 s.
"""

import random
import statistics
import time
from datetime import UTC, datetime
from typing import Final

import psycopg
from checkouts import Side, parser, sides
from sandbox_process import shopify_shops
from syncs import put_requests, wait_for

from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.05
POLL: Final = 0.02
PATIENCE: Final = 180.0
QUIET: Final = 3.0
LOOP: Final = 5.0
"""Seconds between two turns of Dagster's sensor daemon."""
MOMENTS: Final = (
    "accepted",
    "run created",
    "run starting",
    "run started",
    "sync started",
    "sync fetched",
    "sync finished",
    "rows readable",
)
EVENTS: Final = {"PIPELINE_STARTING": "run starting", "PIPELINE_START": "run started"}


def one_request(side: Side, spec: ShopSpec, sync_id: str) -> dict[str, float]:
    """Request one sync. Returns the seconds from the insert to each moment."""
    with side.connect() as connection, side.dagster() as dagster:
        [(before,)] = dagster.execute("SELECT coalesce(max(id), 0) FROM runs").fetchall()
        put_at = put_requests(connection, sync_id, [spec])
        seen: dict[str, datetime] = {}

        def readable() -> bool:
            accepted, rows, now = _look(connection, f"{sync_id}-0", spec)
            if accepted:
                seen.setdefault("accepted", now)
            if rows:
                seen["rows readable"] = now
            return rows

        wait_for(readable, patience=PATIENCE, every=POLL)
        seen |= wait_for(lambda: _sync(connection, f"{sync_id}-0"), patience=PATIENCE, every=POLL)
        seen |= _run(dagster, before)
    return {moment: (at - put_at).total_seconds() for moment, at in seen.items()}


def _look(
    connection: psycopg.Connection, sync_id: str, spec: ShopSpec
) -> tuple[bool, bool, datetime]:
    [row] = connection.execute(
        "SELECT EXISTS (SELECT FROM connector.syncs WHERE sync_id = %s), "
        "EXISTS (SELECT FROM catalog.catalog_items WHERE platform_name = %s AND domain = %s), "
        "clock_timestamp()",
        (sync_id, spec.platform, spec.domain),
    ).fetchall()
    return row


def _sync(connection: psycopg.Connection, sync_id: str) -> dict[str, datetime]:
    """The moments of the sync; empty until it has finished."""
    row = connection.execute(
        "SELECT started_at, fetched_at, finished_at FROM connector.syncs "
        "WHERE sync_id = %s AND finished_at IS NOT NULL",
        (sync_id,),
    ).fetchone()
    if row is None:
        return {}
    return dict(zip(("sync started", "sync fetched", "sync finished"), row, strict=True))


def _run(dagster: psycopg.Connection, before: int) -> dict[str, datetime]:
    """The moments of the first run after the run with the id `before`."""
    run = dagster.execute(
        "SELECT run_id, create_timestamp FROM runs WHERE id > %s ORDER BY id LIMIT 1", (before,)
    ).fetchone()
    if run is None:
        return {}
    events = dagster.execute(
        'SELECT dagster_event_type, "timestamp" FROM event_logs '
        "WHERE run_id = %s AND dagster_event_type = ANY(%s)",
        (run[0], list(EVENTS)),
    )
    # Dagster stores UTC without saying so.
    return {"run created": run[1].replace(tzinfo=UTC)} | {
        EVENTS[event]: at.replace(tzinfo=UTC) for event, at in events
    }


def table(measured: list[dict[str, float]]) -> None:
    """Print each moment and the whole."""
    whole = statistics.median(each["rows readable"] for each in measured)
    print(f"  {'moment':<14}{'after, median':>15}{'maximum':>10}{'of it':>9}{'share':>8}")
    previous: dict[int, float] = {}
    for moment in MOMENTS:
        found = {i: each[moment] for i, each in enumerate(measured) if moment in each}
        if not found:
            print(f"  {moment:<14}{'none':>15}")
            continue
        phase = statistics.median(at - previous.get(i, 0.0) for i, at in found.items())
        print(
            f"  {moment:<14}{statistics.median(found.values()):>13.2f} s"
            f"{max(found.values()):>8.2f} s{phase:>7.2f} s{100 * phase / whole:>6.0f} %"
        )
        previous |= found
    largest = max(each["rows readable"] for each in measured)
    print(f"  insert to readable rows: median {whole:.2f} s, maximum {largest:.2f} s (goal 6 s)")


def main() -> None:
    """Print the figures of the docstring."""
    options = parser(__doc__)
    options.add_argument("--times", type=int, default=20, help="requests of each checkout")
    options.add_argument("--rounds", type=int, default=4, help="starts of `dev` of each checkout")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    random.seed(given.seed)
    specs = shopify_shops("alone", given.times + given.rounds)
    measured: dict[str, list[dict[str, float]]] = {}
    with sides(given.today, specs, latency=LATENCY) as both:
        for side in both:
            side.register(specs)
            measured[side.name] = []
        for turn in range(given.rounds):
            mine = specs[turn :: given.rounds]
            for side in both:
                with side.dev() as dev:
                    for number, spec in enumerate(mine):
                        time.sleep(QUIET + random.uniform(0, LOOP))
                        dev.check()
                        seconds = one_request(side, spec, f"alone-{turn}-{number}")
                        # The first one of a `dev` finds cold caches, and is not counted.
                        if number:
                            measured[side.name].append(seconds)
                print(f"{side.name}, round {turn + 1} of {given.rounds} done", flush=True)
        for side in both:
            print(f"{side.name}: {len(measured[side.name])} requests")
            table(measured[side.name])


if __name__ == "__main__":
    main()
