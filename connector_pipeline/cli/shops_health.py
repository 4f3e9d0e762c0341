"""`connector-pipeline shops health` and `shops show`: how shops are, why, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from connector_pipeline.catalog.expectations import EXPECTATIONS
from connector_pipeline.catalog.shop_facts import ShopFacts, shop_facts
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import SchemaUse, database_services
from connector_pipeline.cli.output import out, print_rows
from connector_pipeline.model.duration import in_words
from connector_pipeline.model.remedies import remedy_of
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state.registry import ShopRegistry, registered_shop
from connector_pipeline.state.shop_health import (
    ShopHealth,
    TroubledShop,
    shop_health,
    troubles_of,
)
from connector_pipeline.state.sweep_times import next_sweep_begins

_MEASURED: Final = 5
_EXPLAINED: Final = 3
"""Shops of one error code whose errors are printed: a platform that is down has thousands alike."""
_WELL: Final = "No shop fails, and none is disconnected."


def run_health(*, as_json: bool) -> None:
    """Print how all shops are. Raises as `database_services` does."""
    with database_services(SchemaUse.ROWS), Database().connect() as connection:
        health = shop_health(connection)
    settings = load_settings()
    begins = next_sweep_begins(settings)
    if as_json:
        causes = [asdict(each) | {"remedy": remedy_of(each.error_code)} for each in health.causes]
        print_json(
            asdict(health)
            | {"causes": causes, "sync_cron": settings.sync_cron, "next_sweep": begins}
        )
        return
    states = ", ".join(f"{number} {state}" for state, number in health.states.items()) or "none"
    _line("Shops", f"{states}; {in_trouble(health.failing)}")
    never = f"; {health.never_synced} never, since their registration"
    _line("Last good syncs", f"{_spread(health.age)}{never if health.never_synced else ''}")
    _line("Freshness of a day", _spread(health.freshness))
    _line("Next sweep", f"{begins:%Y-%m-%d %H:%M}Z (SYNC_CRON {settings.sync_cron})")
    if not health.causes:
        out.print(_WELL)
    for cause in health.causes:
        out.print(
            f"\n{cause.error_code}: {cause.shops} since {cause.since:%Y-%m-%d %H:%M}Z "
            f"({', '.join(cause.platforms)}). {remedy_of(cause.error_code)}",
            soft_wrap=True,
        )
        for place, each in enumerate(_of(health, cause.error_code)):
            error = f": {each.error}" if place < _EXPLAINED and each.error else ""
            since = f"since {each.since:%Y-%m-%d %H:%M}Z"
            out.print(f"  {each.shop} ({each.state}) {since}{error}", soft_wrap=True)
    _measured("Slowest syncs of a day", [(e.shop, in_words(e.number)) for e in health.slowest])
    _measured("Most rejects", [(each.shop, f"{each.number:.0f}") for each in health.most_rejects])
    if health.causes:
        out.print("\nAll of one shop: connector-pipeline shops show SHOP", soft_wrap=True)


def in_trouble(failing: int) -> str:
    """How many of the active shops fail, in words."""
    return f"of the active ones {failing or 'none'} {'fail' if failing > 1 else 'fails'}"


def run_show(key: str, *, as_json: bool) -> None:
    """Print one shop with its error, since when, and the remedy, and what its checks find.

    Raises UnknownShop.
    """
    with database_services(SchemaUse.ROWS):
        database = Database()
        shop = registered_shop(ShopRegistry(database=database), key)
        with database.connect() as connection:
            trouble = troubles_of(connection, [key]).get(key)
            facts = shop_facts(connection, [key])
    row = shop_row(shop, trouble) | {"next_try": _next_try(trouble)}
    findings = _findings(facts)
    if as_json:
        print_json(row | {"findings": findings})
        return
    shown = {name: value for name, value in row.items() if value not in (None, "")}
    for name, value in shown.items():
        _line(name, f"{value:%Y-%m-%d %H:%M:%S}Z" if isinstance(value, datetime) else str(value))
    if trouble is None:
        out.print("The last sync of the shop did not fail.")
    for each in findings:
        _line(each["check"], f"{each['found']}. {each['remedy']}")


def run_list(shops: list[RegisteredShop], *, as_json: bool, empty: str) -> None:
    """Print these shops, each with its error and since when."""
    with Database().connect() as connection:
        troubles = troubles_of(connection)
    print_rows(
        [shop_row(shop, troubles.get(shop.partition_key)) for shop in shops],
        columns=("shop", "state", "last_successful_sync_at", "last_error_code", "failing_since"),
        as_json=as_json,
        empty=empty,
    )


def shop_row(shop: RegisteredShop, trouble: TroubledShop | None) -> dict[str, Any]:
    """The shop as JSON and tables have it. `last_error_message` ends with the remedy."""
    since = None if trouble is None else trouble.since
    return {"shop": shop.partition_key, **shop.model_dump(), "failing_since": since}


def _measured(title: str, shops: list[tuple[str, str]]) -> None:
    if shops:
        out.print(f"\n{title}:", soft_wrap=True)
    for shop, number in shops[:_MEASURED]:
        out.print(f"  {shop}: {number}", soft_wrap=True)


def _findings(facts: Sequence[ShopFacts]) -> list[dict[str, str]]:
    """What the checks find in the shop's catalog, though its syncs may succeed."""
    now = datetime.now(UTC)
    return [
        {"check": expected.name, "found": shortfall.words, "remedy": expected.remedy}
        for expected in EXPECTATIONS
        for shop in facts
        if (shortfall := expected.shortfall(shop, now)) is not None
    ]


def _next_try(trouble: TroubledShop | None) -> datetime | None:
    if trouble is None:
        return None
    if trouble.ask_again_at is not None:
        return max(trouble.ask_again_at, datetime.now(UTC))
    return next_sweep_begins(load_settings())


def _of(health: ShopHealth, error_code: str) -> list[TroubledShop]:
    return [each for each in health.troubled if each.error_code == error_code]


def _spread(seconds: Mapping[int, float]) -> str:
    if not seconds:
        return "no sync has any"
    return ", ".join(
        f"{'the longest' if percentile == 100 else f'{percentile} % within'} {in_words(each)}"
        for percentile, each in seconds.items()
    )


def _line(name: str, value: str) -> None:
    out.print(f"{name}: {value}", soft_wrap=True)
