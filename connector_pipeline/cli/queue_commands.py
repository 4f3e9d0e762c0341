"""`connector-pipeline queue …`: let the runs under way end, and begin no new ones, for an upgrade.

A command imports what it works with when it is called: its help needs no database.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from connector_pipeline.cli.arguments import MOST_HOURS, JsonFlag
from connector_pipeline.cli.examples import examples

if TYPE_CHECKING:
    from dagster import DagsterInstance

app = typer.Typer(help="The queue of syncs: stop and start launching runs.", no_args_is_help=True)

_SENSOR: Final = "sync_queue"
_LOOKED_EVERY: Final = 1.0


@app.command(epilog=examples("queue stop", "queue stop --wait --most-minutes 30"))
def stop(
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every run under way has ended.")
    ] = False,
    most_minutes: Annotated[
        float,
        typer.Option(
            metavar="MINUTES", min=0, max=60 * MOST_HOURS, help="Wait for so long at most."
        ),
    ] = 240,
    as_json: JsonFlag = False,
) -> None:
    """Launch no more runs; requests and sweeps wait in the queue until `queue start`."""
    from connector_pipeline.cli.working import working
    from connector_pipeline.engine.runs_under_way import runs_under_way
    from connector_pipeline.engine.sensor_switch import is_ticking

    with _instance() as instance:
        _switch(instance, on=False)
        until = time.monotonic() + timedelta(minutes=most_minutes).total_seconds()
        # The tick before the runs: it may have launched one as its last.
        ticking, left = is_ticking(instance, _SENSOR), len(runs_under_way(instance))
        while wait and (ticking or left) and time.monotonic() < until:
            with working(f"{left} runs are under way"):
                time.sleep(_LOOKED_EVERY)
            ticking, left = is_ticking(instance, _SENSOR), len(runs_under_way(instance))
    _say("stopped", left, as_json=as_json)
    if wait and (ticking or left):
        raise typer.Exit(1)


@app.command(epilog=examples("queue start"))
def start(as_json: JsonFlag = False) -> None:
    """Launch runs over the shops that wait, as before `queue stop`."""
    from connector_pipeline.engine.runs_under_way import runs_under_way

    with _instance() as instance:
        _switch(instance, on=True)
        left = len(runs_under_way(instance))
    _say("started", left, as_json=as_json)


@contextmanager
def _instance() -> Generator["DagsterInstance"]:
    """Dagster's instance. Raises as `database_services` does."""
    from dagster import DagsterInstance

    from connector_pipeline.cli.local_services import (
        SchemaUse,
        dagster_services,
        database_services,
    )

    # Whatever the revision: a version that is being replaced must be able to stop.
    with (
        database_services(SchemaUse.INSPECT) as settings,
        dagster_services(settings),
        DagsterInstance.get() as instance,
    ):
        yield instance


def _switch(instance: "DagsterInstance", *, on: bool) -> None:
    from connector_pipeline.cli.output import err
    from connector_pipeline.engine.sensor_switch import switch

    if not switch(instance, _SENSOR, on=on):
        err.print(
            f"Dagster does not know the sensor {_SENSOR} yet: no daemon has run on this database "
            "of Dagster. Nothing was changed.",
            soft_wrap=True,
        )
        raise typer.Exit(1)


def _say(state: str, runs: int, *, as_json: bool) -> None:
    from connector_pipeline.cli.json_output import print_json
    from connector_pipeline.cli.output import out

    if as_json:
        print_json({"queue": state, "runs_under_way": runs})
    else:
        out.print(f"The queue is {state}; {runs} runs are under way.")
