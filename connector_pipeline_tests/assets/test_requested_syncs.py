"""A sync request goes from the inbox through a real run to its event."""

from dagster import SensorResult, build_sensor_context

from connector_pipeline.automation.sync_requests import sync_requests_sensor
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.state import inbox
from connector_pipeline_tests.assets.conftest import Pipeline
from connector_pipeline_tests.state.test_inbox import Inbox, request

NOBODY = "shopify/nobody.myshopify.com"
SPEC = next(spec for spec in DEFAULT_SHOPS if spec.platform == "shopify")


def run_requested(pipeline: Pipeline) -> bool:
    """Tick once and execute the requested run, as the daemon does. Returns whether it succeeded."""
    context = build_sensor_context(
        instance=pipeline.instance, resources={"database": pipeline.database}
    )
    with context:
        result = sync_requests_sensor()(context)
    assert isinstance(result, SensorResult)
    for added in result.dynamic_partitions_requests or []:
        pipeline.instance.add_dynamic_partitions("shops", list(added.partition_keys))
    [run] = result.run_requests or []
    assert run.partition_key is not None
    return pipeline.materialize(run.partition_key, tags=dict(run.tags)).success


def test_an_unknown_shop_without_credentials_fails_with_one_event(pipeline: Pipeline) -> None:
    """The shop is registered and tried, and the event has the request's ids."""
    requests = Inbox(pipeline.database)
    requests.put(request("s-1", "nobody", correlation_id="c-1"))
    assert not run_requested(pipeline)
    [event] = requests.events()
    assert (event["event_type"], event["correlation_id"]) == ("evt.platform.fetch.failed", "c-1")
    assert (event["data"]["merchant_id"], event["data"]["sync_id"]) == ("m-1", "s-1")
    assert event["data"]["error"].startswith("ShopDisconnected: ")
    [row] = requests.rows(
        "SELECT status, error_code, requested_at, started_at FROM connector.syncs"
    )
    assert (row["status"], row["error_code"]) == ("failed", "ShopDisconnected")
    assert row["requested_at"] <= row["started_at"]
    assert pipeline.registry.get(NOBODY).consecutive_failures == 1


def test_a_request_of_a_shop_completes_with_one_event(pipeline: Pipeline) -> None:
    """Repeating the request makes neither a run nor an event. The shop is asked under its id."""
    requests = Inbox(pipeline.database)
    asked = request(
        "s-1",
        merchant_id=SPEC.merchant_id,
        platform_shop_id=SPEC.platform_shop_id,
        domain=SPEC.domain,
    )
    requests.put(asked)
    assert run_requested(pipeline)
    assert requests.put(asked) == 0
    [event] = requests.events()
    assert event["event_type"] == "evt.platform.fetch.completed"
    assert event["data"]["total_products"] == len(pipeline.rows(f"shopify/{SPEC.domain}"))
    with pipeline.database.connect() as connection:
        inbox.launched(connection, [("s-1", "its run")])
        assert inbox.waiting(connection) == 0
