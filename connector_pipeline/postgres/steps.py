"""Each migration's statements on itself: which older code it suits, and what its undoing loses.

compatible_from     the oldest revision whose code works on with a database at this one; where
                    it is left out, no older code does
lost_by_downgrade   what a database loses by going back to the revision before, in words; where
                    it is left out or None, there is no way back
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import InternalError, OperationalError

from connector_pipeline.postgres.compatibility import mark
from connector_pipeline.postgres.connections import open_connection, outages_of, unavailable
from connector_pipeline.postgres.limits import MIGRATING
from connector_pipeline.postgres.outages import is_outage

# Any number will do. Another user of the database can take this lock, too, as there may be no table
# yet whose rows he may not lock; then the error names his session.
MIGRATION_LOCK: Final = 0x636F6E6E6563746F

ALEMBIC: Final = threading.Lock()
"""Alembic keeps its state in a module, so one thread at a time may use it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A migration: the revision that it leads to, and what it states of itself."""

    revision: str
    compatible_from: str
    lost_by_downgrade: str | None


def steps() -> Sequence[Step]:
    """All migrations, the oldest first."""
    walked = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return [
        Step(
            script.revision,
            getattr(script.module, "compatible_from", script.revision),
            getattr(script.module, "lost_by_downgrade", None),
        )
        for script in reversed(list(walked))
    ]


def marked_at(revision: str) -> sql.Composed:
    """The statement that marks a database at this revision as its migrations state it.

    A version's code works with it if no later migration states that it does not.
    """
    found = steps()
    names = [step.revision for step in found]
    until = found[: names.index(revision) + 1]
    return mark(revision, oldest=max((step.compatible_from for step in until), key=names.index))


def alembic_config() -> Config:
    """Where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", "connector_pipeline.postgres:migrations")
    return config


@contextmanager
def transaction(connection_url: str) -> Generator[Connection]:
    """The transaction in which migrations run. Raises DatabaseUnavailable."""
    opened = open_connection(connection_url, limits=MIGRATING)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: opened,
        poolclass=NullPool,
    )
    try:
        with outages_of(opened, connection_url), engine.begin() as connection:
            yield connection
    except (OperationalError, InternalError) as error:
        if error.orig is None or not is_outage(error.orig):
            raise
        raise unavailable(error.orig, connection_url, blocked_by=opened.blocked_by) from None


def driver_connection(connection: Connection) -> psycopg.Connection:
    """The psycopg connection under SQLAlchemy's."""
    found = connection.connection.driver_connection
    if not isinstance(found, psycopg.Connection):
        raise TypeError("migrations run on psycopg 3")
    return found  # pyright: ignore[reportUnknownVariableType]
