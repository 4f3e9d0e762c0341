"""A sensor is switched by its name alone, without a code server."""

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
