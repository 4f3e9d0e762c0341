"""What `doctor` sees of the catalog's database and of Dagster's."""

from typing import Final

from connector_pipeline.cli.local_services import DAGSTER_DATABASE, LocalServices, database_url
from connector_pipeline.cli.real_or_sandbox import refuse_for_sandbox
from connector_pipeline.credentials.real_or_sandbox import mixed_settings
from connector_pipeline.engine.storage_server import storage_connection
from connector_pipeline.engine.stored_runs import stored_runs
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.finding import Finding
from connector_pipeline.postgres.bounded_connection import Pooling
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.limits import LOOKING
from connector_pipeline.postgres.revision import needed_revision, refuse_unsuitable
from connector_pipeline.postgres.rights import refuse_without_rights
from connector_pipeline.postgres.serves import Serves, serves
from connector_pipeline.settings import Settings, SettingsError

_SERVES: Final = {
    Serves.REAL: "real shops",
    Serves.SANDBOX: "the sandbox's shops alone",
    None: "not marked yet: the first credentials of a Token Service on another machine mark it "
    "for real shops, or UPDATE connector.installation SET serves = 'real'",
}
_BEHIND: Final = {
    None: "",
    Pooling.SESSIONS: ", behind a pooler of sessions",
    Pooling.TRANSACTIONS: ", behind a pooler of transactions: only its user's own settings bound "
    "statements (ALTER ROLE … SET statement_timeout)",
}


def database_seen(services: LocalServices) -> str:
    """Which Postgres it is, and how it is reached. Raises DatabaseUnavailable."""
    with connect(database_url(services.settings), limits=LOOKING) as connection:
        version = connection.info.server_version // 10_000
        pooled = _BEHIND[connection.pooled]
    where = "embedded" if services.embedded else "CONNECTOR_DATABASE_URL"
    return f"PostgreSQL {version} ({where}{pooled})"


def migrations_seen(settings: Settings) -> str:
    """At which revision the schemas are. Raises ConnectorError if this version cannot use it."""
    with connect(database_url(settings), limits=LOOKING) as connection:
        revision = refuse_unsuitable(connection)
    needed = needed_revision()
    return f"at {revision}" + ("" if revision == needed else f", with which {needed} works, too")


def rights_seen(settings: Settings) -> str:
    """Whose rights a pipeline has. Raises ConnectorError if any is missing."""
    with connect(database_url(settings), limits=LOOKING) as connection:
        refuse_without_rights(connection)
        return f"user {connection.info.user} may do all that a pipeline does"


def dagster_storage_seen(settings: Settings) -> str:
    """How many runs Dagster's storage holds. Raises ConnectorError if there is no such storage."""
    if settings.dagster_postgres_url is None:
        return _dagster_database_to_come(settings)
    with storage_connection(settings.dagster_postgres_url.get_secret_value()) as connection:
        runs = stored_runs(connection)
        behind = _BEHIND[connection.pooled]
    if runs is None:
        return f"no tables yet: the first process that runs syncs makes them{behind}"
    return f"{runs} runs{behind}"


def _dagster_database_to_come(settings: Settings) -> str:
    with connect(database_url(settings), limits=LOOKING) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s), rolcreatedb OR rolsuper"
            " FROM pg_roles WHERE rolname = current_user",
            (DAGSTER_DATABASE,),
        ).fetchone()
    there, may_be_made = row or (False, False)
    if there:
        return f"in database {DAGSTER_DATABASE} beside the catalog's"
    if may_be_made:
        return f"no database {DAGSTER_DATABASE} yet: `sync`, `backfill`, `dev` or `demo` makes it"
    raise ConnectorError(
        f"DAGSTER_POSTGRES_URL is not set, and there is no database {DAGSTER_DATABASE} beside the "
        "catalog's, nor may CONNECTOR_DATABASE_URL's user make one.",
        remedy="Set DAGSTER_POSTGRES_URL.",
    )


def serves_seen(services: LocalServices) -> list[Finding]:
    """What the database is for, and each setting that does not fit that."""
    settings = services.settings
    try:
        with connect(database_url(settings)) as connection:
            marked = serves(connection)
            if services.sandbox is not None:
                refuse_for_sandbox(connection, services.sandbox_shops())
    except SettingsError as error:
        return [Finding("serves", False, line) for line in error.lines]
    except ConnectorError as error:
        return [Finding("serves", False, error.message, error.remedy)]
    if mixed := mixed_settings(settings, marked):
        return [Finding("serves", False, line) for line in mixed]
    return [Finding("serves", True, _SERVES[marked])]
