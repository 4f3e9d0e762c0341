"""Real runs over WooCommerce shops whose hosts disturb the requests in every known way.

Each run ends in the whole catalog or in the right error, and leaves a secret nowhere.
"""

import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
import zstandard
from dagster import DagsterInstance
from psycopg import sql

from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline
from connector_pipeline_tests.assets.test_pipeline import catalog

SHOP = ShopSpec(
    platform="woocommerce",
    domain="shop.example",
    merchant_id="merchant-1",
    platform_shop_id="wc-1",
    currency="SEK",
    products=30,
    variants=(0, 3),
    seed=7,
)
KEY = f"woocommerce/{SHOP.domain}"
CLOUDFLARE = (
    "<html><title>Just a moment...</title><a href='/cdn-cgi/challenge-platform'></a></html>"
)
ELSEWHERE = "https://other.example/wp-json/wc/v3/products"


@dataclass(frozen=True)
class Case:
    """A disturbance and its result: the error's name and words, or the snapshot's `details`."""

    name: str
    fault: dict[str, Any] | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    words: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def status(number: int, **more: Any) -> dict[str, Any]:
    """A fault that answers with this status."""
    return {"kind": "status", "status": number, **more}


AT_ONCE = {"Retry-After": "0"}
TOO_LONG = {"Retry-After": "3600"}
MAINTENANCE = {
    "status": 503,
    "headers": {"Retry-After": "600"},
    "body": "<h1>Briefly unavailable for scheduled maintenance. Check back in a minute.</h1>",
}
CASES = [
    Case("nothing"),
    Case("429, come back at once", status(429, times=3, skip=1, headers=AT_ONCE)),
    Case("429, come back in an hour", status(429, headers=TOO_LONG), error="RateLimited"),
    Case("HTML at 200 once", {"kind": "html", "status": 200, "skip": 1, "times": 1}),
    Case("HTML at 200", {"kind": "html", "status": 200}, error="PlatformUnavailable"),
    Case("captcha at 202 once", {"kind": "captcha", "skip": 2, "times": 1}),
    Case("captcha at 202", {"kind": "captcha"}, error="PlatformUnavailable", words="captcha page"),
    Case(
        "captcha after some pages",
        {"kind": "captcha", "skip": 3},
        error="PlatformUnavailable",
        words="let the connector through",
    ),
    Case(
        "Cloudflare's 403",
        {"kind": "html", "status": 403, "body": CLOUDFLARE},
        error="PlatformUnavailable",
        words="a challenge page of Cloudflare",
    ),
    Case("BOM", {"kind": "bom"}),
    Case("PHP's messages before the JSON", {"kind": "printed"}),
    Case("gzip without its header", {"kind": "gzip"}),
    Case("508 once", {"kind": "html", "status": 508, "skip": 2, "times": 1}),
    Case("508", {"kind": "html", "status": 508}, error="PlatformUnavailable"),
    Case("maintenance for a moment", {"kind": "html", "skip": 2, "times": 4, **MAINTENANCE}),
    Case(
        "maintenance",
        {"kind": "html", "skip": 2, **MAINTENANCE},
        error="PlatformUnavailable",
        words="WordPress's maintenance page",
    ),
    Case(
        "a security plugin",
        status(401, body={"code": "rest_not_logged_in", "message": "You are not logged in."}),
        error="AccessRefused",
        words="401 rest_not_logged_in: that is no code of WooCommerce's. A plugin of the shop",
    ),
    Case(
        "the web server's password",
        {"kind": "html", "status": 401, "headers": {"WWW-Authenticate": "Basic"}},
        error="PlatformUnavailable",
        words="the web server asks for a password of its own",
    ),
    Case(
        "stripped header",
        spec={"strips_authorization": True},
        details={"authentication": "query string"},
    ),
    Case(
        "stripped header, then resets",
        {"kind": "reset", "skip": 4},
        spec={"strips_authorization": True},
        error="PlatformUnavailable",
    ),
    Case(
        "plain permalinks",
        spec={"plain_permalinks": True},
        details={"rest_root": "/index.php/wp-json"},
    ),
    Case("redirect to www", spec={"home_host": "www.shop.example"}, details={"base_url": "www."}),
    Case(
        "redirect elsewhere",
        {"kind": "redirect", "location": ELSEWHERE},
        error="InvalidResponse",
        words="https://other.example, which is not a host of the same shop",
    ),
    Case("reset once", {"kind": "reset", "at": "start", "skip": 2, "times": 1}),
    Case("reset", {"kind": "reset", "at": "start"}, error="PlatformUnavailable"),
    Case("half an answer", {"kind": "truncate", "skip": 2}, error="PlatformUnavailable"),
    Case("500 once", status(500, skip=1, times=1)),
    Case("500", status(500), error="PlatformUnavailable"),
    Case("another's key", spec={"key": "revoked"}, error="AccessRefused"),
    Case(
        "a key that may not read the currency",
        spec={"settings_readable": False},
        error="CurrencyUnknown",
        words="shops add woocommerce/shop.example --merchant-id merchant-1 --currency",
    ),
]


@pytest.fixture(scope="module")
def sandbox(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxServer]:
    """A sandbox that speaks HTTPS."""
    certificate = tmp_path_factory.mktemp("tls") / "shop.pem"
    issued = authority.issue_cert("shop.example", "www.shop.example", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with SandboxServer((), certificate=certificate) as server:
        yield server


@pytest.fixture
def secure(
    sandbox: SandboxServer,
    shop_names: None,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pipeline]:
    """A pipeline that resolves the shop's name to the sandbox."""
    base_url = f"https://{{domain}}:{sandbox.port}/woocommerce/{{domain}}"
    for name, value in {
        **sandbox.environment(),
        "WOOCOMMERCE_BASE_URL": base_url,
        "WOOCOMMERCE_BATCH_SIZE": "10",
        "CONNECTOR_DATABASE_URL": database_url,
        "RAW_ARCHIVE_URL": str(tmp_path / "raw"),
        "CONNECTOR_RETRY_DELAY": "0.01",
        # A second sync is to read unchanged products, too.
        "FULL_SYNC_EVERY": "0s",
    }.items():
        monkeypatch.setenv(name, value)
    sandbox.requests.clear()
    database = Database(url=database_url)
    with DagsterInstance.ephemeral() as instance:
        yield Pipeline(instance, ShopRegistry(database=database), database, sandbox)
    sandbox.faults.clear()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_disturbance_is_overcome_or_named(
    secure: Pipeline, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    """The snapshot is complete or the error is right. No log, event, row or file has a secret."""
    caplog.set_level(logging.DEBUG)
    spec = dict(case.spec)
    revoked = spec.pop("key", "") == "revoked"
    shop = secure.sandbox.store.put(replace(SHOP, **spec))
    shop.credentials.revoked = revoked
    secure.register(KEY)
    if case.fault:
        match = {"platform": "woocommerce", "path_contains": "/products"}
        secure.sandbox.faults.set([{"match": match, **case.fault}])
    result = secure.materialize(KEY)
    if case.error is None:
        assert result.success, secure.failure(result)
        raw = secure.materialized(RAW_PRODUCTS, result.run_id)[KEY]
        assert raw["complete"] is True
        for name, found in case.details.items():
            assert found in raw["details"][name]
        assert secure.materialized(CATALOG_ITEMS, result.run_id).keys() == {KEY}
        assert catalog(secure, KEY) == secure.served(KEY)
    else:
        text = secure.failure(result)
        assert case.error in text
        assert case.words in text
        assert secure.materialized(RAW_PRODUCTS, result.run_id) == {}
    assert_no_secret_is_left(secure, caplog)


def test_a_broken_object_affects_no_other(
    secure: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest is published, the snapshot says that it lacks one, and the item stays as it was."""
    caplog.set_level(logging.DEBUG)
    shop = secure.sandbox.store.put(SHOP)
    secure.register(KEY)
    secure.materialize(KEY)
    before = catalog(secure, KEY)
    simple = next(key for key in before if key.endswith("_default"))
    broken = int(simple.removesuffix("_default"))
    shop.broken[broken] = "price"
    gone = [row for row in secure.served(KEY).values() if row["product_id"] != str(broken)][-1]
    shop.remove_product(int(gone["product_id"]))
    result = secure.materialize(KEY)
    assert result.success, secure.failure(result)
    raw = secure.materialized(RAW_PRODUCTS, result.run_id)[KEY]
    assert raw["complete"] is False
    assert raw["details"]["broken_objects"] == f"/wc/v3/products object {broken}"
    assert any(f"object {broken}" in warning for warning in raw["warnings"])
    after = catalog(secure, KEY)
    assert after[simple] == before[simple]
    assert after == secure.served(KEY)
    assert_no_secret_is_left(secure, caplog)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_shop_without_https_is_refused_or_read_signed(
    secure: Pipeline,
    allowed: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The operator's setting decides. The secret is not in the requests, nor anywhere else."""
    caplog.set_level(logging.DEBUG)
    with SandboxServer((replace(SHOP, signed_over_http=True),)) as plain:
        base_url = f"https://{{domain}}:{plain.port}/woocommerce/{{domain}}"
        environment = plain.environment() | {"WOOCOMMERCE_BASE_URL": base_url}
        for name, value in {
            **environment,
            "WOOCOMMERCE_ALLOW_HTTP": str(allowed).lower(),
        }.items():
            monkeypatch.setenv(name, value)
        pipeline = Pipeline(secure.instance, secure.registry, secure.database, plain)
        pipeline.register(KEY)
        result = pipeline.materialize(KEY)
        if allowed:
            assert result.success, pipeline.failure(result)
            raw = pipeline.materialized(RAW_PRODUCTS, result.run_id)[KEY]
            assert raw["details"]["authentication"] == "OAuth 1.0a"
            assert catalog(pipeline, KEY) == pipeline.served(KEY)
        else:
            text = pipeline.failure(result)
            assert text.startswith(KEY)
            assert "PlatformUnavailable" in text
            assert "TLS: wrong version number" in text
            assert "A shop without HTTPS is not asked over plain http" in text
            assert plain.requests.requests(service="woocommerce", domain=SHOP.domain) == []
        assert_no_secret_is_left(pipeline, caplog)


def assert_no_secret_is_left(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    """Search all that a sync leaves behind: logs, events, tables, archive."""
    issued = pipeline.sandbox.store.shop("woocommerce", SHOP.domain).credentials
    pair = f"{issued.consumer_key}:{issued.consumer_secret}".encode()
    plain = (issued.consumer_key, issued.consumer_secret)
    secrets = {*plain, *map(quote, plain), base64.b64encode(pair).decode(), "consumer_secret="}
    texts = {
        f"log {place} of {record.name}": f"{record.getMessage()} {record.exc_text}"
        for place, record in enumerate(caplog.records)
    }
    assert any("httpcore" in place for place in texts)
    for run in pipeline.instance.get_runs():
        for place, record in enumerate(pipeline.instance.all_logs(run.run_id)):
            texts[f"event {run.run_id} {place}"] = str(record)
    with pipeline.database.connect() as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN "
            "('catalog', 'connector')"
        ).fetchall()
        assert len(tables) > 5
        for name in tables:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*name)))
            texts[f"table {name}"] = json.dumps(rows.fetchall(), default=str)
    for path in Path(load_settings().archive_url).rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            if path.suffix == ".zst":
                held = zstandard.ZstdDecompressor().decompressobj().decompress(held)
            texts[f"archive {path}"] = held.decode()
    assert len(texts) > 20
    leaks = [where for where, text in texts.items() if any(secret in text for secret in secrets)]
    assert leaks == []
