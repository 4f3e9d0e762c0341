"""The platform and the shop that a path of the sandbox belongs to."""

from typing import NamedTuple


class Destination(NamedTuple):
    """`service` is shopify, storage (of Shopify's bulk results), woocommerce or token-service.

    `domain` names the shop in all of them.
    """

    service: str
    domain: str


def destination(path: str) -> Destination | None:
    """The service and shop of a request; None for the sandbox's controls and unknown paths."""
    parts = path.split("/")
    if len(parts) > 2 and parts[1] in ("shopify", "storage", "woocommerce"):
        return Destination(parts[1], parts[2])
    if len(parts) > 1 and parts[1] == "token-service":
        return Destination("token-service", parts[6] if len(parts) > 6 else "")
    return None
