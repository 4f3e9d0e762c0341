"""The asset `shop_health`: how all shops are, at a glance, and the checks on it.

The sensor `shop_health_report` reports it without a run (automation/shop_health.py); the UI's
button *Materialize* does so at once.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    TableColumn,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    asset,
)

from connector_pipeline.assets.chart import Bar, bar_chart
from connector_pipeline.model.counted import counted
from connector_pipeline.model.duration import in_words
from connector_pipeline.model.remedies import remedy_of
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.storable import clipped
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import LOOKING
from connector_pipeline.settings import load_settings
from connector_pipeline.state.shop_health import (
    LONG,
    NAMED,
    Cause,
    MeasuredShop,
    ShopHealth,
    TroubledShop,
)
from connector_pipeline.state.shop_health import shop_health as read_shop_health
from connector_pipeline.state.sweep_times import next_sweep_begins

SHOP_HEALTH: Final = AssetKey("shop_health")
NO_DISCONNECTED: Final = "no_shop_disconnected"
NO_LONG_FAILURE: Final = "no_shop_fails_for_a_day"

_LONGEST_CELL: Final = 800
_CHECKS: Final = {
    NO_DISCONNECTED: "No shop refuses us. The alert `shops_disconnected` is of the same shops.",
    NO_LONG_FAILURE: "No active shop has failed for a day or longer. The alert `shops_failing` is "
    "of the same shops.",
}
_SEVERITY: Final = {
    NO_DISCONNECTED: AssetCheckSeverity.WARN,
    NO_LONG_FAILURE: AssetCheckSeverity.ERROR,
}


@asset(
    key=SHOP_HEALTH,
    # Without one, Dagster takes any config.
    config_schema={},
    kinds={"postgres"},
    group_name="operations",
    check_specs=[
        AssetCheckSpec(name, asset=SHOP_HEALTH, description=description)
        for name, description in _CHECKS.items()
    ],
)
def shop_health(database: ResourceParam[Database]) -> Iterator[MaterializeResult[Any]]:
    """Read the health of all shops, and judge it."""
    health = health_of(database)
    yield MaterializeResult(
        metadata=health_metadata(health, next_sweep=next_sweep_begins(load_settings())),
        check_results=[
            AssetCheckResult(
                check_name=each.check_name,
                passed=each.passed,
                severity=each.severity,
                description=each.description,
            )
            for each in health_evaluations(health)
        ],
    )


def health_of(database: Database) -> ShopHealth:
    """The health of all shops now. Raises DatabaseUnavailable."""
    with database.connect() as connection, under(connection, LOOKING):
        return read_shop_health(connection)


def health_evaluations(health: ShopHealth) -> list[AssetCheckEvaluation]:
    """The evaluations of the checks on `shop_health`."""
    long = [
        each
        for each in health.troubled
        if each.state == ShopState.ACTIVE and health.at - each.since > LONG
    ]
    words = {
        NO_DISCONNECTED: _judged(
            health.disconnected,
            "disconnected",
            [each for each in health.troubled if each.state == ShopState.DISCONNECTED],
        ),
        NO_LONG_FAILURE: _judged(health.failing_long, "failing for a day or longer", long),
    }
    passed = {NO_DISCONNECTED: not health.disconnected, NO_LONG_FAILURE: not health.failing_long}
    return [
        AssetCheckEvaluation(
            asset_key=SHOP_HEALTH,
            check_name=name,
            passed=passed[name],
            severity=_SEVERITY[name],
            description=words[name],
            blocking=False,
        )
        for name in _CHECKS
    ]


def health_metadata(health: ShopHealth, *, next_sweep: datetime) -> Mapping[str, MetadataValue]:
    """The metadata: numbers that the UI plots, tables, and a chart.

    A table without a row is left out: the UI shows nothing but its schema. The words of platforms
    and merchants are in tables alone: the UI shows their values as text.
    """
    active = health.states.get(ShopState.ACTIVE, 0)
    waiting = active - health.failing - health.well
    return {
        "overview": MetadataValue.md(
            bar_chart(
                counted(health.shops, "shop"),
                [
                    Bar("active and well", health.well, str(health.well), "#2a4"),
                    Bar("not synced yet", waiting, str(waiting), "#999"),
                    Bar("active and failing", health.failing, str(health.failing), "#c33"),
                    Bar("disconnected", health.disconnected, str(health.disconnected), "#d80"),
                    *_other_states(health),
                ],
            )
        ),
        **_table(
            "causes",
            ("cause_and_remedy",),
            [_cause(each) for each in health.causes[:NAMED]],
        ),
        **_table(
            "shops_in_trouble",
            ("shop_error_and_remedy",),
            [_troubled(each, next_sweep) for each in health.troubled],
        ),
        "shops": MetadataValue.int(health.shops),
        "active": MetadataValue.int(active),
        "failing": MetadataValue.int(health.failing),
        "disconnected": MetadataValue.int(health.disconnected),
        "never_synced": MetadataValue.int(health.never_synced),
        "age_of_last_good_sync": MetadataValue.text(_ages(health)),
        "freshness_of_a_day": MetadataValue.text(_spread(health.freshness)),
        **{
            f"age_seconds_p{percentile}": MetadataValue.float(round(seconds, 1))
            for percentile, seconds in health.age.items()
        },
        **_table(
            "slowest_syncs_of_a_day",
            ("shop", "took"),
            [(each.shop, _unbroken(each.number)) for each in health.slowest],
        ),
        **_table(
            "most_rejected_variants",
            ("shop", "variants"),
            [_rejects(each) for each in health.most_rejects],
        ),
        "sync_cron": MetadataValue.text(f"{load_settings().sync_cron} (UTC)"),
        "next_sweep": MetadataValue.timestamp(next_sweep),
    }


def _judged(number: int, what: str, shops: list[TroubledShop]) -> str:
    if not number:
        return f"No shop is {what}."
    named = [f"{each.shop} since {_time(each.since)}" for each in shops[:5]]
    some = f": {', '.join(named)}{' …' if number > len(named) else ''}" if named else ""
    return (
        f"Of all shops {number} {'is' if number == 1 else 'are'} {what}{some}. `shops_in_trouble` "
        "has the remedy of each, and so has `connector-pipeline shops show SHOP`."
    )


def _other_states(health: ShopHealth) -> list[Bar]:
    known = (ShopState.ACTIVE, ShopState.DISCONNECTED)
    return [
        Bar(state, number, str(number), "#999")
        for state, number in health.states.items()
        if state not in known
    ]


# One column each: the UI has no room for more, and cuts them off.
def _cause(cause: Cause) -> tuple[str | int, ...]:
    first = f"since {_time(cause.since)}: {cause.oldest_shop}"
    remedy = remedy_of(cause.error_code)
    return (f"{cause.error_code}: {counted(cause.shops, 'shop')}, {first}. {remedy}",)


def _troubled(shop: TroubledShop, next_sweep: datetime) -> tuple[str | int, ...]:
    disconnected = shop.state == ShopState.DISCONNECTED
    next_try = shop.ask_again_at if disconnected else next_sweep
    tried = "" if next_try is None else f", next try {_time(next_try)}"
    state = "disconnected" if disconnected else "failing"
    return (
        f"{shop.shop}: {state} since {_time(shop.since)}{tried}. "
        f"{shop.error_code}: {clipped(shop.error, most_bytes=_LONGEST_CELL)}",
    )


def _rejects(shop: MeasuredShop) -> tuple[str | int, ...]:
    return (shop.shop, round(shop.number))


def _unbroken(seconds: float) -> str:
    # The column is as narrow as the UI can make it.
    return in_words(seconds).replace(" ", "\u00a0")


def _ages(health: ShopHealth) -> str:
    never = f"; {health.never_synced} never synced, counted since their registration"
    return f"{_spread(health.age)}{never if health.never_synced else ''}"


def _spread(seconds: Mapping[int, float]) -> str:
    if not seconds:
        return "No sync of the last day brought a change whose time is known."
    return ", ".join(
        f"{'longest' if percentile == 100 else f'{percentile} % within'} {in_words(each)}"
        for percentile, each in seconds.items()
    )


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _table(
    name: str, columns: tuple[str, ...], rows: list[tuple[str | int, ...]]
) -> dict[str, TableMetadataValue]:
    if not rows:
        return {}
    return {
        name: MetadataValue.table(
            records=[TableRecord(dict(zip(columns, row, strict=True))) for row in rows],
            schema=TableSchema(columns=[TableColumn(column) for column in columns]),
        )
    }
