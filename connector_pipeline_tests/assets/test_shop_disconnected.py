"""A shop that refuses its credentials is left out, keeps its catalog, and can be resumed."""

from dagster import SensorResult, build_sensor_context

from connector_pipeline.automation.shop_partitions import shop_partitions
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline_tests.assets.conftest import Pipeline
from connector_pipeline_tests.passing_time import minutes_pass

KEY = next(f"shopify/{spec.domain}" for spec in DEFAULT_SHOPS if spec.platform == "shopify")


def tick(pipeline: Pipeline) -> set[str]:
    """Evaluate the partitions' sensor once and do what it asks for. Returns the partitions."""
    instance = pipeline.instance
    resources = {"registry": pipeline.registry}
    with build_sensor_context(instance=instance, resources=resources) as context:
        result = shop_partitions(context)
    if isinstance(result, SensorResult):
        for request in result.dynamic_partitions_requests or []:
            if type(request).__name__ == "AddDynamicPartitionsRequest":
                instance.add_dynamic_partitions("shops", list(request.partition_keys))
            else:
                for key in request.partition_keys:
                    instance.delete_dynamic_partition("shops", key)
    return set(instance.get_dynamic_partitions("shops"))


def test_a_shop_that_refuses_its_token_twice_is_left_out_until_it_is_resumed(
    pipeline: Pipeline,
) -> None:
    """It is believed when a sync minutes later is refused, too. Until then it stays a partition.

    Its catalog and its partition stay, a run that meets it fails at once with the remedy and asks
    nothing of its platform, and `shops resume` brings it back.
    """
    platform, domain = KEY.split("/")
    held = pipeline.sandbox.store.shop(platform, domain)
    pipeline.register(KEY)
    assert pipeline.materialize(KEY).success
    before = pipeline.rows(KEY).to_dict("records")
    assert tick(pipeline) == {KEY}

    held.credentials.revoked = True
    pipeline.sandbox.requests.clear()
    said = pipeline.failure(pipeline.materialize(KEY))
    assert "AccessRefused" in said
    assert "The Token Service gave the same token again" in said
    # Each round asks again with the token that the Token Service has by then.
    assert pipeline.sandbox.requests.shop("shopify", domain).statuses == {401: 4}
    assert pipeline.sandbox.requests.shop("token-service", domain).count == 4
    assert tick(pipeline) == {KEY}

    assert "AccessRefused" in pipeline.failure(pipeline.materialize(KEY))
    assert pipeline.registry.get(KEY).state is ShopState.ACTIVE
    minutes_pass(pipeline.database)
    assert "ShopDisconnected" in pipeline.failure(pipeline.materialize(KEY))
    assert pipeline.registry.get(KEY).state is ShopState.DISCONNECTED
    assert pipeline.rows(KEY).to_dict("records") == before
    assert tick(pipeline) == {KEY}

    pipeline.sandbox.requests.clear()
    kept = pipeline.registry.get(KEY)
    said = pipeline.failure(pipeline.materialize(KEY))
    assert said.startswith(f"{KEY}: is disconnected")
    assert "\nNotActive: " in said
    assert f"`connector-pipeline shops resume {KEY}`" in said
    assert "ShopDisconnected" in said
    assert pipeline.sandbox.requests.shop("shopify", domain).count == 0
    assert pipeline.registry.get(KEY) == kept

    held.credentials.rotate()
    # This is what `shops resume` does.
    pipeline.registry.set_state(KEY, ShopState.ACTIVE)
    assert tick(pipeline) == {KEY}
    assert pipeline.materialize(KEY).success
    assert pipeline.registry.get(KEY).consecutive_failures == 0
