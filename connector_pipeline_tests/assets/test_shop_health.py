"""How all shops are, at a glance, and why a failed shop failed, in Dagster and as text."""

import base64
import re
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    MarkdownMetadataValue,
    MetadataValue,
    SensorResult,
    SkipReason,
    TableMetadataValue,
    build_sensor_context,
)

from connector_pipeline.assets.chart import Bar, bar_chart
from connector_pipeline.assets.shop_health import health_metadata
from connector_pipeline.assets.sync_report import SHOWN_AT_ONCE
from connector_pipeline.automation.shop_health import shop_health_report
from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.settings import load_settings
from connector_pipeline.state.shop_health import ShopHealth, shop_health, troubles_of
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline

GOOD, BAD, OTHER = (f"{spec.platform}/{spec.domain}" for spec in DEFAULT_SHOPS[:3])
MARKUP = "<script>alert(1)</script> [a](https://evil.example) down."


def tick(pipeline: Pipeline, cursor: str | None = None) -> SensorResult | SkipReason:
    """Evaluate the sensor once and store what it reports, as the daemon does."""
    resources = {"database": pipeline.database}
    with build_sensor_context(
        instance=pipeline.instance, resources=resources, cursor=cursor
    ) as context:
        result = shop_health_report(context)
    assert isinstance(result, SensorResult | SkipReason)
    for event in result.asset_events if isinstance(result, SensorResult) else ():
        pipeline.instance.report_runless_asset_event(event)
    return result


def checks(result: SensorResult) -> dict[str, AssetCheckEvaluation]:
    """The evaluations that a tick reports, by check."""
    return {
        event.check_name: event
        for event in result.asset_events
        if isinstance(event, AssetCheckEvaluation)
    }


def bars(chart: MetadataValue[Any]) -> dict[str, int]:
    """The labels of a chart's bars, with their numbers."""
    svg = base64.b64decode(str(chart.value).partition("base64,")[2].removesuffix(")")).decode()
    texts = re.findall("<text [^>]*>([^<]*): ([0-9]+)</text>", svg)
    return {label: int(number) for label, number in texts}


def fail(pipeline: Pipeline, key: str, hours: int) -> None:
    """Make the shop one whose last sync failed so many hours ago, with words of its platform."""
    platform_name, domain = key.split("/")
    with pipeline.database.connect() as connection:
        connection.execute(
            """
            UPDATE connector.shops SET last_error_code = 'PlatformUnavailable',
                last_error_message = %s, consecutive_failures = 1, updated_at = %s
            WHERE platform_name = %s AND domain = %s
            """,
            (MARKUP, "2026-01-01T00:00Z", platform_name, domain),
        )
        connection.execute(
            """
            INSERT INTO connector.syncs (sync_id, platform_name, domain, merchant_id, sync_type,
                status, correlation_id, started_at, finished_at, error_code)
            SELECT 'failed-' || domain, platform_name, domain, merchant_id, 'full', 'failed', 'c',
                now() - make_interval(hours => %s), now() - make_interval(hours => %s),
                'PlatformUnavailable'
            FROM connector.shops WHERE platform_name = %s AND domain = %s
            """,
            (hours, hours, platform_name, domain),
        )


def test_a_pause_between_two_runs_of_a_sync_is_not_its_duration(pipeline: Pipeline) -> None:
    """Dagster's own backfills fetch all shops first, and publish them in later runs."""
    pipeline.register(GOOD, BAD)
    assert pipeline.materialize(GOOD).success
    for asset in (RAW_PRODUCTS, CATALOG_ITEMS):
        assert pipeline.materialize(BAD, assets=[asset]).success
    with pipeline.database.connect() as connection:
        times = connection.execute(
            "SELECT platform_name || '/' || domain, seconds,"
            " extract(epoch FROM fetched_at - started_at)::float8 FROM connector.syncs"
        ).fetchall()
        slowest = {each.shop: each.number for each in shop_health(connection).slowest}
    from_start_to_finish = {shop: seconds for shop, seconds, _ in times}
    assert slowest == from_start_to_finish | {BAD: {shop: read for shop, _, read in times}[BAD]}
    assert slowest[BAD] < from_start_to_finish[BAD]


def test_a_tick_reports_all_shops_and_a_later_one_only_what_has_changed(
    pipeline: Pipeline,
) -> None:
    """Without a run. Failing shops have their cause, since when, and the remedy; a check is red."""
    pipeline.register(GOOD, BAD)
    assert pipeline.materialize(GOOD).success
    fail(pipeline, BAD, hours=25)
    first = tick(pipeline)
    assert isinstance(first, SensorResult)
    [materialization] = [
        each for each in first.asset_events if isinstance(each, AssetMaterialization)
    ]
    metadata: dict[str, Any] = dict(materialization.metadata)
    assert (metadata["shops"].value, metadata["failing"].value) == (2, 1)
    [cause] = metadata["causes"].records
    said = str(cause.data["cause_and_remedy"])
    assert said.startswith("PlatformUnavailable: 1 shop, since ")
    assert said.endswith("It will be retried with the next sync.")
    [trouble] = metadata["shops_in_trouble"].records
    said = str(trouble.data["shop_error_and_remedy"])
    assert said.startswith(f"{BAD}: failing since ")
    assert said.endswith(f"PlatformUnavailable: {MARKUP}")
    assert bars(metadata["overview"]) == {
        "active and well": 1,
        "not synced yet": 0,
        "active and failing": 1,
        "disconnected": 0,
    }
    # A table without a row would show nothing but its schema.
    assert "most_rejected_variants" not in metadata
    assert metadata["sync_cron"].value == f"{load_settings().sync_cron} (UTC)"
    # Nothing that a platform wrote is in a value that the UI shows as markup.
    marked = [value for value in metadata.values() if isinstance(value, MarkdownMetadataValue)]
    assert "evil" not in "".join(str(value.value) for value in marked)
    assert isinstance(metadata["shops_in_trouble"], TableMetadataValue)
    judged = checks(first)
    assert {"no_shop_fails_for_a_day", "prices_not_negative"} <= judged.keys()
    assert not judged["no_shop_fails_for_a_day"].passed
    assert BAD in str(judged["no_shop_fails_for_a_day"].description)
    assert judged["no_shop_disconnected"].passed

    second = tick(pipeline, first.cursor)
    assert isinstance(second, SensorResult)
    assert second.asset_events == []
    assert "1 failing" in str(second.skip_reason)
    assert "Reported: nothing, nothing changed. 2 shops, " in str(second.skip_reason)

    with pipeline.database.connect() as connection:
        since = troubles_of(connection)[BAD].since
    pipeline.registry.set_state(BAD, ShopState.DISCONNECTED)
    with pipeline.database.connect() as connection:
        assert troubles_of(connection)[BAD].since == since, "readers see the catalog of then"
    third = tick(pipeline, second.cursor)
    assert isinstance(third, SensorResult)
    assert not checks(third)["no_shop_disconnected"].passed
    assert checks(third)["no_shop_fails_for_a_day"].passed

    pipeline.register(OTHER)
    fourth = tick(pipeline, third.cursor)
    assert isinstance(fourth, SensorResult)
    # Though neither has changed: the UI takes a check that is older than its asset for not judged.
    assert {"no_shop_disconnected", "no_shop_fails_for_a_day"} <= checks(fourth).keys()
    assert "Reported: shop_health, no_shop_disconnected" in str(fourth.skip_reason)


def test_the_asset_can_be_materialized_by_hand(pipeline: Pipeline) -> None:
    """The button of the UI does so, with the checks."""
    pipeline.register(GOOD)
    job = build_definitions(load_settings()).resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection={AssetKey("shop_health")}).execute_in_process(
        instance=pipeline.instance
    )
    assert result.success
    [materialization] = result.asset_materializations_for_node("shop_health")
    assert materialization.metadata["never_synced"].value == 1
    shown = bars(materialization.metadata["overview"])
    assert (shown["active and well"], shown["not synced yet"]) == (0, 1)
    assert "causes" not in materialization.metadata
    ages = materialization.metadata["age_of_last_good_sync"].value
    assert str(ages).endswith("; 1 never synced, counted since their registration")
    assert all(each.passed for each in result.get_asset_check_evaluations())


def test_a_failed_partition_has_its_error_the_remedy_and_since_when(pipeline: Pipeline) -> None:
    """Its own page has them; the failure of the run is about all shops of the run."""
    unknown = "shopify/unknown.myshopify.com"
    pipeline.register(GOOD, BAD)
    pipeline.instance.add_dynamic_partitions("shops", [unknown])
    platform, domain = BAD.split("/")
    pipeline.sandbox.store.shop(platform, domain).credentials.revoked = True
    assert not pipeline.materialize(BAD, assets=[RAW_PRODUCTS]).success
    assert not pipeline.materialize(unknown, assets=[RAW_PRODUCTS]).success
    assert not pipeline.materialize(GOOD, assets=[CATALOG_ITEMS]).success
    of_raw = observed(pipeline, RAW_PRODUCTS)
    assert of_raw.keys() == {BAD, unknown}
    assert of_raw[BAD]["error_code"] == "AccessRefused"
    assert of_raw[BAD]["remedy"]
    assert of_raw[BAD]["failing_since"] < of_raw[BAD]["next_try"]
    assert of_raw[unknown]["error_code"] == "UnknownShop"
    # A command that can be copied as it is.
    assert f"`connector-pipeline shops add {unknown} --merchant-id M`" in of_raw[unknown]["remedy"]
    assert observed(pipeline, CATALOG_ITEMS)[GOOD]["error_code"] == "SnapshotMissing"


def observed(pipeline: Pipeline, asset: str) -> dict[str, dict[str, Any]]:
    """The metadata of the asset's observations as plain values, by partition key."""
    records = pipeline.instance.fetch_observations(
        AssetRecordsFilter(asset_key=AssetKey(asset)), limit=10
    ).records
    return {
        str(record.partition_key): {
            name: value.value
            for name, value in record.asset_observation.metadata.items()  # pyright: ignore[reportOptionalMemberAccess]
        }
        for record in records
    }


def test_the_chart_of_thousands_of_shops_is_shown_at_once() -> None:
    """The UI hides longer Markdown behind a link, and the chart is what one looks at first."""
    health = ShopHealth(
        at=datetime.now(UTC),
        states={"active": 98_765, "disconnected": 12_345, "paused": 23_456},
        failing=34_567,
        well=45_678,
        never_synced=0,
        age={},
        freshness={},
        causes=(),
        troubled=(),
        slowest=(),
        most_rejects=(),
    )
    overview = health_metadata(health, next_sweep=datetime.now(UTC))["overview"]
    assert len(bars(overview)) == 5
    assert len(str(overview.value).encode()) <= SHOWN_AT_ONCE


def test_a_chart_is_an_image_in_which_text_stays_text() -> None:
    """Whatever a label holds, it neither ends the image nor becomes an element of it."""
    chart = bar_chart("3 shops", [Bar(MARKUP, 2, "2"), Bar("none", 0, "0")])
    start, _, data = chart.removesuffix(")").partition("base64,")
    assert start == "![3 shops](data:image/svg+xml;"
    svg = base64.b64decode(data).decode()
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg
