"""A command imports nothing of Dagster's that it does not use, and gets what it uses after all.

Each program runs in a process of its own: this one has imported Dagster.
"""

import os
import subprocess
import sys
from typing import Final

from dagster import DagsterInstance
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

LEAVE_OUT: Final = """
import sys
from connector_pipeline.engine.unused_imports import leave_out_unused_imports
leave_out_unused_imports()
"""
SYNC: Final = """
import connector_pipeline.cli.sync
from connector_pipeline.cli.runs import sync_job
from connector_pipeline.engine.storage import ConnectorStorage
job = sync_job()
"""
LEFT_OUT: Final = (
    "alembic", "connector_pipeline.automation.sweep", "connector_pipeline.definitions",
    "dagster.components", "dagster._core.execution.backfill",
    "dagster._daemon.controller", "httpx._main", "mako", "pygments", "rich",
    "structlog", "tqdm",
)  # fmt: skip


def printed_by(program: str) -> list[str]:
    """The lines that a program prints that leaves out imports first. Fails if it does."""
    run = subprocess.run(
        [sys.executable, "-c", LEAVE_OUT + program],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"TOKEN_SERVICE_URL": "https://tokens.example"},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_a_sync_imports_nothing_that_it_does_not_use() -> None:
    """Fails when Dagster imports these elsewhere, or uses them at once: find where, or drop it."""
    executed = "[name for name, module in sys.modules.items() if '__file__' in vars(module)]"
    daemon = "'DagsterDaemonController' in vars(sys.modules['dagster._daemon'])"
    [imported, used] = printed_by(f"{SYNC}\nprint(*{executed})\nprint({daemon})")
    assert not [name for name in LEFT_OUT if name in imported.split()]
    assert used == "False"


def test_a_commands_runs_are_of_the_jobs_that_the_ui_has() -> None:
    """Without sensors and schedules the same definitions: Dagster stores a job once, by its id."""
    assert (
        len(
            set(
                printed_by(f"""{SYNC}
from connector_pipeline.cli.runs import command_definitions
from connector_pipeline.definitions import defs
for each in (defs, command_definitions()):
    found = each.resolve_implicit_global_asset_job_def(), each.resolve_job_def("sync_shops")
    print(*(job.get_job_index().job_snapshot_id for job in found))
""")
            )
        )
        == 1
    )


def test_what_was_left_out_is_the_real_thing_when_it_is_used() -> None:
    """By Dagster's own modules, by the name that `dagster` exports, and by another importer."""
    assert printed_by(
        f"""{SYNC}
from dagster._core.storage.sql import get_alembic_config, AlembicVersion
import dagster, dagster._core.storage.sql as storage, dagster._daemon
print(type(get_alembic_config(storage.__file__)).__module__)
print(storage.ScriptDirectory.from_config.__self__)
class Ours(dagster.Component, dagster.Model, dagster.Resolvable): ...
from dagster.components import Component
import alembic.command, alembic.config, tqdm
print(dagster.Component is Component, dagster.components.Component is Component)
print(isinstance(alembic.config.Config(), storage.Config), isinstance(1, storage.Config))
print(dagster._daemon.DagsterDaemonController.__name__)
print(hasattr(dagster, "nothing"), hasattr(dagster._daemon, "nothing"))
from sqlalchemy.dialects.postgresql import asyncpg
print(asyncpg.dialect.name, tqdm.tqdm.__name__)
"""
    ) == [
        "alembic.config",
        "<class 'alembic.script.base.ScriptDirectory'>",
        "True True",
        "True False",
        "DagsterDaemonController",
        "False False",
        "postgresql tqdm",
    ]


def test_a_command_reads_backfills_that_dagster_stored(stored_instance: DagsterInstance) -> None:
    """Their class is left out, and Dagster reads back what it knows alone."""
    stored_instance.add_backfill(
        PartitionBackfill(
            backfill_id="kept",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=0.0,
            asset_selection=[],
            serialized_asset_backfill_data=None,
            asset_backfill_data=None,
        )
    )
    assert printed_by(
        f"""{SYNC}
from dagster import DagsterInstance
with DagsterInstance.from_config({stored_instance.root_directory!r}) as instance:
    assert "dagster._core.execution.backfill" not in sys.modules
    print(instance.get_backfill("kept").backfill_id)
    print([each.backfill_id for each in instance.get_backfills()])
"""
    ) == ["kept", "['kept']"]
