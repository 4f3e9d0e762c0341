"""A tick and a switch of the same sensor or schedule do not undo each other."""

import logging
import re
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from dagster import (
    DagsterInstance,
    DagsterInvariantViolationError,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    Definitions,
    SensorEvaluationContext,
    SensorResult,
    job,
    op,
    schedule,
    sensor,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
)
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import _write_and_get_next_checkpoint_timestamp
from dagster_graphql.schema import create_schema
from dagster_postgres import PostgresRunStorage
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy.event import listen

from connector_pipeline.engine.schedule_storage import merged
from connector_pipeline.engine.sensor_switch import switch

pytestmark = pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")

BEGINS, ENDS = 1, 2
MINUTES = count(1_900_000_000, 60)
WRITES = re.compile("UPDATE (instigators|jobs)")
RUNNING, STOPPED, DECLARED = (
    InstigatorStatus.RUNNING,
    InstigatorStatus.STOPPED,
    InstigatorStatus.DECLARED_IN_CODE,
)


@op
def nothing() -> None:
    """Do nothing."""


@job
def does_nothing() -> None:
    """A target."""
    nothing()


@sensor(job=does_nothing, default_status=DefaultSensorStatus.RUNNING)
def counts_its_ticks(context: SensorEvaluationContext) -> SensorResult:
    """Move the cursor."""
    return SensorResult(cursor=str(int(context.cursor or 0) + 1), skip_reason="It counts.")


@schedule(job=does_nothing, cron_schedule="0 0 1 1 *", default_status=DefaultScheduleStatus.RUNNING)
def yearly() -> dict[str, object]:
    """Ask for a run."""
    return {}


defs = Definitions(sensors=[counts_its_ticks], schedules=[yearly])


SETS_A_CURSOR = """
    mutation ($of: SensorSelector!, $cursor: String) {
        setSensorCursor(sensorSelector: $of, cursor: $cursor) { __typename }
    }
"""


class Process:
    """A daemon or a web server, with connections of its own to the storage that both use."""

    def __init__(self, context: WorkspaceProcessContext):
        self.instance = context.instance
        self._context = context
        self._request = context.create_request_context()
        [entry] = self._request.get_code_location_entries().values()
        assert entry.code_location is not None, entry.load_error
        [repository] = entry.code_location.get_repositories().values()
        self.repository: RemoteRepository = repository
        self.sensor = repository.get_sensor("counts_its_ticks")

    def tick(self) -> None:
        """Tick the sensor a minute later, if it is switched on, as the daemon does."""
        log = logging.getLogger(__name__)
        with freeze_time(float(next(MINUTES))), ThreadPoolExecutor() as threads:
            for _ in execute_sensor_iteration(self._context, log, threads, None, {}):
                pass

    def state(self) -> InstigatorState:
        """The sensor's stored state, which both of Dagster's tables hold."""
        [state] = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        with storage_of(self.instance).connect() as connection:
            [twice] = connection.exec_driver_sql(
                "SELECT i.status = j.status AND i.instigator_body = j.job_body AS same"
                " FROM instigators i JOIN jobs j USING (selector_id)"
                " WHERE i.instigator_type = 'SENSOR'"
            )
        assert twice.same
        return state

    def found(self) -> tuple[InstigatorStatus, str | None]:
        """The sensor's status and its cursor."""
        state = self.state()
        return state.status, sensor_data(state).cursor

    def edit(self, cursor: str) -> None:
        """Set the cursor as the UI does."""
        handle = self.sensor.handle.repository_handle
        of = {
            "repositoryLocationName": handle.location_name,
            "repositoryName": handle.repository_name,
            "sensorName": self.sensor.name,
        }
        done = create_schema().execute(
            SETS_A_CURSOR, variables={"of": of, "cursor": cursor}, context_value=self._request
        )
        assert done.data == {"setSensorCursor": {"__typename": "Sensor"}}, done.errors


def storage_of(instance: DagsterInstance) -> PostgresRunStorage:
    """All three storages of an instance have one engine."""
    storage = instance.run_storage
    assert isinstance(storage, PostgresRunStorage)
    return storage


def before_its_write(instance: DagsterInstance, number: int, act: Callable[[], None]) -> None:
    """Act between what the instance has read and what it writes, at its so manieth write."""
    left = number

    def look(_: object, __: object, statement: str, *___: object) -> None:
        nonlocal left
        if WRITES.search(statement):
            left -= 1
            if left == 0:
                act()

    listen(storage_of(instance)._engine, "before_cursor_execute", look)


@pytest.fixture
def daemon(stored_instance: DagsterInstance) -> Generator[Process]:
    with WorkspaceProcessContext(stored_instance, here()) as context:
        yield Process(context)


@pytest.fixture
def server(stored_instance: DagsterInstance, tmp_path: Path) -> Generator[Process]:
    assert stored_instance.schedule_storage
    with (
        DagsterInstance.from_config(str(tmp_path)) as instance,
        WorkspaceProcessContext(instance, here()) as context,
    ):
        yield Process(context)


def here() -> InProcessWorkspaceLoadTarget:
    """A workspace of this module's definitions."""
    target = LoadableTargetOrigin(
        executable_path=sys.executable, module_name=__name__, attribute="defs"
    )
    return InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target, location_name="here"))


@pytest.mark.parametrize(("moment", "cursor"), [(BEGINS, "1"), (ENDS, "2")])
def test_a_switch_while_a_tick_writes_is_not_lost(
    daemon: Process, server: Process, moment: int, cursor: str
) -> None:
    """A tick that was to begin does not, and the cursor of one that ends is kept."""
    daemon.tick()
    assert daemon.found() == (DECLARED, "1")

    def stop() -> None:
        assert switch(server.instance, daemon.sensor.name, on=False)

    before_its_write(daemon.instance, moment, stop)
    daemon.tick()
    assert daemon.found() == (STOPPED, cursor)
    ticks = daemon.instance.get_ticks(
        daemon.sensor.get_remote_origin_id(), daemon.sensor.selector_id
    )
    assert [tick.is_completed for tick in ticks] == [True] * int(cursor)
    daemon.tick()
    assert daemon.found() == (STOPPED, cursor)


def test_a_switch_of_an_old_reading_puts_back_no_cursor(daemon: Process, server: Process) -> None:
    """A tick ran while the UI switched the sensor off, and while it reset it to the code's word."""
    daemon.tick()
    before_its_write(server.instance, 1, daemon.tick)
    server.instance.stop_sensor(
        daemon.sensor.get_remote_origin_id(), daemon.sensor.selector_id, daemon.sensor
    )
    assert daemon.found() == (STOPPED, "2")
    assert server.instance.start_sensor(daemon.sensor).status is RUNNING
    before_its_write(server.instance, 1, daemon.tick)
    assert server.instance.reset_sensor(daemon.sensor).status is DECLARED
    assert daemon.found() == (DECLARED, "3")


def test_an_edited_cursor_and_a_switch_are_both_kept(daemon: Process, server: Process) -> None:
    """The UI leaves out most of the times that it has read."""
    daemon.tick()

    def stop() -> None:
        assert switch(daemon.instance, daemon.sensor.name, on=False)

    before_its_write(server.instance, 1, stop)
    server.edit("40")
    assert daemon.found() == (STOPPED, "40")
    before_its_write(server.instance, 1, lambda: daemon.edit("30"))
    server.instance.start_sensor(daemon.sensor)
    assert daemon.found() == (RUNNING, "30")
    daemon.tick()
    assert daemon.found() == (RUNNING, "31")


def test_a_look_at_a_schedule_does_not_undo_a_switch(daemon: Process, server: Process) -> None:
    """The daemon reads all schedules first, and writes when it has launched their runs."""
    found = daemon.repository.get_schedule("yearly")
    of = (found.get_remote_origin_id(), found.selector_id, found)
    daemon.instance.stop_schedule(*of)
    read = daemon.instance.start_schedule(found)
    data = read.instigator_data
    assert isinstance(data, ScheduleInstigatorData)

    def look(*, at: float) -> None:
        _write_and_get_next_checkpoint_timestamp(daemon.instance, read, data, at)

    server.instance.stop_schedule(*of)
    look(at=5e9)
    [stored] = daemon.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    assert stored.status is STOPPED
    looked = ScheduleInstigatorData(data.cron_schedule, last_iteration_timestamp=5e9)
    assert stored.instigator_data == looked
    before_its_write(server.instance, 1, lambda: look(at=6e9))
    reset = server.instance.reset_schedule(found)
    assert (reset.status, reset.instigator_data) == (
        DECLARED,
        looked._replace(last_iteration_timestamp=6e9),
    )
    server.instance.stop_schedule(*of)
    started = server.instance.start_schedule(found).instigator_data
    assert isinstance(started, ScheduleInstigatorData)
    assert started.last_iteration_timestamp is None


def test_a_state_that_is_not_stored_is_not_updated(daemon: Process) -> None:
    daemon.tick()
    state = daemon.state()
    daemon.instance.delete_instigator_state(state.instigator_origin_id, state.selector_id)
    with pytest.raises(DagsterInvariantViolationError, match="not present in storage"):
        daemon.instance.update_instigator_state(state)


class Interleaved(RuleBasedStateMachine):
    """Ticks that follow each other, and switches made of readings however old."""

    def __init__(self) -> None:
        super().__init__()
        location = GrpcServerCodeLocationOrigin("127.0.0.1", 1)
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "theirs"), "a_sensor")
        data = SensorInstigatorData(cursor="0")
        self.stored = InstigatorState(origin, InstigatorType.SENSOR, DECLARED, data)
        self.status, self.cursor = DECLARED, "0"
        self.readings = [self.stored]
        self.clock = count(1)
        self.ticks = self._tick()

    def _write(self, state: InstigatorState) -> None:
        self.stored = merged(self.stored, state)

    def _now(self) -> float:
        return float(next(self.clock))

    def _tick(self) -> Iterator[None]:
        """A tick as Dagster writes it, which stops after each reading and writing."""
        began = self._now()
        read = self.stored
        yield
        before = sensor_data(read)
        began_with = before._replace(
            last_tick_start_timestamp=began, last_tick_success_timestamp=None
        )
        self._write(read.with_data(began_with))
        yield
        read = self.stored
        fails = began % 3 == 0
        yield
        before = sensor_data(read)
        self.cursor = self.cursor if fails else str(began)
        self._write(
            read.with_data(
                before._replace(
                    last_tick_timestamp=began,
                    last_tick_start_timestamp=max(began, before.last_tick_start_timestamp or 0),
                    last_tick_success_timestamp=None if fails else self._now(),
                    cursor=self.cursor,
                )
            )
        )

    @rule()
    def a_tick_goes_on(self) -> None:
        """One step further, or the next tick's first."""
        if next(self.ticks, self) is self:
            self.ticks = self._tick()

    @rule()
    def somebody_reads(self) -> None:
        """Who will switch."""
        self.readings.append(self.stored)

    @rule(data=st.data(), status=st.sampled_from([RUNNING, STOPPED, DECLARED]))
    def somebody_switches(self, data: st.DataObject, status: InstigatorStatus) -> None:
        """Dagster notes when a sensor is switched on."""
        read = data.draw(st.sampled_from(self.readings))
        state = read.with_status(status)
        if status is RUNNING:
            state = state.with_data(sensor_data(read).with_sensor_start_timestamp(self._now()))
        self._write(state)
        self.status = status

    @invariant()
    def nothing_is_undone(self) -> None:
        """The last switch's status and the last tick's cursor are stored."""
        assert (self.stored.status, sensor_data(self.stored).cursor) == (self.status, self.cursor)


test_neither_undoes_the_other_in_whatever_order = Interleaved.TestCase


def sensor_data(state: InstigatorState) -> SensorInstigatorData:
    """The cursor and the times."""
    assert isinstance(state.instigator_data, SensorInstigatorData)
    return state.instigator_data
