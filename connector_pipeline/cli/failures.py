"""The errors of a command that an operator can correct, as lines without a traceback."""

from dataclasses import dataclass

from connector_pipeline.cli.dev_session import AlreadyRunning
from connector_pipeline.cli.supervisor import ChildEnded
from connector_pipeline.model.errors import ConnectorError, InvalidShop
from connector_pipeline.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Failure:
    """The lines that a command prints on standard error, and its exit status."""

    lines: tuple[str, ...]
    status: int = 1


def failure_of(error: Exception) -> Failure | None:
    """How a command fails by this error, None if it is no error that an operator can correct."""
    match error:
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
            where = ", and just starting"
            if session is not None:
                where = f" at {session.ui_url} (pid {session.pid})"
            return Failure((f"connector-pipeline dev is already running{where}.",))
        case _:
            return None
