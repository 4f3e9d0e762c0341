"""The dashboard and the alert rules in deploy/monitoring ask for numbers that there are."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from connector_pipeline.cli.ports import free_port
from connector_pipeline.postgres.database import Database
from connector_pipeline_tests.monitoring.exporter import exporter, fill, page
from connector_pipeline_tests.monitoring.test_metrics import DOCUMENTED, PAGE

ROOT: Final = Path(__file__).parents[2]
FILES: Final = ROOT / "deploy" / "monitoring"
PROGRAMS: Final = "CONNECTOR_PROMETHEUS_PROGRAMS"
"""The folder of `prometheus` and `promtool`, which .ci/monitoring sets."""
PATIENCE: Final = 240
FIRES: Final = 'ALERTS{alertname="ConnectorManyShopsDisconnected"}'

RULES: Final[list[dict[str, Any]]] = [
    rule
    for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS: Final[list[dict[str, Any]]] = json.loads((FILES / "grafana-dashboard.json").read_text())[
    "panels"
]
TARGETS: Final = [target for panel in PANELS for target in panel["targets"]]
QUERIES: Final = [*(rule["expr"] for rule in RULES), *(target["expr"] for target in TARGETS)]

_METRIC: Final = re.compile(r"(connector_\w+)(?:\{([^}]*)\})?")
_GROUPED: Final = re.compile(r"by \(([^)]*)\)")


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    """The page is compared with the same table."""
    found = _METRIC.findall(query)
    assert found
    for name, matchers in found:
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= set(DOCUMENTED[name][1])
    of_all = {label for name, _ in found for label in DOCUMENTED[name][1]}
    for labels in _GROUPED.findall(query):
        assert {label.strip() for label in labels.split(",")} <= of_all


def test_a_legend_names_labels_that_its_query_leaves() -> None:
    """Grafana shows nothing in place of a label that is not there."""
    for target in TARGETS:
        left = {
            label.strip() for part in _GROUPED.findall(target["expr"]) for label in part.split(",")
        }
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left


def test_every_alert_is_documented_and_tested() -> None:
    """Each has a line that says what to do, and a case in which it fires."""
    alerts = {rule["alert"] for rule in RULES}
    assert set(re.findall(r"^\| `(Connector\w+)` \| \S", PAGE.read_text(), re.MULTILINE)) == alerts
    cases = yaml.safe_load((FILES / "alerts_test.yaml").read_text())["tests"]
    judged = [case for group in cases for case in group["alert_rule_test"]]
    assert {case["alertname"] for case in judged if "exp_alerts" in case} == alerts
    assert {case["alertname"] for case in judged if "exp_alerts" not in case} == alerts


@pytest.fixture
def programs() -> Path:
    """The folder of Prometheus's programs."""
    if folder := os.environ.get(PROGRAMS):
        return Path(folder)
    found = shutil.which("promtool")
    if found is None or not Path(found).with_name("prometheus").exists():
        pytest.skip(".ci/monitoring has Prometheus's programs")
    return Path(found).parent


def promtool(programs: Path, *words: str, stdin: str = "") -> str:
    done = subprocess.run(
        [programs / "promtool", *words], input=stdin, capture_output=True, text=True, cwd=FILES
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_finds_nothing_in_the_rules_and_runs_their_cases(programs: Path) -> None:
    """Syntax, and each rule in the cases of alerts_test.yaml."""
    assert f"SUCCESS: {len(RULES)} rules found" in promtool(
        programs, "check", "rules", "alerts.yaml"
    )
    assert "SUCCESS" in promtool(programs, "test", "rules", "alerts_test.yaml")


@pytest.fixture
def scraped(programs: Path, database: Database, tmp_path: Path) -> Generator[str]:
    """A Prometheus that has scraped the exporter twice, with the rules. Its URL."""
    fill(database)
    port = free_port(19_090)
    with exporter(database.connection_url()) as address:
        assert promtool(programs, "check", "metrics", stdin=page(address)) == ""
        target = urllib.parse.urlsplit(address).netloc
        config = tmp_path / "prometheus.yaml"
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(FILES / "alerts.yaml")],
                    "scrape_configs": [
                        {"job_name": "connector", "static_configs": [{"targets": [target]}]}
                    ],
                }
            )
        )
        process = subprocess.Popen(
            [
                programs / "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ],
        )
        url = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + PATIENCE
            # `increase` takes two samples, and an alert takes an evaluation.
            while not (asked(url, "count_over_time(connector_up[5m]) > 1") and asked(url, FIRES)):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait()


def asked(url: str, query: str) -> list[dict[str, Any]]:
    """The answer of Prometheus to a query; empty while it starts."""
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        ) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return []
        raise AssertionError(f"{query}: {error.read().decode()}") from None
    except urllib.error.URLError:
        return []
    assert body["status"] == "success"
    return body["data"]["result"]


def test_prometheus_answers_every_query_of_the_dashboard(scraped: str) -> None:
    """From the page of the exporter, each panel has something to show."""
    assert [query["expr"] for query in TARGETS if not asked(scraped, query["expr"])] == []
    assert asked(scraped, FIRES)
