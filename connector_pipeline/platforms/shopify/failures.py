"""The errors for answers of Shopify's: what failed, and what an operator can do about it."""

from typing import Final

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.shopify.answers import JudgedAnswer, Meaning
from connector_pipeline.platforms.shopify.asking import LOOK_AT_ITS_STATUS
from connector_pipeline.platforms.shopify.credentials import ShopifyCredentials

_SOMEBODY_BETWEEN: Final = (
    "It will be retried with the next sync. A firewall or a proxy between the connector and "
    "Shopify answers in Shopify's place: let requests to *.myshopify.com through there."
)
# Sources of these: docs/facts/shopify.md, Where a merchant sees it.
_INSTALLED: Final = (
    "The merchant sees in the shop's admin, under Settings > Apps, whether the app is still "
    "installed. If it is not, it has to be installed again. If it is, the Token Service has the "
    "token of an earlier installation: connect the shop again there."
)
_OPENED: Final = (
    "Only the merchant can settle it with Shopify, by logging in to the shop's admin; another "
    "token does not help. The shop is read as soon as Shopify has opened it."
)


def disconnected(
    judged: JudgedAnswer, refused: ShopifyCredentials, credentials: ShopifyCredentials
) -> ShopDisconnected:
    """The error for a second refusal, of `credentials`, after one of the credentials `refused`."""
    said = reason(judged)
    if not judged.about_credentials:
        return ShopDisconnected(said, look_at=_OPENED, about_credentials=False)
    look_at = _INSTALLED
    if judged.scopes:
        scopes = f"scope{'s' if len(judged.scopes) > 1 else ''} {', '.join(judged.scopes)}"
        look_at = (
            f"Give the app the {scopes} and have the merchant approve it: the app's page under "
            "Settings > Apps in the shop's admin shows the permissions that it has."
        )
    confirmed = (
        "The Token Service gave the same token again."
        if same_token(refused, credentials)
        else "A fresh token changed nothing."
    )
    return ShopDisconnected(f"{said} {confirmed}", look_at=look_at)


def failure(judged: JudgedAnswer) -> ConnectorError:
    """The error for an answer that is invalid, or of a Shopify that is unavailable."""
    said = reason(judged)
    if judged.meaning is Meaning.INVALID:
        return InvalidResponse(said)
    remedy = _SOMEBODY_BETWEEN if judged.foreign else LOOK_AT_ITS_STATUS
    return PlatformUnavailable(said, remedy=remedy)


def same_token(one: ShopifyCredentials, other: ShopifyCredentials) -> bool:
    """Whether the Token Service gave the same token twice."""
    return token(one) == token(other)


def usable_in_part(judged: JudgedAnswer, answer: Answer, credentials: ShopifyCredentials) -> bool:
    """Whether the answer may be kept although fields failed: a message may quote the token."""
    return judged.partial and token(credentials).encode() not in answer.body


def token(credentials: ShopifyCredentials) -> str:
    """The token itself, to be sent and to be looked for."""
    return credentials.access_token.get_secret_value()


def reason(judged: JudgedAnswer) -> str:
    """The reason as a sentence."""
    return f"Shopify {judged.reason.removesuffix('.')}."
