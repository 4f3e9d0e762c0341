"""Large files of the platforms that lie in `shared`, beside the checkout, and not in it."""

import os
from pathlib import Path
from typing import Final

import pytest

_CHECKOUT: Final = Path(__file__).resolve().parents[1]


def shared_file(name: str, *, variable: str) -> Path:
    """Where the file or directory is, by the variable or in `shared`.

    Where it is not at hand the test is skipped, but in CI, which has it, the test fails.
    """
    path = Path(os.environ.get(variable) or _CHECKOUT.parent / "shared" / name)
    if not path.exists():
        reason = f"{name} is not at hand: set {variable} to where it is"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def recorded_answers() -> Path:
    """The directory of answers recorded from real WooCommerce shops."""
    return shared_file("woocommerce/recorded", variable="CONNECTOR_WOOCOMMERCE_RECORDED")


def shopify_schema() -> Path:
    """Shopify's own GraphQL schema of version 2026-07, as introspected, in gzip."""
    return shared_file("shopify/admin_2026-07.json.gz", variable="CONNECTOR_SHOPIFY_SCHEMA")
