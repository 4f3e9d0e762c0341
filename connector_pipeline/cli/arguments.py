"""The arguments and options that several commands share."""

from typing import Annotated, Final

import typer

from connector_pipeline.model.errors import InvalidShop

_KEY = "Partition key: PLATFORM/DOMAIN"
MOST_HOURS: Final = 876_000
"""A hundred years: times before them are none to Postgres or to Python sooner or later."""


class MistypedShop(InvalidShop):
    """A SHOP on the command line that is no partition key; `typed` is what stands there."""

    def __init__(self, typed: str, reason: str):
        super().__init__(reason)
        self.typed = typed


def checked_key(key: str | None) -> str | None:
    """The key, if it has the form of one. Raises MistypedShop."""
    if key is not None:
        # Imported here: it brings pydantic, a third of the time of `--help`.
        from connector_pipeline.model.shop import parse_partition_key

        try:
            parse_partition_key(key)
        except InvalidShop as error:
            raise MistypedShop(key, f"{error}.") from None
    return key


def _checked_keys(keys: list[str] | None) -> list[str] | None:
    for key in keys or ():
        checked_key(key)
    return keys


def _registered(incomplete: str) -> list[str]:
    # Imported here: only a shell that completes a key needs the database.
    from connector_pipeline.cli.shop_keys import beginning_with

    return beginning_with(incomplete)


def _known_platform(name: str | None) -> str | None:
    if name is not None:
        # Imported here: it brings the adapters, and most commands name no platform.
        from connector_pipeline.platforms.adapters import adapter_class

        try:
            adapter_class(name)
        except InvalidShop as error:
            raise typer.BadParameter(f"{error}.") from None
    return name


NewShopArgument = Annotated[str, typer.Argument(metavar="SHOP", help=_KEY)]
ShopArgument = Annotated[
    str,
    typer.Argument(metavar="SHOP", help=_KEY, callback=checked_key, autocompletion=_registered),
]
OptionalShopArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SHOP]", help=_KEY, callback=checked_key, autocompletion=_registered),
]
ShopsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SHOP]...",
        help="Partition keys: PLATFORM/DOMAIN",
        callback=_checked_keys,
        autocompletion=_registered,
    ),
]
PlatformOption = Annotated[
    str | None, typer.Option(callback=_known_platform, help="Only shops of this platform.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")]
YesFlag = Annotated[bool, typer.Option("--yes", help="Confirm it; ask nobody.")]
