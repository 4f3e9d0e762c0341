"""A signal to the process cancels its work, and the work cleans up."""

import asyncio
import os
import signal
import socket

import pytest

from connector_pipeline.sync.interruptible import Interrupted, run_interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_every_task_clean_up(number: signal.Signals) -> None:
    """The tasks of a group clean up, too. Then the caller gets Interrupted."""
    cleaned: list[int] = []

    async def one(name: int, started: asyncio.Semaphore) -> None:
        try:
            started.release()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cleaned.append(name)
            raise

    async def all_of_them() -> None:
        started = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            for name in range(3):
                group.create_task(one(name, started))
            for _ in range(3):
                await started.acquire()
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted):
        run_interruptible(all_of_them())
    assert sorted(cleaned) == [0, 1, 2]


def test_without_an_interrupt_nothing_changes() -> None:
    """The work's end and its exception are the caller's; the signal handlers are put back."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    done: list[str] = []

    async def good() -> None:
        done.append("good")

    async def bad() -> None:
        raise LookupError("bad")

    run_interruptible(good())
    with pytest.raises(LookupError):
        run_interruptible(bad())
    assert done == ["good"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_process_keeps_its_wakeup_descriptor() -> None:
    """The process that executes the run may be somebody else's, who has one of their own."""
    reader, writer = socket.socketpair()

    async def nothing() -> None:
        pass

    with reader, writer:
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno())
        try:
            run_interruptible(nothing())
        finally:
            found = signal.set_wakeup_fd(before)
        assert found == writer.fileno()
