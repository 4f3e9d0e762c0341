"""A sensor is switched by its name alone, without a code server."""

import time
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)

from connector_pipeline.engine.sensor_switch import is_ticking, switch


def test_a_sensor_is_switched_off_and_on_once_a_daemon_has_come_by_it(tmp_path: Path) -> None:
    """And no other one. That it stays so is promised in test_schedule_storage.py."""
    location = GrpcServerCodeLocationOrigin("127.0.0.1", 1)
    repository = RemoteRepositoryOrigin(location, "a_repository")
    with DagsterInstance.local_temp(str(tmp_path)) as instance:

        def statuses() -> dict[str, str]:
            states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
            return {state.instigator_name: state.status.value for state in states}

        assert not switch(instance, "a_sensor", on=False)
        for name in ("a_sensor", "another"):
            instance.add_instigator_state(
                InstigatorState(
                    RemoteInstigatorOrigin(repository, name),
                    InstigatorType.SENSOR,
                    InstigatorStatus.DECLARED_IN_CODE,
                )
            )
        assert switch(instance, "a_sensor", on=False)
        assert statuses() == {"a_sensor": "STOPPED", "another": "DECLARED_IN_CODE"}
        assert switch(instance, "a_sensor", on=True)
        assert statuses() == {"a_sensor": "RUNNING", "another": "DECLARED_IN_CODE"}


def test_a_tick_goes_on_from_its_first_write_to_its_last(tmp_path: Path) -> None:
    """Also before Dagster has created it; and not for ever, if its daemon was killed."""
    location = GrpcServerCodeLocationOrigin("127.0.0.1", 1)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "a_repository"), "a_sensor")
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.STOPPED)
    now = time.time()
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_instigator_state(state)

        def after(**times: float) -> bool:
            data = SensorInstigatorData(**times)
            instance.update_instigator_state(state.with_data(data))
            return is_ticking(instance, "a_sensor")

        assert not is_ticking(instance, "a_sensor")
        assert after(last_tick_start_timestamp=now)
        assert after(last_tick_start_timestamp=now, last_tick_timestamp=now - 5)
        assert not after(last_tick_start_timestamp=now, last_tick_timestamp=now)
        assert not after(
            last_tick_start_timestamp=now,
            last_tick_timestamp=now - 5,
            last_tick_success_timestamp=now,
        )
        assert not after(last_tick_start_timestamp=now - 3600, last_tick_timestamp=now - 3605)
