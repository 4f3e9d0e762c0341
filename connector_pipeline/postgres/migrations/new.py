"""Write a migration for the difference between the tables in the code and those of the migrations.

    python -m connector_pipeline.postgres.migrations.new 0002_what_it_adds

The developer who changed the tables reads and corrects the file. It never changes after its merge.
"""

import re
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

from connector_pipeline.postgres.connections import open_connection
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.revision import VERSIONS


def write(revision: str) -> Path:
    """Write the migration. Returns its file, which has the revision's name."""
    config = Config()
    config.set_main_option("script_location", "connector_pipeline.postgres:migrations")
    # The revision alone, without the message that Alembic would add.
    config.set_main_option("file_template", "%%(rev)s")
    with tempfile.TemporaryDirectory(prefix="connector-") as folder:
        # Started by root, the server runs as another user, and the folder must let it through.
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder), settings={"fsync": "off"}) as server:
            url = server.url("catalog")
            migrate(url)
            engine = create_engine(
                "postgresql+psycopg://",
                # Alembic compares what is in the path with the tables that have no schema.
                creator=lambda: open_connection(url, search_path="public"),
                poolclass=NullPool,
            )
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                command.revision(config, rev_id=revision, message=revision, autogenerate=True)
    return VERSIONS / f"{revision}.py"


if __name__ == "__main__":
    if len(sys.argv) != 2 or not re.fullmatch(r"\d{4}_[a-z_]{1,27}", sys.argv[1]):
        sys.exit("Name the revision, e.g. 0002_what_it_adds: its number and up to 27 letters.")
    sys.stdout.write(f"{write(sys.argv[1])}\n")
