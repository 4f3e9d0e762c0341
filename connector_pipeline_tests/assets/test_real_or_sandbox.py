"""A run refuses a sandbox for real shops, and the other way round, whoever started it."""

import pytest

from connector_pipeline.credentials.real_or_sandbox import SandboxGuard
from connector_pipeline.model.errors import SandboxMixedWithReal
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.serves import Serves, mark, serves
from connector_pipeline_tests.assets.conftest import Pipeline
from connector_pipeline_tests.credentials.real_token_service import real_token_service

REAL = "shopify/a-merchants-own.myshopify.com"
SANDBOX_ONLY = ("SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL", "ALLOW_PRIVATE_HOSTS")


def mark_as(database: Database, these: Serves) -> None:
    with database.connect() as connection:
        mark(connection, these)


def refused_by(pipeline: Pipeline, *, code: str, times: int = 2) -> str:
    """Sync the shop again and again, minutes apart. Returns the last failure; it stays active."""
    said = ""
    for _ in range(times):
        result = pipeline.materialize(REAL)
        assert not result.success
        said = pipeline.failure(result)
        assert code in said
        with pipeline.database.connect() as connection:
            connection.execute(
                "UPDATE connector.shops SET refused_at = refused_at - interval '5 minutes'"
            )
    [shop] = pipeline.registry.list()
    assert (shop.state, shop.last_error_code) == (ShopState.ACTIVE, code)
    return said


@pytest.mark.parametrize("whole", [True, False], ids=["all variables", "the Token Service alone"])
def test_a_run_believes_no_sandbox_about_real_shops(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """The sandbox has no credentials for them, and that would disconnect each."""
    pipeline.register(REAL)
    mark_as(pipeline.database, Serves.REAL)
    if not whole:
        for name in SANDBOX_ONLY:
            monkeypatch.delenv(name)
    said = refused_by(pipeline, code="SandboxMixedWithReal")
    assert ("ALLOW_PRIVATE_HOSTS" if whole else "TOKEN_SERVICE_URL") in said
    if whole:
        assert pipeline.sandbox.requests.requests() == []


@pytest.mark.parametrize("has_credentials", [True, False])
def test_a_run_sends_no_real_credentials_to_the_sandbox(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, has_credentials: bool
) -> None:
    """Nor does it believe a real Token Service about the sandbox's shops."""
    pipeline.register(REAL)
    mark_as(pipeline.database, Serves.SANDBOX)
    with real_token_service(has_credentials=has_credentials) as url:
        monkeypatch.setenv("TOKEN_SERVICE_URL", url)
        assert "CONNECTOR_HOME" in refused_by(pipeline, code="SandboxMixedWithReal")
    assert pipeline.sandbox.requests.requests() == []


def test_a_sandbox_disconnects_no_shop_of_a_database_that_nobody_has_marked(
    pipeline: Pipeline,
) -> None:
    """An older version made it, or `migrate` in a shell without the other variables."""
    pipeline.register(REAL)
    assert "serves = 'sandbox'" in refused_by(pipeline, code="SandboxMixedWithReal")


def test_a_sandbox_may_have_lost_a_shop_of_its_own_database(pipeline: Pipeline) -> None:
    """There the answer is what it is for: the shop has no credentials."""
    pipeline.register(REAL)
    mark_as(pipeline.database, Serves.SANDBOX)
    result = pipeline.materialize(REAL)
    assert "no credentials for this shop" in pipeline.failure(result)
    assert pipeline.registry.list()[0].last_error_code == "AccessRefused"


@pytest.mark.parametrize("name", ["SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL"])
def test_credentials_of_another_machine_go_to_no_sandbox_on_this_one(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It knows none of their shops, and its refusals would disconnect each."""
    for each in SANDBOX_ONLY:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("TOKEN_SERVICE_URL", "https://tokens.internal")
    guard = SandboxGuard(database)
    monkeypatch.setenv(name, "http://127.0.0.1:4000/{domain}")
    with pytest.raises(SandboxMixedWithReal, match=f"^{name}: "):
        guard.refuse_answer(sandbox=None, has_credentials=True)
    guard.refuse_answer(sandbox="true", has_credentials=True)
    monkeypatch.setenv("TOKEN_SERVICE_URL", "http://127.0.0.1:4001")
    guard.refuse_answer(sandbox=None, has_credentials=True)
    with database.connect() as connection:
        assert serves(connection) is None


def test_a_run_without_a_token_service_disconnects_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that was started by hand has no sandbox."""
    pipeline.register(REAL)
    monkeypatch.delenv("TOKEN_SERVICE_URL")
    said = refused_by(pipeline, code="TokenServiceUnavailable")
    assert "TOKEN_SERVICE_URL is not set" in said


def test_the_first_real_credentials_mark_a_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a sandbox do not, nor an answer without credentials, nor doctor."""
    for name in SANDBOX_ONLY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TOKEN_SERVICE_URL", "https://tokens.internal")

    def after(*, sandbox: bool, has_credentials: bool, marks: bool = True) -> Serves | None:
        guard = SandboxGuard(database, marks=marks)
        guard.refuse_answer(sandbox="true" if sandbox else None, has_credentials=has_credentials)
        with database.connect() as connection:
            return serves(connection)

    assert after(sandbox=True, has_credentials=True) is None
    assert after(sandbox=False, has_credentials=False) is None
    assert after(sandbox=False, has_credentials=True, marks=False) is None
    assert after(sandbox=False, has_credentials=True) is Serves.REAL
