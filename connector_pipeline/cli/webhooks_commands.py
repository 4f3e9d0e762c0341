"""`connector-pipeline webhooks …`: takes the deliveries of webhooks, and looks after them."""

from typing import TYPE_CHECKING, Annotated

import typer

from connector_pipeline.cli.arguments import JsonFlag, OptionalShopArgument
from connector_pipeline.cli.examples import SHOP, examples
from connector_pipeline.cli.webhooks import serve

if TYPE_CHECKING:
    from connector_pipeline.sync.subscriptions import Care

app = typer.Typer(help="Take the deliveries of the platforms' webhooks, until SIGTERM or Ctrl-C.")
app.callback(
    invoke_without_command=True,
    epilog=examples("webhooks --host 127.0.0.1 --port 3001", f"webhooks check {SHOP}"),
)(serve)

AllFlag = Annotated[bool, typer.Option("--all", help="All active shops.")]


@app.command(epilog=examples(f"webhooks check {SHOP}", "webhooks check --all"))
def check(
    shop: OptionalShopArgument = None, every: AllFlag = False, as_json: JsonFlag = False
) -> None:
    """Show the webhooks that shops have for us; exit 1 if a subscribed shop lacks any."""
    from connector_pipeline.sync.subscriptions import Care

    _take_care(Care.CHECK, shop, every=every, as_json=as_json)


@app.command(epilog=examples(f"webhooks subscribe {SHOP}", "webhooks subscribe --all"))
def subscribe(
    shop: OptionalShopArgument = None, every: AllFlag = False, as_json: JsonFlag = False
) -> None:
    """Make the webhooks that are missing, and restore those that do not deliver."""
    from connector_pipeline.sync.subscriptions import Care

    _take_care(Care.SUBSCRIBE, shop, every=every, as_json=as_json)


@app.command(epilog=examples(f"webhooks unsubscribe {SHOP}", "webhooks unsubscribe --all"))
def unsubscribe(
    shop: OptionalShopArgument = None, every: AllFlag = False, as_json: JsonFlag = False
) -> None:
    """Delete the webhooks that a shop has for us; sweeps go on."""
    from connector_pipeline.sync.subscriptions import Care

    _take_care(Care.UNSUBSCRIBE, shop, every=every, as_json=as_json)


def _take_care(care: "Care", shop: str | None, *, every: bool, as_json: bool) -> None:
    from connector_pipeline.cli.webhooks_of_shops import run_care

    if (shop is None) != every:
        raise typer.BadParameter("name a shop, or --all.")
    if not run_care(care, shop, as_json=as_json):
        raise typer.Exit(1)
