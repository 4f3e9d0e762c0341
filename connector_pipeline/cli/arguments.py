"""The arguments and options that several commands share."""

from typing import Annotated

import typer

ShopArgument = Annotated[str, typer.Argument(metavar="SHOP", help="Partition key: PLATFORM/DOMAIN")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")]
YesFlag = Annotated[bool, typer.Option("--yes", help="Confirm it; ask nobody.")]
