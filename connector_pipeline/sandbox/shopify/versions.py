"""The API versions that the sandbox serves (docs/facts/shopify.md, API versions)."""

from dataclasses import dataclass
from typing import Final

SUPPORTED_VERSIONS: Final = ("2026-01", "2026-04", "2026-07", "2026-10")

WEBHOOK_VERSION: Final = "2026-07"
"""The version that the app has chosen for its webhooks' payloads."""


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """A version in `publicApiVersions`. The next one is listed, and not supported yet."""

    handle: str
    supported: bool


API_VERSIONS: Final = (
    *(ApiVersion(version, True) for version in SUPPORTED_VERSIONS),
    ApiVersion("2027-01", False),
    ApiVersion("unstable", False),
)


def served_version(asked: str) -> str:
    """The version that serves a request: the oldest stable one for an unknown or expired one."""
    return asked if asked in SUPPORTED_VERSIONS else SUPPORTED_VERSIONS[0]
