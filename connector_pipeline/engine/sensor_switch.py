"""Switch a sensor off and on without a code server, as the UI does with one.

Dagster's own `dagster sensor stop` loads the definitions, and for that a workspace. Where a version
is being replaced, neither need be at hand. Dagster stores a sensor's state as soon as a daemon has
come by it for the first time. A tick that goes on meanwhile leaves the switch where it is
(engine/schedule_storage.py).

Needs: `DagsterInstance.all_instigator_state`, `update_instigator_state` and `get_ticks`, and the
states and types of `dagster._core`. Tried with Dagster 1.13.27. A public function that stops a
sensor by its name would replace this module.
"""

from collections.abc import Sequence

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus


def switch(instance: DagsterInstance, name: str, *, on: bool) -> bool:
    """Switch the sensor of this name on or off. Returns False if no daemon has come by it yet."""
    status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
    states = _states(instance, name)
    for state in states:
        if state.status is not status:
            instance.update_instigator_state(state.with_status(status))
    return bool(states)


def is_ticking(instance: DagsterInstance, name: str) -> bool:
    """Whether the sensor's newest tick goes on: one that began before it was switched off."""
    return any(
        not tick.is_completed
        for state in _states(instance, name)
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    )


def _states(instance: DagsterInstance, name: str) -> Sequence[InstigatorState]:
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return [state for state in states if state.instigator_name == name]
