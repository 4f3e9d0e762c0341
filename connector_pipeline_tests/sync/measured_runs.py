"""Runs of the job `sync_shops` in a process of their own, with the peak of its memory.

Reads a JSON list of runs, each a list of partition keys, from the standard input, and writes one
JSON line with the peak in MB after its start and after each run.
"""

import json
import resource
import sys
from pathlib import Path
from uuid import uuid4

from dagster import DagsterInstance

from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.settings import load_settings

MOST_MEMORY = 2 * 1024**3
"""No more is given to the process, so that code without bounds harms no machine of a developer."""


def peak() -> float:
    """The most memory that the process has had so far, in MB.

    Not `ru_maxrss`, which begins with the memory of the process that started this one.
    """
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1]) / 1024


def main() -> None:
    """Make the runs, one after the other."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    peaks: list[float] = []
    with DagsterInstance.ephemeral() as instance:
        runs: list[list[str]] = json.load(sys.stdin)
        instance.add_dynamic_partitions("shops", sorted({key for keys in runs for key in keys}))
        job = build_definitions(load_settings()).resolve_job_def(JOB)
        peaks.append(peak())
        for keys in runs:
            listed = run_config([ShopToSync(key) for key in keys])
            job.execute_in_process(
                instance=instance,
                run_config=listed | {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                run_id=str(uuid4()),
                raise_on_error=False,
            )
            peaks.append(peak())
    sys.stdout.write(json.dumps(peaks) + "\n")


if __name__ == "__main__":
    main()
