"""`connector-pipeline catalog …`: shows the catalog as its readers see it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

import psycopg
import typer

from connector_pipeline.catalog.read import PREVIEW_COLUMNS
from connector_pipeline.catalog.read import rejects as read_rejects
from connector_pipeline.catalog.read import rows as read_rows
from connector_pipeline.cli.local_services import SchemaUse, database_services
from connector_pipeline.cli.output import JsonFlag, print_rows
from connector_pipeline.cli.shops_commands import ShopArgument
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry, registered_shop

app = typer.Typer(help="The catalog as Postgres holds it.", no_args_is_help=True)

_REJECT_COLUMNS: Final = ("rejected_at", "product_id", "variant_id", "reason", "sync_id")


@app.command()
def show(
    shop: ShopArgument,
    deleted: Annotated[bool, typer.Option("--deleted", help="Tombstones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows of the table; --json has all.")] = 100,
    as_json: JsonFlag = False,
) -> None:
    """Show a shop's catalog items."""
    with _connection_for(shop) as connection:
        print_rows(
            read_rows(connection, shop, include_deleted=deleted),
            columns=PREVIEW_COLUMNS,
            as_json=as_json,
            empty=f"{shop} has no catalog items yet: connector-pipeline sync {shop}",
            limit=limit,
        )


@app.command()
def rejects(shop: ShopArgument, as_json: JsonFlag = False) -> None:
    """Show the rejected variants of a shop, with the reasons."""
    with _connection_for(shop) as connection:
        print_rows(
            read_rejects(connection, shop),
            columns=_REJECT_COLUMNS,
            as_json=as_json,
            empty=f"{shop} has no rejected variants.",
        )


@contextmanager
def _connection_for(shop: str) -> Generator[psycopg.Connection]:
    """A connection to the catalog. Raises InvalidShop, or UnknownShop if it is not registered."""
    parse_partition_key(shop)
    with database_services(SchemaUse.ROWS):
        database = Database()
        registered_shop(ShopRegistry(database=database), shop)
        with database.connect() as connection:
            yield connection
