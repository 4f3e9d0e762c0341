"""Count the Postgres sessions that one run over many shops opens, by the server's own log.

One run of the job `sync_shops` in a process of its own, over sandbox shops of 20 variants, half of
them WooCommerce's. Dagster's storage and the catalog are two databases of one embedded server,
whose setting `log_connections` writes a line for each session. The run's process is the server's
only client meanwhile. It ends by itself, and prints the sessions by database and by the name
that their client gave.

Run it as `python bench/sessions.py [--shops 100] [--most 40]`; it fails if there are more.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from backfill import key, registered, spec
from dagster import DagsterInstance
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.definitions import build_definitions
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.settings import load_settings
from connector_pipeline.state.registry import ShopRegistry

OPENED = re.compile(
    r"connection authorized: user=\S+ database=(\S+)(?: application_name=(\S+(?: run)?))?"
)


def opened_by_a_run(keys: list[str], log: Path) -> Counter[tuple[str, str]]:
    """Sync the shops in one run, as a launcher starts it. Returns what the log says of it."""
    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("shops", keys)
        pointer = ModuleCodePointer("connector_pipeline.definitions", "defs", str(Path.cwd()))
        origin = JobPythonOrigin(JOB, RepositoryPythonOrigin(sys.executable, pointer))
        made = instance.create_run_for_job(
            build_definitions(load_settings()).resolve_job_def(JOB),
            run_config=run_config(keys),
            job_code_origin=origin,
        )
        args = ExecuteRunArgs(origin, made.run_id, instance.get_ref())
    command = [sys.executable, "-m", "dagster", "api", "execute_run", serialize_value(args)]
    before = log.stat().st_size
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    written = log.read_text()[before:]
    with DagsterInstance.get() as instance:
        ended = instance.get_run_by_id(made.run_id)
    if ended is None or not ended.is_success:
        raise RuntimeError(done.stdout.decode()[-3000:])
    return Counter((found[1], found[2] or "") for found in OPENED.finditer(written))


def main() -> None:
    """Print the counts, and exit with an error if there are more than `--most`."""
    options = argparse.ArgumentParser()
    options.add_argument("--shops", type=int, default=100)
    options.add_argument("--most", type=int, default=40)
    given = options.parse_args()
    specs = [spec(number) for number in range(given.shops)]
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as name:
        home = Path(name)
        home.chmod(0o711)
        (home / "dagster").mkdir()
        (home / "dagster" / "dagster.yaml").write_text(instance_config().read_text())
        with (
            EmbeddedPostgres(home, settings={"log_connections": "on"}) as server,
            SandboxServer(specs) as sandbox,
        ):
            os.environ.update(sandbox.environment())
            os.environ["CONNECTOR_HOME"] = str(home)
            os.environ["DAGSTER_HOME"] = str(home / "dagster")
            os.environ["CONNECTOR_DATABASE_URL"] = server.url("catalog")
            os.environ["DAGSTER_POSTGRES_URL"] = server.dagster_url
            migrate(server.url("catalog"))
            registry = ShopRegistry(database=Database(url=server.url("catalog")))
            for each in specs:
                registry.add(registered(each))
            opened = opened_by_a_run([key(each) for each in specs], server.log_path)
    for (database, application), count in opened.most_common():
        print(f"{count:>5}  {database:<10}{application}")
    print(f"{opened.total()} sessions for {given.shops} shops (at most {given.most})")
    if opened.total() > given.most:
        sys.exit(1)


if __name__ == "__main__":
    main()
