"""Dagster's configuration says how many runs go on at once, by dagster.yaml as it is here."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance

from connector_pipeline.assets.run_identity import LANE_TAG
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.engine.run_queue import most_runs_at_once
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


def limits(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["concurrency"]["runs"]
    return found


def test_it_is_the_number_in_the_projects_dagster_yaml(tmp_path: Path) -> None:
    """An operator who changes it there changes how many runs the queue of syncs launches."""
    config = own_config()
    limits(config)["max_concurrent_runs"] = 7
    with configured(tmp_path, **config) as instance:
        assert most_runs_at_once(instance) == 7


def test_the_background_leaves_one_run_free_in_the_projects_dagster_yaml(tmp_path: Path) -> None:
    """Dagster's limit on the lane, which its queue reads, is one less than the number of runs."""
    config = own_config()
    with configured(tmp_path, **config) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        [limit] = [each for each in queue.tag_concurrency_limits if each["key"] == LANE_TAG]
        assert limit == {
            "key": LANE_TAG,
            "value": Lane.BACKGROUND.value,
            "limit": most_runs_at_once(instance) - 1,
        }


def test_without_a_bound_there_are_two_runs_for_each_core(tmp_path: Path) -> None:
    """Dagster writes -1 for that."""
    config = own_config()
    limits(config)["max_concurrent_runs"] = -1
    with configured(tmp_path, **config) as instance:
        assert most_runs_at_once(instance) == 2 * (os.cpu_count() or 1)


def test_without_a_queue_there_is_a_bound_all_the_same(tmp_path: Path) -> None:
    """Another coordinator starts every run at once."""
    coordinator = {
        "module": "dagster._core.run_coordinator",
        "class": "DefaultRunCoordinator",
    }
    with configured(tmp_path, run_coordinator=coordinator) as instance:
        assert most_runs_at_once(instance) == 4


def test_dagsters_own_default_is_read_too(tmp_path: Path) -> None:
    """A dagster.yaml that does not name the number has Dagster's."""
    config = own_config()
    del config["concurrency"]
    with configured(tmp_path, **config) as instance:
        assert most_runs_at_once(instance) == 10
