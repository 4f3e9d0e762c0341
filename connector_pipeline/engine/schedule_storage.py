"""Dagster's storage of sensors and schedules, in which a tick and a switch do not undo each other.

Dagster keeps whether a sensor is switched on in one object with its cursor and the times of its
ticks. Whoever changes a part of it reads the object and writes it back whole: the daemon when a
tick begins and ends, the UI and commands when somebody switches. So a switch between a tick's
reading and its writing is lost, and a switch made of an old reading puts back an old cursor. Here
each update changes only what it is about, in one statement that writes nothing if the stored object
is not the one that it was combined with. And no tick begins after a switch: one that waits for a
thread looks at the status no more.

Needs: `PostgresScheduleStorage.update_instigator_state`, the tables `instigators` and `jobs`, and
what its callers change: a tick that begins, `last_tick_start_timestamp`; one that ends,
`last_tick_timestamp`, to which it sets the time of its beginning; the look at a schedule,
`last_iteration_timestamp`; a switch, the status, and `last_sensor_start_timestamp` or all data of a
schedule; an edit of a cursor, the cursor, where it leaves out `last_tick_success_timestamp`. Tried
with Dagster 1.13.27, dagster-postgres 0.29.27. A call of theirs that switches a sensor without
writing its data, and one that ticks it without writing its status, would replace this module.
"""

from typing import Final

from dagster import DagsterInvariantViolationError
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
)
from dagster._core.storage.schedules.migration import SCHEDULE_JOBS_SELECTOR_ID
from dagster._serdes import deserialize_value, serialize_value
from dagster._time import get_current_datetime
from dagster_postgres import PostgresScheduleStorage
from sqlalchemy import Connection, text

_READ: Final = text("SELECT instigator_body FROM instigators WHERE selector_id = :selector")
# One statement, and so one transaction also where each statement commits.
_WRITE: Final = text("""
    WITH written AS (
        UPDATE instigators
        SET status = :status, instigator_type = :type, instigator_body = :body,
            update_timestamp = :now
        WHERE selector_id = :selector AND instigator_body = :read
        RETURNING selector_id
    ), written_twice AS (
        UPDATE jobs
        SET status = :status, job_body = :body, selector_id = :selector, update_timestamp = :now
        WHERE job_origin_id = :origin AND EXISTS (SELECT FROM written)
    )
    SELECT count(*) FROM written
""")


class SwitchedOff(Exception):
    """A tick does not begin, because its sensor was switched off since the daemon read its state.

    Dagster's daemon drops what the thread of a tick raises before the tick is created.
    """


class MergingScheduleStorage(PostgresScheduleStorage):
    """Writes of a sensor's or schedule's state what the update is about, and keeps the rest."""

    def __init__(self, postgres_url: str):
        """The tables exist: see ConnectorStorage."""
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._has_instigators = False
        self._built: set[str] = set()

    def has_built_index(self, migration_name: str) -> bool:
        """Whether Dagster moved its data. Once it did it is not asked again: three of four
        statements of a tick were such questions."""
        if migration_name not in self._built and super().has_built_index(migration_name):
            self._built.add(migration_name)
        return migration_name in self._built

    def has_instigators_table(self) -> bool:
        """Whether Dagster's table is there. One that was there is not looked for again."""
        return self._has_instigators or super().has_instigators_table()

    def _has_instigators_table(self, conn: Connection) -> bool:
        if not self._has_instigators:
            self._has_instigators = super()._has_instigators_table(conn)
        return self._has_instigators

    def update_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Store what the state changes. Returns what is stored then.

        Raises DagsterInvariantViolationError if there is none to update, SwitchedOff if a tick of
        a sensor begins that was switched off.
        """
        if not (self.has_instigators_table() and self.has_built_index(SCHEDULE_JOBS_SELECTOR_ID)):
            return super().update_instigator_state(state)
        selector = state.selector_id
        with self.connect() as connection:
            # A turn that writes nothing was overtaken by another's update, so this ends.
            while True:
                read = connection.execute(_READ, {"selector": selector}).scalar()
                if read is None:
                    raise DagsterInvariantViolationError(
                        f"InstigatorState {state.instigator_origin_id} is not present in storage"
                    )
                old = deserialize_value(read, InstigatorState)
                if old.status is InstigatorStatus.STOPPED and _begins(old, state):
                    raise SwitchedOff(f"{state.instigator_name} was switched off")
                stored = merged(old, state)
                values = {
                    "selector": selector,
                    "origin": state.instigator_origin_id,
                    "status": stored.status.value,
                    "type": stored.instigator_type.value,
                    "read": read,
                    "body": serialize_value(stored),
                    "now": get_current_datetime(),
                }
                if connection.execute(_WRITE, values).scalar():
                    return stored


def merged(stored: InstigatorState, new: InstigatorState) -> InstigatorState:
    """What to store in the place of `stored`, where `new` was made of an older reading of it.

    A tick states times that are newer than the stored ones. A switch states times that it read.
    """
    old_data, new_data = stored.instigator_data, new.instigator_data
    if isinstance(old_data, ScheduleInstigatorData) and isinstance(
        new_data, ScheduleInstigatorData
    ):
        return _of_schedule(new, stored.status, old_data, new_data)
    if (
        isinstance(old_data, SensorInstigatorData)
        and isinstance(new_data, SensorInstigatorData)
        # What ticks those writes no time of a beginning. This project has none of them.
        and not (new_data.sensor_type and new_data.sensor_type.is_handled_by_asset_daemon)
    ):
        return _of_sensor(new, stored.status, old_data, new_data)
    return new


def _of_schedule(
    new: InstigatorState,
    stored: InstigatorStatus,
    old_data: ScheduleInstigatorData,
    new_data: ScheduleInstigatorData,
) -> InstigatorState:
    if new_data.last_iteration_timestamp is None:
        # Switched on or off. Dagster makes the data anew, and means what it leaves out.
        return new
    if _later(new_data.last_iteration_timestamp, old_data.last_iteration_timestamp):
        looked = new_data.last_iteration_timestamp
        return new.with_status(stored).with_data(old_data._replace(last_iteration_timestamp=looked))
    return new.with_data(old_data)


def _of_sensor(
    new: InstigatorState,
    stored: InstigatorStatus,
    old_data: SensorInstigatorData,
    new_data: SensorInstigatorData,
) -> InstigatorState:
    switched_on = _latest(
        old_data.last_sensor_start_timestamp, new_data.last_sensor_start_timestamp
    )
    started = _latest(old_data.last_tick_start_timestamp, new_data.last_tick_start_timestamp)
    if _later(new_data.last_tick_timestamp, old_data.last_tick_timestamp):
        ended = new_data._replace(
            last_sensor_start_timestamp=switched_on,
            last_tick_start_timestamp=started,
        )
        return new.with_status(stored).with_data(ended)
    if _later(new_data.last_tick_start_timestamp, old_data.last_tick_start_timestamp):
        begun = old_data._replace(
            min_interval=new_data.min_interval,
            sensor_type=new_data.sensor_type,
            last_tick_start_timestamp=started,
            last_tick_success_timestamp=None,
        )
        return new.with_status(stored).with_data(begun)
    if _edits_the_cursor(old_data, new_data):
        edited = new.with_data(old_data._replace(cursor=new_data.cursor))
        # A switch would have read that time. So it is another's, since the edit's reading.
        return (
            edited if old_data.last_tick_success_timestamp is None else edited.with_status(stored)
        )
    return new.with_data(old_data._replace(last_sensor_start_timestamp=switched_on))


def _begins(stored: InstigatorState, new: InstigatorState) -> bool:
    old_data, new_data = stored.sensor_instigator_data, new.sensor_instigator_data
    return (
        old_data is not None
        and new_data is not None
        and _later(new_data.last_tick_start_timestamp, old_data.last_tick_start_timestamp)
        and not _later(new_data.last_tick_timestamp, old_data.last_tick_timestamp)
    )


def _edits_the_cursor(old: SensorInstigatorData, new: SensorInstigatorData) -> bool:
    """Whether it is a person's, and of a reading since which no tick has ended."""
    return (
        new.last_tick_timestamp == old.last_tick_timestamp
        and new.cursor != old.cursor
        and new.last_tick_success_timestamp is None
    )


def _later(new: float | None, stored: float | None) -> bool:
    return new is not None and (stored is None or new > stored)


def _latest(*times: float | None) -> float | None:
    return max((time for time in times if time is not None), default=None)
