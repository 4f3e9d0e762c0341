"""A sync request goes from the inbox through the queue and a real run to its event."""

from uuid import uuid4

from dagster import ExecuteInProcessResult, SensorResult, build_sensor_context

from connector_pipeline.assets.sync_shops import JOB
from connector_pipeline.automation.sync_queue import sync_queue_sensor
from connector_pipeline.definitions import build_definitions
from connector_pipeline.postgres.serves import Serves, mark
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import Pipeline
from connector_pipeline_tests.state.test_inbox import Inbox, request

NOBODY = "shopify/nobody.myshopify.com"
SPEC = next(spec for spec in DEFAULT_SHOPS if spec.platform == "shopify")


def run_requested(pipeline: Pipeline) -> ExecuteInProcessResult:
    """Tick once and execute the run that it asks for, as the daemon does."""
    context = build_sensor_context(
        instance=pipeline.instance, resources={"database": pipeline.database}
    )
    with context:
        result = sync_queue_sensor(looks_for=0)(context)
    assert isinstance(result, SensorResult)
    for added in result.dynamic_partitions_requests or []:
        pipeline.instance.add_dynamic_partitions("shops", list(added.partition_keys))
    [run] = result.run_requests or []
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = build_definitions(load_settings()).resolve_job_def(JOB)
    return job.execute_in_process(
        instance=pipeline.instance,
        run_config=dict(run.run_config) | quiet,
        tags=dict(run.tags),
        run_id=str(uuid4()),
        raise_on_error=False,
    )


def ended(requests: Inbox) -> list[tuple[str, str, str | None]]:
    """State, outcome and error code of every row of the queue."""
    rows = requests.rows("SELECT state, outcome, error_code FROM connector.sync_queue ORDER BY id")
    return [(row["state"], row["outcome"], row["error_code"]) for row in rows]


def test_an_unknown_shop_without_credentials_fails_with_one_event(pipeline: Pipeline) -> None:
    """The shop is registered and tried, and the event has the request's ids."""
    with pipeline.database.connect() as connection:
        mark(connection, Serves.SANDBOX)
    requests = Inbox(pipeline.database)
    requests.put(request("s-1", "nobody", correlation_id="c-1"))
    assert not run_requested(pipeline).success
    [event] = requests.events()
    assert (event["event_type"], event["correlation_id"]) == ("evt.platform.fetch.failed", "c-1")
    assert (event["data"]["merchant_id"], event["data"]["sync_id"]) == ("m-1", "s-1")
    assert event["data"]["error"].startswith("AccessRefused: ")
    [row] = requests.rows(
        "SELECT status, error_code, requested_at, started_at FROM connector.syncs"
    )
    assert (row["status"], row["error_code"]) == ("failed", "AccessRefused")
    assert row["requested_at"] <= row["started_at"]
    assert ended(requests) == [("ended", "failed", "AccessRefused")]
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
    assert run_requested(pipeline).success
    assert requests.put(asked) == 0
    [event] = requests.events()
    assert event["event_type"] == "evt.platform.fetch.completed"
    assert event["data"]["total_products"] == len(pipeline.rows(f"shopify/{SPEC.domain}"))
    assert ended(requests) == [("ended", "succeeded", None)]


def test_requests_of_several_shops_share_a_run_and_each_has_its_event(pipeline: Pipeline) -> None:
    """One that fails fails alone; each event has its own request's ids."""
    specs = [spec for spec in DEFAULT_SHOPS if spec.platform == "shopify"][:2]
    requests = Inbox(pipeline.database)
    requests.put(
        *(
            request(
                f"s-{number}",
                merchant_id=spec.merchant_id,
                platform_shop_id=spec.platform_shop_id,
                domain=spec.domain,
                correlation_id=f"c-{number}",
            )
            for number, spec in enumerate(specs)
        ),
        request("s-2", "nobody", correlation_id="c-2"),
    )
    result = run_requested(pipeline)
    assert not result.success
    found = {
        event["data"]["sync_id"]: (event["event_type"], event["correlation_id"])
        for event in requests.events()
    }
    assert found == {
        "s-0": ("evt.platform.fetch.completed", "c-0"),
        "s-1": ("evt.platform.fetch.completed", "c-1"),
        "s-2": ("evt.platform.fetch.failed", "c-2"),
    }
    runs = requests.rows("SELECT DISTINCT run_id FROM connector.syncs")
    assert runs == [{"run_id": result.run_id}]
