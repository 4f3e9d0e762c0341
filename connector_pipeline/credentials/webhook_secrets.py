"""The secret of a shop's webhooks, made of a key and stored nowhere."""

import base64
import hashlib
import hmac

from connector_pipeline.settings import Settings


def shop_secret(key: str, partition_key: str) -> str:
    """The secret that signs the webhooks of this shop under this key: 43 characters of ASCII."""
    digest = hmac.digest(key.encode(), partition_key.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def made_secrets(settings: Settings, partition_key: str) -> list[str]:
    """The shop's secrets under each of WEBHOOK_KEYS, the one for new webhooks first."""
    held = settings.webhook_keys
    keys = [] if held is None else held.get_secret_value().split()
    return [shop_secret(key, partition_key) for key in keys]
