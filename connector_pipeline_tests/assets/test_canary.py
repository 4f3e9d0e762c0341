"""No credential is left behind anywhere, whatever goes wrong.

All credentials of a deployment are planted as canaries. Real runs meet a fault each, and then
everything that a process leaves behind is searched: its log, its standard output and error, the
events, the tables of both databases, compute logs, run config and tags, the archive, the other
files, and the command lines of all processes.
"""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from dagster import DagsterInstance
from psycopg import sql

from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.assets.conftest import Pipeline
from connector_pipeline_tests.assets.run_worker import RunWorker
from connector_pipeline_tests.assets.test_pipeline import SHOPIFY, WOOCOMMERCE
from connector_pipeline_tests.canaries import (
    Canaries,
    Place,
    database,
    files,
    plant,
    processes,
    texts,
)
from connector_pipeline_tests.platforms import stand_in_package

STAND_IN = "stand_in/acme.stand-in.example"


@dataclass(frozen=True)
class Deployment:
    """A pipeline whose credentials are all canaries, and the places in which they may not be."""

    pipeline: Pipeline
    canaries: Canaries
    folder: Path
    urls: tuple[str, str]
    caplog: pytest.LogCaptureFixture

    def fault(self, platform: str, **fault: Any) -> None:
        """The only fault: with each answer of the platform's."""
        self.pipeline.sandbox.faults.set([{"match": {"platform": platform}, **fault}])

    def places(self, *more: object) -> list[Place]:
        """Everything that is left behind by now."""
        catalog, dagster = self.urls
        logged = [f"{each.getMessage()} {each.exc_text}" for each in self.caplog.records]
        assert logged
        return [
            texts("the log", *logged),
            texts("output", *more),
            database("the catalog's database", catalog),
            database("Dagster's database", dagster),
            files("files", self.folder),
            processes(),
        ]

    def left(self, *more: object) -> list[str]:
        """The canaries that are in one of the places."""
        return [str(each) for each in self.canaries.search(self.places(*more))]


@pytest.fixture
def deployment(
    new_database: Callable[[str | None], str],
    migrated_template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Generator[Deployment]:
    """A sandbox that wants a JWT, two databases with passwords, and a folder for everything."""
    caplog.set_level(logging.DEBUG)
    canaries = plant()
    plain = new_database(migrated_template), new_database(None)
    catalog = canaries.login(plain[0], "password of the catalog's database")
    dagster = canaries.login(plain[1], "password of Dagster's database")
    folder = tmp_path / "home"
    (folder / "dagster").mkdir(parents=True)
    shutil.copyfile(instance_config(), folder / "dagster" / "dagster.yaml")
    with SandboxServer(jwt_secret=canaries.secrets["JWT secret"]) as sandbox:
        for shop in sandbox.store:
            of_platform = {
                "shopify": ("access_token",),
                "woocommerce": ("consumer_key", "consumer_secret"),
            }
            for name in of_platform[shop.spec.platform]:
                canaries.add(f"{name} of {shop.spec.domain}", getattr(shop.credentials, name))
        environment = canaries.environment(
            **sandbox.environment(),
            CONNECTOR_HOME=str(folder),
            CONNECTOR_DATABASE_URL=catalog,
            DAGSTER_POSTGRES_URL=_for_dagster(dagster),
            DAGSTER_HOME=str(folder / "dagster"),
            CONNECTOR_RETRY_DELAY="0.01",
            FULL_SYNC_EVERY="0s",
        )
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with DagsterInstance.get() as instance:
            ours = Database(url=catalog)
            pipeline = Pipeline(instance, ShopRegistry(database=ours), ours, sandbox)
            pipeline.register(SHOPIFY, WOOCOMMERCE)
            yield Deployment(pipeline, canaries, folder, plain, caplog)
    _drop_roles(plain[0])


def _for_dagster(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(scheme="postgresql+psycopg2"))


def _drop_roles(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        roles = admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'canary%'")
        for (role,) in roles.fetchall():
            # Objects of other databases may be its own still; they go with their databases.
            name = sql.Identifier(role)
            admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(name))


def test_nothing_is_left_behind_by_syncs_of_all_platforms(deployment: Deployment) -> None:
    """Neither by a run in this process nor by a worker of Dagster's launcher."""
    pipeline = deployment.pipeline
    for key in (SHOPIFY, WOOCOMMERCE):
        result = pipeline.materialize(key)
        assert result.success, pipeline.failure(result)
    log = deployment.folder / "worker.log"
    RunWorker(pipeline, log, tags={"dagster/partition": SHOPIFY}).wait()
    assert deployment.left() == []
    # The shops' secrets are not even in memory any more.
    token = pipeline.sandbox.store.shop(*SHOPIFY.split("/")).credentials.access_token
    assert SECRETS.redacted(token) == token


def _quoting(deployment: Deployment) -> dict[str, tuple[str, dict[str, Any]]]:
    """Faults by name, each with its platform, in which a platform quotes what it got."""
    shops = deployment.pipeline.sandbox.store
    token = shops.shop(*SHOPIFY.split("/")).credentials.access_token
    issued = shops.shop(*WOOCOMMERCE.split("/")).credentials
    key, secret = issued.consumer_key, issued.consumer_secret
    url = (
        f"/wp-json/wc/v3/products?consumer_key={key}&consumer_secret={quote(secret)}"
        "&oauth_signature=Zm9vYmFyYmF6cXV4Zm9vYmFy%3D"
    )
    refused = {"code": f"bad_{key}", "message": f"You sent {key}:{secret} to {url}"}

    def says(message: str, status: int = 200, code: str | None = None) -> dict[str, Any]:
        error: dict[str, Any] = {"message": message}
        if code is not None:
            error["extensions"] = {"code": code}
        return {"kind": "body", "status": status, "body": {"errors": [error]}}

    user_errors = {
        "data": {
            "bulkOperationRunQuery": {
                "bulkOperation": None,
                "userErrors": [{"code": f"X{token}", "message": "a" * 180 + token}],
            }
        }
    }
    return {
        "401 with the token": ("shopify", says(f"Invalid {token}", 401)),
        "an error at character 300": ("shopify", says("a" * 285 + token)),
        "access denied": ("shopify", says(f"no {token}, {token[:20]}", code="ACCESS_DENIED")),
        "a text": ("shopify", {"kind": "body", "body": {"errors": f"{{'X': '{token}'}}"}}),
        "the user errors of a bulk operation": (
            "shopify",
            {"kind": "body", "body": user_errors, "match": {"body_contains": "RunQuery"}},
        ),
        "a key in an error": ("woocommerce", {"kind": "body", "status": 401, "body": refused}),
        "a page with the key": (
            "woocommerce",
            {"kind": "html", "status": 403, "body": f"<html>{url} {json.dumps(refused)}</html>"},
        ),
        "an overloaded host with the key": (
            "woocommerce",
            {"kind": "status", "status": 503, "headers": {"X-Request": url}},
        ),
        "a limit with the token": (
            "shopify",
            {"kind": "status", "status": 429, "headers": {"Retry-After": "3600", "X-Sent": token}},
        ),
        "a redirect with the key": (
            "woocommerce",
            {"kind": "redirect", "location": f"https://{key}:{secret}@{key}.example{url}"},
        ),
        "a redirect of Shopify's": (
            "shopify",
            {"kind": "redirect", "location": f"https://{token}.example/?token={token}"},
        ),
        "reset": ("shopify", {"kind": "reset", "at": "middle"}),
        "a time-out of the Token Service": ("token-service", {"kind": "reset", "at": "start"}),
        "a malformed answer of the Token Service": (
            "token-service",
            {"kind": "body", "body": {"data": {"access_token": f"{token}\n", "consumer_key": 1}}},
        ),
    }


def test_nothing_is_left_behind_where_platforms_quote_credentials(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In errors, user errors, pages, redirects; whole, cut off and encoded."""
    monkeypatch.setenv("SHOPIFY_BULK_THRESHOLD", "1")
    monkeypatch.setenv("CONNECTOR_MAX_RETRIES", "1")
    left: dict[str, list[str]] = {}
    ends: dict[str, bool] = {}
    for name, (platform, fault) in _quoting(deployment).items():
        match = {"platform": platform, **fault.pop("match", {})}
        deployment.pipeline.sandbox.faults.set([{"match": match, **fault}])
        keys = [WOOCOMMERCE] if platform == "woocommerce" else [SHOPIFY]
        for key in keys:
            ends[name] = deployment.pipeline.materialize(key).success
        if found := deployment.left():
            left[name] = found
            deployment.caplog.clear()
            deployment.caplog.handler.records.append(logging.makeLogRecord({"msg": "cleared"}))
    assert left == {}
    # A bulk operation that is refused is no failure: the pages are read one by one.
    assert [name for name, succeeded in ends.items() if succeeded] == [
        "the user errors of a bulk operation"
    ]


def test_a_page_that_quotes_the_credentials_is_archived_without_them(
    deployment: Deployment,
) -> None:
    """The archive outlives every credential's use; the rest of the page is as it came."""
    pipeline = deployment.pipeline
    for key, field in ((SHOPIFY, "title"), (WOOCOMMERCE, "name")):
        shop = pipeline.sandbox.store.shop(*key.split("/"))
        issued = shop.credentials
        secret = issued.access_token if key == SHOPIFY else issued.consumer_secret
        ids = shop.product_ids()
        shop.edit_product(ids[0], {field: f"Tea {secret} tin"}, at=None)
        result = pipeline.materialize(key)
        assert result.success, pipeline.failure(result)
        titles = [row["product_title"] for row in pipeline.rows(key).to_dict("records")]
        assert f"Tea {'*' * len(secret)} tin" in titles
    assert deployment.left() == []


THROWS = stand_in_package.ADAPTER.replace(
    '        report.currency, report.complete = "SEK", True\n',
    """\
        given = await credential_source.credentials(shop, StandInCredentials)
        said = f"cannot log in with {given.password.get_secret_value()}"
        try:
            raise RuntimeError(said)
        except RuntimeError as error:
            logging.getLogger("stand_in").exception("it %s", said)
            raise ExceptionGroup(said, [ValueError(said), error]) from error
""",
).replace("from pydantic import SecretStr", "import logging\n\nfrom pydantic import SecretStr")


def test_nothing_is_left_behind_by_an_adapter_whose_exceptions_quote_its_password(
    deployment: Deployment,
    installed: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An installed adapter logs the exception, and raises it in a group with a cause."""
    folder = stand_in_package.install(tmp_path / "packages", source=THROWS)
    installed(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    password = deployment.canaries.add("a stand-in's password", "stand%in/pass\"word'é-0123")
    deployment.pipeline.register(STAND_IN)
    deployment.fault("token-service", kind="body", body={"data": {"password": password}})
    result = deployment.pipeline.materialize(STAND_IN)
    assert "Defect" in deployment.pipeline.failure(result)
    log = deployment.folder / "worker.log"
    RunWorker(deployment.pipeline, log, tags={"dagster/partition": STAND_IN}).wait()
    written = log.read_text()
    assert "cannot log in with ***" in written
    assert deployment.left(written) == []


def test_nothing_is_left_behind_where_the_archive_cannot_be_written(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its URL holds the keys of an object store, which errors quote."""
    key = deployment.canaries.add("the key of an object store", "canary-0f-a-st0re/key%x")
    monkeypatch.setenv("RAW_ARCHIVE_URL", f"file:///dev/null/raw?secret_key={quote(key, safe='')}")
    for each in (SHOPIFY, WOOCOMMERCE):
        result = deployment.pipeline.materialize(each)
        assert "ArchiveUnavailable" in deployment.pipeline.failure(result)
    assert deployment.left() == []


def test_nothing_is_left_behind_while_a_database_is_down(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The errors of drivers quote what they were given."""
    password = quote(deployment.canaries.secrets["password of the catalog's database"], safe="")
    url = f"postgresql://canary:{password}@127.0.0.1:9/catalog"
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", url)
    result = deployment.pipeline.materialize(SHOPIFY)
    assert not result.success
    ended = _command("sync", SHOPIFY)
    assert ended.returncode == 1
    assert deployment.left(ended.stdout, ended.stderr) == []


def _command(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "connector_pipeline.cli", *words],
        capture_output=True,
        check=False,
        timeout=300,
    )
