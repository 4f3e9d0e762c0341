"""The examples below a command's help. A test parses each of them."""

from typing import Final

SHOP: Final = "shopify/acme.myshopify.com"
SHOP_IN_A_FOLDER: Final = "woocommerce/shop.example"
PLATFORM: Final = "shopify"


def examples(*commands: str) -> str:
    """The epilog of a command: its uses, a line each, without the program's name."""
    return "\n".join(("Examples:", *(f"  connector-pipeline {command}" for command in commands)))
