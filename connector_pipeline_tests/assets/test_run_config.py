"""Run config takes values as they are written, and decides nothing but what to sync."""

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import DagsterInvalidConfigError, validate_run_config

from connector_pipeline.definitions import build_definitions
from connector_pipeline.settings import load_settings

JOBS = ("__ASSET_JOB", "sync_shops", "prune_logs", "erase_demanded_shops")
SHOP = "shopify/nordic-tea.myshopify.com"


def with_defaults(job: str, config: dict[str, Any]) -> dict[str, Any]:
    """The run config with the shops that `sync_shops` cannot be without."""
    if job != "sync_shops" or "ops" in config:
        return config
    return config | {"ops": {"fetch_and_publish": {"config": {"shops": [{"shop": SHOP}]}}}}


@pytest.mark.parametrize(
    ("job", "op", "config"),
    [
        ("sync_shops", "fetch_and_publish", {"shops": [{"shop": {"env": "SECRET"}}]}),
        (
            "sync_shops",
            "fetch_and_publish",
            {"shops": [{"shop": SHOP, "sync_id": {"env": "SECRET"}}]},
        ),
        (
            "sync_shops",
            "fetch_and_publish",
            {"shops": [{"shop": SHOP, "correlation_id": {"env": "SECRET"}}]},
        ),
        (
            "sync_shops",
            "fetch_and_publish",
            {"shops": [{"shop": SHOP, "sync_type": {"env": "SECRET"}}]},
        ),
        ("__ASSET_JOB", "catalog_items", {"allow_shrink": {"env": "SECRET"}}),
        ("__ASSET_JOB", "raw_products", {"sync_type": {"env": "SECRET"}}),
    ],
)
def test_no_run_config_reads_a_variable_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, job: str, op: str, config: dict[str, Any]
) -> None:
    """The message of a failed run would show it: `UnknownShop: postgresql://…`."""
    monkeypatch.setenv("SECRET", "hunter2")
    definitions = build_definitions(load_settings())
    with pytest.raises(DagsterInvalidConfigError) as refused:
        validate_run_config(definitions.resolve_job_def(job), {"ops": {op: {"config": config}}})
    assert "hunter2" not in str(refused.value)


def kinds_of_fields(config_type: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The path and the kind of every value that the schema takes."""
    yield path, config_type.kind.name
    for name, field in getattr(config_type, "fields", {}).items():
        yield from kinds_of_fields(field.config_type, f"{path}/{name}")
    if (inner := getattr(config_type, "inner_type", None)) is not None:
        yield from kinds_of_fields(inner, f"{path}/*")


@pytest.mark.parametrize("job", JOBS)
def test_no_field_of_any_run_config_takes_what_is_not_written(job: str) -> None:
    """Of Dagster's types only a union of a scalar and `{env: …}` reads the environment.

    A field that takes anything would be read by nobody but its code.
    """
    definitions = build_definitions(load_settings())
    schema = definitions.resolve_job_def(job).run_config_schema.config_type
    found = list(kinds_of_fields(schema))
    assert any(path.startswith("/loggers/console") for path, _ in found)
    assert [path for path, kind in found if kind in ("SCALAR_UNION", "ANY")] == []


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"execution": {"config": {"multiprocess": {"max_concurrent": 64}}}}, "multiprocess"),
        ({"execution": {"config": {"image": "evil.example/image"}}}, "image"),
        ({"loggers": {"papertrail": {"config": {"host": "evil.example"}}}}, "papertrail"),
        ({"loggers": {"console": {"config": {"path": "/tmp/elsewhere"}}}}, "path"),
        ({"inputs": {"raw_products": {"pickle": {"path": "/tmp/evil.pickle"}}}}, "inputs"),
    ],
)
def test_a_run_config_chooses_neither_executor_nor_logger_nor_file(
    job: str, config: dict[str, Any], reason: str
) -> None:
    """The refusal names the field."""
    definitions = build_definitions(load_settings())
    with pytest.raises(DagsterInvalidConfigError, match=reason):
        validate_run_config(definitions.resolve_job_def(job), with_defaults(job, config))


@pytest.mark.parametrize(
    ("op", "config", "reason"),
    [
        ("raw_products", {"config": {"base_url": "http://127.0.0.1:9"}}, "base_url"),
        ("raw_products", {"outputs": {"result": {"json": {"path": "/tmp/x"}}}}, "outputs"),
        ("catalog_items", {"inputs": {"raw_products": {"pickle": {"path": "/tmp/x"}}}}, "inputs"),
        ("catalog_items", {"config": {"allow_shrink": True, "database_url": "x"}}, "database_url"),
    ],
)
def test_an_asset_takes_nothing_beside_its_own_fields(
    op: str, config: dict[str, Any], reason: str
) -> None:
    """The refusal names the field."""
    definitions = build_definitions(load_settings())
    with pytest.raises(DagsterInvalidConfigError, match=reason):
        validate_run_config(definitions.resolve_job_def("__ASSET_JOB"), {"ops": {op: config}})
