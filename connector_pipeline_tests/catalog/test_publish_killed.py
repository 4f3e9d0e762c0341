"""A publishing process is killed (SIGKILL) while a reader looks at the catalog all the time."""

import random
import subprocess
import sys
import time

import pytest

from connector_pipeline_tests.catalog.publishing_process import publish_version, version_items
from connector_pipeline_tests.catalog.shop_reader import Reader, checksum, live_checksum
from connector_pipeline_tests.catalog.snapshots import Publisher


def version_checksum(version: int) -> str:
    """The checksum that the reader sees of a whole version of the shop."""
    return checksum(item.model_dump() for item in version_items(version))


def publish_and_kill(url: str, version: int, after: float) -> None:
    """Start publishing the version in a process and kill it so many seconds later."""
    command = [sys.executable, "-m", "connector_pipeline_tests.catalog.publishing_process"]
    with subprocess.Popen(
        [*command, str(version)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print(url, file=process.stdin, flush=True)
        assert process.stdout.readline() == "ready\n"
        # Any instant will do, because the promise holds at every one.
        time.sleep(after)
        process.kill()


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_a_publish_killed_at_any_instant_leaves_the_old_state_or_the_new(
    publisher: Publisher, kills: int
) -> None:
    """A reader sees whole versions only, in their order, and each next publish succeeds."""
    publish_version(publisher.database, 0, "whole")
    undisturbed = publish_version(publisher.database, 1, "whole")
    reader = Reader(publisher.database.url)
    reader.start()
    versions = range(1, kills + 2)
    try:
        for version in versions[1:]:
            # One instant in each part of the time that a publish takes.
            after = undisturbed * (version - 2 + random.random()) / kills
            publish_and_kill(publisher.database.url, version, after)
            publish_version(publisher.database, version, "whole")
    finally:
        reader.stop()
    known = {version_checksum(version): version for version in versions}
    assert all(seen in known for seen in reader.seen), "half a version was seen"
    order = [known[seen] for seen in reader.seen]
    assert order == sorted(order)
    assert len(order) > 1
    with publisher.database.connect() as connection:
        assert live_checksum(connection) == version_checksum(versions[-1])
