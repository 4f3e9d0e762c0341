"""The sandbox serves the embedded database alone, and a database either its shops or real ones."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psycopg
from pydantic import BaseModel

from connector_pipeline.credentials.real_or_sandbox import (
    SandboxGuard,
    is_for_real_shops,
    mixed_settings,
)
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import (
    SandboxMixedWithReal,
    ShopDisconnected,
    TokenServiceUnavailable,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.serves import Serves, mark, serves
from connector_pipeline.settings import Settings, SettingsError

if TYPE_CHECKING:
    from connector_pipeline.sandbox.shops.spec import ShopSpec

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_NAMED: Final = 3


class AnyCredentials(BaseModel):
    """Credentials without a field: any answer of the Token Service will do."""


def sandbox_elsewhere(settings: Settings) -> list[str]:
    """A line for each setting beside which no sandbox may serve, where none but it would.

    Without TOKEN_SERVICE_URL a command would take the sandbox in its place.
    """
    if settings.token_service_url is not None:
        return []
    lines: list[str] = []
    if settings.connector_database_url is not None:
        lines.append(
            "TOKEN_SERVICE_URL: not set, but CONNECTOR_DATABASE_URL is, and the sandbox serves the "
            "embedded database alone. Set TOKEN_SERVICE_URL to your Token Service, or unset "
            "CONNECTOR_DATABASE_URL to use the sandbox. "
            "Example: TOKEN_SERVICE_URL=http://token-service:8000"
        )
    elif settings.dagster_postgres_url is not None:
        lines.append(
            "TOKEN_SERVICE_URL: not set, but DAGSTER_POSTGRES_URL is, and the runs of the "
            "sandbox's shops belong into the embedded database alone. Set TOKEN_SERVICE_URL to "
            "your Token Service, or unset DAGSTER_POSTGRES_URL to use the sandbox."
        )
    if settings.nats_url is not None and not _are_here(settings.nats_url):
        lines.append(
            "TOKEN_SERVICE_URL: not set, but NATS_URL names another machine, and nobody there "
            "waits for the sandbox's shops. Set TOKEN_SERVICE_URL to your Token Service, or unset "
            "NATS_URL to use the sandbox."
        )
    return lines


def refuse_all_but_sandbox(settings: Settings) -> None:
    """Raise SettingsError, a line for each variable to unset, if a setting is not for the sandbox.

    This is for `demo`, which no Token Service can make run.
    """
    nats_url = settings.nats_url
    found = {
        "TOKEN_SERVICE_URL": settings.token_service_url is not None,
        "CONNECTOR_DATABASE_URL": settings.connector_database_url is not None,
        "DAGSTER_POSTGRES_URL": settings.dagster_postgres_url is not None,
        "NATS_URL": nats_url is not None and not _are_here(nats_url),
    }
    if set_ones := [name for name, is_set in found.items() if is_set]:
        raise SettingsError(
            [
                f"{name}: set, but the demo uses the sandbox and the embedded database alone. "
                "Unset it."
                for name in set_ones
            ]
        )


def refuse_sandbox_elsewhere(settings: Settings) -> None:
    """Raise SettingsError if the sandbox would serve anything but the embedded database."""
    if lines := sandbox_elsewhere(settings):
        raise SettingsError(lines)


def claim_for_sandbox(url: str, specs: "Iterable[ShopSpec]") -> None:
    """Mark the embedded database as the sandbox's.

    Raises SettingsError if it serves real shops, or has shops that the sandbox does not have and
    nobody has marked it yet.
    """
    with connect(url) as connection:
        refuse_for_sandbox(connection, specs)
        mark(connection, Serves.SANDBOX)


def refuse_for_sandbox(connection: psycopg.Connection, specs: "Iterable[ShopSpec]") -> None:
    """Raise SettingsError if the sandbox must not serve this database. Writes nothing."""
    marked = serves(connection)
    if marked is Serves.SANDBOX:
        return
    why = "the database serves real shops"
    if marked is None:
        strangers = _strangers(connection, specs)
        if not strangers:
            return
        more = " and others" if len(strangers) > _NAMED else ""
        named = ", ".join(strangers[:_NAMED])
        why = f"the database has shops that are not the sandbox's ({named}{more})"
    raise SettingsError(
        [
            f"TOKEN_SERVICE_URL: not set, but {why}. Set it to your Token Service, or set "
            "CONNECTOR_HOME to another folder to use the sandbox."
        ]
    )


def _strangers(connection: psycopg.Connection, specs: "Iterable[ShopSpec]") -> Sequence[str]:
    rows = connection.execute(
        "SELECT platform_name || '/' || domain FROM connector.shops ORDER BY 1"
    )
    ours = {f"{spec.platform}/{spec.domain}" for spec in specs}
    return [key for (key,) in rows if key not in ours]


def mark_if_for_real_shops(settings: Settings, url: str) -> None:
    """Mark a database as one of real shops, if nobody has marked it and the settings say so."""
    if is_for_real_shops(settings):
        with connect(url) as connection:
            mark(connection, Serves.REAL)


def refuse_mixed(settings: Settings, url: str) -> None:
    """Raise SettingsError if the settings and the Token Service do not fit the database's mark.

    A Token Service that does not answer properly is no reason: the sync says so.
    """
    with connect(url) as connection:
        marked = serves(connection)
    if lines := mixed_settings(settings, marked):
        raise SettingsError(lines)
    if marked is None:
        return
    try:
        ask_token_service(settings)
    except SandboxMixedWithReal as error:
        raise SettingsError([error.message]) from None
    except TokenServiceUnavailable:
        return


def token_service_to_look_at(
    settings: Settings, *, guarded: bool = True, about_shops: bool = True
) -> TokenService:
    """The Token Service, asked once and without marking the database.

    `guarded`: its answers are compared with the mark, which a database not migrated lacks.
    `about_shops`: the questions are about shops of the registry.
    """
    guard = SandboxGuard(Database(), marks=False, about_shops=about_shops)
    return TokenService(
        url=settings.token_service_url or "",
        timeout=settings.token_service_timeout,
        retry_count=0,
        guard=guard if guarded else None,
    )


def ask_token_service(settings: Settings, *, guarded: bool = True) -> None:
    """Ask the Token Service for a shop that need not exist.

    Raises TokenServiceUnavailable, and SandboxMixedWithReal if it does not fit the database's mark.
    """

    async def ask() -> None:
        looked_at = token_service_to_look_at(settings, guarded=guarded, about_shops=False)
        async with looked_at.open("doctor") as client:
            await client.credentials(_example_shop(), AnyCredentials)

    # A Token Service that does not know the shop answers as the contract says, too.
    with suppress(ShopDisconnected):
        asyncio.run(ask())


def _example_shop() -> Shop:
    name, adapter = next(iter(BUILT_IN.items()))
    return Shop(
        merchant_id="doctor",
        platform_name=name,
        platform_shop_id="doctor",
        domain=adapter.example_domain,
    )


def _are_here(urls: str) -> bool:
    return all(urlsplit(url).hostname in _LOOPBACK for url in urls.split(","))
