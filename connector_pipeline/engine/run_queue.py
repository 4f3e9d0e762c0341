"""How many runs Dagster's queue lets go on at once.

Needs: `DagsterInstance.get_concurrency_config` and the coordinator's `run_queue_config`. Tried with
Dagster 1.13.27. A public function that gives the bound of the queue would replace this module.
"""

import os
from typing import Final

from dagster import DagsterInstance

_WITHOUT_A_QUEUE: Final = 4


def most_runs_at_once(instance: DagsterInstance) -> int:
    """The bound of Dagster's queue (engine/run_coordinator.py); 0 while no Celery worker lives.

    Where there is no bound, two runs for each core.
    """
    queue = instance.get_concurrency_config().run_queue_config
    if queue is None:
        return _WITHOUT_A_QUEUE
    most = queue.max_concurrent_runs
    return most if most >= 0 else 2 * (os.cpu_count() or 1)
