"""Run asynchronous work so that SIGINT or SIGTERM cancels it and its tasks can clean up."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The process got SIGINT or SIGTERM while it fetched shops; the tasks have cleaned up."""


def run_interruptible(work: Coroutine[Any, Any, None]) -> None:
    """Run the work to its end; at SIGINT or SIGTERM cancel its tasks and let them clean up.

    An exception raised by a signal handler would leave the loop's tasks as they are, or be
    swallowed by the callback that it hits: a cancelled fetch would stay recorded as running.

    Raises Interrupted after SIGINT or SIGTERM.
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
        raise Interrupted


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread and return its result; if cancelled, still wait for its end.

    `asyncio.to_thread`, if cancelled, leaves its thread at work: the thread could write a page of a
    shop that another run has meanwhile begun to read.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        if not thread.cancelled():
            # asyncio logs an exception that nobody retrieves.
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
    # The loop takes the wakeup descriptor too, and the process may be somebody else's.
    wakeup = signal.set_wakeup_fd(-1)
    for number in _INTERRUPTS:
        loop.add_signal_handler(number, callback)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
