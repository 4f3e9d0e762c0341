"""Ask before a command does what cannot be taken back: a person types what it is about."""

import sys

import typer

from connector_pipeline.cli.output import err


def refuse_unasked(*, yes: bool, as_json: bool) -> None:
    """Raise typer.BadParameter where nobody can be asked, and `yes` was not given."""
    if not yes and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("nobody can be asked here; --yes confirms it.")


def confirm(name: str, *, yes: bool, as_json: bool) -> None:
    """Return if `yes` was given, or a person at the terminal types `name`.

    Raises as `refuse_unasked` does, and typer.Exit(1) for another answer.
    """
    refuse_unasked(yes=yes, as_json=as_json)
    if yes:
        return
    err.print(f"Type {name} to go on: ", end="", soft_wrap=True)
    if sys.stdin.readline().strip() != name:
        err.print("Nothing was changed.")
        raise typer.Exit(1)
