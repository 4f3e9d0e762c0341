"""How many runs go on at once: by the settings, or by what dagster.yaml says beside ours."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance

from connector_pipeline.assets.run_identity import LANE_TAG
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.engine.run_queue import most_runs_at_once
from connector_pipeline.engine.run_tags import PARTITION
from connector_pipeline.model.queue import Lane


@contextmanager
def configured(folder: Path, **config: Any) -> Generator[DagsterInstance]:
    """An instance with this dagster.yaml, and storage of its own."""
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    with DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def own_config() -> dict[str, Any]:
    """The project's dagster.yaml, without its storage."""
    config: dict[str, Any] = yaml.safe_load(instance_config().read_text())
    del config["storage"]
    return config


def test_there_are_four_runs_by_default_and_the_background_leaves_one_free(tmp_path: Path) -> None:
    """A backfill does not hold up a request, and two runs of one shop do not fetch it twice."""
    with configured(tmp_path, **own_config()) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert most_runs_at_once(instance) == 4
        assert queue.tag_concurrency_limits == [
            {"key": LANE_TAG, "value": Lane.BACKGROUND.value, "limit": 3},
            {"key": PARTITION, "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
        ]


@pytest.mark.parametrize(("runs", "background"), [("1", 1), ("7", 6)])
def test_a_setting_bounds_dagsters_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: str, background: int
) -> None:
    """It counts from the next look at the queue on, of this process."""
    with configured(tmp_path, **own_config()) as instance:
        monkeypatch.setenv("RUNS_AT_ONCE", runs)
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert most_runs_at_once(instance) == int(runs)
        assert queue.tag_concurrency_limits[0]["limit"] == background


def test_what_an_operator_writes_in_dagster_yaml_stands_before_it(tmp_path: Path) -> None:
    """Also -1, by which Dagster means that there is no bound: two runs for each core."""
    bounds: dict[str, Any] = {"max_concurrent_runs": 7}
    with configured(tmp_path, **own_config(), concurrency={"runs": bounds}) as instance:
        assert most_runs_at_once(instance) == 7
    bounds["max_concurrent_runs"] = -1
    with configured(tmp_path, **own_config(), concurrency={"runs": bounds}) as instance:
        assert most_runs_at_once(instance) == 2 * (os.cpu_count() or 1)


def test_without_a_queue_there_is_a_bound_all_the_same(tmp_path: Path) -> None:
    """Another coordinator starts every run at once."""
    coordinator = {
        "module": "dagster._core.run_coordinator",
        "class": "DefaultRunCoordinator",
    }
    with configured(tmp_path, run_coordinator=coordinator) as instance:
        assert most_runs_at_once(instance) == 4


def test_dagsters_own_queue_is_read_too(tmp_path: Path) -> None:
    """A dagster.yaml may name another coordinator than ours."""
    config = own_config()
    del config["run_coordinator"]
    with configured(tmp_path, **config) as instance:
        assert most_runs_at_once(instance) == 10
