"""The modules that a command imports: it pays for them at every call."""

import pytest

from connector_pipeline.model.shop import Shop
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.test_imports import imported_by

SHOP = "shopify/acme.myshopify.com"


@pytest.fixture
def registered(registry: ShopRegistry) -> None:
    """The shop, in the registry over the database that the commands use."""
    registry.add(
        Shop(
            merchant_id="m-1",
            platform_name="shopify",
            platform_shop_id="1",
            domain="acme.myshopify.com",
        )
    )


def imported_by_command(*words: str, packages: tuple[str, ...]) -> set[str]:
    """Those of the packages that `connector-pipeline` with these words imports."""
    return imported_by(
        "import sys\n"
        f"sys.argv = ['connector-pipeline', *{words!r}]\n"
        "from connector_pipeline.cli.main import main\n"
        "kept, sys.stdout = sys.stdout, sys.stderr\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.stdout = kept",
        packages,
    )


@pytest.mark.usefixtures("environment", "registered")
@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("shops", "--help"),
        ("shops", "list"),
        ("shops", "add", SHOP, "--merchant-id", "m-1"),
        ("catalog", "show", SHOP, "--json"),
        ("catalog", "rejects", SHOP),
        ("doctor",),
        ("migrate", "--check"),
        ("sync", SHOP, "--request"),
        ("shops", "list", "--no-such-option"),
    ],
    ids=" ".join,
)
def test_a_command_that_runs_no_sync_imports_no_dagster(words: tuple[str, ...]) -> None:
    """Dagster takes longer to import than such a command takes to run."""
    assert not imported_by_command(*words, packages=("dagster", "dagster_shared", "pandas"))


@pytest.mark.usefixtures("environment", "registered")
@pytest.mark.parametrize(
    "words",
    [("shops", "list"), ("shops", "pause", SHOP), ("catalog", "show", SHOP)],
    ids=" ".join,
)
def test_a_command_over_rows_imports_neither_migrations_nor_adapters(
    words: tuple[str, ...],
) -> None:
    """It compares the database's revision with the needed one by a statement."""
    assert not imported_by_command(*words, packages=("sqlalchemy", "alembic", "httpx"))


def test_help_imports_no_database() -> None:
    """It is printed from the commands' names and options."""
    ours = ("connector_pipeline.settings", "connector_pipeline.postgres")
    assert not imported_by_command("--help", packages=("psycopg", "httpx", "pydantic", *ours))
