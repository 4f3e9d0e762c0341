"""`connector-pipeline --version`, from the package as installed: pyproject.toml states it."""

from importlib.metadata import version
from typing import Annotated

import typer

DISTRIBUTION = "connector-pipeline"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        raise typer.Exit


VersionFlag = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
]
