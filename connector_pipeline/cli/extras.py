"""The extras that a command needs because the settings leave something open."""

from connector_pipeline.model.extra import Extra
from connector_pipeline.settings import Settings


def needed_extras(settings: Settings) -> list[Extra]:
    """The sandbox without a Token Service, the embedded Postgres without a database."""
    needed: list[Extra] = []
    if settings.token_service_url is None:
        needed.append(Extra.SANDBOX)
    if settings.connector_database_url is None:
        needed.append(Extra.EMBEDDED)
    return needed
