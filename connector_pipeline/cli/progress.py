"""Progress bars of running syncs, read from `connector.syncs`, as a requester may poll it."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_records import SyncRecords

_EVERY_SECONDS: Final = 0.3


def sync_progress(console: Console) -> Progress:
    """Bars for syncs: the shop, its pages and requests so far, the time since the start."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        # A file or a pipe gets the result, and no bars.
        disable=not console.is_terminal,
    )


@contextmanager
def followed(
    progress: Progress, task: TaskID, registry: ShopRegistry, sync_id: str
) -> Generator[None]:
    """While the block runs, show in the task's note the progress that the sync records."""
    done = threading.Event()
    records = SyncRecords(registry.database)

    def follow() -> None:
        while not done.wait(_EVERY_SECONDS):
            try:
                seen = records.progress(sync_id)
            except ConnectorError:
                # The sync itself reports a database that does not answer.
                continue
            if seen is not None:
                progress.update(task, note=f"{seen.pages} pages, {seen.requests} requests")

    follower = threading.Thread(target=follow, name=f"follow-{sync_id}", daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


@contextmanager
def shown(console: Console, registry: ShopRegistry, shop: str, sync_id: str) -> Generator[None]:
    """While the block runs, show the progress of this one sync; nothing without a terminal."""
    with sync_progress(console) as progress:
        task = progress.add_task(shop, total=None, note="starting")
        with followed(progress, task, registry, sync_id):
            yield
        progress.update(task, total=1, completed=1)
