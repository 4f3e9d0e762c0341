"""`connector-pipeline catalog …`: shows the catalog as its readers see it.

A command imports what it works with when it is called: its help needs no database.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from connector_pipeline.cli.arguments import JsonFlag, ShopArgument
from connector_pipeline.cli.examples import SHOP, examples

if TYPE_CHECKING:
    import psycopg

app = typer.Typer(help="The catalog as Postgres holds it.", no_args_is_help=True)

_REJECT_COLUMNS: Final = ("rejected_at", "product_id", "variant_id", "reason", "sync_id")


@app.command(epilog=examples(f"catalog show {SHOP}", f"catalog show {SHOP} --deleted --json"))
def show(
    shop: ShopArgument,
    deleted: Annotated[bool, typer.Option("--deleted", help="Tombstones too.")] = False,
    limit: Annotated[
        int,
        typer.Option(min=1, max=sys.maxsize, help="Rows of the table; --json has all."),
    ] = 100,
    as_json: JsonFlag = False,
) -> None:
    """Show a shop's catalog items."""
    from connector_pipeline.catalog.read import PREVIEW_COLUMNS, rows
    from connector_pipeline.cli.output import print_rows

    with _connection_for(shop) as connection:
        print_rows(
            rows(connection, shop, include_deleted=deleted),
            columns=PREVIEW_COLUMNS,
            as_json=as_json,
            empty=f"{shop} has no catalog items yet: connector-pipeline sync {shop}",
            limit=limit,
        )


@app.command(epilog=examples(f"catalog rejects {SHOP}"))
def rejects(shop: ShopArgument, as_json: JsonFlag = False) -> None:
    """Show the rejected variants of a shop, with the reasons."""
    from connector_pipeline.catalog import read
    from connector_pipeline.cli.output import print_rows

    with _connection_for(shop) as connection:
        print_rows(
            read.rejects(connection, shop),
            columns=_REJECT_COLUMNS,
            as_json=as_json,
            empty=f"{shop} has no rejected variants.",
        )


@contextmanager
def _connection_for(shop: str) -> Generator["psycopg.Connection"]:
    """A connection to the catalog. Raises InvalidShop, or UnknownShop if it is not registered."""
    from connector_pipeline.cli.local_services import SchemaUse, database_services
    from connector_pipeline.model.shop import parse_partition_key
    from connector_pipeline.postgres.database import Database
    from connector_pipeline.state.registry import ShopRegistry, registered_shop

    parse_partition_key(shop)
    with database_services(SchemaUse.ROWS):
        database = Database()
        registered_shop(ShopRegistry(database=database), shop)
        with database.connect() as connection:
            yield connection
