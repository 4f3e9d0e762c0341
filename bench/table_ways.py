"""The ways to bring a shop into Postgres that bench/table.py compares, each timed alike.

Times run from the start of a command, or the launch of a run. `readable` is when readers see all
rows that were to come, asked every 50 ms; `exit` is when the process, or the run, has ended. The
CPU is that of the process and its children, without Postgres and the sandbox.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from checkouts import Dev, Side, Spent
from psycopg import sql

from connector_pipeline.sandbox.shops.spec import ShopSpec

HERE: Final = Path(__file__).parent
POLL: Final = 0.05
PATIENCE: Final = 900.0
DLT_SINGLE_WORKERS: Final = 5
"""dlt's own default of requests at once; a shop of ours gets at most four (WooCommerce)."""
DLT_TOGETHER_WORKERS: Final = 20
_LAUNCH: Final = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_REPOSITORY: Final = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }
"""
_OVER: Final = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds to readable rows, if rows were to change, and to the end; CPU seconds; peak MB."""

    readable: float | None
    exit: float
    cpu: float
    peak: float | None = None
    output: str = ""

    def scaled(self, by: float) -> "Took":
        """As if it were so many times as large."""
        readable = None if self.readable is None else self.readable * by
        return replace(self, readable=readable, exit=self.exit * by, cpu=self.cpu * by)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader asks: a statement that counts rows, and how many are to be there."""

    url: str
    statement: str
    values: tuple[Any, ...]
    wanted: int


class Watch:
    """Asks from another thread until the rows are there; `at` is when, by perf_counter."""

    def __init__(self, seen: Seen | None):
        self._seen, self._over = seen, threading.Event()
        self.at: float | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # The rows that a process left are there when it has ended, and this asks once more.
        self._over.set()
        self._thread.join()
        if kind is None and self._seen is not None and self.at is None:
            raise RuntimeError(f"fewer than {self._seen.wanted} rows: {self._seen.statement}")

    def _ask(self) -> None:
        if self._seen is None:
            return
        with psycopg.connect(self._seen.url, autocommit=True) as connection:
            last = False
            while not last:
                last = self._over.is_set()
                with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                    statement = self._seen.statement.encode()
                    [(count,)] = connection.execute(statement, self._seen.values).fetchall()
                    if count >= self._seen.wanted:
                        self.at = time.perf_counter()
                        return
                self._over.wait(POLL)


def key(spec: ShopSpec) -> str:
    return f"{spec.platform}/{spec.domain}"


def run_until_readable(run: Callable[[], Spent], seen: Seen | None) -> Took:
    """Time a command; raises RuntimeError if the rows are not there when it has ended."""
    with Watch(seen) as watch:
        began = time.perf_counter()
        spent = run()
    readable = None if watch.at is None else watch.at - began
    print(f"  {spent.wall:.1f} s", end="", file=sys.stderr, flush=True)
    return Took(readable, spent.wall, spent.cpu, spent.peak, spent.output)


def beside(url: str, database: str) -> str:
    """The URL of another database on the same server."""
    path, _, query = url.partition("?")
    return f"{path.rpartition('/')[0]}/{database}?{query}"


class Ours:
    """This project: by `connector-pipeline sync`, or a run that `connector-pipeline dev` starts."""

    def __init__(self, side: Side):
        self._side = side

    def seen(self, specs: Sequence[ShopSpec], wanted: int, price: str | None = None) -> Seen:
        """Live rows of the shops; only those with this price if it is given."""
        return Seen(
            self._side.url,
            "SELECT count(*) FROM catalog.catalog_items WHERE deleted_at IS NULL"
            " AND domain = ANY(%s) AND (%s::numeric IS NULL OR price = %s::numeric)",
            ([spec.domain for spec in specs], price, price),
            wanted,
        )

    def command(
        self, spec: ShopSpec, kind: str, seen: Seen | None, settings: dict[str, str]
    ) -> Took:
        """`connector-pipeline sync`: a process of its own, which imports everything."""
        side = replace(self._side, settings=self._side.settings | settings)
        arguments = ("sync", key(spec), "--type", kind, "--json")
        return run_until_readable(lambda: side.cli(*arguments), seen)

    def backfill(self, specs: Sequence[ShopSpec], seen: Seen | None) -> Took:
        """`connector-pipeline backfill` of a merchant's shops in a process of its own."""
        arguments = ("backfill", "--merchant-id", specs[0].merchant_id)
        return run_until_readable(lambda: self._side.cli(*arguments), seen)


class WarmRuns:
    """Runs of one shop that a `dev` with the default launcher starts, as from the UI."""

    def __init__(self, side: Side, dev: Dev):
        self._side, self._dev = side, dev
        self._http = httpx.Client(timeout=60, trust_env=False)
        answer = self._graphql(_REPOSITORY, {})
        [found] = answer["repositoriesOrError"]["nodes"]
        self._repository = {
            "repositoryName": found["name"],
            "repositoryLocationName": found["location"]["name"],
        }
        self._idle = 0.0

    def warm(self, spec: ShopSpec) -> None:
        """Run once, uncounted, so that caches are filled; then measure the CPU of idling."""
        self.run(spec, "full", None)
        time.sleep(2)
        began, cpu = time.perf_counter(), self._dev.cpu()
        time.sleep(5)
        self._idle = (self._dev.cpu() - cpu) / (time.perf_counter() - began)

    def run(self, spec: ShopSpec, kind: str, seen: Seen | None) -> Took:
        """Launch a run and wait for its end. The CPU is that of `dev` less that of idling."""
        cpu = self._dev.cpu()
        with Watch(seen) as watch, self._side.dagster() as dagster:
            began = time.perf_counter()
            run_id = self._launch(spec, kind)
            while (status := _status(dagster, run_id)) not in _OVER:
                self._dev.check()
                if time.perf_counter() - began > PATIENCE:
                    raise TimeoutError(f"{key(spec)}: the run is {status}")
                time.sleep(POLL)
            ended = time.perf_counter() - began
        if status != "SUCCESS":
            raise RuntimeError(f"{key(spec)}: the run ended as {status}")
        print(f"  {ended:.1f} s", end="", file=sys.stderr, flush=True)
        # The process of the run is counted when its parent has seen its end.
        time.sleep(1.5)
        spent = self._dev.cpu() - cpu - self._idle * (time.perf_counter() - began)
        return Took(None if watch.at is None else watch.at - began, ended, spent)

    def _launch(self, spec: ShopSpec, kind: str) -> str:
        params = {
            "selector": self._repository
            | {
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": ["raw_products"]}, {"path": ["catalog_items"]}],
            },
            "mode": "default",
            "runConfigData": {"ops": {"raw_products": {"config": {"sync_type": kind}}}},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key(spec)}]},
        }
        launched = self._graphql(_LAUNCH, {"params": params})["launchRun"]
        if "run" not in launched:
            raise RuntimeError(f"{key(spec)}: {launched}")
        return launched["run"]["runId"]

    def _graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        answer = self._http.post(f"{self._dev.ui_url}/graphql", json=body)
        return answer.raise_for_status().json()["data"]


def _status(dagster: psycopg.Connection, run_id: str) -> str:
    row = dagster.execute("SELECT status FROM runs WHERE run_id = %s", (run_id,)).fetchone()
    return row[0] if row else "UNKNOWN"


class Programs:
    """dlt and the original's shape: programs that get the shops and their credentials."""

    def __init__(self, side: Side, dlt_python: Path | None):
        self._side, self._dlt_python = side, dlt_python
        self._datasets = 0
        self._tokens = side.sandbox_environment["TOKEN_SERVICE_URL"]
        with side.connect() as admin:
            for database in ("dlt", "original"):
                admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    @property
    def dlt_url(self) -> str:
        return beside(self._side.url, "dlt")

    @property
    def original_url(self) -> str:
        return beside(self._side.url, "original")

    def new_dataset(self) -> str:
        """A name for dlt's tables that no load has used."""
        self._datasets += 1
        return f"shops_{self._datasets}"

    def dlt(
        self,
        shops: Sequence[tuple[ShopSpec, str]],
        dataset: str,
        *,
        wanted: int | None,
        price: str | None = None,
        together: bool = False,
        declared: bool = False,
    ) -> Took:
        """Load the shops, each by its route, into the dataset; `declared` by dlt's REST source."""
        if self._dlt_python is None:
            raise RuntimeError("dlt is left out")
        seen = None
        if wanted is not None:
            seen = Seen(
                self.dlt_url,
                f"SELECT count(*) FROM {dataset}.items"  # noqa: S608  a name from new_dataset
                " WHERE %s::numeric IS NULL OR price = %s::numeric",
                (price, price),
                wanted,
            )
        given = {
            "shops": [self._shop(spec, route) for spec, route in shops],
            # dlt wants a host; libpq prefers the one of the query.
            "database": self.dlt_url.replace("postgres@/", "postgres:unused@localhost:5432/"),
            "dataset": dataset,
            "folder": str(self._side.home / "dlt" / dataset),
            "together": together,
            "workers": DLT_TOGETHER_WORKERS if together else DLT_SINGLE_WORKERS,
        }
        program = str(HERE / ("dlt_declared.py" if declared else "dlt_pipeline.py"))
        return run_until_readable(
            lambda: self._side.run([str(self._dlt_python), program, self._written(given)]), seen
        )

    def original(self, spec: ShopSpec, route: str, wanted: int) -> Took:
        """Sync the shop one request and one row after the other."""
        seen = Seen(
            self.original_url,
            "SELECT count(*) FROM original_items WHERE domain = %s",
            (spec.domain,),
            wanted,
        )
        given = {"shops": [self._shop(spec, route)], "libpq": self.original_url}
        program = str(HERE / "original_shape.py")
        return run_until_readable(
            lambda: self._side.run([self._side.python, program, self._written(given)]), seen
        )

    def _written(self, given: dict[str, Any]) -> str:
        path = self._side.home / "shops.json"
        path.write_text(json.dumps(given))
        return str(path)

    def _shop(self, spec: ShopSpec, route: str) -> dict[str, Any]:
        setting = f"{spec.platform.upper()}_BASE_URL"
        answer = httpx.get(
            f"{self._tokens}/api/v1/tokens/{key(spec)}",
            headers={"X-Correlation-ID": "bench"},
            trust_env=False,
        )
        return {
            "route": route,
            "merchant_id": spec.merchant_id,
            "domain": spec.domain,
            "currency": spec.currency,
            "url": self._side.sandbox_environment[setting].replace("{domain}", spec.domain),
            **answer.raise_for_status().json()["data"],
        }
