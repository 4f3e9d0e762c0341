"""No run config decides where a credential is sent or where data is written."""

from typing import Any

import pytest
from dagster import DagsterInvalidConfigError, validate_run_config

from connector_pipeline.definitions import build_definitions
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import Pipeline

ELSEWHERE = "http://127.0.0.1:9/"
ATTEMPTS = [
    ("shopify", {"base_url": ELSEWHERE}),
    ("shopify", {"allow_private_hosts": True}),
    ("shopify", {"bulk_hosts": "evil.example"}),
    ("woocommerce", {"base_url": ELSEWHERE}),
    ("woocommerce", {"allow_http": True}),
    ("token_service", {"url": ELSEWHERE}),
    ("raw_archive", {"url": "/tmp/elsewhere"}),
    ("database", {"url": "postgresql://elsewhere/"}),
    ("registry", {"database": {"url": "postgresql://elsewhere/"}}),
    ("catalog_io_manager", {"database": {"url": "postgresql://elsewhere/"}}),
    ("services", {"token_service": {"url": ELSEWHERE}}),
    ("io_manager", {"base_dir": "/tmp/elsewhere"}),
]


@pytest.mark.parametrize(("resource", "config"), ATTEMPTS)
@pytest.mark.parametrize("job", ["sync_shops", "__ASSET_JOB"])
def test_a_run_config_that_names_a_field_of_a_resource_is_refused(
    resource: str, config: dict[str, Any], job: str
) -> None:
    """The refusal names the field, and no run is made."""
    definitions = build_definitions(load_settings())
    run_config: dict[str, Any] = {"resources": {resource: {"config": config}}}
    if job == "sync_shops":
        run_config["ops"] = {"fetch_and_publish": {"config": {"shops": []}}}
    [field] = config
    with pytest.raises(DagsterInvalidConfigError, match=field):
        validate_run_config(definitions.resolve_job_def(job), run_config)


def test_a_refused_run_asks_nobody(pipeline: Pipeline) -> None:
    """It asks neither the Token Service nor a shop."""
    key = "shopify/nordic-tea.myshopify.com"
    pipeline.register(key)
    job = build_definitions(load_settings()).resolve_implicit_global_asset_job_def()
    with pytest.raises(DagsterInvalidConfigError):
        job.execute_in_process(
            instance=pipeline.instance,
            partition_key=key,
            run_config={"resources": {"shopify": {"config": {"base_url": ELSEWHERE}}}},
        )
    assert pipeline.sandbox.requests.requests() == []
    assert pipeline.instance.get_runs_count() == 0
