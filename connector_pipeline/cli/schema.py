"""`connector-pipeline schema [COMMAND]`: the JSON Schema of what a command prints with `--json`."""

import json
import sys

import typer

from connector_pipeline.cli.printed import MODELS, schema_of


def print_schema(command: str) -> None:
    """Print the schema of the command's objects, or for "" an object with those of all commands.

    Raises typer.BadParameter for a command that has none.
    """
    if command and command not in MODELS:
        raise typer.BadParameter(
            f"{command!r} prints no JSON. These do: {', '.join(MODELS)}.", param_hint="COMMAND"
        )
    found = schema_of(command) if command else {each: schema_of(each) for each in MODELS}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
