"""Switch a sensor off and on without a code server, as the UI does with one.

Dagster's own `dagster sensor stop` loads the definitions, and for that a workspace. Where a version
is being replaced, neither need be at hand. Dagster stores a sensor's state as soon as a daemon has
come by it for the first time. A tick that goes on meanwhile leaves the switch where it is
(engine/schedule_storage.py).

Needs: `DagsterInstance.all_instigator_state` and `update_instigator_state`, the states and types of
`dagster._core`, and the times that a tick writes (engine/schedule_storage.py). Tried with Dagster
1.13.27. A public function that stops a sensor by its name would replace this module.
"""

import time
from collections.abc import Sequence
from typing import Final

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

_LONGEST_TICK: Final = 600.0
"""Seconds. Dagster gives up a sensor's evaluation after 60 s, and then launches its runs."""


def switch(instance: DagsterInstance, name: str, *, on: bool) -> bool:
    """Switch the sensor of this name on or off. Returns False if no daemon has come by it yet."""
    status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
    states = _states(instance, name)
    for state in states:
        if state.status is not status:
            instance.update_instigator_state(state.with_status(status))
    return bool(states)


def is_ticking(instance: DagsterInstance, name: str) -> bool:
    """Whether a tick of the sensor goes on: one that began before it was switched off.

    A tick whose daemon died ten minutes ago does not: nobody else notes its end while the sensor is
    switched off.
    """
    return any(
        data.last_tick_start_timestamp is not None
        and data.last_tick_start_timestamp > (data.last_tick_timestamp or 0)
        and data.last_tick_success_timestamp is None
        and time.time() - data.last_tick_start_timestamp < _LONGEST_TICK
        for state in _states(instance, name)
        if (data := state.sensor_instigator_data) is not None
    )


def _states(instance: DagsterInstance, name: str) -> Sequence[InstigatorState]:
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return [state for state in states if state.instigator_name == name]
