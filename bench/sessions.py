"""Count the Postgres sessions that one run over many shops opens, by the server's own log.

One run of the job `sync_shops` in a process of its own, over sandbox shops of 20 variants, half of
them WooCommerce's. Dagster's storage and the catalog are two databases of one embedded server,
whose setting `log_connections` writes a line for each session. The run's process is the server's
only client meanwhile. It ends by itself, and prints the sessions by database and by the name
that their client gave.

Run it as `python bench/sessions.py [--shops 100] [--most 40]`; it fails if there are more. With
`--checkout DIRECTORY` the run is of the code there, by the `.venv` there.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psycopg

from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec

HERE = Path(__file__).resolve().parents[1]
OPENED = re.compile(
    r"connection authorized: user=\S+ database=(\S+)(?: application_name=(\S+(?: run)?))?"
)

# Of names that every version of the project has.
MAKE_RUN = """
import sys
from pathlib import Path
from dagster import DagsterInstance
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value
from connector_pipeline.assets.sync_shops import run_config
from connector_pipeline.definitions import defs

keys = sys.argv[1:]
try:
    from connector_pipeline.model.sync import ShopToSync
    shops = [ShopToSync(key) for key in keys]
except ImportError:
    shops = keys
pointer = ModuleCodePointer("connector_pipeline.definitions", "defs", str(Path.cwd()))
origin = JobPythonOrigin("sync_shops", RepositoryPythonOrigin(sys.executable, pointer))
with DagsterInstance.get() as instance:
    instance.add_dynamic_partitions("shops", keys)
    made = instance.create_run_for_job(
        defs.resolve_job_def("sync_shops"), run_config=run_config(shops), job_code_origin=origin
    )
    args = ExecuteRunArgs(origin, made.run_id, instance.get_ref())
    Path("{home}/run").write_text(serialize_value(args))
"""


def spec(number: int) -> ShopSpec:
    """The specification of a shop. Every second one is a WooCommerce shop."""
    platform, domain = (
        ("shopify", f"bench-{number}.myshopify.com")
        if number % 2
        else ("woocommerce", f"bench-{number}.example")
    )
    return ShopSpec(
        platform=platform,
        domain=domain,
        merchant_id=f"merchant-{number % 97}",
        platform_shop_id=str(number),
        products=10,
        variants=(2, 2),
        seed=number,
        awkward=False,
    )


def register(url: str, specs: list[ShopSpec]) -> None:
    with psycopg.connect(url) as connection:
        for each in specs:
            connection.execute(
                "INSERT INTO connector.shops (platform_name, domain, merchant_id, platform_shop_id)"
                " VALUES (%s, %s, %s, %s)",
                (each.platform, each.domain, each.merchant_id, each.platform_shop_id),
            )


def command(checkout: Path, *words: str) -> None:
    done = subprocess.run(
        words, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout.decode()[-3000:])


def opened_by_a_run(
    checkout: Path, home: Path, server: EmbeddedPostgres, specs: list[ShopSpec]
) -> Counter[tuple[str, str]]:
    """Sync the shops in one run, as a launcher starts it. Returns the sessions by client."""
    programs = checkout / ".venv" / "bin"
    python = str(programs / "python")
    command(checkout, str(programs / "connector-pipeline"), "migrate")
    register(server.url("catalog"), specs)
    keys = [f"{each.platform}/{each.domain}" for each in specs]
    command(checkout, python, "-c", MAKE_RUN.replace("{home}", str(home)), *keys)
    before = server.log_path.stat().st_size
    run = (home / "run").read_text()
    command(checkout, python, "-m", "dagster", "api", "execute_run", run)
    written = server.log_path.read_text()[before:]
    with psycopg.connect(server.url("catalog")) as connection:
        [(synced,)] = connection.execute(
            "SELECT count(*) FROM connector.syncs WHERE status = 'succeeded'"
        ).fetchall()
    if synced != len(specs):
        raise RuntimeError(f"{synced} of {len(specs)} shops were synced")
    return Counter((found[1], found[2] or "") for found in OPENED.finditer(written))


def main() -> None:
    """Print the counts, and exit with an error if there are more than `--most`."""
    options = argparse.ArgumentParser()
    options.add_argument("--shops", type=int, default=100)
    options.add_argument("--most", type=int, default=40)
    options.add_argument("--checkout", type=Path, default=HERE)
    given = options.parse_args()
    checkout = given.checkout.resolve()
    specs = [spec(number) for number in range(given.shops)]
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as name:
        home = Path(name)
        home.chmod(0o711)
        (home / "dagster").mkdir()
        (home / "dagster" / "dagster.yaml").write_text((checkout / "dagster.yaml").read_text())
        with (
            EmbeddedPostgres(home, settings={"log_connections": "on"}) as server,
            SandboxServer(specs) as sandbox,
        ):
            os.environ.update(sandbox.environment())
            os.environ["CONNECTOR_HOME"] = str(home)
            os.environ["DAGSTER_HOME"] = str(home / "dagster")
            os.environ["CONNECTOR_DATABASE_URL"] = server.url("catalog")
            os.environ["DAGSTER_POSTGRES_URL"] = server.dagster_url
            opened = opened_by_a_run(checkout, home, server, specs)
    for (database, application), count in opened.most_common():
        print(f"{count:>5}  {database:<10}{application}")
    print(f"{opened.total()} sessions for {given.shops} shops (at most {given.most})")
    if opened.total() > given.most:
        sys.exit(1)


if __name__ == "__main__":
    main()
