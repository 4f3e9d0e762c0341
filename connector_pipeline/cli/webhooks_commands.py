"""`connector-pipeline webhooks …`: takes the deliveries of webhooks, and looks after them."""

from typing import TYPE_CHECKING, Annotated

import typer

from connector_pipeline.cli.arguments import JsonFlag
from connector_pipeline.cli.webhooks import serve

if TYPE_CHECKING:
    from connector_pipeline.sync.subscriptions import Care

app = typer.Typer(help="Take the deliveries of the platforms' webhooks, until SIGTERM or Ctrl-C.")
app.callback(invoke_without_command=True)(serve)

ShopOrAll = Annotated[
    str | None, typer.Argument(metavar="[SHOP]", help="Partition key: PLATFORM/DOMAIN")
]
AllFlag = Annotated[bool, typer.Option("--all", help="All active shops.")]


@app.command()
def check(shop: ShopOrAll = None, every: AllFlag = False, as_json: JsonFlag = False) -> None:
    """Show the webhooks that shops have for us; exit 1 if a subscribed shop lacks any."""
    from connector_pipeline.sync.subscriptions import Care

    _take_care(Care.CHECK, shop, every=every, as_json=as_json)


@app.command()
def subscribe(shop: ShopOrAll = None, every: AllFlag = False, as_json: JsonFlag = False) -> None:
    """Make the webhooks that are missing, and restore those that do not deliver."""
    from connector_pipeline.sync.subscriptions import Care

    _take_care(Care.SUBSCRIBE, shop, every=every, as_json=as_json)


@app.command()
def unsubscribe(shop: ShopOrAll = None, every: AllFlag = False, as_json: JsonFlag = False) -> None:
    """Delete the webhooks that a shop has for us; sweeps go on."""
    from connector_pipeline.sync.subscriptions import Care

    _take_care(Care.UNSUBSCRIBE, shop, every=every, as_json=as_json)


def _take_care(care: "Care", shop: str | None, *, every: bool, as_json: bool) -> None:
    from connector_pipeline.cli.webhooks_of_shops import run_care

    if (shop is None) != every:
        raise typer.BadParameter("name a shop, or --all.")
    if not run_care(care, shop, as_json=as_json):
        raise typer.Exit(1)
