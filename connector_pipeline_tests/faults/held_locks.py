"""A lock that another session really holds, for longer than a sync waits or until it waits."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, LiteralString, cast

import psycopg

from connector_pipeline.catalog.publish_lock import STAGING, WRITING
from connector_pipeline.postgres.limits import ORDINARY
from connector_pipeline.postgres.pool import close_idle_connections

_SHORT: Final = timedelta(milliseconds=250)
_AWAITED: Final = "SELECT FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"


@contextmanager
def held_lock(url: str, table: str, *, rows: bool, until_awaited: bool) -> Generator[None]:
    """Another session holds a lock of the table against writers, or those of all its rows.

    It holds them while the block runs, and whoever waits gives up soon. `until_awaited`: only until
    somebody waits for them, however long that takes.
    """
    lock = f"SELECT FROM {table} FOR UPDATE" if rows else f"LOCK TABLE {table} IN EXCLUSIVE MODE"
    with psycopg.connect(url) as holder:
        holder.execute(cast("LiteralString", lock))
        if not until_awaited:
            with _soon_given_up():
                yield
            return
        ended = threading.Event()

        def let_go() -> None:
            with psycopg.connect(url, autocommit=True) as watcher:
                pid = holder.info.backend_pid
                while watcher.execute(_AWAITED, (pid,)).fetchone() is None:
                    if ended.wait(0.005):
                        return
            holder.rollback()

        watching = threading.Thread(target=let_go)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()


@contextmanager
def _soon_given_up() -> Generator[None]:
    """Whoever waits for a lock gives up in no time, on connections that are opened meanwhile."""
    usual = {limits: limits.lock for limits in (ORDINARY, STAGING, WRITING)}
    close_idle_connections()
    try:
        for limits in usual:
            # One object for all who import it; they are frozen against mistakes.
            object.__setattr__(limits, "lock", _SHORT)
        yield
    finally:
        for limits, lock in usual.items():
            object.__setattr__(limits, "lock", lock)
        close_idle_connections()
