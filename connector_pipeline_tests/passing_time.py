"""Minutes pass, for what the registry remembers of refusals: its times go back by as much."""

from datetime import timedelta

from connector_pipeline.postgres.database import Database


def minutes_pass(database: Database, minutes: float = 2) -> None:
    """Let so many minutes pass since every shop began to refuse us and until it is asked again."""
    with database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET refused_at = refused_at - %(passed)s,"
            " ask_again_at = ask_again_at - %(passed)s",
            {"passed": timedelta(minutes=minutes)},
        )
