"""Run asynchronous work inside a Dagster step so that cancelling the run cancels the work."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

from dagster import DagsterExecutionInterruptedError

P = ParamSpec("P")
T = TypeVar("T")

_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)


def run_interruptible(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until an interrupt: then the tasks are cancelled and get to clean up.

    Dagster awaits an `async def` asset in a loop of its own. Its interrupt is an exception out of
    a signal handler, which leaves that loop's tasks where they were, or is swallowed by the
    callback it happens to hit: a cancelled fetch would stay on record as running.

    Raises DagsterExecutionInterruptedError after an interrupt.
    """
    interrupted = False

    async def cancellable() -> None:
        task = asyncio.ensure_future(work)

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            task.cancel()

        with _on_interrupt(interrupt):
            await asyncio.wait([task])
        if not interrupted:
            task.result()

    asyncio.run(cancellable())
    if interrupted:
        raise DagsterExecutionInterruptedError


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the blocking call returns. Cancelled, it ends after the call and not before.

    `asyncio.to_thread` leaves its thread at work then: a page would be written after the shop was
    given to somebody else.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        if not thread.cancelled():
            # Asked for, or asyncio complains of what nobody wants to know any more.
            thread.exception()
        raise


@contextmanager
def _on_interrupt(callback: Callable[[], None]) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        # Signals reach the main thread only.
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _INTERRUPTS}
    for number in _INTERRUPTS:
        loop.add_signal_handler(number, callback)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
