"""A sensor that was switched off stays so, whatever a tick of the daemon writes meanwhile."""

from pathlib import Path

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from connector_pipeline.engine.sensor_switch import switch

NAME = "a_sensor"


def test_a_tick_that_writes_back_what_it_read_switches_nothing_on_again(tmp_path: Path) -> None:
    """Dagster's daemon writes the whole state when a tick begins and ends."""
    location = GrpcServerCodeLocationOrigin("127.0.0.1", 1)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "a_repository"), NAME)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert not switch(instance, NAME, on=False)
        read = instance.add_instigator_state(
            InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING)
        )
        ticks = 2

        def pause(_: float) -> None:
            nonlocal ticks
            if ticks:
                ticks -= 1
                instance.update_instigator_state(read)

        assert switch(instance, NAME, on=False, pause=pause)
        [state] = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        assert (state.status, ticks) == (InstigatorStatus.STOPPED, 0)
