"""Measure how soon a change in a shop is in the catalog, by webhooks and by change feeds.

    python bench/hints.py                            200 price changes over 50 shops, three times
    python bench/hints.py --changes 20 --shops 6     a trial

`connector-pipeline dev` runs with its default launcher over the shops of a sandbox, half on each
platform, 50 ms an answer. The sandbox sends webhooks to the receiver of `dev`.

1. Prices change, one after the other. Printed are the seconds from each change to its row being
   readable. Goal: a median of 10 s, and 20 s for 99 in a hundred.
2. The same, while one delivery in five is lost, one in five comes twice, and all come out of order,
   up to three seconds late. After the next sweep each shop must equal the sandbox's truth.
3. Products are deleted, with webhooks; then, in shops that never sent one, without them, so that
   looks at the change feeds find the deletions. These shops are known to change often, and are
   looked at as often as CHANGE_LOOK_EVERY allows. Printed are the seconds until `deleted_at`.

A trigger on the table of the catalog notes every row that is replaced by one with an older
`updated_at`: there must be none. The exit status is 1 if there is one, or if a shop is wrong.
"""

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import httpx
import psycopg
from checkouts import NEVER, Side, sides
from sandbox_process import shopify_shops
from syncs import wait_for

from connector_pipeline.credentials.webhook_secrets import shop_secret
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.webhooks.sender import SHOPIFY_SECRET

LATENCY: Final = 0.05
PATIENCE: Final = 900.0
POLL: Final = 0.1
KEY: Final = "a-key-of-the-bench-of-32-characters"
COLUMNS: Final = (
    "product_id", "variant_id", "product_title", "variant_title", "sku", "price", "currency",
    "inventory", "product_status", "sellable", "updated_at",
)  # fmt: skip
WATCH: Final = """
    CREATE SCHEMA bench;
    CREATE TABLE bench.changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, domain text, variant_id text,
        product_id text, price numeric, deleted boolean, older boolean
    );
    CREATE FUNCTION bench.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO bench.changes (domain, variant_id, product_id, price, deleted, older)
        VALUES (
            NEW.domain, NEW.variant_id, NEW.product_id, NEW.price, NEW.deleted_at IS NOT NULL,
            NEW.updated_at < OLD.updated_at
        );
        RETURN NULL;
    END $$;
    CREATE TRIGGER bench AFTER UPDATE ON catalog.catalog_items
        FOR EACH ROW EXECUTE FUNCTION bench.note();
"""


def shops(count: int, prefix: str) -> list[ShopSpec]:
    """Half on each platform, each of 20 products of 1 to 3 variants."""
    woocommerce = [
        ShopSpec(
            platform="woocommerce",
            domain=f"{prefix}-{number}.example.com",
            merchant_id=f"merchant-{number}",
            platform_shop_id=f"{prefix}-{number}",
            products=20,
            variants=(1, 3),
            seed=number + 1,
            awkward=False,
        )
        for number in range(count // 2)
    ]
    return [*shopify_shops(prefix, count - count // 2, products=20, variants=2), *woocommerce]


@dataclass(slots=True)
class Edit:
    """A price that a variant got, and when it was readable in the catalog."""

    domain: str
    variant_id: str
    price: Decimal
    at: float
    readable: float | None = None


class Catalog:
    """What readers see, watched by the rows that the trigger noted."""

    def __init__(self, connection: psycopg.Connection):
        self._connection = connection
        self._seen: set[int] = set()

    def news(self) -> list[tuple[str, str, str, Decimal | None, bool]]:
        """The changes that became readable since the last call."""
        rows = self._connection.execute(
            "SELECT id, domain, variant_id, product_id, price, deleted FROM bench.changes"
            " WHERE id > %s",
            # Transactions commit out of the order of their ids.
            (max(self._seen, default=0) - 5_000,),
        ).fetchall()
        fresh = [row for row in rows if row[0] not in self._seen]
        self._seen.update(row[0] for row in fresh)
        return [row[1:] for row in fresh]

    def older(self) -> int:
        """How many rows were replaced by an older one so far."""
        [(count,)] = self._connection.execute(
            "SELECT count(*) FROM bench.changes WHERE older"
        ).fetchall()
        return count


def made(control: httpx.Client) -> tuple[bool, list[Edit]]:
    """Whether all edits were made, and those so far."""
    found = control.get("/sandbox/price-edits").json()
    edits = [
        Edit(
            each["domain"],
            each["variant_id"],
            Decimal(each["price"]),
            datetime.fromisoformat(each["at"]).timestamp(),
        )
        for each in found["made"]
    ]
    return found["done"], edits


def follow(catalog: Catalog, control: httpx.Client, patience: float) -> list[Edit]:
    """Watch until all edits of the plan are readable, or nobody has patience any more."""
    known: list[Edit] = []
    done, until = False, time.monotonic() + patience
    asked = 0.0
    # What became readable before we heard of the edit.
    noted: list[tuple[float, str, str, Decimal | None]] = []
    while time.monotonic() < until:
        now = time.time()
        noted += [(now, row[0], row[1], row[3]) for row in catalog.news()]
        if not done and time.monotonic() - asked > 1:
            asked = time.monotonic()
            done, edits = made(control)
            known += edits[len(known) :]
        for number, edit in enumerate(known):
            if edit.readable is None:
                # A later price of the variant shows that this one was overtaken.
                prices = {edit.price} | {
                    later.price
                    for later in known[number + 1 :]
                    if (later.domain, later.variant_id) == (edit.domain, edit.variant_id)
                }
                edit.readable = next(
                    (
                        at
                        for at, domain, variant_id, price in noted
                        if (domain, variant_id) == (edit.domain, edit.variant_id)
                        and price in prices
                        and at >= edit.at
                    ),
                    None,
                )
        if done and all(edit.readable is not None for edit in known):
            break
        time.sleep(POLL)
    return known


def shown(title: str, edits: Sequence[Edit]) -> None:
    """Print the spread of the seconds from change to readable row."""
    taken = sorted(edit.readable - edit.at for edit in edits if edit.readable is not None)
    if len(taken) < 2:
        print(f"{title}: {len(taken)} of {len(edits)} arrived", flush=True)
        return
    hundredths = statistics.quantiles(taken, n=100, method="inclusive")
    print(
        f"{title}: {len(taken)} of {len(edits)} changes readable; median {hundredths[49]:.1f} s, "
        f"95th {hundredths[94]:.1f} s, 99th {hundredths[98]:.1f} s, worst {taken[-1]:.1f} s",
        flush=True,
    )


def stages(connection: psycopg.Connection, since: datetime) -> None:
    """Print where the hinted syncs that were put into the queue since then spent their time."""
    rows = connection.execute(
        """
        SELECT extract(epoch FROM taken_at - put_at), extract(epoch FROM started_at - taken_at),
            extract(epoch FROM fetched_at - started_at),
            extract(epoch FROM finished_at - fetched_at)
        FROM connector.sync_queue JOIN connector.syncs USING (sync_id)
        WHERE put_at >= %s AND hints IS NOT NULL AND finished_at IS NOT NULL
        """,
        (since,),
    ).fetchall()
    [(runs,)] = connection.execute(
        "SELECT count(DISTINCT syncs.run_id) FROM connector.sync_queue"
        " JOIN connector.syncs USING (sync_id) WHERE put_at >= %s AND hints IS NOT NULL",
        (since,),
    ).fetchall()
    if rows:
        waited, run, fetched, published = (
            statistics.median(map(float, column)) for column in zip(*rows, strict=True)
        )
        print(
            f"   {len(rows)} hinted syncs in {runs} runs; medians: {waited:.1f} s in the queue, "
            f"{run:.1f} s until the run began them, {fetched:.1f} s asking the shop, "
            f"{published:.1f} s publishing; the machine's load is {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def wrong(connection: psycopg.Connection, control: httpx.Client, specs: Iterable[ShopSpec]) -> int:
    """How many shops' live rows differ from the sandbox's truth. Prints an example of each."""
    count = 0
    for spec in specs:
        path = f"/sandbox/shops/{spec.platform}/{spec.domain}/expected"
        truth = {tuple(_plain(row[name]) for name in COLUMNS) for row in control.get(path).json()}
        rows = connection.execute(
            f"SELECT {', '.join(COLUMNS)} FROM catalog.catalog_items"  # noqa: S608
            " WHERE domain = %s AND deleted_at IS NULL",
            (spec.domain,),
        ).fetchall()
        if differing := {tuple(_plain(value) for value in row) for row in rows} ^ truth:
            count += 1
            print(f"  differs: {spec.domain}: {len(differing)}, {sorted(map(str, differing))[:2]}")
    return count


def _plain(value: Any) -> Any:
    """A value as both JSON and Postgres give it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, str):
        try:
            return f"{Decimal(value).normalize():f}"
        except ArithmeticError:
            return value
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def send_to(control: httpx.Client, url: str | None, specs: Sequence[ShopSpec]) -> None:
    """Let the sandbox send webhooks to the receiver; None: to nobody."""
    app: dict[str, Any] = {}
    if url is not None:
        woocommerce = [spec.domain for spec in specs if spec.platform == "woocommerce"]
        app = {
            "shopify_url": f"{url}/shopify",
            "woo_url": f"{url}/woocommerce/{{domain}}",
            "woo_secrets": {each: shop_secret(KEY, f"woocommerce/{each}") for each in woocommerce},
        }
    control.put("/sandbox/webhooks/app", json=app).raise_for_status()


def synced(connection: psycopg.Connection, since: datetime, count: int) -> bool:
    """Whether a sync that is no hinted one, begun since then, has succeeded for so many shops."""
    [(found,)] = connection.execute(
        "SELECT count(DISTINCT domain) FROM connector.syncs WHERE started_at >= %s"
        " AND status = 'succeeded' AND sync_type <> 'hinted'",
        (since,),
    ).fetchall()
    return found >= count


def looked_at(connection: psycopg.Connection, specs: Sequence[ShopSpec]) -> bool:
    """Whether the change feeds of all these shops were looked at."""
    [(count,)] = connection.execute(
        "SELECT count(*) FROM connector.change_looks"
        " WHERE looked_at IS NOT NULL AND domain = ANY(%s)",
        ([spec.domain for spec in specs],),
    ).fetchall()
    return count == len(specs)


def make_busy(connection: psycopg.Connection, specs: Sequence[ShopSpec], every: float) -> None:
    """Let the shops be known as ones that change all the time, and be looked at so often."""
    connection.execute(
        "UPDATE connector.change_looks SET changes_an_hour = 60, look_at = now() + random() * %s"
        " WHERE domain = ANY(%s)",
        (timedelta(seconds=every), [spec.domain for spec in specs]),
    )


def delete(
    title: str, catalog: Catalog, control: httpx.Client, specs: Sequence[ShopSpec], patience: float
) -> None:
    """Delete a product in each of these shops and print how long its rows stayed live."""
    catalog.news()
    deleted: dict[str, tuple[str, str, float]] = {}
    for spec in specs:
        path = f"/sandbox/shops/{spec.platform}/{spec.domain}"
        product_id = random.choice(control.get(f"{path}/expected").json())["product_id"]
        trash = str(spec.platform == "woocommerce").lower()
        control.delete(f"{path}/products/{product_id}?trash={trash}").raise_for_status()
        deleted[spec.domain] = spec.platform, product_id, time.time()
    until, taken = time.monotonic() + patience, dict[str, list[float]]()
    while deleted and time.monotonic() < until:
        for domain, _, product_id, _, gone in catalog.news():
            if gone and domain in deleted and deleted[domain][1] == product_id:
                platform, _, at = deleted.pop(domain)
                taken.setdefault(platform, []).append(time.time() - at)
        time.sleep(POLL)
    for platform, seconds in sorted(taken.items()):
        print(
            f"{title}, {platform}: {len(seconds)} deletions, median "
            f"{statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s",
            flush=True,
        )
    if deleted:
        print(f"{title}: {len(deleted)} not found within {patience:.0f} s: {sorted(deleted)[:4]}")


def by_webhooks(
    side: Side,
    control: httpx.Client,
    catalog: Catalog,
    specs: Sequence[ShopSpec],
    given: argparse.Namespace,
) -> int:
    """The measurements with webhooks. Returns how many shops were wrong after the sweep."""
    plan = {"count": given.changes, "per_second": given.per_second, "shops": given.shops}
    some = random.sample(specs[: given.shops], k=min(10, given.shops))
    without_looks = {"CHANGE_LOOKS_PER_MINUTE": "0"}
    with side.connect() as connection:
        with side.dev(**without_looks) as dev:
            send_to(control, dev.webhooks_url, specs)
            began = datetime.now(UTC)
            control.post("/sandbox/price-edits", json=plan).raise_for_status()
            shown("1. webhooks", follow(catalog, control, PATIENCE))
            stages(connection, began)
        sweep = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(
            seconds=60 * given.sweep_after
        )
        cron = {"SYNC_CRON": f"{sweep.minute} {sweep.hour} * * *"}
        with side.dev(**without_looks, **cron) as dev:
            send_to(control, dev.webhooks_url, specs)
            spoiled = {"lost": 0.2, "doubled": 0.2, "reorder": 3.0, "seed": given.seed}
            control.put("/sandbox/webhooks", json=spoiled).raise_for_status()
            control.post("/sandbox/price-edits", json=plan | {"seed": 2}).raise_for_status()
            before = max(0.0, (sweep - datetime.now(UTC)).total_seconds())
            shown("2. spoiled, before the sweep", follow(catalog, control, before))
            print(f"   {control.get('/sandbox/webhooks').json()['counts']}", flush=True)
            wait_for(
                lambda: synced(connection, sweep, len(specs)),
                patience=PATIENCE,
                every=1,
                check=dev.check,
            )
            differing = wrong(connection, control, specs)
            print(
                f"   after the sweep {differing} shops differ from the truth; {catalog.older()} "
                "rows were replaced by an older one so far",
                flush=True,
            )
            clear = {"lost": 0, "doubled": 0, "reorder": 0}
            control.put("/sandbox/webhooks", json=clear).raise_for_status()
            delete("3. with webhooks", catalog, control, some, PATIENCE)
    return differing


def by_change_feeds(
    side: Side,
    control: httpx.Client,
    catalog: Catalog,
    quiet: Sequence[ShopSpec],
    given: argparse.Namespace,
) -> None:
    """The measurement without webhooks, in shops that never sent one."""
    with side.dev(CHANGE_LOOK_EVERY=f"{given.look_every}s") as dev, side.connect() as connection:
        send_to(control, None, quiet)
        # A shop's first look shows where the next ones begin.
        wait_for(lambda: looked_at(connection, quiet), patience=PATIENCE, every=1, check=dev.check)
        make_busy(connection, quiet, given.look_every)
        delete("3. by change feeds", catalog, control, quiet, given.feed_patience)


def main() -> None:
    """Print the figures of the docstring."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--changes", type=int, default=200)
    options.add_argument("--shops", type=int, default=50)
    options.add_argument("--quiet", type=int, default=10, help="shops without webhooks, besides")
    options.add_argument("--per-second", type=float, default=4.0)
    options.add_argument("--sweep-after", type=int, default=3, help="minutes")
    options.add_argument("--look-every", type=int, default=60, help="seconds, CHANGE_LOOK_EVERY")
    options.add_argument("--feed-patience", type=float, default=PATIENCE, help="seconds")
    options.add_argument("--feeds-alone", action="store_true", help="the last measurement alone")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    random.seed(given.seed)
    specs = [*shops(given.shops, "hints"), *shops(given.quiet, "quiet")]
    settings = {
        "WEBHOOKS_URL": "http://127.0.0.1",
        "WEBHOOK_KEYS": KEY,
        "SHOPIFY_WEBHOOK_SECRETS": SHOPIFY_SECRET,
        "SYNC_CRON": NEVER,
    }
    with sides(None, specs, latency=LATENCY, **settings) as [side]:
        side.register(specs)
        origin = side.sandbox_environment["TOKEN_SERVICE_URL"].removesuffix("/token-service")
        with side.dev():
            side.cli("backfill")
        with side.connect() as connection:
            connection.execute(WATCH)
        with (
            httpx.Client(base_url=origin, trust_env=False, timeout=60) as control,
            side.connect() as watching,
        ):
            catalog, failed = Catalog(watching), 0
            if not given.feeds_alone:
                failed = by_webhooks(side, control, catalog, specs, given)
            by_change_feeds(side, control, catalog, specs[given.shops :], given)
            older = catalog.older()
    print(f"{older} rows were replaced by an older one")
    sys.exit(bool(failed + older))


if __name__ == "__main__":
    main()
