"""`connector-pipeline webhooks …`: takes the deliveries of webhooks, and looks after them."""

import typer

from connector_pipeline.cli.webhooks import serve

app = typer.Typer(help="Take the deliveries of the platforms' webhooks, until SIGTERM or Ctrl-C.")
app.callback(invoke_without_command=True)(serve)
