"""Keeps a sandbox and real shops apart: by the database's mark, and by the sandbox's own word.

The sandbox knows none of the real shops, so it answers for each that there are no credentials, and
that would disconnect them all. A forgotten variable must not do that.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Final

from connector_pipeline.model.errors import SandboxMixedWithReal
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.serves import Serves, mark, serves
from connector_pipeline.settings import Settings, load_settings

SANDBOX_HEADER: Final = "x-connector-sandbox"
"""The sandbox's Token Service sends this header with every answer (docs/contracts.md)."""

NO_SUCH_SHOP: Final = "no such shop"
"""The header's value in an answer about a shop that the sandbox does not have."""

_READ_AGAIN_SECONDS: Final = 60.0


def mixed_settings(settings: Settings, marked: Serves | None) -> list[str]:
    """A line for each variable that only a sandbox needs, if the database is marked as real."""
    if marked is not Serves.REAL:
        return []
    return [
        f"{name}: is set as for a sandbox, but the database serves real shops. Unset it, or set "
        "CONNECTOR_DATABASE_URL to a database of the sandbox's own."
        for name in settings.only_for_a_sandbox
    ]


def mixed_services(settings: Settings, marked: Serves | None, *, sandbox: bool) -> str | None:
    """The line that refuses a Token Service for a database of this mark; None if they fit.

    `sandbox` is whether the Token Service says that it is a sandbox's.
    """
    if sandbox and marked is Serves.REAL:
        return (
            f"TOKEN_SERVICE_URL: {settings.token_service_url} is a sandbox's, but the database "
            "serves real shops. Set it to the real Token Service, or set CONNECTOR_DATABASE_URL to "
            "a database of the sandbox's own."
        )
    if not sandbox and marked is Serves.SANDBOX:
        return (
            f"TOKEN_SERVICE_URL: {settings.token_service_url} is no sandbox's, but the database "
            "serves the sandbox's shops alone. Set CONNECTOR_DATABASE_URL or CONNECTOR_HOME to "
            "another database for real shops, or unset TOKEN_SERVICE_URL for the sandbox."
        )
    return None


def foreign_shop(settings: Settings) -> str:
    """The line that refuses a sandbox's answer about a shop that it does not have.

    Only a database that is marked as the sandbox's can have such a shop by mistake.
    """
    return (
        f"TOKEN_SERVICE_URL: {settings.token_service_url} is a sandbox's and does not have this "
        "shop, so it cannot say whether the shop has credentials. Set it to the real Token "
        "Service. If all shops of the database are invented, mark it by "
        "setting connector.installation.serves = 'sandbox'."
    )


def shops_elsewhere(settings: Settings) -> list[str]:
    """A line for each variable that would send real credentials to a sandbox on this machine.

    For credentials that no sandbox gave. A Token Service on this machine may be anything.
    """
    if settings.token_service_is_here:
        return []
    return [
        f"{name}: asks all shops on this machine, as for a sandbox, but "
        f"{settings.token_service_url} is no sandbox's. Unset it, or set TOKEN_SERVICE_URL to the "
        "sandbox's Token Service."
        for name in settings.templates_of_a_sandbox
    ]


def is_for_real_shops(settings: Settings) -> bool:
    """Whether the settings are those of a deployment, and of no sandbox or test on this machine."""
    return (
        settings.token_service_url is not None
        and not settings.token_service_is_here
        and not settings.only_for_a_sandbox
    )


@dataclass(slots=True)
class SandboxGuard:
    """Refuses answers of the Token Service that do not fit the database's mark. For many threads.

    The first real credentials mark a database that nobody has marked, if the guard `marks`. One
    that is not `about_shops` is for questions about a shop that need not exist.
    """

    database: Database
    marks: bool = True
    about_shops: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _marked: Serves | None = None
    _read_at: float | None = None

    def at_hand(self) -> bool:
        """Whether the next answers can be judged at once, without asking the database."""
        read_at = self._read_at
        if read_at is None or self._marked is None:
            return False
        return time.monotonic() - read_at < _READ_AGAIN_SECONDS / 2

    def refuse_settings(self) -> None:
        """Before the Token Service is asked. Raises SandboxMixedWithReal, DatabaseUnavailable."""
        if lines := mixed_settings(load_settings(), self._mark()):
            raise SandboxMixedWithReal(" ".join(lines))

    def refuse_answer(self, *, sandbox: str | None, has_credentials: bool) -> None:
        """Judge a proper answer, with or without credentials.

        `sandbox` is the value of SANDBOX_HEADER, None without it. Raises SandboxMixedWithReal,
        DatabaseUnavailable.
        """
        settings, marked = load_settings(), self._mark()
        if line := mixed_services(settings, marked, sandbox=sandbox is not None):
            raise SandboxMixedWithReal(line)
        if self.about_shops and sandbox == NO_SUCH_SHOP and marked is not Serves.SANDBOX:
            raise SandboxMixedWithReal(foreign_shop(settings))
        if sandbox is None and has_credentials and (lines := shops_elsewhere(settings)):
            raise SandboxMixedWithReal(" ".join(lines))
        if sandbox is not None or not has_credentials or marked is not None or not self.marks:
            return
        if is_for_real_shops(settings):
            with self.database.connect() as connection:
                self._marked = mark(connection, Serves.REAL)

    def _mark(self) -> Serves | None:
        with self._lock:
            now = time.monotonic()
            if self._read_at is None or now - self._read_at > _READ_AGAIN_SECONDS:
                with self.database.connect() as connection:
                    self._marked = serves(connection)
                self._read_at = now
            return self._marked
