"""The errors of commands, each as a line with what to do about it, and the exit status."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from connector_pipeline.cli.arguments import MistypedShop
from connector_pipeline.cli.dev_session import AlreadyRunning
from connector_pipeline.cli.shop_keys import did_you_mean
from connector_pipeline.cli.supervisor import ChildEnded
from connector_pipeline.model.errors import ConnectorError, InvalidShop
from connector_pipeline.model.storable import clipped
from connector_pipeline.settings import SettingsError

_LONGEST: Final = 2_000
_PYDANTICS: Final = "Value error, "
"""What Pydantic, by which Typer reads arguments, writes before the text of a ValueError."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The lines that a command prints on standard error, and its exit status."""

    lines: tuple[str, ...]
    status: int = 1


def failure_of(error: Exception) -> Failure:
    """How a command fails by this error: with 2 if it was called wrongly, else with 1."""
    match error:
        case typer.TyperException():
            return _wrong_usage(error)
        case typer.Abort():
            return Failure(("Nothing was changed.",))
        case MistypedShop():
            return Failure((f"{error}{did_you_mean(error.typed)}",), status=2)
        case SettingsError():
            return Failure(tuple(error.lines))
        case InvalidShop():
            return Failure((str(error),), status=2)
        case ConnectorError():
            return Failure((f"{error.code}: {error}",))
        case ChildEnded():
            return Failure((str(error),))
        case AlreadyRunning():
            session = error.session
            where = ", and just starting: try again when it says that it is up"
            if session is not None:
                where = f" at {session.ui_url} (pid {session.pid})"
            return Failure((f"connector-pipeline dev is already running{where}.",))
        case FileNotFoundError(filename=None) if not _folder_exists():
            return Failure(
                (
                    "The working directory was removed: change to one that is there, or name the "
                    "place of everything local by CONNECTOR_HOME=/absolute/path.",
                )
            )
        case OSError():
            # Of files that the operator named: its text has the name.
            return Failure((f"{type(error).__name__}: {clipped(str(error), most_bytes=_LONGEST)}",))
        case _:
            return Failure(
                (
                    f"{type(error).__name__}: {clipped(str(error), most_bytes=_LONGEST)} (an error "
                    "that connector-pipeline does not know: run the command again with --debug for "
                    "the traceback, and report it)",
                )
            )


def _folder_exists() -> bool:
    """Whether the working directory is there: nothing relative can be found without it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _wrong_usage(error: typer.TyperException) -> Failure:
    """The line that Typer has for it, the command whose help says more, and what may be meant."""
    message = clipped(error.format_message().replace(_PYDANTICS, ""), most_bytes=_LONGEST)
    # Typer publishes neither the class of the error nor its members.
    found: Any = error
    if possible := getattr(found, "possibilities", None):
        named = " or ".join(sorted(possible))
        message = f"{found.message}. Did you mean {named}?"
    context = getattr(found, "ctx", None)
    if context is None:
        return Failure((message,), error.exit_code)
    if type(error).__name__ == "NoArgsIsHelpError":
        # Its message is the help, which was printed by then.
        return Failure((), error.exit_code)
    stop = "" if message.endswith((".", "?", "!")) else "."
    return Failure((f"{message}{stop} See `{context.command_path} --help`.",), error.exit_code)
