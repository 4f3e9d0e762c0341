"""The asset checks in real runs: over one shop, over a range, and over all shops."""

from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterEventType,
    ExecuteInProcessResult,
    MetadataValue,
    TableMetadataValue,
)
from psycopg import sql

from connector_pipeline.assets.checks import MOST_SHOPS_NAMED, judgement_metadata
from connector_pipeline.catalog.expectations import EXPECTATIONS, judge
from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline
from connector_pipeline_tests.catalog.test_expectations import BY_NAME, NOW, shop

SHOPS = [f"{spec.platform}/{spec.domain}" for spec in DEFAULT_SHOPS]
GOOD, BAD, FAILING = SHOPS[:3]
NAMES = {expectation.name for expectation in EXPECTATIONS}


def plant_bad_rows(pipeline: Pipeline, key: str) -> None:
    """Give all items of the shop a negative price and no title, whenever they are published."""
    _, domain = key.split("/")
    with pipeline.database.connect() as connection:
        connection.execute(
            """
            CREATE FUNCTION catalog.spoil() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.price := -1; NEW.product_title := ''; RETURN NEW; END $$
            """
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON catalog.catalog_items "
                "FOR EACH ROW WHEN (NEW.domain = {}) EXECUTE FUNCTION catalog.spoil()"
            ).format(sql.Literal(domain))
        )


def evaluated(pipeline: Pipeline, run_id: str) -> dict[str, AssetCheckEvaluation]:
    """The run's evaluations by check, as Dagster stored them. Fails if a check has two."""
    found: dict[str, AssetCheckEvaluation] = {}
    records = pipeline.instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION)
    for record in records:
        event = record.dagster_event
        assert event is not None
        evaluation = event.event_specific_data
        assert isinstance(evaluation, AssetCheckEvaluation)
        assert evaluation.check_name not in found
        found[evaluation.check_name] = evaluation
    return found


def reported(evaluation: AssetCheckEvaluation) -> dict[str, Any]:
    """The evaluation's metadata as plain values: of a table its findings by shop."""
    return {name: plain(value) for name, value in evaluation.metadata.items()}


def plain(value: MetadataValue[Any]) -> Any:
    """A value as it is; of a table the findings by shop."""
    if isinstance(value, TableMetadataValue):
        return {each.data["shop"]: each.data["finding"] for each in value.records}
    return value.value


def run_checks_alone(pipeline: Pipeline, *names: str) -> ExecuteInProcessResult:
    """Run the checks of these names, or all, alone and without a partition, as from the UI."""
    definitions = build_definitions(load_settings())
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = {
        key
        for key in job.asset_layer.asset_graph.asset_check_keys
        if key.asset_key == AssetKey(CATALOG_ITEMS) and (not names or key.name in names)
    }
    return job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(
        instance=pipeline.instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def test_a_run_over_one_shop_is_judged(pipeline: Pipeline) -> None:
    """Every check is evaluated, and a good shop passes each."""
    pipeline.register(GOOD)
    result = pipeline.materialize(GOOD)
    assert result.success
    found = evaluated(pipeline, result.run_id)
    assert found.keys() == NAMES
    assert [name for name, evaluation in found.items() if not evaluation.passed] == []
    assert {reported(evaluation)["shops_judged"] for evaluation in found.values()} == {"1 shop"}
    assert {evaluation.asset_key for evaluation in found.values()} == {AssetKey(CATALOG_ITEMS)}


def test_a_shop_that_is_not_read_makes_no_check_red(pipeline: Pipeline) -> None:
    """Dagster skips the checks of such a run, and its UI shows skipped checks as failed."""
    pipeline.register(GOOD)
    assert pipeline.materialize(GOOD).success
    platform, domain = GOOD.split("/")
    pipeline.sandbox.store.shop(platform, domain).credentials.revoked = True
    result = pipeline.materialize(GOOD)
    assert not result.success
    found = evaluated(pipeline, result.run_id)
    assert found.keys() == NAMES
    assert [name for name, evaluation in found.items() if not evaluation.passed] == []


def test_a_failing_check_fails_no_shop(pipeline: Pipeline) -> None:
    """The run succeeds and the partition is materialized at any severity."""
    pipeline.register(BAD)
    plant_bad_rows(pipeline, BAD)
    result = pipeline.materialize(BAD)
    found = evaluated(pipeline, result.run_id)
    rows = len(pipeline.rows(BAD))
    failing = {name: found[name].severity.value for name in found if not found[name].passed}
    assert failing == {"prices_not_negative": "ERROR", "titles_not_empty": "WARN"}
    assert reported(found["prices_not_negative"])["failing_shops"] == {
        BAD: f"{rows} of {rows} items below 0"
    }
    assert result.success
    assert pipeline.materialized(CATALOG_ITEMS, result.run_id).keys() == {BAD}


def test_a_run_over_a_range_names_the_shops_that_fall_short(pipeline: Pipeline) -> None:
    """There is one evaluation per check, over the run's shops and no others."""
    pipeline.register(*SHOPS)
    plant_bad_rows(pipeline, BAD)
    pipeline.materialize(*SHOPS, assets=[RAW_PRODUCTS])
    result = pipeline.materialize(*SHOPS, assets=[CATALOG_ITEMS])
    assert result.success
    assert pipeline.materialized(CATALOG_ITEMS, result.run_id).keys() == set(SHOPS)
    found = evaluated(pipeline, result.run_id)
    assert found.keys() == NAMES
    prices = found["prices_not_negative"]
    rows = len(pipeline.rows(BAD))
    assert not prices.passed
    assert reported(prices) == {
        "shops_judged": f"{len(SHOPS)} shops",
        "shops_failing": 1,
        "failing_shops": {BAD: f"{rows} of {rows} items below 0"},
    }
    assert str(prices.description).startswith(f"1 of {len(SHOPS)} shops fall short")
    assert found["currency_known"].passed


def test_shops_that_failed_in_the_run_are_not_judged_and_the_others_are(
    pipeline: Pipeline,
) -> None:
    """They are judged although Dagster skips the checks after a failed step."""
    pipeline.register(GOOD, BAD, FAILING)
    plant_bad_rows(pipeline, BAD)
    pipeline.materialize(GOOD, BAD, assets=[RAW_PRODUCTS])
    # FAILING has no snapshot, so it cannot be published.
    result = pipeline.materialize(GOOD, BAD, FAILING, assets=[CATALOG_ITEMS])
    assert not result.success
    assert "SnapshotMissing" in pipeline.failure(result)
    assert pipeline.materialized(CATALOG_ITEMS, result.run_id).keys() == {GOOD, BAD}
    found = evaluated(pipeline, result.run_id)
    assert found.keys() == NAMES
    assert {reported(evaluation)["shops_judged"] for evaluation in found.values()} == {"2 shops"}
    assert reported(found["prices_not_negative"])["failing_shops"].keys() == {BAD}


def test_a_run_in_which_no_shop_was_published_judges_none(pipeline: Pipeline) -> None:
    """The run has no shop to judge."""
    pipeline.register(FAILING)
    result = pipeline.materialize(FAILING, assets=[CATALOG_ITEMS])
    assert not result.success
    assert evaluated(pipeline, result.run_id) == {}


def test_the_sync_of_another_shop_does_not_hide_one_that_fell_short(pipeline: Pipeline) -> None:
    """A check stays red until the shop itself is put right, and then it is green at once."""
    pipeline.register(GOOD, BAD)
    assert pipeline.materialize(BAD).success
    _, domain = BAD.split("/")
    with pipeline.database.connect() as connection:
        connection.execute(
            "UPDATE catalog.catalog_items SET price = -5 WHERE domain = %s", [domain]
        )
    run_checks_alone(pipeline)
    found = evaluated(pipeline, pipeline.materialize(GOOD).run_id)["prices_not_negative"]
    assert not found.passed
    assert reported(found)["failing_shops"].keys() == {BAD}
    assert reported(found)["shops_judged"] == "2 shops"
    # Readers see the rows of a shop that nobody syncs, too.
    pipeline.registry.set_state(BAD, ShopState.DISCONNECTED)
    found = evaluated(pipeline, run_checks_alone(pipeline).run_id)["prices_not_negative"]
    assert not found.passed
    with pipeline.database.connect() as connection:
        connection.execute("UPDATE catalog.catalog_items SET price = 5 WHERE domain = %s", [domain])
    found = evaluated(pipeline, pipeline.materialize(GOOD).run_id)["prices_not_negative"]
    assert found.passed


def test_shops_that_an_evaluation_did_not_name_keep_the_check_red() -> None:
    """Until all shops are judged again nobody knows that they were put right."""
    judgement = judge(BY_NAME["prices_not_negative"], [shop()], NOW, others_failing=80)
    assert not judgement.passed
    assert judgement.words.startswith("80 other shops fell short when all were last judged.")
    assert judgement_metadata(judgement)["failing_shops_not_named"].value == 80


def test_checks_run_alone_judge_every_shop(pipeline: Pipeline) -> None:
    """They judge a shop that no run has reached for days; a paused one need not be synced."""
    pipeline.register(GOOD, BAD, FAILING)
    pipeline.materialize(GOOD)
    pipeline.registry.set_state(FAILING, ShopState.PAUSED)
    with pipeline.database.connect() as connection:
        connection.execute("UPDATE connector.shops SET registered_at = now() - interval '60 hours'")
    result = run_checks_alone(pipeline)
    assert result.success
    found = evaluated(pipeline, result.run_id)
    assert found.keys() == NAMES
    late = found["last_full_sync_recent"]
    assert (late.passed, late.severity.value) == (False, "WARN")
    assert reported(late) == {
        "shops_judged": "3 shops",
        "shops_failing": 1,
        "failing_shops": {BAD: "registered 60 h ago and never read in full"},
    }


def test_one_check_can_be_run_alone(pipeline: Pipeline) -> None:
    """The button *Execute* of its page does so; it is grey where others would have to run, too."""
    pipeline.register(GOOD)
    result = run_checks_alone(pipeline, "currency_known")
    assert result.success
    assert evaluated(pipeline, result.run_id).keys() == {"currency_known"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_check_has_a_description(pipeline: Pipeline, name: str) -> None:
    """The definitions have it, and the UI shows it."""
    definitions = build_definitions(load_settings())
    graph = definitions.resolve_implicit_global_asset_job_def().asset_layer.asset_graph
    [key] = [key for key in graph.asset_check_keys if key.name == name]
    assert graph.get_check_spec(key).description == BY_NAME[name].description
    assert not graph.get_check_spec(key).blocking


def test_an_evaluation_names_a_bounded_number_of_shops() -> None:
    """It names the worst shops, and says how many more there are."""
    shops = [shop(f"shopify/{number}", negative_prices=number) for number in range(1, 101)]
    metadata = judgement_metadata(judge(BY_NAME["prices_not_negative"], shops, NOW))
    named = plain(metadata["failing_shops"])
    assert list(named)[:2] == ["shopify/100", "shopify/99"]
    assert len(named) == MOST_SHOPS_NAMED
    assert metadata["failing_shops_not_named"].value == 100 - MOST_SHOPS_NAMED
