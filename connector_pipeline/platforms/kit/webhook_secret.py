"""The secret that the Token Service has for the webhooks of one shop."""

from pydantic import SecretStr

from connector_pipeline.platforms.kit.contract import Credentials


class WebhookSecret(Credentials):
    """The part of a shop's credentials by which its deliveries are verified (docs/contracts.md).

    It is there for webhooks that were made by hand, and for the app of one merchant.
    """

    webhook_secret: SecretStr | None = None
