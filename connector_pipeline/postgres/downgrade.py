"""Take a database back to an older revision, for a rollback to code that needs that one."""

from collections.abc import Sequence

from alembic import command

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.migrate import Migration, migrating, refuse_without_rights
from connector_pipeline.postgres.revision import (
    database_revision,
    known_revisions,
    refuse_unknown,
)
from connector_pipeline.postgres.steps import (
    ALEMBIC,
    Step,
    alembic_config,
    driver_connection,
    marked_at,
    steps,
)


class NoWayBack(ConnectorError):
    """The database cannot be taken back to that revision."""

    default_remedy = (
        "Ask the older version by its own `connector-pipeline migrate --check` whether it works on "
        "this database as it is. If it does not, restore the backup from before the upgrade."
    )


def steps_back(connection_url: str, revision: str) -> Sequence[Step]:
    """The migrations to undo so that the database is at `revision`, the newest first.

    Changes nothing. Raises NoWayBack for a revision that is none of an older version, and where one
    of the migrations cannot be undone; DatabaseUnavailable and SchemaNotOurs.
    """
    with connect(connection_url) as connection:
        return _steps_back(database_revision(connection), revision)


def downgrade(connection_url: str, revision: str) -> Migration:
    """Undo the migrations after `revision`, all in one transaction. Raises as `steps_back` does.

    Code that needs a later revision refuses the database from then on. MayNotMigrate names a right
    that the user lacks.
    """
    with migrating(connection_url) as connection:
        driver = driver_connection(connection)
        before = database_revision(driver)
        if _steps_back(before, revision):
            refuse_without_rights(driver)
            config = alembic_config()
            config.attributes["connection"] = connection
            with ALEMBIC:
                command.downgrade(config, revision)
                driver.execute(marked_at(revision))
    return Migration(before=before, after=revision, granted=True)


def _steps_back(now: str | None, revision: str) -> Sequence[Step]:
    refuse_unknown(now)
    known = known_revisions()
    if revision not in known:
        raise NoWayBack(
            f"this version knows no revision {revision[:80]!r}.",
            remedy=f"It knows {', '.join(known)}.",
        )
    if now is None or known.index(now) < known.index(revision):
        where = "was never migrated" if now is None else f"is at revision {now}"
        raise NoWayBack(
            f"the database {where}, and {revision} is no earlier one.",
            remedy="`connector-pipeline migrate` brings it to the newest revision.",
        )
    undone = [step for step in steps() if revision < step.revision <= now]
    if final := [step.revision for step in undone if step.lost_by_downgrade is None]:
        raise NoWayBack(f"the migration {final[-1]} cannot be undone.")
    return undone[::-1]
