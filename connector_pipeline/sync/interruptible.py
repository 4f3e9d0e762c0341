"""Run asynchronous work so that a signal to the process cancels it, and it can clean up."""

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
    """SIGINT or SIGTERM came while shops were fetched; their tasks have cleaned up."""


def run_interruptible(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until an interrupt: then the tasks are cancelled and get to clean up.

    An exception out of a signal handler leaves a loop's tasks where they were, or is swallowed by
    the callback it happens to hit: a cancelled fetch would stay on record as running.

    Raises Interrupted after an interrupt.
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
