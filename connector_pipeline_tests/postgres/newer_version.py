"""The next version of the project: a copy of the package with one migration more.

Its processes run with the copy in front of the Python path, so an old and a new version work on one
database at the same time, each in processes of its own.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import connector_pipeline
from connector_pipeline.postgres.revision import needed_revision

NEWER: Final = "9998_colours"

MIGRATION: Final = """
import sqlalchemy as sa
from alembic import op

revision = "9998_colours"
down_revision = "{before}"
compatible_from = "{compatible_from}"
lost_by_downgrade = {lost!r}


def upgrade() -> None:
    op.add_column("shops", sa.Column("colour", sa.Text, comment="Its colour."), schema="connector")


def downgrade() -> None:
    op.drop_column("shops", "colour", schema="connector")
"""


@dataclass(frozen=True)
class NewerVersion:
    """The folder of the copy."""

    folder: Path

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `connector-pipeline` of the newer version with these words."""
        return subprocess.run(
            [sys.executable, "-m", "connector_pipeline.cli", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), **environment},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )


def made(
    folder: Path, *, compatible_from: str | None = None, lost: str | None = "The colours of shops."
) -> NewerVersion:
    """The newer version, whose migration says since which revision code may go on."""
    package = shutil.copytree(
        Path(connector_pipeline.__file__).parent,
        folder / "connector_pipeline",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    file = package / "postgres" / "migrations" / "versions" / f"{NEWER}.py"
    before = needed_revision()
    file.write_text(
        MIGRATION.format(before=before, compatible_from=compatible_from or before, lost=lost)
    )
    config = Path(connector_pipeline.__file__).parents[1] / "dagster.yaml"
    if config.is_file():
        shutil.copyfile(config, folder / "dagster.yaml")
    return NewerVersion(folder)
